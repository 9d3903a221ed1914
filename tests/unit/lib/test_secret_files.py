"""Secrets that are files: systemd's credentials, containers' secrets."""

from pathlib import Path

import pytest

from app.lib.environment import BadEnvironment
from app.settings import SECRETS, read_settings

GOOD = {
    "TURUMBA_DATABASE_URL": "postgresql://a:b@localhost/turumba",
    "TURUMBA_BROKER_URL": "amqp://a:b@localhost",
    "TURUMBA_ENCRYPTION_KEYS": "k:x",
}
MORE = {
    "TURUMBA_API_DATABASE_URL": "postgresql://api:b@localhost/turumba",
    "TURUMBA_COGNITO_CLIENT_SECRET": "c",
    "TURUMBA_MAIL_SMTP_PASSWORD": "m",
    "TURUMBA_CONTACTS_URL": "mongodb://a:b@localhost/turumba",
}


def test_every_secret_can_be_a_file(tmp_path: Path) -> None:
    environ = {}
    for name in SECRETS:
        path = tmp_path / name
        path.write_text((GOOD | MORE)[name] + "\n")
        environ[f"{name}_FILE"] = str(path)
    assert read_settings(environ) == read_settings(GOOD | MORE)


def test_an_empty_name_is_no_file() -> None:
    assert read_settings(GOOD | {"TURUMBA_ENCRYPTION_KEYS_FILE": ""}).encryption_keys == "k:x"


def test_what_cannot_be_read_is_told_with_the_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "keys").write_text("k:y")
    environ = GOOD | {
        "TURUMBA_DATABASE_URL": "",
        "TURUMBA_DATABASE_URL_FILE": str(tmp_path / "absent"),
        "TURUMBA_BROKER_URL": "",
        "TURUMBA_BROKER_URL_FILE": str(tmp_path / "binary"),
        "TURUMBA_ENCRYPTION_KEYS_FILE": str(tmp_path / "keys"),
        "TURUMBA_API_PORT_FILE": str(tmp_path / "keys"),
        "TURUMBA_API_PORT": "eighty",
    }
    with pytest.raises(BadEnvironment) as caught:
        read_settings(environ)
    text = str(caught.value)
    assert "TURUMBA_DATABASE_URL_FILE" in text and "No such file" in text
    assert "TURUMBA_BROKER_URL_FILE" in text and "not text" in text
    assert "TURUMBA_ENCRYPTION_KEYS and TURUMBA_ENCRYPTION_KEYS_FILE are both set" in text
    assert "TURUMBA_API_PORT:" in text
    assert "TURUMBA_API_PORT_FILE: unknown variable" in text, "only secrets are read from files"
