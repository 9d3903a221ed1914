"""smppctl as a process of its own: 80 columns, no colours."""

import asyncio
import json
import os
import sys
from typing import Any


async def smppctl(*arguments: str, socket: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = await begin(*arguments, socket=socket)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


async def begin(*arguments: str, socket: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "smpp_daemon.smppctl.main",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TURUMBA_SMPPD_ADMIN_SOCKET": socket, "COLUMNS": "80", "NO_COLOR": "1"},
    )


async def done(*arguments: str, socket: str) -> str:
    """What a command that succeeds prints; it fits 80 columns."""
    code, out, err = await smppctl(*arguments, socket=socket)
    assert (code, err) == (0, ""), f"{arguments}: {out}{err}"
    assert max(map(len, out.splitlines()), default=0) <= 80, out
    return out


async def answer(*arguments: str, socket: str) -> Any:
    """What a command that succeeds says with --json."""
    code, out, err = await smppctl(*arguments, "--json", socket=socket)
    assert (code, err) == (0, ""), f"{arguments}: {out}{err}"
    assert out.count("\n") == 1
    return json.loads(out)
