"""What processes tell their service manager, and when they stop."""

import asyncio
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.lib.metrics import serve
from app.lib.notify import ServiceManager
from app.lib.service import STUCK_SECONDS, Pulse, Stop, run_process, watched


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        yield receiver


def received(receiver: socket.socket) -> list[str]:
    """One datagram."""
    return receiver.recv(4096).decode().split("\n")


def nothing_more(receiver: socket.socket) -> bool:
    receiver.setblocking(False)
    try:
        receiver.recv(4096)
    except BlockingIOError:
        return True
    return False


def manager_at(receiver: socket.socket, **variables: str) -> ServiceManager:
    return ServiceManager.of({"NOTIFY_SOCKET": receiver.getsockname(), **variables}, os.getpid())


class TestServiceManager:
    def test_hears_that_the_process_is_ready_once_and_how_it_is_whenever_that_changes(
        self, receiver: socket.socket
    ) -> None:
        manager = manager_at(receiver)
        for words in ("Waiting: the database\nis away.", "Working.", "Working.", "Waiting."):
            manager.working(words)
        assert received(receiver) == ["READY=1", "STATUS=Waiting: the database is away."]
        assert received(receiver) == ["STATUS=Working."]
        assert received(receiver) == ["STATUS=Waiting."]
        assert nothing_more(receiver)

    def test_hears_how_long_the_end_may_take(self, receiver: socket.socket) -> None:
        manager_at(receiver).stopping(61.5)
        assert received(receiver) == ["STOPPING=1", "STATUS=Ending.", "EXTEND_TIMEOUT_USEC=61500000"]

    def test_is_reached_in_the_abstract_namespace(self) -> None:
        name = f"turumba-test-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(f"\0{name}")
            receiver.settimeout(10)
            ServiceManager.of({"NOTIFY_SOCKET": f"@{name}"}, 1).working("Working.")
            assert received(receiver) == ["READY=1", "STATUS=Working."]

    @pytest.mark.parametrize(
        ("variables", "beat"),
        [
            ({"WATCHDOG_USEC": "30000000"}, 15.0),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({}, None),
        ],
    )
    def test_is_fed_at_half_of_what_it_bears_when_it_asks_us(
        self, receiver: socket.socket, variables: dict[str, str], beat: float | None
    ) -> None:
        manager = manager_at(receiver, **variables)
        assert manager.beat_seconds == beat
        manager.alive()
        assert nothing_more(receiver), "it watches only what is ready"
        manager.working("Working.")
        manager.alive()
        receiver.settimeout(10)
        assert received(receiver)[0] == "READY=1"
        assert nothing_more(receiver) is (beat is None)

    @pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
    def test_is_nobody_without_an_address_we_know(self, address: str) -> None:
        manager = ServiceManager.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}, os.getpid())
        assert not manager
        assert manager.beat_seconds is None
        manager.working("Working.")
        manager.alive()
        manager.stopping(1)

    def test_that_went_away_disturbs_nobody(self, tmp_path: Path) -> None:
        manager = ServiceManager(str(tmp_path / "gone"), 1.0)
        manager.working("Working.")
        manager.alive()
        manager.stopping(1)


class TestProcess:
    def test_ends_once_and_cleanly_on_the_first_signal(
        self, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", receiver.getsockname())
        monkeypatch.setenv("WATCHDOG_USEC", "40000")
        steps = []

        async def body(stop: Stop) -> None:
            stop.working("Working.")
            assert not await stop.wait(0)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            await stop.wait()
            steps.append("drained")
            stop.working("This comes too late to matter.")

        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        try:
            run_process(body, end_seconds=5)
        finally:
            signal.signal(signal.SIGTERM, before[0])
            signal.signal(signal.SIGINT, before[1])
        assert steps == ["drained"]
        receiver.setblocking(False)
        lines: list[str] = []
        while not nothing_more_into(receiver, lines):
            pass
        told = [line for line in lines if line != "WATCHDOG=1"]
        assert told == ["READY=1", "STATUS=Working.", "STOPPING=1", "STATUS=Ending.", "EXTEND_TIMEOUT_USEC=5000000"]

    def test_ends_with_an_error_when_a_part_it_needs_dies(self) -> None:
        steps = []

        async def part(error: Exception | None) -> None:
            if error is not None:
                raise error

        async def body(stop: Stop) -> None:
            fine = asyncio.create_task(part(None))
            stop.needs(fine)
            await fine
            assert not await stop.wait(0)
            stop.needs(asyncio.create_task(part(ZeroDivisionError("nobody expected this")), name="counting"))
            await stop.wait()
            steps.append("drained")

        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as ended:
                run_process(body)
        finally:
            signal.signal(signal.SIGTERM, before[0])
            signal.signal(signal.SIGINT, before[1])
        assert steps == ["drained"]
        assert ended.value.code not in (0, None)

    async def test_a_loop_that_runs_feeds_the_watchdog(self, receiver: socket.socket) -> None:
        manager = manager_at(receiver, WATCHDOG_USEC="20000")
        manager.working("Working.")
        async with watched(manager, pulse := Pulse()):
            lines: list[str] = []
            async with asyncio.timeout(10):
                while lines.count("WATCHDOG=1") < 3:
                    await asyncio.sleep(0.005)
                    nothing_more_into(receiver, lines)
            assert pulse.alive()
        assert not {task.get_name() for task in asyncio.all_tasks()} & {"watchdog", "pulse"}

    def test_a_loop_that_is_stuck_has_no_pulse(self) -> None:
        now = [100.0]
        pulse = Pulse(lambda: now[0])
        assert pulse.alive()
        now[0] += STUCK_SECONDS - 0.1
        assert pulse.alive()
        now[0] += 0.2
        assert not pulse.alive()
        pulse.beat()
        assert pulse.alive()


def nothing_more_into(receiver: socket.socket, lines: list[str]) -> bool:
    """Take one datagram, if there is one."""
    receiver.setblocking(False)
    try:
        lines += receiver.recv(4096).decode().split("\n")
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_probe_says_when_the_loop_is_stuck(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as probe:
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip(f"this machine has no {host}")
    alive = threading.Event()
    serve(host, port, alive.is_set)
    url = f"http://[{host}]:{port}/health/live" if ":" in host else f"http://{host}:{port}/health/live"
    stuck = httpx.get(url)
    assert (stuck.status_code, stuck.json()["status"]) == (503, "down")
    alive.set()
    running = httpx.get(url)
    assert (running.status_code, running.json()["status"]) == (200, "up")


def test_no_port_is_no_listener() -> None:
    before = threading.active_count()
    serve("127.0.0.1", 0, lambda: True)
    assert threading.active_count() == before
