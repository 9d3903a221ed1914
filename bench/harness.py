"""What every benchmark shares: a private stack on real services, and the one JSON line at the end."""

import asyncio
import json
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from deploy.local.installation import Installation
from deploy.local.processes import LocalStack
from deploy.local.services import clean

ROOT = Path(__file__).parent.parent
DIRECTORY = ROOT / ".local" / "bench"

WIDE_LIMITS = dict.fromkeys(
    ("limits_credential_per_minute", "limits_account_per_minute", "limits_address_per_minute"), "100000000"
)
"""One client sends what many would. Requests are still counted: that is part of what they cost."""


def say(text: str) -> None:
    """Progress, on stderr: stdout belongs to the result."""
    print(text, file=sys.stderr, flush=True)


def emit(
    bench: str,
    samples: list[float],
    unit: str,
    *,
    higher_is_better: bool,
    reference: dict[str, Any],
    params: dict[str, Any],
    **more: Any,
) -> None:
    """Print the result line: `value` is the median of the samples, `ratio` is against the reference of the same run."""
    value = statistics.median(samples)
    line = {
        "bench": bench,
        "value": round(value, 6),
        "unit": unit,
        "higher_is_better": higher_is_better,
        "reference": reference,
        "ratio": round(value / reference["value"], 6 if value < 1 else 3) if reference["value"] else None,
        **more,
        "params": {"cores": os.cpu_count(), "python": platform.python_version(), **params},
        "samples": [round(sample, 3) for sample in samples],
        "version": f"{version('turumba')}+{_revision()}",
    }
    print(json.dumps(line), flush=True)


def _revision() -> str:
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unversioned"


@asynccontextmanager
async def running_stack(**settings: str) -> AsyncIterator[LocalStack]:
    """The whole product on private PostgreSQL (fsync on) and RabbitMQ, with an empty database."""
    # What an earlier benchmark stored would be part of what this one measures.
    await asyncio.to_thread(clean, Installation(DIRECTORY))
    given = {f"TURUMBA_{name.upper()}": value for name, value in (WIDE_LIMITS | settings).items()}
    stack = LocalStack(DIRECTORY, given=given)
    say("starting the stack")
    await stack.start()
    try:
        yield stack
    finally:
        say("stopping the stack")
        await stack.stop()


async def log_in(client: httpx.AsyncClient) -> dict[str, str]:
    """Register a fresh tenant; returns the headers of its user."""
    credentials = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16)}
    created = await client.post(
        "/v1/auth/register", json={**credentials, "full_name": "Bench", "account_name": "Bench"}
    )
    created.raise_for_status()
    tokens = await client.post("/v1/auth/login", json=credentials)
    tokens.raise_for_status()
    return {"Authorization": f"Bearer {tokens.json()['access_token']}"}


def need(program: str, package: str) -> str:
    """The path of a program a benchmark needs; ends the benchmark with what to do when it is missing."""
    path = shutil.which(program)
    if path is None:
        sys.exit(f"This benchmark needs {program}: apt-get install {package}")
    return path
