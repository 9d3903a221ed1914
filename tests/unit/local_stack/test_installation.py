import base64
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.environment import process_environment, product_environment, settings_given
from deploy.local.errors import LocalError
from deploy.local.installation import Installation, tail

SERVERS = {"TURUMBA_DATABASE_URL": "postgresql://x", "TURUMBA_BROKER_URL": "amqp://x"}


def test_the_state_file_is_readable_by_its_owner_only(installation: Installation) -> None:
    installation.secret("broker")
    state_file = installation.root / "state.json"
    assert state_file.stat().st_mode & 0o777 == 0o600
    state_file.chmod(0o644)
    installation.secret("another")
    assert state_file.stat().st_mode & 0o777 == 0o600


def test_logs_and_pid_files_are_private_and_the_folder_can_be_passed_through(installation: Installation) -> None:
    assert (installation.root / "log").stat().st_mode & 0o777 == 0o700
    assert installation.root.stat().st_mode & 0o777 == 0o711


def test_the_mode_of_a_folder_that_was_there_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Installation(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_secrets_are_made_once(installation: Installation) -> None:
    first = installation.secret("broker")
    assert len(first) == 32
    assert Installation(installation.root).secret("broker") == first
    assert installation.secret("postgres") != first


def test_the_encryption_key_is_32_bytes_and_stays(installation: Installation) -> None:
    key_id, _, key = installation.encryption_keys().partition(":")
    assert key_id == "local-1"
    assert len(base64.b64decode(key, validate=True)) == 32
    assert Installation(installation.root).encryption_keys() == f"{key_id}:{key}"


def test_what_is_remembered_at_the_same_time_is_all_kept(installation: Installation) -> None:
    names = [f"secret {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        made = dict(zip(names, threads.map(installation.secret, names), strict=True))
    assert installation.state.secrets == made


def test_a_port_is_remembered_until_something_else_listens_there(installation: Installation) -> None:
    port = installation.port("postgres")
    assert Installation(installation.root).usable_port("postgres") == port
    with socket.create_server(("127.0.0.1", port)):
        assert installation.port("postgres") == port
        other = installation.usable_port("postgres")
    assert other != port
    assert Installation(installation.root).port("postgres") == other


def test_ports_of_one_installation_differ(installation: Installation) -> None:
    names = ("postgres", "broker", "broker_dist", "epmd", "smsc", "api")
    assert len({installation.port(name) for name in names}) == len(names)


def test_a_broken_state_file_is_explained(tmp_path: Path) -> None:
    place = Installation(tmp_path / "stack")
    (place.root / "state.json").write_text("{")
    with pytest.raises(LocalError, match="make clean"):
        place.secret("broker")


def test_an_overgrown_log_is_moved_aside(installation: Installation) -> None:
    log = installation.log("relay")
    with log.open("wb") as file:
        file.truncate(30_000_000)
    assert not installation.log("relay").exists()
    assert log.with_suffix(".log.1").exists()


def test_the_tail_of_a_log_is_short(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(log, lines=2) == "    line 9998\n    line 9999"
    assert tail(tmp_path / "none.log") == ""


def test_what_a_person_sets_wins(installation: Installation) -> None:
    given = settings_given(
        {
            "TURUMBA_LOG_LEVEL": "debug",
            "TURUMBA_BROKER_URL": "amqp://elsewhere",
            "TURUMBA_API_HOST": "",
            "TURUMBA_LOCAL_DIR": "/x",
            "TURUMBA_TEST_DATABASE_URL": "x",
            "TURUMBA_PYTHON": "python3.12",
            "HOME": "/root",
        }
    )
    assert given == {"TURUMBA_LOG_LEVEL": "debug", "TURUMBA_BROKER_URL": "amqp://elsewhere"}
    environment = product_environment(installation, SERVERS, 8081, given)
    assert environment["TURUMBA_LOG_LEVEL"] == "debug"
    assert environment["TURUMBA_BROKER_URL"] == "amqp://elsewhere"
    assert environment["TURUMBA_DATABASE_URL"] == "postgresql://x"
    assert environment["TURUMBA_PUBLIC_URL"] == "http://localhost:8081"


def test_a_product_process_sees_the_products_settings_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURUMBA_API_PORT", "1")
    monkeypatch.setenv("TURUMBA_LOCAL_DIR", "/x")
    environment = process_environment({"TURUMBA_API_PORT": "2"})
    assert {name: value for name, value in environment.items() if name.startswith("TURUMBA_")} == {
        "TURUMBA_API_PORT": "2"
    }
    assert "PATH" in environment


def test_the_admin_socket_fits_into_an_address_of_108_bytes(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["folder" * 5] * 4)
    environment = product_environment(Installation(deep), SERVERS, 8080, {})
    socket_path = Path(environment["TURUMBA_SMPPD_ADMIN_SOCKET"])
    assert len(str(socket_path)) <= 100
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    socket_path.parent.rmdir()
