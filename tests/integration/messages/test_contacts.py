"""Messages and the contacts they are from and for."""

import asyncio
import secrets
import time
from typing import Any

import pytest

from app.domain.contacts.correspondence import Correspondence
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.domain.messages.events import Inbound, Outcome, ResultBatch, SubmitResult
from app.domain.messages.people import People
from app.domain.messages.results import apply_results
from app.lib.clock import utc_now
from app.lib.ids import new_id
from tests.integration.contacts.conftest import Keeper, answered, refused
from tests.integration.messages.bench import Bench


@pytest.fixture
def people() -> People:
    return Correspondence(PostgresContactStores(), utc_now, new_id)


@pytest.fixture
def keeper(client: Any, registered: Any) -> Keeper:
    return Keeper(client, registered)


def number() -> str:
    return f"+2519{secrets.randbelow(10**8):08}"


def letter(sender: str, words: str = "hello", to: str = "8000") -> Inbound:
    return Inbound(new_id().bytes, secrets.token_hex(8), sender, to, words, time.time())


async def apply(bench: Bench, people: People, **parts: Any) -> None:
    batch = ResultBatch(new_id(), bench.account_id, bench.channel_id, **parts)
    async with bench.database.unit_of_work() as session:
        assert await apply_results(session, [batch], new_id, people)


async def received(keeper: Keeper, sender: str) -> list[dict[str, Any]]:
    answer = await keeper.client.get(
        "/v1/messages", params={"direction": "inbound", "from": sender}, headers=keeper.headers
    )
    items: list[dict[str, Any]] = answered(answer)["items"]
    return items


async def test_who_writes_for_the_first_time_becomes_a_contact(bench: Bench, people: People, keeper: Keeper) -> None:
    sender = number()
    await apply(bench, people, inbound=[letter(sender), letter(sender, "again")])
    messages = await received(keeper, sender)
    (contact_id,) = {message["contact_id"] for message in messages}
    assert len(messages) == 2
    contact = await keeper.show(f"/contacts/{contact_id}")
    (address,) = contact["addresses"]
    assert (address["type"], address["value"]) == ("phone", sender)
    assert address["last_inbound"] == {str(bench.channel_id): contact["last_inbound_at"]}
    events = await keeper.show(f"/events?subject_id={contact_id}")
    assert [event["type"] for event in events["items"]] == ["contact.created"]


async def test_who_is_known_stays_who_they_are(bench: Bench, people: People, keeper: Keeper) -> None:
    sender = number()
    contact = await keeper.contact(first_name="Abebe", phone=sender, status="archived")
    await apply(bench, people, inbound=[letter(sender), letter(sender.removeprefix("+"))])
    assert {message["contact_id"] for message in await received(keeper, sender)} == {contact["id"]}
    now = await keeper.show(f"/contacts/{contact['id']}")
    assert now["last_inbound_at"] is not None
    assert (now["status"], now["updated_at"]) == ("archived", contact["updated_at"])
    assert await keeper.found("/contacts", phone=sender) == [contact["id"]]


async def test_a_sender_that_is_no_address_is_nobody(bench: Bench, people: People, keeper: Keeper) -> None:
    await apply(bench, people, inbound=[letter("BANK"), letter("8181")])
    for sender in ("BANK", "8181"):
        assert [message["contact_id"] for message in await received(keeper, sender)] == [None]


async def test_two_channels_that_hear_the_same_stranger_make_one_contact(
    bench: Bench, people: People, keeper: Keeper
) -> None:
    sender = number()
    other = await keeper.make("/channels", name=secrets.token_hex(4), type="sandbox")
    second = Bench(bench.database, str(bench.account_id), other["id"])
    await asyncio.gather(*(apply(each, people, inbound=[letter(sender)]) for each in (bench, second)))
    messages = await received(keeper, sender)
    assert len({message["contact_id"] for message in messages}) == 1
    assert len(messages) == 2
    contact = await keeper.show(f"/contacts/{messages[0]['contact_id']}")
    assert set(contact["addresses"][0]["last_inbound"]) == {str(bench.channel_id), other["id"]}


async def test_a_stop_is_seen_at_the_contact(bench: Bench, people: People, keeper: Keeper) -> None:
    sender = number()
    await apply(bench, people, inbound=[letter(sender, "STOP")])
    (contact_id,) = await keeper.found("/contacts", opted_out="sms", phone=sender)
    contact = await keeper.show(f"/contacts/{contact_id}")
    assert contact["addresses"][0]["opted_out"] == ["all"]
    body = {"channel_id": str(bench.channel_id), "contact_id": contact_id, "text": "Hello"}
    refused(await keeper.call("POST", "/messages", body), 422, "invalid_value", "/to")
    await apply(bench, people, inbound=[letter(sender, "START")])
    assert await keeper.found("/contacts", opted_out="sms", phone=sender) == []
    answered(await keeper.call("POST", "/messages", body), 201)


async def test_what_is_sent_is_remembered(bench: Bench, people: People, keeper: Keeper) -> None:
    contact = await keeper.contact(first_name="Abebe", phone=number())
    body = {"channel_id": str(bench.channel_id), "to": contact["phone"], "text": "Hello"}
    message = answered(await keeper.call("POST", "/messages", body), 201)
    assert (await keeper.show(f"/messages/{message['id']}"))["contact_id"] == contact["id"]
    assert (await keeper.show(f"/contacts/{contact['id']}"))["last_outbound_at"] is None
    sent = SubmitResult(bytes.fromhex(message["id"].replace("-", "")), 1, Outcome.SENT, time.time())
    await apply(bench, people, results=[sent])
    now = await keeper.show(f"/contacts/{contact['id']}")
    assert now["last_outbound_at"] is not None
    assert await keeper.found("/contacts", **{"last_outbound_at[gte]": "now-1h"}) == [contact["id"]]
    assert await keeper.found("/messages", contact_id=contact["id"]) == [message["id"]]


async def test_a_message_to_a_contact_goes_to_its_first_address(bench: Bench, keeper: Keeper) -> None:
    first, second = number(), number()
    contact = await keeper.contact(addresses=[{"type": "phone", "value": each} for each in (first, second)])
    body = {"channel_id": str(bench.channel_id), "contact_id": contact["id"], "text": "Hello"}
    message = answered(await keeper.call("POST", "/messages", body), 201)
    assert (message["to"], message["contact_id"]) == (first, contact["id"])
    batch = {"messages": [body, {**body, "contact_id": str(new_id())}, {**body, "to": second}, {"x": 1}]}
    result = answered(await keeper.call("POST", "/messages/batch", batch))
    assert [item["status"] for item in result["items"]] == [201, 422, 422, 422]
    assert (result["accepted"], result["rejected"]) == (1, 3)


@pytest.mark.parametrize("status", ["blocked", "archived"])
async def test_nothing_is_sent_to_a_contact_that_is_not_active(bench: Bench, keeper: Keeper, status: str) -> None:
    contact = await keeper.contact(phone=number(), status=status)
    body = {"channel_id": str(bench.channel_id), "contact_id": contact["id"], "text": "Hello"}
    problem = refused(await keeper.call("POST", "/messages", body), 422, "invalid_value", "/contact_id")
    assert problem["errors"][0]["code"] == f"contact_{status}"


async def test_what_is_wrong_with_a_recipient_is_said(bench: Bench, keeper: Keeper, other: Any) -> None:
    stranger = Keeper(keeper.client, other)
    theirs = await stranger.contact(phone=number())
    unreachable = await keeper.contact(email=f"{secrets.token_hex(4)}@example.com")
    body = {"channel_id": str(bench.channel_id), "text": "Hello"}
    for more, pointer, code in (
        ({"contact_id": theirs["id"]}, "/contact_id", "not_found"),
        ({"contact_id": unreachable["id"]}, "/contact_id", "no_address"),
        ({}, "/to", "missing_field"),
        ({"contact_id": unreachable["id"], "to": number()}, "/to", "missing_field"),
        ({"to": number(), "variables": {"A": "b"}}, "/variables", "not_allowed"),
    ):
        problem = refused(await keeper.call("POST", "/messages", body | more), 422, "invalid_value", pointer)
        assert problem["errors"][0]["code"] == code, more


async def test_a_template_is_filled_with_the_contact_and_the_variables(bench: Bench, keeper: Keeper) -> None:
    template = await keeper.make(
        "/templates",
        name=secrets.token_hex(4),
        body="Hi {FIRST_NAME} of {CITY}, your code is {CODE}",
        languages={"am": {"body": "ሰላም {FIRST_NAME}, {CODE}"}},
    )
    contact = await keeper.contact(first_name="Abebe", phone=number(), attributes={"city": "Adama"})
    body = {"channel_id": str(bench.channel_id), "contact_id": contact["id"], "template_id": template["id"]}
    message = answered(await keeper.call("POST", "/messages", {**body, "variables": {"code": 1234}}), 201)
    assert message["text"] == "Hi Abebe of Adama, your code is 1234"
    assert (message["template_id"], message["template_version"]) == (template["id"], 1)
    assert (await keeper.show(f"/messages/{message['id']}"))["template_version"] == 1
    problem = refused(await keeper.call("POST", "/messages", body), 422, "invalid_value", "/variables/CODE")
    assert problem["errors"][0]["code"] == "missing"
    await keeper.change(contact["id"], language="am-ET")
    message = answered(await keeper.call("POST", "/messages", {**body, "variables": {"CODE": "9"}}), 201)
    assert message["text"] == "ሰላም Abebe, 9"
    both = await keeper.call("POST", "/messages", {**body, "text": "x"})
    refused(both, 422, "invalid_value", "/text", "/variables/CODE")
    unknown = {**body, "template_id": str(new_id())}
    refused(await keeper.call("POST", "/messages", unknown), 422, "invalid_value", "/template_id")


async def test_messages_of_a_merged_contact_stay_with_the_one_that_was_kept(bench: Bench, keeper: Keeper) -> None:
    kept = await keeper.contact(first_name="Abebe", phone=number())
    merged = await keeper.contact(first_name="Abe", phone=number())
    body = {"channel_id": str(bench.channel_id), "text": "Hello"}
    before = answered(await keeper.call("POST", "/messages", {**body, "contact_id": merged["id"]}), 201)
    answered(await keeper.call("POST", f"/contacts/{kept['id']}/merge", {"contact_ids": [merged["id"]]}))
    after = answered(await keeper.call("POST", "/messages", {**body, "contact_id": merged["id"]}), 201)
    assert (after["contact_id"], after["to"]) == (kept["id"], kept["phone"])
    assert set(await keeper.found("/messages", contact_id=kept["id"])) == {before["id"], after["id"]}
    assert await keeper.found("/messages", **{"contact_id[nin]": kept["id"]}) == []


async def test_a_redelivered_batch_changes_nothing(bench: Bench, people: People, keeper: Keeper) -> None:
    sender = number()
    batch = ResultBatch(new_id(), bench.account_id, bench.channel_id, inbound=[letter(sender)])
    for first in (True, False):
        async with bench.database.unit_of_work() as session:
            assert await apply_results(session, [batch], new_id, people) == first
    assert len(await keeper.found("/contacts", phone=sender)) == 1
    assert len(await received(keeper, sender)) == 1
