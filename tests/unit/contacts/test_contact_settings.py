"""TURUMBA_CONTACTS_URL: read strictly, and never repeated in words."""

import pytest

from app.lib.environment import BadEnvironment
from app.settings import Settings, read_settings

REQUIRED = {
    "TURUMBA_DATABASE_URL": "postgresql://u:p@localhost/d",
    "TURUMBA_BROKER_URL": "amqp://u:p@localhost/v",
    "TURUMBA_ENCRYPTION_KEYS": "k:AAAA",
}


def read(url: str) -> Settings:
    return read_settings({**REQUIRED, "TURUMBA_CONTACTS_URL": url})


def test_without_one_contacts_are_in_postgresql() -> None:
    assert read_settings(REQUIRED).contacts.url == ""


@pytest.mark.parametrize(
    "url", ["mongodb://u:p%2F@h1:27017,h2/turumba?replicaSet=rs0&tls=true", "mongodb+srv://u:p@cluster.example.com/d"]
)
def test_a_url_of_mongodb(url: str) -> None:
    assert read(url).contacts.url == url


@pytest.mark.parametrize(
    "url",
    [
        *("mongodb://", "mysql://u:secret@h/d", "h:27017"),
        *("mongodb://u:secret/with@h/d", "mongodb://u:secret@h:port/d", "mongodb://u:secret@/d"),
    ],
)
def test_what_cannot_be_used_is_told_without_its_password(url: str) -> None:
    with pytest.raises(BadEnvironment) as refused:
        read(url)
    assert any(problem.startswith("TURUMBA_CONTACTS_URL: ") for problem in refused.value.problems)
    assert "secret" not in str(refused.value)
