"""One private stack's folder: its remembered ports and secrets, logs, pid files and locks.

`state.json` (mode 0600) holds ports and secrets, `log/NAME.log` what each process printed, `run/NAME.pid` who runs,
`NAME.lock` the locks, `rabbitmq/` and `postgres/` the data (the latter elsewhere if PostgreSQL's user can't reach it).
"""

import base64
import os
import random
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.local import ports
from deploy.local.errors import LocalError
from deploy.local.locks import FileLock

REPOSITORY = Path(__file__).resolve().parents[2]
_ROTATE_BYTES = 20_000_000
_STATE_SECONDS = 10.0
_PREFERRED_PORTS = {"postgres": 17432, "broker": 17672, "broker_dist": 17673, "epmd": 17674, "smsc": 2775}


class State(msgspec.Struct):
    """What must be the same at the next start."""

    ports: dict[str, int] = {}
    secrets: dict[str, str] = {}
    postgres_home: str | None = None
    demo_email: str | None = None


class Installation:
    """The folder of one private stack, made when it is missing. The state is read afresh and written whole."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True)
                # PostgreSQL runs as another user when root starts it, and has to pass through; the rest is private.
                self.root.chmod(0o711)
            for folder in (self.root / "log", self.root / "run"):
                folder.mkdir(mode=0o700, exist_ok=True)
        except PermissionError as error:
            raise LocalError(
                f"{self.root} belongs to another user. Run this as that user, or remove the folder."
            ) from error

    @property
    def is_default(self) -> bool:
        """Whether this is the repository's own `.local`, the one that may use the well-known ports."""
        return self.root == (REPOSITORY / ".local").resolve()

    def lock(self, name: str) -> FileLock:
        """The lock `NAME.lock`, not yet taken."""
        return FileLock(self.root / f"{name}.lock")

    def log(self, name: str) -> Path:
        """Where the process of that name writes its output; an overgrown file is moved aside to `NAME.log.1` first."""
        path = self.root / "log" / f"{name}.log"
        if path.exists() and path.stat().st_size > _ROTATE_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def pid_file(self, name: str) -> Path:
        """Where the process of that name is recorded."""
        return self.root / "run" / f"{name}.pid"

    @property
    def state(self) -> State:
        """The remembered state, empty at first. Raises `LocalError` when the file can't be used."""
        try:
            return msgspec.json.decode(self._state_file.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except (OSError, msgspec.DecodeError) as error:
            raise LocalError(
                f"{self._state_file} can't be read ({error}).\n`make clean` removes it with all local data."
            ) from error

    def change(self, alter: Callable[[State], object]) -> State:
        """Apply `alter` to the state and write it durably, readable by this user only; other writers wait."""
        lock = self.lock("state")
        lock.acquire(
            _STATE_SECONDS, f"{self._state_file} has been locked by another process for {_STATE_SECONDS:.0f} s."
        )
        try:
            state = self.state
            alter(state)
            self._write(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
        finally:
            lock.release()
        return state

    def secret(self, name: str) -> str:
        """A random secret, made at first use: 32 hexadecimal digits, safe in URLs, SQL and configuration files."""
        return self._remembered_secret(name, lambda: secrets.token_hex(16))

    def encryption_keys(self) -> str:
        """The value of `TURUMBA_ENCRYPTION_KEYS`: one key of 32 random bytes, made at first use."""
        return self._remembered_secret("encryption_keys", _new_encryption_key)

    def port(self, name: str) -> int:
        """The remembered port, chosen at first use."""
        return self.state.ports.get(name) or self._choose_port(name)

    def usable_port(self, name: str) -> int:
        """Like `port`, but another is chosen when something listens there: ask only while our own server is down."""
        port = self.port(name)
        return port if ports.is_free(port) else self._choose_port(name)

    def _choose_port(self, name: str) -> int:
        preferred = _PREFERRED_PORTS.get(name) if self.is_default else None

        def choose(state: State) -> None:
            state.ports[name] = ports.choose(preferred, set(state.ports.values()), random.SystemRandom())

        return self.change(choose).ports[name]

    def _remembered_secret(self, name: str, make: Callable[[], str]) -> str:
        found = self.state.secrets.get(name)
        return found or self.change(lambda state: state.secrets.setdefault(name, make())).secrets[name]

    def _write(self, content: bytes) -> None:
        fresh = self._state_file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(self._state_file)

    @property
    def _state_file(self) -> Path:
        return self.root / "state.json"


def _new_encryption_key() -> str:
    return "local-1:" + base64.b64encode(secrets.token_bytes(32)).decode()


def default_root() -> Path:
    """`TURUMBA_LOCAL_DIR`, or `.local` in the repository."""
    configured = os.environ.get("TURUMBA_LOCAL_DIR")
    return Path(configured) if configured else REPOSITORY / ".local"


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, indented, for messages; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join("    " + line[:300] for line in text.splitlines()[-lines:])
