"""Giving an account away and leaving it; it always keeps an owner."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from app.lib.db import Database
from tests.integration.accounts.conftest import Person, pointers, refused

Join = Callable[..., Awaitable[Person]]


async def roles(database: Database, account_id: str) -> dict[str, str]:
    async with database.reading() as session:
        rows = await session.execute(
            text(
                "SELECT m.user_id, r.name FROM memberships m JOIN roles r ON r.id = m.role_id WHERE m.account_id = :id"
            ),
            {"id": UUID(account_id)},
        )
        return {str(user_id): name for user_id, name in rows}


async def test_the_ownership_is_transferred(owner: Person, join: Join, database: Database) -> None:
    account = owner.account_id
    member = await join(account, "operator")
    refused(await member.call("PATCH", f"/{account}", json={"name": "Mine"}), 403, "missing_permission")
    answer = await owner.act(account, "transfer-ownership", json={"user_id": member.user_id})
    assert (answer.status_code, answer.json()["id"]) == (200, account)
    assert await roles(database, account) == {owner.user_id: "admin", member.user_id: "owner"}
    # At once, whatever was remembered of either.
    assert (await member.call("PATCH", f"/{account}", json={"name": "Mine"})).status_code == 200
    refused(await owner.call("DELETE", f"/{account}"), 403, "missing_permission")
    refused(await owner.act(account, "transfer-ownership", json={"user_id": owner.user_id}), 403, "missing_permission")
    entry = next(each for each in await member.log(account) if each["action"] == "ownership_transferred")
    assert (entry["before"]["user_id"], entry["after"]["user_id"]) == (owner.user_id, member.user_id)


async def test_only_to_a_member_by_an_owner_of_the_account_itself(owner: Person, join: Join, stranger: Person) -> None:
    account = owner.account_id
    for nobody in (stranger.user_id, str(uuid4())):
        answer = await owner.act(account, "transfer-ownership", json={"user_id": nobody})
        assert pointers(answer) == [("/user_id", "not_found")]
    own = await owner.act(account, "transfer-ownership", json={"user_id": owner.user_id})
    assert pointers(own) == [("/user_id", "not_allowed")]
    refused(await stranger.act(account, "transfer-ownership", json={"user_id": owner.user_id}), 404, "not_found")
    sub = (await owner.make(account))["id"]
    above = await join(account, "owner")
    member = await join(sub, "viewer")
    answer = await above.act(sub, "transfer-ownership", json={"user_id": member.user_id})
    refused(answer, 403, "owner_required")


async def test_a_member_leaves(owner: Person, join: Join, client: httpx.AsyncClient, database: Database) -> None:
    account = owner.account_id
    member = await join(account, "operator")
    async with database.unit_of_work() as session:
        await session.execute(
            text("UPDATE users SET default_account_id = :account WHERE id = :id"),
            {"account": UUID(account), "id": UUID(str(member.user_id))},
        )
    headers = member.headers | {"X-Account-Id": account}
    assert (await client.get("/v1/context", headers=headers)).status_code == 200
    assert (await member.act(account, "leave")).status_code == 204
    refused(await client.get("/v1/context", headers=headers), 403, "not_a_member")
    assert await member.ids() == {member.account_id}
    refused(await member.act(account, "leave"), 404, "not_found")
    assert (await client.get("/v1/context", headers=member.headers)).json()["active_account"]["id"] == member.account_id
    entry = (await owner.log(account))[-1]
    assert (entry["action"], entry["actor"]["id"]) == ("left", member.user_id)
    # Who reaches it from above is no member of it.
    sub = (await owner.make(account))["id"]
    admin = await join(account, "admin")
    refused(await admin.act(sub, "leave"), 409, "not_a_member")


async def test_the_last_owner_stays(owner: Person, join: Join, database: Database) -> None:
    account = owner.account_id
    refused(await owner.act(account, "leave"), 409, "last_owner")
    second = await join(account, "owner")
    assert (await owner.act(account, "leave")).status_code == 204
    refused(await second.act(account, "leave"), 409, "last_owner")
    assert await roles(database, account) == {second.user_id: "owner"}


async def test_owners_who_leave_at_once_do_not_all_succeed(owner: Person, join: Join, database: Database) -> None:
    for _ in range(4):
        account = (await owner.make())["id"]
        owners = [owner, *[await join(account, "owner") for _ in range(3)]]
        answers = await asyncio.gather(*(each.act(account, "leave") for each in owners))
        assert sorted(answer.status_code for answer in answers) == [204, 204, 204, 409]
        assert list((await roles(database, account)).values()) == ["owner"]
        (last,) = [each for each, answer in zip(owners, answers, strict=True) if answer.status_code == 409]
        await join(account, "admin")
        # Giving it away while another leaves is no way out either.
        two = await join(account, "owner")
        left, given = await asyncio.gather(
            two.act(account, "leave"),
            last.act(account, "transfer-ownership", json={"user_id": two.user_id}),
        )
        assert "owner" in (await roles(database, account)).values(), (left.text, given.text)
