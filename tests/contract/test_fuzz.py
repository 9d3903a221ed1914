"""Schemathesis against the API as it is served: whatever is sent, the answer is one that the document describes.

A normal run makes so many examples, always from the same seed (`TURUMBA_TEST_FUZZ_SEED`), however fast the machine is;
`make fuzz-api SECONDS=1800` goes deeper for that long, with another seed each time, which a failure names.
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

SECONDS = int(os.environ.get("TURUMBA_TEST_FUZZ_SECONDS", "0"))
"""How long to go deeper; 0: `EXAMPLES` for each operation."""
EXAMPLES = 15
EVERY = 9
"""A normal run tries the boundaries of every ninth operation: all of them are minutes' worth."""
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


# What is made up at random, and chains of requests that follow links: what a limit of time leaves most of. Then every
# boundary of every parameter in turn.
STAGES = (("examples,fuzzing,stateful", 0.55), ("coverage", 0.45))


async def limits(served: str, phases: str, share: float) -> list[str]:
    """How much is tried, as options of the fuzzer."""
    if SECONDS:
        return ["--max-time", str(max(10, int(SECONDS * share)))]
    if phases != "coverage":
        return ["--max-examples", str(EXAMPLES)]
    async with httpx.AsyncClient() as client:
        paths = (await client.get(f"{served}/v1/openapi.json")).json()["paths"]
    names = sorted(operation["operationId"] for path in paths.values() for operation in path.values())
    return [option for name in names[::EVERY] for option in ("--include-operation-id", name)]


@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.parametrize(("phases", "share"), STAGES, ids=[phases for phases, _ in STAGES])
async def test_nothing_a_client_sends_breaks_the_api(served: str, tmp_path: Path, phases: str, share: float) -> None:
    report = tmp_path / "schemathesis.log"
    options = await limits(served, phases, share)
    with report.open("wb") as out:
        fuzzer = await asyncio.create_subprocess_exec(
            *(str(BIN / "schemathesis"), "--config-file", str(HERE / "fuzz.toml"), "run", f"{served}/v1/openapi.json"),
            *("--url", served, "--phases", phases, *options, "--seed", SEED),
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
