"""PostgreSQL and RabbitMQ alone, in the background: for tests, benchmarks and work on one process.

python -m deploy.local.services up      start both (a no-op when they are up)
python -m deploy.local.services env     print the product's settings: eval "$(python -m deploy.local.services env)"
python -m deploy.local.services status | down | clean
"""

import asyncio
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping

import click
import msgspec

from deploy.local.children import Child, ProcessRecord
from deploy.local.environment import DEFAULT_API_PORT, product_environment, settings_given
from deploy.local.errors import LocalError
from deploy.local.installation import REPOSITORY, Installation, default_root, tail
from deploy.local.keeper import NAME as KEEPER
from deploy.local.keeper import Report
from deploy.local.locks import FileLock, wait_until
from deploy.local.postgres import Postgres, remove_data
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.servers import BROKER_VARIABLE, DATABASE_VARIABLE, given_servers

TEST_DATABASE_VARIABLE = "TURUMBA_TEST_DATABASE_URL"
TEST_BROKER_VARIABLE = "TURUMBA_TEST_BROKER_URL"
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0


class Services:
    """A database and a broker to test against. Hold it while they are needed, then give it to `stop_services`.

    The role in `database_url` may create databases and is no superuser.
    """

    def __init__(self, database_url: str, broker_url: str, installation: Installation | None, lease: FileLock | None):
        self.database_url = database_url
        self.broker_url = broker_url
        self.installation = installation
        self.lease = lease


def ensure_services() -> Services:
    """The servers to test against: named in `TURUMBA_TEST_DATABASE_URL` and `TURUMBA_TEST_BROKER_URL`, or private ones.

    The private pair lives in `.local/test` (its data stay for the next time) and is shared by all test runs of the
    repository; it ends with the last of them, however that ends. Raises `LocalError` when it does not come up.
    """
    given = {
        product: os.environ[test]
        for product, test in ((DATABASE_VARIABLE, TEST_DATABASE_VARIABLE), (BROKER_VARIABLE, TEST_BROKER_VARIABLE))
        if os.environ.get(test)
    }
    if len(given) == 2:
        return Services(given[DATABASE_VARIABLE], given[BROKER_VARIABLE], None, None)
    # A folder of its own for half a pair: a keeper keeps what it was started with.
    kind = "test" if not given else "test-broker" if DATABASE_VARIABLE in given else "test-database"
    installation = Installation(default_root() / kind)
    lease = installation.lock("users")
    with _Starting(installation):
        if not wait_until(lease.try_shared, _STOP_SECONDS):
            raise LocalError(f"The servers in {installation.root} are stopping and do not end; see its log folder.")
        try:
            urls = _ensure_keeper(installation, given, while_used=True)
        except BaseException:
            lease.release()
            raise
    return Services(urls[DATABASE_VARIABLE], urls[BROKER_VARIABLE], installation, lease)


def stop_services(services: Services) -> None:
    """Give the servers back; when nobody else uses the private ones, wait until they have stopped."""
    installation, lease = services.installation, services.lease
    if installation is None or lease is None:
        return
    lease.release()
    keeper = ProcessRecord(installation.pid_file(KEEPER))
    if not wait_until(lambda: keeper.pid() is None or _is_shared(installation), _STOP_SECONDS):
        raise LocalError(f"The servers in {installation.root} did not stop; see its log folder.")


def up(installation: Installation) -> dict[str, str]:
    """Have the servers run in the background until `down`; returns their variables. A no-op when they are up."""
    with _Starting(installation):
        return _ensure_keeper(installation, given_servers(), while_used=False)


def down(installation: Installation) -> list[str]:
    """Stop a `make run` in this folder, the background servers, and what a killed one left behind; says what it did."""
    done = []
    run = installation.lock("run")
    supervisor = run.holder()
    if supervisor is not None:
        os.kill(supervisor, signal.SIGTERM)
        if not wait_until(lambda: run.holder() is None, _STOP_SECONDS):
            raise LocalError(
                f"The run with pid {supervisor} does not stop. End it: kill -9 {supervisor}; then try again."
            )
        done.append("the run")
    keeper = ProcessRecord(installation.pid_file(KEEPER))
    pid = keeper.pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: keeper.pid() is None, _STOP_SECONDS):
            raise LocalError(f"The servers' keeper does not stop. `kill -9 {pid}`, then try again.")
        done.append("the servers")
    return done + asyncio.run(_stop_leftovers(installation))


def clean(installation: Installation) -> None:
    """Stop everything and delete the data, logs, ports and secrets."""
    down(installation)
    remove_data(installation)
    # By name, never the whole folder: TURUMBA_LOCAL_DIR may point at one that holds other things.
    for name in ("log", "run", RabbitMQ.name):
        shutil.rmtree(installation.root / name, ignore_errors=True)
    for pattern in ("state.json", "state.new", "smsc-sim.journal*", "smppd.sock", "*.lock", "bootstrap.log"):
        for path in installation.root.glob(pattern):
            path.unlink()
    if not any(installation.root.iterdir()):
        installation.root.rmdir()


class _Starting:
    """Only one process at a time starts servers in a folder."""

    def __init__(self, installation: Installation) -> None:
        self._lock = installation.lock("start")
        self._root = installation.root

    def __enter__(self) -> None:
        self._lock.acquire(_START_SECONDS, f"Another process has been starting servers in {self._root} for too long.")

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


def _ensure_keeper(installation: Installation, given: Mapping[str, str], *, while_used: bool) -> dict[str, str]:
    if ProcessRecord(installation.pid_file(KEEPER)).pid() is not None:
        return _urls(installation, given)
    reader, writer = os.pipe()
    environment = {
        name: value for name, value in os.environ.items() if name not in (DATABASE_VARIABLE, BROKER_VARIABLE)
    }
    command = [sys.executable, "-m", "deploy.local.keeper", str(installation.root), "--ready-descriptor", str(writer)]
    log = installation.log(KEEPER)
    try:
        with log.open("ab") as output, os.fdopen(writer, "wb"):
            subprocess.run(
                [*command, *(["--while-used"] if while_used else [])],
                cwd=REPOSITORY,
                env={**environment, **given},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
                start_new_session=True,
                timeout=30,
                check=False,
            )
        line = _read_line(reader, _START_SECONDS)
    finally:
        os.close(reader)
    if line is None:
        raise LocalError(f"The servers did not start. The end of {log}:\n{tail(log)}")
    report = msgspec.json.decode(line, type=Report)
    if report.error is not None:
        raise LocalError(report.error)
    return report.environment


def _read_line(descriptor: int, seconds: float) -> bytes | None:
    """One line, which is far below PIPE_BUF, from the pipe; None when it ends or nothing came within `seconds`."""
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return (os.read(descriptor, select.PIPE_BUF) or None) if readable else None


def _urls(installation: Installation, given: Mapping[str, str]) -> dict[str, str]:
    ours = {
        DATABASE_VARIABLE: Postgres(installation, click.echo).url,
        BROKER_VARIABLE: RabbitMQ(installation, click.echo).url,
    }
    return {**ours, **given}


def _is_shared(installation: Installation) -> bool:
    """Whether others hold the `users` lock along with each other."""
    probe = installation.lock("users")
    if probe.try_exclusive():
        probe.release()
        return False
    shared = probe.try_shared()
    probe.release()
    return shared


async def _stop_leftovers(installation: Installation) -> list[str]:
    found = []
    for path in sorted((installation.root / "run").glob("*.pid")):
        # SIGINT is PostgreSQL's fast shutdown; its SIGTERM waits for every client to leave.
        stop_signal = signal.SIGINT if path.stem == Postgres.name else signal.SIGTERM
        if await Child(installation, path.stem, stop_signal=stop_signal).stop_leftover(20):
            found.append(path.stem)
    return found


def _installations() -> list[Installation]:
    """The repository's own and those in it, of tests and benchmarks, as far as they exist."""
    root = default_root()
    inner = sorted(state.parent for state in root.glob("*/state.json"))
    return [Installation(path) for path in (root, *inner) if path.is_dir()]


@click.group(help="PostgreSQL and RabbitMQ in the background, private to this repository.")
def _cli() -> None:
    pass


@_cli.command("up")
def _up() -> None:
    """Start both; nothing happens when they are up."""
    for name, value in up(Installation(default_root())).items():
        click.echo(f"{name}={value}")


@_cli.command("down")
def _down() -> None:
    """Stop whatever runs in the repository's local folders, `make run` included."""
    for installation in _installations():
        stopped = down(installation)
        if stopped:
            click.echo(f"Stopped {', '.join(stopped)} in {installation.root}.")


@_cli.command("status")
def _status() -> None:
    """Tell what runs, with its pid."""
    for installation in _installations():
        for path in sorted((installation.root / "run").glob("*.pid")):
            pid = ProcessRecord(path).pid()
            if pid is not None:
                click.echo(f"{path.stem:10} pid {pid:<8} {installation.root}")


@_cli.command("clean")
def _clean() -> None:
    """Stop everything and delete all local data, logs and secrets."""
    for installation in reversed(_installations()):
        clean(installation)


@_cli.command("env")
def _env() -> None:
    """Print the settings of the product's processes as shell commands."""
    installation = Installation(default_root())
    given = settings_given(os.environ)
    api_port = int(given.get("TURUMBA_API_PORT", DEFAULT_API_PORT))
    variables = product_environment(installation, _urls(installation, given_servers()), api_port, given)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def main() -> None:
    """Run the command line; a `LocalError` is shown as its text alone."""
    try:
        _cli()
    except LocalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
