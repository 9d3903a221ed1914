"""`turumba api` with several worker processes behind one port, as it is served."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

READY_SECONDS = 60.0


@asynccontextmanager
async def served(environment: dict[str, str], workers: int, **settings: str) -> AsyncIterator[str]:
    """Its URL once it is ready; `settings` are variables without their prefix, in small letters."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    variables = {f"TURUMBA_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("turumba")),
        "api",
        env={
            **os.environ,
            **environment,
            **variables,
            "TURUMBA_API_PORT": str(port),
            "TURUMBA_API_WORKERS": str(workers),
        },
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                try:
                    async with httpx.AsyncClient() as client:
                        if (await client.get(f"{url}/health/ready")).status_code == 200:
                            break
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
        yield url
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 30)
