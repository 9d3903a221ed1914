"""Binding and unbinding for ever: nothing stays behind."""

import asyncio
import gc
from collections import Counter
from pathlib import Path

import pytest

from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.session import EsmeSession, SmscSession
from smpp_daemon.simulator import Simulator, SimulatorSettings
from smpp_daemon.transport import Connection
from tests.smpp.interop import Esme

CYCLES = 10_000
WARM_UP = 200


def alive() -> dict[str, int]:
    """Objects of sessions, all objects, tasks and descriptors there are."""
    gc.collect()
    kinds = Counter(type(each) for each in gc.get_objects())
    return {
        "sessions": kinds[EsmeSession] + kinds[SmscSession] + kinds[Connection],
        "objects": kinds.total(),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


@pytest.mark.timeout(300)
async def test_ten_thousand_binds_leave_nothing_behind() -> None:
    """field problem 22: sessions, sockets, timers and tasks of ended binds are gone, on both sides."""
    async with Simulator(SimulatorSettings(keep=0)) as operator:

        async def cycle(mode: BindMode) -> None:
            esme = Esme()
            connection = await esme.connect(operator.port, mode)
            assert connection.bound
            connection.unbind()
            await esme.until(lambda: esme.reason is not None)
            assert esme.reason == "unbound"

        modes = list(BindMode)
        for number in range(WARM_UP):
            await cycle(modes[number % 3])
        before = alive()
        for number in range(CYCLES):
            await cycle(modes[number % 3])
        async with asyncio.timeout(10):
            while operator.statistics.sessions:
                await asyncio.sleep(0.01)
        after = alive()
    assert operator.statistics.binds == CYCLES + WARM_UP
    assert after["sessions"] <= before["sessions"] + 3
    assert after["tasks"] <= before["tasks"]
    assert after["descriptors"] <= before["descriptors"] + 1
    assert after["objects"] < before["objects"] + 500
