"""A process that is started, watched, stopped and found again after its supervisor was killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.installation import Installation, tail

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.03


class ProcessRecord:
    """A pid file: which process runs under a name. The start time tells it from a later process with the same pid."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pid: int) -> None:
        """Record the process as the one that runs now."""
        self._path.write_text(f"{pid} {_start_time(pid)}\n")

    def clear(self) -> None:
        """Forget the process."""
        self._path.unlink(missing_ok=True)

    def pid(self) -> int | None:
        """The recorded process's pid while it lives, else None."""
        try:
            pid, started = self._path.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None


class Child:
    """One long-running process under a name, in its own session, its output in `log/NAME.log`.

    The kernel sends it `stop_signal` when this process dies. `identity` (uid, gid) gives up root. Start it from the
    main thread: what the kernel watches is the thread that forked, not the process.
    """

    def __init__(
        self,
        installation: Installation,
        name: str,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        identity: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.log_path = installation.log(name)
        self._record = ProcessRecord(installation.pid_file(name))
        self._stop_signal = stop_signal
        self._identity = identity
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The running process's pid, else None."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process that this object started lives. Once it has ended, what it forked is killed."""
        process = self._process
        if process is None or process.returncode is not None:
            return False
        # Looked at without being reaped: until then its pid, which is also the group's id, can't become someone else's.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return True
        _signal_group(process.pid, signal.SIGKILL)
        process.poll()
        return False

    @property
    def succeeded(self) -> bool:
        """Whether the process ran to its end with code 0."""
        return self._process is not None and not self.running and self._process.returncode == 0

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        if self._process is None or self.running:
            return "has not ended"
        code = self._process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def output(self) -> str:
        """What the process wrote since its last start, at most the last 16 kB."""
        with self.log_path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - 16_384))
            return file.read().decode(errors="replace")

    def last_words(self) -> str:
        """How it ended and its last log lines, for messages."""
        return f"{self.name} {self.ending}. The end of {self.log_path}:\n{tail(self.log_path)}"

    def spawn(self, command: Sequence[str], environment: Mapping[str, str], working_directory: Path) -> None:
        """Start it; nothing is waited for. `command[0]` is an absolute path."""
        if self.running:
            raise RuntimeError(f"{self.name} already runs")
        uid, gid = self._identity or (-1, -1)
        launch = [
            sys.executable,
            "-I",
            "-S",
            str(_LAUNCH),
            str(os.getpid()),
            str(int(self._stop_signal)),
            str(uid),
            str(gid),
        ]
        with self.log_path.open("ab") as log:
            os.fchmod(log.fileno(), 0o600)
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*launch, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=working_directory,
                env=dict(environment),
                start_new_session=True,
            )
        self._record.write(self._process.pid)

    async def stop(self, seconds: float) -> bool:
        """Ask it to end and wait; whatever is left of it after `seconds` is killed. True when it ended by itself."""
        pid = self.pid
        if pid is None:
            return True
        _signal(pid, self._stop_signal)
        graceful = await eventually(lambda: not self.running, seconds)
        await self.kill()
        return graceful

    async def kill(self) -> None:
        """`kill -9` for it and everything it forked into its session's process group; returns when it is gone."""
        pid = self.pid
        if pid is not None:
            _signal_group(pid, signal.SIGKILL)
            await eventually(lambda: not self.running, 10)
        self._record.clear()

    async def stop_leftover(self, seconds: float) -> bool:
        """End the process that an earlier supervisor left running under this name. True when there was one."""
        pid = self._record.pid()
        if pid is None or self.running:
            return False
        _signal(pid, self._stop_signal)
        if not await eventually(lambda: self._record.pid() is None, seconds):
            _signal_group(pid, signal.SIGKILL)
            await eventually(lambda: self._record.pid() is None, 10)
        self._record.clear()
        return True


async def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until `condition` holds; False when it did not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)


def _start_time(pid: int) -> str | None:
    """Clock ticks since boot at which the process started (proc(5), stat field 22); None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
