"""Limits over the worker processes of one API, as it is served."""

import asyncio
from typing import Any

import httpx

from tests.integration.limits.conftest import store_key
from tests.integration.limits.served import served

WORKERS = 4
REQUESTS = 200
PER_KEY, PER_ACCOUNT = 30, 40


async def test_limits_hold_across_worker_processes(
    environment: dict[str, str], database_url: str, registered: dict[str, Any]
) -> None:
    account = registered["account"]["id"]
    one, other = [await store_key(database_url, account) for _ in range(2)]
    # A burst of 60 seconds is the whole minute's allowance, at once or over time.
    limits = {
        "limits_credential_per_minute": str(PER_KEY),
        "limits_account_per_minute": str(PER_ACCOUNT),
        "limits_burst_seconds": "60",
    }
    clock = asyncio.get_running_loop().time
    async with served(environment, WORKERS, **limits) as url:
        started = clock()
        answers = await hammer(url, one)
        refilled = (clock() - started) * PER_KEY / 60
        first = answers.count(200)
        assert PER_KEY <= first <= PER_KEY + refilled
        assert set(answers) == {200, 429}

        both = first + (await hammer(url, other)).count(200)
        refilled = (clock() - started) * PER_ACCOUNT / 60
        assert PER_ACCOUNT <= both <= PER_ACCOUNT + refilled


async def hammer(url: str, headers: dict[str, str]) -> list[int]:
    """Many requests at the same moment, each over a connection of its own, so that they reach every worker."""
    # Whose turn it is among the workers is the kernel's; each connection is a new draw.
    unbound = httpx.Limits(max_keepalive_connections=0, max_connections=None)
    async with httpx.AsyncClient(limits=unbound, timeout=60) as client:
        answers = await asyncio.gather(
            *(client.get(f"{url}/v1/context/basic", headers=headers) for _ in range(REQUESTS))
        )
    for answer in answers:
        assert int(answer.headers["ratelimit-remaining"]) < PER_ACCOUNT
        if answer.status_code == 429:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "too_many_requests"
            assert int(answer.headers["retry-after"]) >= 1
    return [answer.status_code for answer in answers]
