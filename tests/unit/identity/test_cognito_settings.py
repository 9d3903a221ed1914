import pytest

from app.lib.environment import BadEnvironment
from app.settings import read_settings

BASE = {
    "TURUMBA_DATABASE_URL": "postgresql://localhost/turumba",
    "TURUMBA_BROKER_URL": "amqp://localhost",
    "TURUMBA_ENCRYPTION_KEYS": "k:AAAA",
}
POOL = {
    "TURUMBA_COGNITO_REGION": "eu-central-1",
    "TURUMBA_COGNITO_USER_POOL_ID": "eu-central-1_AbCdEf123",
    "TURUMBA_COGNITO_CLIENT_IDS": "web, mobile",
}


def problems(**changes: str) -> str:
    given = {f"TURUMBA_COGNITO_{name.upper()}": value for name, value in changes.items()}
    with pytest.raises(BadEnvironment) as caught:
        read_settings(BASE | POOL | given)
    return "\n".join(caught.value.problems)


def test_cognito_is_off_unless_it_is_configured() -> None:
    assert read_settings(BASE).cognito.user_pool_id == ""
    assert read_settings(BASE | POOL).cognito.client_ids == "web, mobile"


def test_what_belongs_together_comes_together() -> None:
    assert "TURUMBA_COGNITO_REGION" in problems(region="")
    assert "TURUMBA_COGNITO_USER_POOL_ID" in problems(user_pool_id="")
    assert "TURUMBA_COGNITO_CLIENT_IDS" in problems(client_ids="")
    assert "hush" not in problems(region="", client_secret="hush")


def test_values_that_cannot_be_right() -> None:
    assert "begins with the region" in problems(region="eu-west-1")
    assert "TURUMBA_COGNITO_REGION" in problems(region="Frankfurt")
    assert "TURUMBA_COGNITO_USER_POOL_ID" in problems(user_pool_id="eu-central-1_a/b")
    assert "an id is empty" in problems(client_ids="web,,mobile")


def test_passwords_do_not_travel_in_the_open() -> None:
    for address in ("http://cognito.example.com", "http://127.0.0.1.example.com", "ftp://localhost", "localhost"):
        assert "TURUMBA_COGNITO_ENDPOINT" in problems(endpoint=address)
        assert "TURUMBA_COGNITO_JWKS_URL" in problems(jwks_url=address)
    for address in ("https://cognito.example.com", "http://127.0.0.1:5000", "http://localhost", "http://[::1]:1/keys"):
        given = {"TURUMBA_COGNITO_ENDPOINT": address, "TURUMBA_COGNITO_JWKS_URL": address}
        assert read_settings(BASE | POOL | given).cognito.endpoint == address
