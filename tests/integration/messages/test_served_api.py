"""The API as it is served: `turumba api` with several worker processes behind one port."""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import httpx


async def test_several_workers_share_a_port_and_their_metrics(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("turumba")),
        "api",
        env={**os.environ, **environment, "TURUMBA_API_PORT": str(port), "TURUMBA_API_WORKERS": "2"},
    )
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    async with httpx.AsyncClient() as client:
                        if (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200:
                            break
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
        for _ in range(20):
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        found = re.search(
            r'turumba_http_requests_total\{method="GET",route="/health/live",status="200"\} (\d+)', metrics
        )
        assert found is not None
        assert int(found[1]) == 20
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
