"""`turumba accounts`, as the operator of an installation calls it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.accounts.conftest import Person, refused

Turumba = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
def turumba(environment: dict[str, str]) -> Turumba:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("turumba")), "accounts", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, *arguments)

    return call


def line(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


async def test_a_root_account_is_suspended_and_resumed(owner: Person, turumba: Turumba) -> None:
    sub = (await owner.make(owner.account_id, name="Branch"))["id"]
    assert (await turumba("suspend", owner.account_id)).stdout == "An Account is suspended.\n"

    async def until(status: int) -> httpx.Response:
        # The process that serves us learns it by an announcement.
        async with asyncio.timeout(10):
            while True:
                answer = await owner.call("PATCH", f"/{owner.account_id}", json={"name": "An Account"})
                if answer.status_code == status:
                    return answer
                await asyncio.sleep(0.02)

    refused(await until(403), 403, "account_suspended")
    assert (await owner.show(sub))["suspended"] is True
    refused(await owner.act(sub, "resume"), 403, "parent_required")
    assert line(await turumba("suspend", owner.account_id, "--json"))["status"] == "suspended"
    below = (await turumba("list", "--below", owner.account_id)).stdout.splitlines()
    assert [each.split()[1:] for each in below] == [
        ["1", "suspended", "An", "Account"],
        ["2", "(suspended)", "Branch"],
    ]
    resumed = line(await turumba("resume", owner.account_id, "--json"))
    assert (resumed["status"], resumed["suspended"]) == ("active", False)
    await until(200)
    entries = [each for each in await owner.log(owner.account_id) if each["resource_type"] == "account"]
    assert [(each["action"], each["actor"]["name"]) for each in entries][-2:] == [
        ("suspended", "turumba accounts"),
        ("resumed", "turumba accounts"),
    ]


async def test_list_and_show(owner: Person, turumba: Turumba, registered: dict[str, Any]) -> None:
    sub = (await owner.make(owner.account_id, name="Branch", settings={"default_country": "ET"}))["id"]
    listed = [
        json.loads(each) for each in (await turumba("list", "--json", "--below", owner.account_id)).stdout.splitlines()
    ]
    assert [(each["id"], each["level"]) for each in listed] == [(owner.account_id, 1), (sub, 2)]
    everything = (await turumba("list", "--status", "active")).stdout
    assert sub in everything
    shown = line(await turumba("show", sub, "--json"))
    assert shown["account"]["settings"]["default_country"] == "ET"
    assert [each["id"] for each in shown["above"]] == [owner.account_id]
    assert [(each["email"], each["role"]) for each in shown["members"]] == [(registered["user"]["email"], "owner")]
    sheet = (await turumba("show", sub)).stdout
    assert 'default_country: "ET"' in sheet and registered["user"]["email"] in sheet


async def test_what_cannot_be_done_is_said(owner: Person, turumba: Turumba) -> None:
    nobody = await turumba("show", str(uuid4()))
    assert nobody.returncode == 1 and "There is no account" in nobody.stderr
    assert (await turumba("suspend", "x")).returncode == 2
    sub = (await owner.make())["id"]
    await owner.call("DELETE", f"/{sub}")
    deleted = await turumba("suspend", sub)
    assert deleted.returncode == 1 and "only be restored" in deleted.stderr
    assert "suspended account can be read" in (await turumba("--help")).stdout
