"""Every long-running process and its service manager: ready, alive, ending. As real processes."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.processes.conftest import Manager

PROCESSES = {
    "relay": ("turumba", "relay"),
    "worker": ("turumba", "worker"),
    "scheduler": ("turumba-scheduler",),
    "smppd": ("smppd",),
    "api": ("turumba", "api"),
}
WATCHDOG_SECONDS = 0.6


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def variables(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return environment | {
        "TURUMBA_API_PORT": str(free_port()),
        "TURUMBA_METRICS_PORT": str(free_port()),
        "TURUMBA_SMPPD_ADMIN_SOCKET": str(tmp_path / "smppd.sock"),
        "TURUMBA_SMPPD_DRAIN_SECONDS": "1",
    }


@pytest.mark.parametrize("name", PROCESSES)
async def test_tells_that_it_is_ready_lives_and_ends(name: str, manager: Manager, variables: dict[str, str]) -> None:
    """Also: it can live without memory that is writable and executable, where the kernel denies that."""
    async with manager.start(*PROCESSES[name], watchdog_seconds=WATCHDOG_SECONDS, **variables) as process:
        await manager.until("READY=1")
        # Ready means that it can be used.
        async with httpx.AsyncClient() as client:
            port = variables["TURUMBA_API_PORT" if name == "api" else "TURUMBA_METRICS_PORT"]
            assert (await client.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200
        assert name != "smppd" or Path(variables["TURUMBA_SMPPD_ADMIN_SOCKET"]).is_socket()
        await manager.until("WATCHDOG=1", 4)
        process.send_signal(signal.SIGTERM)
        await manager.until("STOPPING=1")
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert manager.lines.count("READY=1") == manager.lines.count("STOPPING=1") == 1
        assert manager.lines.index("READY=1") < manager.lines.index("WATCHDOG=1") < manager.lines.index("STOPPING=1")
        assert any(line.startswith("STATUS=") for line in manager.lines)
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in manager.lines)
        assert manager.senders == {process.pid}, "NotifyAccess=main hears nobody else"


async def test_a_stuck_worker_of_the_api_is_not_hidden_by_the_others(
    manager: Manager, variables: dict[str, str]
) -> None:
    variables |= {"TURUMBA_API_WORKERS": "2"}
    async with manager.start("turumba", "api", watchdog_seconds=WATCHDOG_SECONDS, **variables) as process:
        await manager.until("WATCHDOG=1")
        assert "STATUS=2 of 2 workers serve requests." in manager.lines
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(each) for each in (await asyncio.to_thread(children.read_text)).split()]
        os.kill(workers[0], signal.SIGSTOP)
        try:
            await manager.until("STATUS=1 of 2 workers serve requests.")
        finally:
            os.kill(workers[0], signal.SIGCONT)
        await manager.until("STATUS=2 of 2 workers serve requests.", 2)
        # One that dies is replaced, and the service goes on.
        os.kill(workers[1], signal.SIGKILL)
        await manager.until("STATUS=2 of 2 workers serve requests.", 3)
        fed = manager.lines.count("WATCHDOG=1")
        await manager.until("WATCHDOG=1", fed + 2)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_what_is_away_is_said_and_does_not_keep_a_process_from_starting(
    manager: Manager, variables: dict[str, str]
) -> None:
    variables |= {
        "TURUMBA_DATABASE_URL": f"postgresql://a:b@127.0.0.1:{free_port()}/none",
        "TURUMBA_BROKER_URL": f"amqp://127.0.0.1:{free_port()}",
    }
    async with manager.start("turumba", "relay", watchdog_seconds=WATCHDOG_SECONDS, **variables) as process:
        await manager.until("READY=1")
        assert any(line.startswith("STATUS=Waiting: The database") for line in manager.lines)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.parametrize("name", ["relay", "worker", "scheduler", "smppd"])
async def test_serves_its_metrics_and_its_liveness(name: str, manager: Manager, variables: dict[str, str]) -> None:
    async with manager.start(*PROCESSES[name], watchdog_seconds=60, **variables) as process:
        await manager.until("READY=1")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{variables['TURUMBA_METRICS_PORT']}") as client:
            metrics = await client.get("/metrics")
            assert metrics.headers["content-type"].startswith("text/plain")
            for each in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"):
                assert f"\n{each} " in metrics.text
            assert (await client.get("/health/live")).json() == {"status": "up", "dependencies": {}}
            assert (await client.get("/")).status_code == 404
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_a_taken_metrics_port_is_told_plainly(variables: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("turumba-scheduler")),
            env=os.environ | variables | {"TURUMBA_METRICS_PORT": str(port)},
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert f"port {port}" in err.decode()
    assert "Traceback" not in err.decode()
