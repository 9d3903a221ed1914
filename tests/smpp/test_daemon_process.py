"""`smppd` as a process of its own: killed, started again, asked to end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.domain.messages.events import Outcome
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import World, eventually


@asynccontextmanager
async def smppd(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("smppd")), env=os.environ | environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_killed_and_started_again_it_sends_nothing_twice(
    world: World, environment: dict[str, str], daemon_database_url: str
) -> None:
    variables = environment | {
        "TURUMBA_DATABASE_URL": daemon_database_url,
        "TURUMBA_ENCRYPTION_KEYS": world.settings.encryption_keys,
        "TURUMBA_SMPPD_ADMIN_SOCKET": world.settings.smppd.admin_socket,
        "TURUMBA_SMPPD_POLL_SECONDS": "0.2",
    }
    script = Script(response_delay=0.02)
    async with Simulator(SimulatorSettings(script=script, receipt_delay=None)) as operator:
        await world.make_channel(operator.port, window=20)
        messages = await world.send(400) + await world.send(400, to="+25192200")
        async with smppd(variables) as first:
            await eventually(lambda: operator.accepted >= 200, 60)
            first.kill()
            await first.wait()
        async with smppd(variables) as second:
            await eventually(lambda: len({r.message_id for r in world.results.results}) == 800, 60)
            second.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(second.wait(), 20) == 0
        destinations = [each.destination for each in operator.recent]
        assert len(destinations) == len(set(destinations))
        wire = set(destinations)
        sent, unknown = set(world.results.outcomes(Outcome.SENT)), set(world.results.outcomes(Outcome.UNKNOWN))
        assert sent | unknown == {message.id for message in messages}
        # Whatever was sent and is not known to be is unknown, never forgotten.
        assert {message.id for message in messages if message.to.strip("+") in wire} <= sent | unknown
        assert await world.queued() == 0
        assert not Path(world.settings.smppd.admin_socket).exists()


async def test_bad_settings_and_a_taken_socket_are_told_plainly(tmp_path: Path, environment: dict[str, str]) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    for variables, words in (
        ({"TURUMBA_SMPPD_POLL_SECONDS": "often"}, "TURUMBA_SMPPD_POLL_SECONDS"),
        ({"TURUMBA_SMPPD_ADMIN_SOCKET": str(taken)}, "is not a socket"),
    ):
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("smppd")),
            env=os.environ | environment | variables,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1
        assert words in err.decode()
        assert "Traceback" not in err.decode()
