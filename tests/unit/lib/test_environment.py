import pytest

from app.lib.environment import BadEnvironment
from app.settings import read_settings

GOOD = {
    "TURUMBA_DATABASE_URL": "postgresql://a:b@localhost/turumba",
    "TURUMBA_BROKER_URL": "amqp://a:b@localhost",
    "TURUMBA_ENCRYPTION_KEYS": "k:x",
}


def test_defaults_and_types() -> None:
    settings = read_settings({**GOOD, "TURUMBA_API_PORT": "9000", "TURUMBA_SMPPD_DRAIN_SECONDS": "2.5"})
    assert (settings.api.port, settings.api.host, settings.smppd.drain_seconds) == (9000, "127.0.0.1", 2.5)


def test_every_mistake_is_told_at_once_and_no_value_is_repeated() -> None:
    environ = {
        "TURUMBA_DATABASE_URL": "mysql://root:hunter2@db",
        "TURUMBA_API_PORT": "eighty",
        "TURUMBA_LOG_LEVEL": "loud",
        "TURUMBA_DATABSE_POOL_SIZE": "3",
        "HOME": "/root",
    }
    with pytest.raises(BadEnvironment) as caught:
        read_settings(environ)
    text = str(caught.value)
    for name in ("DATABASE_URL", "BROKER_URL: required", "ENCRYPTION_KEYS: required", "API_PORT", "LOG_LEVEL"):
        assert f"TURUMBA_{name}" in text
    assert "TURUMBA_DATABSE_POOL_SIZE: unknown variable, did you mean TURUMBA_DATABASE_POOL_SIZE?" in text
    assert "hunter2" not in text


def test_variables_of_others_are_left_alone() -> None:
    assert read_settings({**GOOD, "TURUMBA_LOCAL_DIR": "/x", "TURUMBA_TEST_DATABASE_URL": "y"}).api.workers == 1
