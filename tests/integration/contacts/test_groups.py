"""Static groups over the API, and what becomes of one that is deleted while it has members."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.domain.contacts import groups
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.db import Database
from scheduler.jobs.contacts import ContactJobs
from tests.integration.contacts.conftest import Keeper, answered, refused


async def rows_of(database: Database, group_id: str) -> tuple[int, int]:
    """Rows of the group itself, and of its members."""
    async with database.reading() as session:
        id_ = {"id": UUID(group_id)}
        return (
            await session.scalar(text("SELECT count(*) FROM contact_groups WHERE id = :id"), id_) or 0,
            await session.scalar(text("SELECT count(*) FROM contact_group_members WHERE group_id = :id"), id_) or 0,
        )


async def test_a_group_from_its_making_to_its_end(keeper: Keeper, database: Database) -> None:
    made = await keeper.call("POST", "/contact-groups", {"name": " Re\u0301aders ", "description": "Who reads."})
    group = answered(made, 201)
    path, tag = made.headers["location"].removeprefix("/v1"), made.headers["etag"]
    assert (group["name"], group["description"], group["size"]) == ("R\u00e9aders", "Who reads.", 0)
    assert await keeper.show(path) == group
    assert (await keeper.show("/contact-groups"))["items"] == [group]
    refused(await keeper.call("POST", "/contact-groups", {"name": "R\u00e9aders"}), 409, "name_taken")
    other = await keeper.make("/contact-groups", name="Other")
    refused(await keeper.call("PATCH", f"/contact-groups/{other['id']}", {"name": "R\u00e9aders"}), 409, "name_taken")
    changed = await keeper.call("PATCH", path, {"name": "Press", "description": None}, if_match=tag)
    assert (answered(changed)["name"], changed.json()["description"]) == ("Press", None)
    refused(await keeper.call("PATCH", path, {"name": "x"}, if_match=tag), 412, "precondition_failed")
    refused(await keeper.call("DELETE", path, if_match=tag), 412, "precondition_failed")
    assert (await keeper.call("DELETE", path, if_match=changed.headers["etag"])).status_code == 204
    for answer in (await keeper.call("GET", path), await keeper.call("DELETE", path)):
        refused(answer, 404, "not_found")
    assert await rows_of(database, group["id"]) == (0, 0)
    assert (await keeper.make("/contact-groups", name="Press"))["size"] == 0, "the name is free again"
    actions = [entry["action"] for entry in (await keeper.show("/audit-log?resource_type=contact_group"))["items"]]
    assert actions == ["created", "deleted", "updated", "created", "created"]


async def test_joining_and_leaving(keeper: Keeper) -> None:
    group = (await keeper.make("/contact-groups", name="g"))["id"]
    path = f"/contact-groups/{group}"
    ids = [(await keeper.contact(first_name=name))["id"] for name in ("A", "B", "C")]
    assert answered(await keeper.call("POST", f"{path}/members", {"contact_ids": ids[:2] + ids[:1]})) == {"added": 2}
    assert answered(await keeper.call("POST", f"{path}/members", {"contact_ids": ids})) == {"added": 1}
    assert (await keeper.show(path))["size"] == 3
    assert (await keeper.show("/contact-groups"))["items"][0]["size"] == 3
    assert await keeper.found(f"{path}/members", sort="first_name", **{"first_name[gt]": "A"}) == ids[1:]
    page = await keeper.show(f"{path}/members?limit=2&include=total")
    assert ([each["id"] for each in page["items"]], page["total"]) == (ids[:0:-1], 3)
    rest = await keeper.show(f"{path}/members?limit=2&cursor={page['next_cursor']}")
    assert [each["id"] for each in rest["items"]] == ids[:1]
    assert (await keeper.show(f"/contacts/{ids[0]}"))["groups"] == [group]
    assert answered(await keeper.call("DELETE", f"{path}/members", {"contact_ids": ids[:2]})) == {"removed": 2}
    assert answered(await keeper.call("DELETE", f"{path}/members", {"contact_ids": ids[:1]})) == {"removed": 0}
    assert await keeper.found(f"{path}/members") == ids[2:]
    assert (await keeper.call("DELETE", f"/contacts/{ids[2]}")).status_code == 204
    assert (await keeper.show(path))["size"] == 0


async def test_only_contacts_of_the_account_join(keeper: Keeper, stranger: Keeper) -> None:
    group = (await keeper.make("/contact-groups", name="g"))["id"]
    mine, theirs = (await keeper.contact())["id"], (await stranger.contact())["id"]
    for method in ("POST", "DELETE"):
        ids = {"contact_ids": [mine, theirs, str(uuid4())]}
        answer = await keeper.call(method, f"/contact-groups/{group}/members", ids)
        refused(answer, 422, "invalid_value", "/contact_ids/1", "/contact_ids/2")
        answer = await stranger.call(method, f"/contact-groups/{group}/members", {"contact_ids": [theirs]})
        refused(answer, 404, "not_found")
        for wrong in ([], [str(uuid4())] * 1_001):
            answer = await keeper.call(method, f"/contact-groups/{group}/members", {"contact_ids": wrong})
            refused(answer, 422, "invalid_value", "/contact_ids")
    assert (await keeper.show(f"/contact-groups/{group}"))["size"] == 0
    taken = await stranger.call("POST", "/contacts", {"groups": [group]})
    refused(taken, 422, "invalid_value", "/groups/0")


async def test_a_large_group_is_gone_at_once_and_emptied_in_steps(
    keeper: Keeper, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "STEP", 2)
    group = (await keeper.make("/contact-groups", name="g"))["id"]
    ids = [(await keeper.contact(groups=[group]))["id"] for _ in range(5)]
    assert (await keeper.call("DELETE", f"/contact-groups/{group}")).status_code == 204
    refused(await keeper.call("GET", f"/contact-groups/{group}"), 404, "not_found")
    refused(await keeper.call("GET", f"/contact-groups/{group}/members"), 404, "not_found")
    refused(await keeper.call("POST", "/contacts", {"groups": [group]}), 422, "invalid_value", "/groups/0")
    assert await rows_of(database, group) == (1, 3)
    shown = [await keeper.show(f"/contacts/{contact_id}") for contact_id in ids]
    assert all(each["groups"] == [] for each in shown), "nobody is in it any more, wherever one looks"
    # What was read can be written back.
    assert (await keeper.change(ids[4], groups=shown[4]["groups"], tags=["x"]))["groups"] == []
    await ContactJobs(PostgresContactStores()).drop_deleted_groups(database)
    assert await rows_of(database, group) == (0, 0)
    await ContactJobs(PostgresContactStores()).drop_deleted_groups(database)


async def test_whoever_joins_while_a_group_is_deleted_is_not_left_behind(keeper: Keeper, database: Database) -> None:
    for _ in range(5):
        group = (await keeper.make("/contact-groups", name="g"))["id"]
        ids = [(await keeper.contact())["id"] for _ in range(3)]
        joins = [
            *(keeper.call("POST", f"/contact-groups/{group}/members", {"contact_ids": [each]}) for each in ids[:2]),
            keeper.call("PATCH", f"/contacts/{ids[2]}", {"groups": [group]}),
            keeper.call("POST", "/contacts", {"groups": [group]}),
        ]
        *answers, deleted = await asyncio.gather(*joins, keeper.call("DELETE", f"/contact-groups/{group}"))
        assert deleted.status_code == 204
        assert {answer.status_code for answer in answers} <= {200, 201, 404, 422}
        assert await rows_of(database, group) == (0, 0)
