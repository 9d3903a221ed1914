"""Who gets a group message, each once, and why the others do not."""

from typing import Any

from tests.integration.group_messages.conftest import Sender

A, B, C, D, E = (f"+2519110001{number}" for number in (50, 51, 52, 53, 54))


async def test_each_address_gets_one_message_however_often_it_is_meant(sender: Sender) -> None:
    group = (await sender.answer("POST", "/contact-groups", {"name": "All"}))["id"]
    a = await sender.contact(first_name="Abebe", phone=A, tags=["vip"], groups=[group])
    await sender.contact(first_name="Bekele", phone=B, tags=["vip"])
    await sender.contact(first_name="Chala", phone=C, groups=[group])
    segment = await sender.answer(
        "POST", "/segments", {"name": "A", "filter": {"field": "first_name", "op": "startswith", "value": "A"}}
    )
    sent = await sender.send(
        {
            "group_ids": [group],
            "segment_ids": [segment["id"]],
            "tags": ["vip"],
            "contact_ids": [a],
            "addresses": [A, D, "+251 911 000 153", C],
        }
    )
    assert (await sender.show(sent))["progress"]["total"] == 6
    await sender.walk(sent)
    rows = await sender.messages(sent)
    assert [row.recipient for row in rows] == [A, B, C, D]
    assert [row.body for row in rows] == ["Hello Abebe", "Hello Bekele", "Hello Chala", "Hello you"]
    assert [row.contact_id is not None for row in rows] == [True, True, True, False]
    assert {row.topic for row in rows} == {"marketing"}
    await sender.settle(sent)
    await sender.walk(sent)
    progress = await sender.check_counters(sent)
    assert (progress["total"], progress["sent"], progress["waiting"]) == (4, 4, 0)
    assert (await sender.show(sent))["status"] == "completed"


async def test_whoever_is_excluded_gets_nothing(sender: Sender) -> None:
    for name, number in (("Abebe", A), ("Bekele", B), ("Chala", C)):
        await sender.contact(first_name=name, phone=number, tags=["vip", name])
    sent = await sender.send(
        {"tags": ["vip"], "addresses": [A, D, E, C], "exclude": {"tags": ["Abebe"], "addresses": [B, E]}}
    )
    await sender.walk(sent)
    assert await sender.recipients(sent) == [C, D]
    assert await sender.skipped(sent) == {"excluded": 2}


async def test_why_somebody_gets_nothing(sender: Sender) -> None:
    await sender.contact(first_name="Nobody", tags=["vip"])
    blocked = await sender.contact(phone=A, tags=["vip"])
    await sender.answer("PATCH", f"/contacts/{blocked}", {"status": "blocked"})
    archived = await sender.contact(phone=B, tags=["vip"])
    await sender.answer("PATCH", f"/contacts/{archived}", {"status": "archived"})
    await sender.contact(phone=C, tags=["vip"])
    await sender.contact(phone=D, tags=["vip"], attributes={"code": "4711"})
    for number, topic in ((C, "marketing"), (E, "all")):
        await sender.answer("POST", "/opt-outs", {"address": number, "channel_class": "sms", "topic": topic})
    fallback = {"strategy": "skip"}
    sent = await sender.send({"tags": ["vip"], "addresses": [E, "+251911000155"]}, "Code {CODE}", fallback=fallback)
    await sender.walk(sent)
    assert [row.body for row in await sender.messages(sent)] == ["Code 4711"]
    assert await sender.skipped(sent) == {
        "opted_out": 2,
        "no_address": 1,
        "blocked": 1,
        "archived": 1,
        "missing_variable": 1,
    }
    progress = await sender.check_counters(sent)
    assert (progress["skipped"], progress["queued"], progress["total"]) == (6, 1, 7)
    page = await sender.answer("GET", f"/group-messages/{sent}/recipients", status="skipped", limit=200)
    assert {(each["reason"], each["address"]) for each in page["items"]} == {
        ("opted_out", None),
        ("opted_out", E),
        ("no_address", None),
        ("blocked", None),
        ("archived", None),
        ("missing_variable", "+251911000155"),
    }


async def test_an_opt_out_of_marketing_leaves_service_messages(sender: Sender) -> None:
    await sender.answer("POST", "/opt-outs", {"address": A, "channel_class": "sms", "topic": "marketing"})
    sent = await sender.send({"addresses": [A]}, topic="service")
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A]


async def test_the_second_address_of_whoever_opted_out_at_the_first(sender: Sender) -> None:
    addresses = [{"type": "phone", "value": number} for number in (A, B)]
    await sender.contact(addresses=addresses, tags=["vip"])
    await sender.answer("POST", "/opt-outs", {"address": A, "channel_class": "sms"})
    sent = await sender.send({"tags": ["vip"]})
    await sender.walk(sent)
    assert await sender.recipients(sent) == [B]


async def test_a_text_that_is_too_long_for_some(sender: Sender) -> None:
    await sender.contact(phone=A, tags=["vip"], attributes={"story": "long " * 180})
    await sender.contact(phone=B, tags=["vip"], attributes={"story": "short"})
    sent = await sender.send({"tags": ["vip"]}, "{STORY}{STORY}", fallback=None)
    await sender.walk(sent)
    assert await sender.recipients(sent) == [B]
    assert await sender.skipped(sent) == {"too_long": 1}


async def test_nobody_at_all(sender: Sender) -> None:
    sent = await sender.send({"tags": ["nobody"]})
    shown = await sender.walk(sent)
    assert (shown["status"], shown["progress"]["total"]) == ("completed", 0)


async def test_segments_stay_what_they_were_at_the_start(sender: Sender) -> None:
    await sender.contact(phone=A, tags=["vip"])
    await sender.contact(phone=B)
    segment = await sender.answer(
        "POST", "/segments", {"name": "V", "filter": {"field": "tags", "op": "contains", "value": "vip"}}
    )
    sent = await sender.send({"segment_ids": [segment["id"]]})
    changed: dict[str, Any] = {"filter": {"field": "phone", "op": "exists", "value": True}}
    await sender.answer("PATCH", f"/segments/{segment['id']}", changed)
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A]


async def test_contacts_that_were_merged_are_followed(sender: Sender) -> None:
    kept, gone = await sender.contact(phone=A), await sender.contact(phone=B)
    draft = await sender.draft({"contact_ids": [gone]})
    await sender.answer("POST", f"/contacts/{kept}/merge", {"contact_ids": [gone]})
    await sender.act(draft, "send")
    await sender.walk(draft)
    assert [str(row.contact_id) for row in await sender.messages(draft)] == [kept]
    assert (await sender.show(await sender.draft({"contact_ids": [gone]})))["audience"]["contact_ids"] == [kept]


async def test_tags_are_meant_in_the_form_in_which_they_are_stored(sender: Sender) -> None:
    await sender.contact(phone=A, tags=["caf\u00e9"])
    sent = await sender.send({"tags": [" cafe\u0301"]})
    await sender.walk(sent)
    assert await sender.recipients(sent) == [A]


async def test_quiet_hours_of_no_length_or_of_nonsense(sender: Sender) -> None:
    body = {"name": "N", "channel_id": sender.channel_id, "audience": {"addresses": [A]}, "text": "Hello"}
    for quiet in ({"start": "08:00", "end": "08:00"}, {"start": "8", "end": "25:00"}):
        assert (await sender.call("POST", "/group-messages", body | {"quiet_hours": quiet})).status_code == 422


async def test_what_is_wrong_with_a_draft_is_said_at_once(sender: Sender) -> None:
    body = {
        "name": "News",
        "channel_id": "019ab0c4-12aa-7b90-b3d5-6a1c0e55d103",
        "audience": {
            "group_ids": ["019ab0c4-12aa-7b90-b3d5-6a1c0e55d103"],
            "contact_ids": ["019ab0c4-12aa-7b90-b3d5-6a1c0e55d103"],
            "addresses": ["nonsense", "\0"],
        },
        "text": "Hi {FIRST_NAME|nofilter}",
        "metadata": {"a": "\0"},
    }
    answer = await sender.call("POST", "/group-messages", body)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/channel_id",
        "/text",
        "/audience/group_ids/0",
        "/audience/contact_ids/0",
        "/audience/addresses/0",
        "/audience/addresses/1",
        "/metadata",
    }
