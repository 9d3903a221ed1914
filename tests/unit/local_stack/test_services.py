"""Servers shared by test runs, and the background servers of the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import services
from deploy.local.children import ProcessRecord
from deploy.local.errors import LocalError
from deploy.local.installation import REPOSITORY, Installation
from deploy.local.locks import wait_until

HOLDER = (
    "import sys\n"
    "from deploy.local.services import ensure_services\n"
    "services = ensure_services()\n"
    "print(services.database_url, flush=True)\n"
    "sys.stdin.readline()\n"
)


@pytest.fixture
def private_root(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`ensure_services` in a folder of this test's own, whatever servers the environment names."""
    monkeypatch.setenv("TURUMBA_LOCAL_DIR", str(installation.root))
    monkeypatch.delenv(services.TEST_DATABASE_VARIABLE, raising=False)
    monkeypatch.delenv(services.TEST_BROKER_VARIABLE, raising=False)
    return installation.root


def keeper_of(installation: Installation) -> int | None:
    return ProcessRecord(installation.pid_file("keeper")).pid()


def test_test_runs_share_the_servers_and_the_last_one_ends_them(private_root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        url = other.stdout.readline().strip()
        ours = services.ensure_services()
        assert ours.installation is not None
        place = Installation(private_root / "test")
        keeper = keeper_of(place)
        assert ours.database_url == url
        assert keeper is not None
        services.stop_services(ours)
        assert keeper_of(place) == keeper  # the other one still uses them
        os.kill(other.pid, signal.SIGKILL)
    assert wait_until(lambda: keeper_of(place) is None, 30)
    assert ProcessRecord(place.pid_file("postgres")).pid() is None
    assert ProcessRecord(place.pid_file("rabbitmq")).pid() is None
    services.clean(place)


def test_servers_named_for_tests_are_used_as_they_are(private_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(services.TEST_DATABASE_VARIABLE, "postgresql://elsewhere")
    monkeypatch.setenv(services.TEST_BROKER_VARIABLE, "amqp://elsewhere")
    found = services.ensure_services()
    assert (found.database_url, found.broker_url) == ("postgresql://elsewhere", "amqp://elsewhere")
    services.stop_services(found)
    assert not (private_root / "test").exists()


def test_up_is_a_no_op_when_up_and_down_leaves_nothing(installation: Installation) -> None:
    urls = services.up(installation)
    keeper = keeper_of(installation)
    assert services.up(installation) == urls
    assert keeper_of(installation) == keeper
    assert services.down(installation) == ["the servers"]
    assert services.down(installation) == []
    assert keeper_of(installation) is None


def test_clean_removes_data_secrets_and_logs_but_nothing_else(tmp_path: Path) -> None:
    place = Installation(tmp_path)
    secret = place.secret("broker")
    (tmp_path / "mine.txt").write_text("keep")
    services.clean(place)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert Installation(tmp_path).secret("broker") != secret


def test_a_broken_server_is_reported_to_who_asked_for_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURUMBA_BROKER_URL", "amqp://elsewhere")
    installation.change(lambda state: setattr(state, "postgres_home", str(installation.root / "postgres")))
    data = installation.root / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(LocalError, match="are of PostgreSQL 9"):
        services.up(installation)
