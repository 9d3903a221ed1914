"""Schemathesis against the API as it is served: whatever is sent, the answer is one that the document describes.

150 seconds in a normal run (`TURUMBA_TEST_FUZZ_SECONDS`), always with the same seed (`TURUMBA_TEST_FUZZ_SEED`);
`make fuzz-api SECONDS=1800` goes deeper, with another seed each time, which a failure names.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

SECONDS = int(os.environ.get("TURUMBA_TEST_FUZZ_SECONDS", "180"))
SEED = os.environ.get("TURUMBA_TEST_FUZZ_SEED", "20261125")
HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BIN = Path(sys.executable).parent


@pytest.fixture
async def served(
    environment: dict[str, str], make_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> AsyncIterator[str]:
    """The URL of an API process with a database of its own, without limits, and its log in `tmp_path`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    unlimited = {f"TURUMBA_LIMITS_{what}_PER_MINUTE": "0" for what in ("CREDENTIAL", "ACCOUNT", "ADDRESS")}
    with (tmp_path / "api.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(BIN / "turumba"),
            "api",
            env={
                **os.environ,
                **environment,
                **unlimited,
                # This working tree, whichever one is installed.
                "PYTHONPATH": str(ROOT),
                "TURUMBA_DATABASE_URL": await make_database(),
                "TURUMBA_PUBLIC_URL": url,
                "TURUMBA_API_PORT": str(port),
            },
            stdout=log,
            stderr=log,
        )
        try:
            async with asyncio.timeout(60), httpx.AsyncClient() as client:
                while True:
                    try:
                        if (await client.get(f"{url}/health/ready")).status_code == 200:
                            break
                    except httpx.HTTPError:
                        await asyncio.sleep(0.1)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0


# What runs first gets most of the time: what is made up at random, and chains of requests that follow links. Then every
# boundary of every parameter in turn, as far as time allows.
STAGES = (("fuzzing,stateful", 0.55), ("examples,coverage", 0.45))


@pytest.mark.timeout(SECONDS + 180)
@pytest.mark.parametrize(("phases", "share"), STAGES, ids=[phases for phases, _ in STAGES])
async def test_nothing_a_client_sends_breaks_the_api(served: str, tmp_path: Path, phases: str, share: float) -> None:
    report = tmp_path / "schemathesis.log"
    seconds = max(10, int(SECONDS * share))
    with report.open("wb") as out:
        fuzzer = await asyncio.create_subprocess_exec(
            *(str(BIN / "schemathesis"), "--config-file", str(HERE / "fuzz.toml"), "run", f"{served}/v1/openapi.json"),
            *("--url", served, "--phases", phases, "--max-time", str(seconds), "--seed", SEED),
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.contract.fuzz_hooks",
                "TURUMBA_TEST_FUZZ_URL": served,
                "PYTHONPATH": str(ROOT),
                # The hooks decide by hashes.
                "PYTHONHASHSEED": "0",
            },
            stdout=out,
            stderr=out,
        )
        try:
            code = await fuzzer.wait()
        finally:
            if fuzzer.returncode is None:
                fuzzer.kill()
    log = (tmp_path / "api.log").read_text(errors="replace")
    # Addresses of many kilobytes are no help to whoever reads this.
    told = "\n".join(line[:1000] for line in report.read_text(errors="replace").splitlines())
    assert code == 0, told[-20_000:] + log[-10_000:]
    assert "request failed" not in log, log[-20_000:]
