"""Sub-accounts: making, listing and reaching them, by people and by API keys."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text

from app.domain.identity.accounts.reach import reachable
from app.domain.identity.accounts.repository import ACCOUNTS, page_of_accounts
from app.domain.identity.schemas import Caller
from app.lib.db import Database
from app.lib.pagination import parse_list_query
from tests.integration.accounts.conftest import Person, pointers, refused

Join = Callable[..., Awaitable[Person]]


async def path_of(database: Database, account_id: str) -> list[UUID]:
    async with database.reading() as session:
        path = await session.scalar(text("SELECT path FROM accounts WHERE id = :id"), {"id": UUID(account_id)})
    return list(path)


async def test_a_path_leads_from_the_root(owner: Person, database: Database) -> None:
    middle = await owner.make(owner.account_id)
    leaf = await owner.make(middle["id"])
    ids = [owner.account_id, middle["id"], leaf["id"]]
    assert await path_of(database, leaf["id"]) == [UUID(each) for each in ids]
    root = await owner.make()
    assert (root["parent_id"], await path_of(database, root["id"])) == (None, [UUID(root["id"])])


async def test_sixteen_levels_and_no_more(owner: Person, database: Database) -> None:
    last = owner.account_id
    for _ in range(15):
        last = (await owner.make(last))["id"]
    assert len(await path_of(database, last)) == 16
    answer = await owner.call("POST", "", json={"name": "Deeper", "parent_id": last})
    assert pointers(answer) == [("/parent_id", "too_deep")]
    assert "16 levels" in answer.json()["detail"]


async def test_a_role_reaches_three_levels_down(owner: Person, join: Join) -> None:
    middle = await owner.make(owner.account_id)
    leaf = await owner.make(middle["id"])
    beside = await owner.make(owner.account_id)
    tree = {owner.account_id, middle["id"], leaf["id"], beside["id"]}

    admin = await join(owner.account_id, "admin")
    assert await admin.ids() == {admin.account_id} | tree
    assert await admin.ids(f"&parent_id={owner.account_id}") == {middle["id"], beside["id"]}
    assert await admin.ids(f"&parent_id={middle['id']}") == {leaf["id"]}
    renamed = await admin.call("PATCH", f"/{leaf['id']}", json={"name": "By inheritance"})
    assert renamed.status_code == 200
    made = await admin.make(leaf["id"])
    assert made["parent_id"] == leaf["id"]

    of_the_middle = await join(middle["id"], "admin")
    assert await of_the_middle.ids() == {of_the_middle.account_id, middle["id"], leaf["id"], made["id"]}
    assert (await of_the_middle.call("GET", f"/{owner.account_id}")).status_code == 404

    viewer = await join(owner.account_id, "viewer")
    assert await viewer.ids() == {viewer.account_id, owner.account_id}
    assert (await viewer.call("GET", f"/{leaf['id']}")).status_code == 404
    # Access to what is below, and nothing to read there.
    blind = await join(owner.account_id, {"sub_accounts": ["access"], "messages": ["read"]})
    assert await blind.ids() == {blind.account_id, owner.account_id}
    refused(await blind.call("GET", f"/{leaf['id']}"), 403, "missing_permission")


async def test_the_nearest_role_counts(owner: Person, join: Join, database: Database) -> None:
    middle = await owner.make(owner.account_id)
    leaf = await owner.make(middle["id"])
    person = await join(owner.account_id, "admin")
    async with database.unit_of_work() as session:
        await session.execute(
            text(
                "INSERT INTO memberships (id, user_id, account_id, role_id)"
                " SELECT gen_random_uuid(), :user, :account, id FROM roles WHERE account_id IS NULL AND name = 'viewer'"
            ),
            {"user": UUID(str(person.user_id)), "account": UUID(leaf["id"])},
        )
    refused(await person.call("PATCH", f"/{leaf['id']}", json={"name": "X"}), 403, "missing_permission")
    assert (await person.call("PATCH", f"/{middle['id']}", json={"name": "X"})).status_code == 200


async def test_pages_of_what_is_reached(owner: Person, join: Join) -> None:
    for name in ("C", "A", "B"):
        await owner.make(owner.account_id, name=name)
    admin = await join(owner.account_id, "admin")
    seen: list[str] = []
    cursor = ""
    while True:
        answer = (await admin.call("GET", f"?limit=2&sort=name&include=total{cursor}")).json()
        assert answer["total"] == 5
        seen += [each["name"] for each in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == ["A", "An Account", "An Account", "B", "C"]
    assert await admin.ids("&suspended=true") == set()


async def test_a_list_is_one_statement_over_indexes(owner: Person, database: Database) -> None:
    await owner.make((await owner.make(owner.account_id))["id"])
    caller = Caller(
        account_id=UUID(owner.account_id),
        name="x",
        role_name="owner",
        permissions=frozenset(),
        user_id=UUID(str(owner.user_id)),
    )
    seen: list[tuple[Any, Any]] = []

    def note(*arguments: Any) -> None:
        seen.append((arguments[2], arguments[3]))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        async with database.reading() as session:
            page = await page_of_accounts(session, reachable(caller), parse_list_query([], ACCOUNTS))
            assert len(page.items) == 3
            assert len(seen) == 1
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    statement, parameters = seen[0]
    async with database.reading() as session:
        # As the API, and as with a large table, which this one never is in a test.
        for setting in ("ROLE turumba_api", "enable_seqscan = off"):
            await session.execute(text(f"SET LOCAL {setting}"))
        await session.execute(text("SELECT set_config('turumba.identity', 'on', true)"))
        connection = await session.connection()
        rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(row[0] for row in rows)
    assert "ix_accounts_parent_id" in plan and "pk_accounts" in plan, plan
    assert "Seq Scan on accounts" not in plan, plan


class TestApiKeys:
    async def test_see_their_own_account_and_those_below(self, owner: Person, key: Join, stranger: Person) -> None:
        middle = await owner.make(owner.account_id)
        leaf = await owner.make(middle["id"])
        beside = await owner.make(owner.account_id)
        wide = await key(middle["id"], {"accounts": ["read", "create"], "sub_accounts": ["access"]})
        assert await wide.ids() == {middle["id"], leaf["id"]}
        assert (await wide.show(leaf["id"]))["parent_id"] == middle["id"]
        for unreachable in (owner.account_id, beside["id"], stranger.account_id, str(uuid4())):
            refused(await wide.call("GET", f"/{unreachable}"), 404, "not_found")
        narrow = await key(middle["id"], {"accounts": ["read"]})
        assert await narrow.ids() == {middle["id"]}
        refused(await narrow.call("GET", f"/{leaf['id']}"), 404, "not_found")
        blind = await key(middle["id"], {"messages": ["send"]})
        refused(await blind.call("GET", f"/{middle['id']}"), 403, "missing_permission")

    async def test_make_sub_accounts_only(self, owner: Person, key: Join, stranger: Person) -> None:
        machine = await key(owner.account_id, {"accounts": ["read", "create", "update"], "sub_accounts": ["access"]})
        no_parent = await machine.call("POST", "", json={"name": "Root"})
        assert pointers(no_parent) == [("/parent_id", "missing_field")]
        elsewhere = await machine.call("POST", "", json={"name": "X", "parent_id": stranger.account_id})
        assert pointers(elsewhere) == [("/parent_id", "not_found")]
        made = await machine.make(owner.account_id)
        deeper = await machine.make(made["id"])
        assert await machine.ids() == {owner.account_id, made["id"], deeper["id"]}
        # Nobody is a member; those above reach it.
        assert (await owner.show(deeper["id"]))["name"] == deeper["name"]
        renamed = await machine.call("PATCH", f"/{deeper['id']}", json={"name": "By a machine"})
        assert renamed.json()["name"] == "By a machine"
        entries = await owner.log(deeper["id"])
        assert [(entry["action"], entry["actor"]["type"]) for entry in entries] == [
            ("created", "api_key"),
            ("updated", "api_key"),
        ]
        reader = await key(owner.account_id, {"accounts": ["read"], "sub_accounts": ["access"]})
        lacking = await reader.call("POST", "", json={"name": "X", "parent_id": made["id"]})
        assert pointers(lacking) == [("/parent_id", "not_found")]

    @pytest.mark.parametrize("what", ["leave", "transfer-ownership"])
    async def test_are_no_members(self, owner: Person, key: Join, what: str) -> None:
        machine = await key(owner.account_id, {"accounts": ["read", "delete"]})
        body = {"user_id": owner.user_id} if what == "transfer-ownership" else None
        refused(await machine.act(owner.account_id, what, json=body), 403, "user_required")
