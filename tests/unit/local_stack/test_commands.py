"""What a person sees when the set-up or the start can't go on: plain words, no traceback."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from deploy.local.installation import REPOSITORY, Installation
from deploy.local.rabbitmq import SERVER

TOOLS = ("sh", "dirname", "id", "mkdir", "flock", "grep", "cut", "cat", "tail", "sha256sum", "env")


def bootstrap(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up script in an empty copy of the repository, on a machine without RabbitMQ, apt-get and sudo."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    (tools / "python3.11").symlink_to(sys.executable)
    script = tmp_path / "copy" / "deploy" / "local" / "bootstrap.sh"
    script.parent.mkdir(parents=True)
    text = (REPOSITORY / "deploy" / "local" / "bootstrap.sh").read_text()
    script.write_text(text.replace(f"RABBITMQ={SERVER}", "RABBITMQ=/nowhere/rabbitmq-server"))
    return subprocess.run(
        ["/bin/sh", str(script)],
        env={"PATH": str(tools), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_command(directory: Path, port: int) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TURUMBA_")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.local.run", "--demo"],
        cwd=REPOSITORY,
        env={**environment, "TURUMBA_LOCAL_DIR": str(directory), "TURUMBA_API_PORT": str(port)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_rabbitmq_and_no_way_to_install_it(tmp_path: Path) -> None:
    done = bootstrap(tmp_path)
    assert done.returncode == 1
    assert "RabbitMQ is not installed" in done.stderr
    assert "apt-get install -y --no-install-recommends rabbitmq-server" in done.stderr
    assert "TURUMBA_BROKER_URL=" in done.stderr


def test_an_interpreter_that_does_not_do(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, TURUMBA_BROKER_URL="amqp://elsewhere", TURUMBA_PYTHON="/bin/true")
    assert done.returncode == 1
    assert done.stderr == "TURUMBA_PYTHON=/bin/true is not a Python of version 3.11 or newer.\n"


def test_the_public_port_is_taken(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run_command(installation.root, port)
    assert done.returncode == 1
    assert f"Port {port} is taken by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert f"TURUMBA_API_PORT={port + 1} make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_run_in_the_same_folder(installation: Installation) -> None:
    lock = installation.lock("run")
    assert lock.try_exclusive()
    done = run_command(installation.root, 8080)
    lock.release()
    assert done.returncode == 1
    assert f"Another run (pid {os.getpid()})" in done.stderr
    assert "make stop" in done.stderr


def test_a_port_that_is_no_port(installation: Installation) -> None:
    done = run_command(installation.root, 70_000)
    assert done.returncode == 1
    assert done.stderr == "\nTURUMBA_API_PORT=70000 is not a port number (1 to 65535).\n"
