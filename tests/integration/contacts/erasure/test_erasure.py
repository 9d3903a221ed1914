"""A person is erased: everything about them goes, the books of the account stay."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.domain.contacts.erasure import handler, messages, traces
from app.domain.contacts.erasure.schemas import KIND
from app.domain.contacts.erasure.traces import Looked, TraceErasure
from app.domain.contacts.merging.schemas import ContactMergeOut
from app.domain.messages.events import Receipt, ReceiptStatus
from app.domain.messages.receipts import decode_receipt
from app.lib.ids import new_id
from tests.conftest import Registered
from tests.integration.contacts.merging.people import People, refused

SECRET = "Wanderlust"
PHONE, OTHER = "+251911777001", "+251911777002"
NOBODY_ID = "019ab0c2-0000-7000-8000-000000000000"


class Archive:
    """The messages of an account, written past the API."""

    def __init__(self, people: People, channel: str) -> None:
        self.people, self.channel = people, channel
        self.account_id = people.office.account_id

    async def add(self, direction: str, address: str, contact_id: str | None = None, status: str = "") -> UUID:
        """A message to or from an address, with everything that can be known of one."""
        message_id, inbound = new_id(), direction == "inbound"
        values = {
            "id": message_id,
            "account": self.account_id,
            "channel": UUID(self.channel),
            "contact": None if contact_id is None else UUID(contact_id),
            "direction": direction,
            "status": status or ("received" if inbound else "delivered"),
            "recipient": "8080" if inbound else address,
            "sender": address if inbound else "DEMO",
            "secret": SECRET,
        }
        await self.sql(
            """
            INSERT INTO messages (id, account_id, channel_id, contact_id, direction, status, recipient, sender, body,
                                  encoding, segments, metadata, error, sms, sent_at)
            VALUES (:id, :account, :channel, :contact, :direction, :status, :recipient, :sender, :secret, 'gsm7', 2,
                    jsonb_build_object('name', CAST(:secret AS text)),
                    jsonb_build_object('class', 'recipient', 'code', 'c', 'detail', CAST(:secret AS text),
                                       'provider_code', NULL, 'advice', 'a'), '\\x90', now())
            """,
            **values,
        )
        if not inbound:
            for statement in (
                "INSERT INTO message_events (message_id, account_id, at, status, detail)"
                " VALUES (:id, :account, now(), 'sent', :secret)",
                "INSERT INTO message_attempts (message_id, attempt, account_id, channel_id, ended_at, outcome, detail)"
                " VALUES (:id, 1, :account, :channel, now(), 'sent', :secret)",
                "INSERT INTO message_parts (channel_id, match_key, message_id, account_id, number, total,"
                " provider_message_id, recipient_tail) VALUES (:channel, 'k', :id, :account, 1, 1, 'k', '777001')",
            ):
                await self.sql(statement, **{name: value for name, value in values.items() if f":{name}" in statement})
        return message_id

    async def sql(self, statement: str, **values: Any) -> Any:
        return await self.people.office.sql(statement, **values)

    async def about(self, text: str) -> dict[str, int]:
        """In how many rows of each table of the account a text stands."""
        found = {}
        for table in (
            *("messages", "message_events", "message_attempts", "message_parts", "inbound_parts", "events"),
            *("audit_log", "opt_outs", "consent_events", "contacts", "contact_addresses", "contact_merges", "jobs"),
            *("contact_activity", "message_retries", "contact_aliases", "parked_receipts"),
            *("group_messages", "group_message_skips"),
        ):
            statement = f"SELECT count(*) FROM {table} t WHERE account_id = :id AND position(:text IN t::text) > 0"
            rows = await self.sql(statement, id=self.account_id, text=text)
            if count := rows.scalar_one():
                found[table] = count
        return found

    async def message(self, message_id: UUID) -> dict[str, Any]:
        answer = await self.people.call("GET", f"messages/{message_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def archive(people: People) -> Archive:
    channel = await people.office.make("channels", name="C", type="sandbox")
    return Archive(people, channel["id"])


async def erased(people: People, contact_id: str, **body: Any) -> dict[str, Any]:
    answer = await people.call("POST", f"contacts/{contact_id}/erase", body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    job = await people.office.ended(answer.json()["id"])
    assert job["status"] == "succeeded", job
    return job


async def test_everything_about_the_person_goes(people: People, archive: Archive) -> None:
    contact_id = await people.new(first_name=SECRET, phone=PHONE, notes=SECRET)
    former = await people.new(last_name=SECRET, email="wanderlust@example.com", phone=OTHER)
    await people.merge(contact_id, former)
    stranger = await people.new(first_name="Stranger", phone="+251911777009")
    mine = [
        await archive.add("outbound", PHONE, contact_id),
        await archive.add("outbound", PHONE),
        await archive.add("outbound", OTHER, former),
        await archive.add("outbound", "+251911000999", contact_id, "failed"),
        await archive.add("inbound", PHONE, contact_id),
        await archive.add("inbound", PHONE.removeprefix("+")),
        await archive.add("inbound", OTHER),
    ]
    theirs = [
        await archive.add("outbound", "+251911777009", stranger),
        await archive.add("inbound", "+251911777009"),
        await archive.add("outbound", "+2519117770011"),
    ]
    body = {"channel_id": archive.channel, "to": OTHER, "text": SECRET}
    queued = (await people.call("POST", "messages", body)).json()
    opt_out = {"address": PHONE, "channel_class": "sms"}
    await people.office.make("opt-outs", **opt_out)
    await archive.sql("UPDATE opt_outs SET text = :text WHERE account_id = :id", text=SECRET, id=archive.account_id)
    await archive.sql(
        "INSERT INTO inbound_parts (channel_id, sender, recipient, reference, total, number, account_id, message_id,"
        " body, encoding) VALUES (:channel, :sender, '8080', 1, 2, 1, :id, gen_random_uuid(), :text, 'gsm7')",
        channel=UUID(archive.channel), sender=PHONE, id=archive.account_id, text=SECRET,
    )  # fmt: skip
    receipt = Receipt("77", ReceiptStatus.DELIVERED, 1.0, recipient=PHONE.removeprefix("+"), raw=f"text:{SECRET}")
    await archive.sql(
        "INSERT INTO parked_receipts (id, account_id, channel_id, match_keys, receipt, state)"
        " VALUES (:own, :id, :channel, '{77}', :receipt, 'orphan')",
        own=new_id(), id=archive.account_id, channel=UUID(archive.channel),
        receipt=msgspec.msgpack.encode(receipt),
    )  # fmt: skip
    for status in ("completed", "draft"):
        await archive.sql(
            "INSERT INTO group_messages (id, account_id, name, channel_id, status, content) VALUES (:own, :id, 'G',"
            " :channel, :status, jsonb_build_object('text', 'Hello', 'addresses',"
            " jsonb_build_array(CAST(:phone AS text), '+251911777009')))",
            own=new_id(), id=archive.account_id, channel=UUID(archive.channel), status=status, phone=PHONE,
        )  # fmt: skip
    await archive.sql(
        "INSERT INTO group_message_skips (group_message_id, account_id, recipient_id, address, reason)"
        " SELECT id, account_id, gen_random_uuid(), :phone, 'opted_out' FROM group_messages WHERE account_id = :id",
        id=archive.account_id, phone=PHONE,
    )  # fmt: skip
    assert {"messages", "events", "audit_log", "opt_outs", "contacts", "contact_merges"} <= (
        await archive.about(PHONE)
    ).keys()

    job = await erased(people, contact_id, reason="Ticket 4711")

    assert job["result"] == {
        "messages": 8, "canceled": 1, "message_parts": 1, "receipts": 1, "events": 1,
        "audit_entries": job["result"]["audit_entries"], "opt_outs": 0, "opt_outs_kept": 1,
        "group_messages": 1, "group_messages_left": 1, "merges": 1, "contacts": 1,
    }  # fmt: skip
    # What is left of the words are the messages of others; of the number, that it wants nothing.
    assert await archive.about(SECRET) == {"messages": 3, "message_events": 2, "message_attempts": 2}
    assert (await archive.about(PHONE)) == {"messages": 1, "opt_outs": 1, "consent_events": 1, "group_messages": 1}
    assert await archive.about(OTHER) == await archive.about("wanderlust@") == {}
    for message_id in mine:
        message = await archive.message(message_id)
        assert (message["text"], message["contact_id"], message["metadata"]) == ("", None, {})
        assert "erased" in (message["to"], message["from"])
        assert (message["segments"], message["sent_at"] is None) == (2, False)
        assert message["error"]["detail"] == "erased"
    assert (await archive.message(UUID(queued["id"])))["status"] == "canceled"
    for message_id in theirs:
        assert (await archive.message(message_id))["text"] == SECRET
    for each in (contact_id, former):
        await people.get(each, 404)
    assert (await people.get(stranger))["phone"] == "+251911777009"
    (row,) = await archive.sql("SELECT receipt FROM parked_receipts WHERE account_id = :id", id=archive.account_id)
    assert decode_receipt(row.receipt) == msgspec.structs.replace(receipt, recipient=None, raw=None)


async def test_the_log_says_that_it_was_done_and_not_to_whom(people: People, archive: Archive) -> None:
    contact_id = await people.new(first_name=SECRET, phone=PHONE)
    job = await erased(people, contact_id, reason="Ticket 4711")
    entries = (await people.call("GET", f"audit-log?resource_id={contact_id}&sort=created_at")).json()["items"]
    assert [each["action"] for each in entries] == ["created", "erasure_requested", "erased"]
    assert entries[1]["after"] == {"job_id": job["id"], "reason": "Ticket 4711", "forget_opt_outs": False}
    assert entries[2]["after"]["contacts"] == 1
    assert await archive.about(PHONE) == await archive.about(SECRET) == {}


async def test_opt_outs_can_be_forgotten_too(people: People, archive: Archive) -> None:
    contact_id = await people.new(phone=PHONE)
    await people.office.make("opt-outs", address=PHONE, channel_class="sms")
    await people.office.make("opt-outs", address=OTHER, channel_class="sms")
    job = await erased(people, contact_id, forget_opt_outs=True)
    assert (job["result"]["opt_outs"], job["result"]["opt_outs_kept"]) == (1, 0)
    assert await archive.about(PHONE) == {}
    assert (await archive.about(OTHER))["opt_outs"] == 1


async def test_a_merge_cannot_bring_the_person_back(people: People) -> None:
    contact_id, former = await people.new(first_name="A"), await people.new(first_name="B")
    await people.merge(contact_id, former)
    (merge,) = await people.merges()
    # By the id that the person had before.
    await erased(people, former)
    (after,) = await people.merges()
    assert msgspec.convert(after, ContactMergeOut).contacts is None
    refused(await people.call("POST", f"contact-merges/{merge['id']}/undo"), 409, "too_late")


async def test_an_address_that_is_somebody_elses_by_now_is_theirs(people: People, archive: Archive) -> None:
    contact_id, former = await people.new(first_name="A"), await people.new(phone=PHONE)
    await people.merge(contact_id, former)
    assert (await people.call("PATCH", f"contacts/{contact_id}", {"addresses": []})).status_code == 200
    heir = await people.new(phone=PHONE)
    theirs = await archive.add("outbound", PHONE, heir)
    await erased(people, contact_id)
    assert (await archive.message(theirs))["text"] == SECRET
    assert (await people.get(heir))["phone"] == PHONE


async def test_undone_merges_do_not_make_two_people_one(people: People, archive: Archive) -> None:
    contact_id, other = await people.new(phone=OTHER), await people.new(phone=PHONE)
    await people.merge(contact_id, other)
    (merge,) = await people.merges()
    assert (await people.undo(merge["id"])).status_code == 200
    theirs = await archive.add("inbound", PHONE, other)
    await erased(people, contact_id)
    assert (await archive.message(theirs))["text"] == SECRET
    assert (await people.get(other))["phone"] == PHONE


async def test_in_small_steps(people: People, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "BATCH", 2)
    monkeypatch.setattr(messages, "WINDOW", 3)
    monkeypatch.setattr(traces, "WINDOW", 2)
    contact_id = await people.new(phone=PHONE)
    for number in range(7):
        await archive.add("outbound", PHONE, contact_id if number % 2 else None)
        await archive.add("inbound", PHONE)
        await archive.add("inbound", OTHER)
        await people.call("POST", "messages", {"channel_id": archive.channel, "to": PHONE, "text": SECRET})
    job = await erased(people, contact_id)
    assert (job["result"]["messages"], job["result"]["canceled"]) == (21, 7)
    assert job["done"] == job["total"] == 22
    assert await archive.about(PHONE) == {}
    assert (await archive.about(SECRET))["messages"] == 7
    # Once more finds nothing, and nobody.
    refused(await people.call("POST", f"contacts/{contact_id}/erase", {}), 404, "not_found")
    again = await people.office.ended(await people.office.create_job(KIND, {"contact_id": contact_id}))
    assert (again["status"], again["done"]) == ("succeeded", 0)


async def test_what_is_being_handed_over_is_waited_for(
    people: People, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(handler, "MOST_WAITS", 10_000)
    contact_id = await people.new(phone=PHONE)
    body = {"channel_id": archive.channel, "to": PHONE, "text": SECRET}
    message = (await people.call("POST", "messages", body)).json()
    await archive.sql(
        "INSERT INTO message_attempts (message_id, attempt, account_id, channel_id)"
        " VALUES (:id, 1, :account, :channel)",
        id=UUID(message["id"]), account=archive.account_id, channel=UUID(archive.channel),
    )  # fmt: skip
    asked = (await people.call("POST", f"contacts/{contact_id}/erase", {})).json()
    async with asyncio.timeout(60):
        while (await waits(archive, asked["id"])) < 3:
            await asyncio.sleep(0.05)
    assert (await archive.message(UUID(message["id"])))["text"] == SECRET
    await archive.sql(
        "UPDATE message_attempts SET ended_at = now(), outcome = 'sent' WHERE message_id = :id", id=UUID(message["id"])
    )
    await archive.sql("UPDATE messages SET status = 'sent' WHERE id = :id", id=UUID(message["id"]))
    job = await people.office.ended(asked["id"])
    assert (job["status"], job["result"]["messages"], job["result"]["canceled"]) == ("succeeded", 1, 0)


async def waits(archive: Archive, job_id: str) -> int:
    rows = await archive.sql("SELECT checkpoint FROM jobs WHERE id = :id", id=UUID(job_id))
    return int((rows.scalar_one() or {}).get("waits", 0))


async def test_waiting_ends_with_words(people: People, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(handler, "MOST_WAITS", 2)
    contact_id = await people.new(phone=PHONE)
    body = {"channel_id": archive.channel, "to": PHONE, "text": SECRET}
    message = (await people.call("POST", "messages", body)).json()
    await archive.sql(
        "INSERT INTO message_attempts (message_id, attempt, account_id, channel_id)"
        " VALUES (:id, 1, :account, :channel)",
        id=UUID(message["id"]), account=archive.account_id, channel=UUID(archive.channel),
    )  # fmt: skip
    asked = (await people.call("POST", f"contacts/{contact_id}/erase", {})).json()
    job = await people.office.ended(asked["id"])
    assert (job["status"], job["error"]) == (
        "failed",
        "A message to this person is being handed over still; erase again later.",
    )
    # The contact is there still, to be erased again.
    assert (await people.get(contact_id))["phone"] == PHONE


async def test_somebody_merges_meanwhile(people: People, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    contact_id, more, kept = await people.new(phone=PHONE), await people.new(phone=OTHER), await people.new(tags=["x"])
    late = await archive.add("outbound", OTHER, more)
    merges = [(contact_id, more), (kept, contact_id)]
    looked = TraceErasure.erase_entries

    async def merging(erasure: TraceErasure, after: str | None) -> Looked:
        if merges:
            await people.merge(*merges.pop(0))
        return await looked(erasure, after)

    monkeypatch.setattr(TraceErasure, "erase_entries", merging)
    job = await erased(people, contact_id)
    assert (job["result"]["messages"], job["result"]["merges"], job["result"]["contacts"]) == (1, 2, 1)
    assert (await archive.message(late))["text"] == ""
    for each in (contact_id, more, kept):
        await people.get(each, 404)
    assert await archive.about(PHONE) == await archive.about(OTHER) == {}


async def test_who_may_and_whom(people: People, other: Registered) -> None:
    contact_id = await people.new(first_name="A")
    answer = await people.office.client.post(f"/v1/contacts/{contact_id}/erase", json={}, headers=other["headers"])
    refused(answer, 404, "not_found")
    refused(await people.call("POST", f"contacts/{NOBODY_ID}/erase", {}), 404, "not_found")
    wrong: list[Any] = [{"reason": "x" * 201}, {"reason": "a\nb"}, {"reason": 1}, {"unknown": 1}, []]
    for body in wrong:
        refused(await people.call("POST", f"contacts/{contact_id}/erase", body), 422, "invalid_value")
    await people.office.make("roles", name="Editor", permissions={"contacts": ["read", "update"]})
    key = await people.office.make("api-keys", name="k", role="Editor")
    headers = {"Authorization": f"Bearer {key['secret']}"}
    assert (await people.call("POST", f"contacts/{contact_id}/erase", {}, **headers)).status_code == 403
