"""What a preflight says, beside what a sending then does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.domain.group_messages import preflight
from tests.integration.group_messages.conftest import Sender

A, B, C, D, E = (f"+2519110001{number}" for number in (50, 51, 52, 53, 54))


def body(sender: Sender, audience: dict[str, Any], text: str, **fields: Any) -> dict[str, Any]:
    return {"name": "News", "channel_id": sender.channel_id, "audience": audience, "text": text} | fields


async def test_everybody_is_in_one_class(sender: Sender) -> None:
    now = datetime.now(UTC)
    quiet = {
        "start": (now - timedelta(hours=1)).strftime("%H:%M"),
        "end": (now + timedelta(hours=1)).strftime("%H:%M"),
    }
    await sender.contact(first_name="Abebe", phone=A, timezone="Asia/Tokyo", tags=["vip"])
    await sender.contact(first_name="Bekele", phone=B, timezone="UTC", tags=["vip"])
    await sender.contact(first_name="Chala", tags=["vip"])
    await sender.contact(first_name="Desta", phone=C, tags=["vip"])
    await sender.contact(phone=D, tags=["vip"])
    await sender.answer("POST", "/opt-outs", {"address": C, "channel_class": "sms"})
    audience = {"tags": ["vip"], "addresses": [A, E], "exclude": {"addresses": [E]}}
    given = body(sender, audience, "Hi {FIRST_NAME}", fallback={"strategy": "skip"}, quiet_hours=quiet, rate=2)
    said = await sender.answer("POST", "/group-messages/preflight", given)
    assert {name: count for name, count in said["recipients"].items() if count} == {
        "will_get_it": 1,
        "quiet_now": 1,
        "repeated": 1,
        "no_address": 1,
        "opted_out": 1,
        "excluded": 1,
        "missing_variable": 1,
    }
    assert (said["total"], said["looked_at"], said["exact"], said["segments"]) == (7, 7, True, 2)
    assert (said["rate"], said["duration_seconds"]) == (2, 1)
    assert [sample["text"] for sample in said["samples"]] == ["Hi Bekele", "Hi Abebe"]
    assert [warning["code"] for warning in said["warnings"]] == ["few_recipients"]
    async with sender.database.reading() as session:
        assert (
            await session.scalar(
                text("SELECT count(*) FROM messages WHERE account_id = :id"), {"id": sender.account_id}
            )
            == 0
        )


async def test_of_a_stored_one_too(sender: Sender) -> None:
    draft = await sender.draft({"addresses": [A]}, "Sälam " * 30)
    said = await sender.act(draft, "preflight")
    assert (said["recipients"]["will_get_it"], said["segments"], said["rate"]) == (1, 2, None)
    assert [warning["code"] for warning in said["warnings"]] == ["several_segments"]
    assert (await sender.show(draft))["status"] == "draft"


async def test_the_channels_rate_counts_segments(sender: Sender) -> None:
    await sender.open_channel(rate={"per_second": 10})
    said = await sender.act(await sender.draft({"addresses": [A, B]}, "x" * 300), "preflight")
    assert (said["segments"], said["rate"], said["duration_seconds"]) == (4, 5, 0.4)


async def test_of_many_the_rest_is_inferred(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MOST", 4)
    monkeypatch.setattr(preflight, "_AT_ONCE", 2)
    await sender.contacts(4, "vip")
    for name in ("C", "D"):
        await sender.contact(first_name=name, tags=["vip"])
    for number in await sender.contacts(2, "vip", first=10):
        await sender.answer("POST", "/opt-outs", {"address": number, "channel_class": "sms"})
    said = await sender.act(await sender.draft({"tags": ["vip"]}), "preflight")
    assert (said["total"], said["looked_at"], said["exact"]) == (8, 4, False)
    assert said["recipients"]["will_get_it"] == 8


async def test_nobody(sender: Sender) -> None:
    said = await sender.act(await sender.draft({"tags": ["nobody"]}), "preflight")
    assert (said["total"], said["exact"]) == (0, True)
    assert [warning["code"] for warning in said["warnings"]] == ["nobody"]
