"""What 200 idle binds cost: memory and processor time of smppd, with enquire_link every 30 s, against one smsc-sim.

`value` is the share of one core over 20 s; `memory_mib` the resident set. The reference is the limit that was set, 3 %,
because no peer holds 200 binds in one process without 200 threads or processes.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from bench.channel import OperatorChannel, cpu_seconds, operator_channel
from bench.harness import emit, say

CHANNELS = 4
BINDS = 50
SECONDS = 20
ROUNDS = 3
LIMIT = 0.03


def memory_mebibytes(pid: int) -> float:
    """Resident set of a process (proc(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure() -> None:
    program = str(Path(sys.executable).parent / "smsc-sim")
    operator = await asyncio.create_subprocess_exec(
        program, "--listen", "127.0.0.1:0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert operator.stdout is not None
    listening = json.loads(await operator.stdout.readline())["listening"]
    port = int(listening.rpartition(":")[2])
    try:
        async with operator_channel() as first:
            channels: list[OperatorChannel] = [first, *(first.another() for _ in range(CHANNELS - 1))]
            for channel in channels:
                await channel.create(port, binds=BINDS)
            say(f"binding {CHANNELS * BINDS} times, as slowly as an operator likes it")
            await first.start_daemon(300)
            pid = first.daemon_pid
            await asyncio.sleep(5)
            samples = []
            for _ in range(ROUNDS):
                before = cpu_seconds(pid)
                await asyncio.sleep(SECONDS)
                samples.append((cpu_seconds(pid) - before) / SECONDS)
            memory = memory_mebibytes(pid)
            for channel in channels[1:]:
                await channel.close()
    finally:
        operator.terminate()
        await operator.wait()
    emit(
        "binds",
        samples,
        "share of a core",
        higher_is_better=False,
        reference={"name": "the limit", "value": LIMIT},
        memory_mib=round(memory, 1),
        params={"binds": CHANNELS * BINDS, "channels": CHANNELS, "seconds": SECONDS, "enquire_link_seconds": 30},
    )


if __name__ == "__main__":
    asyncio.run(measure())
