"""The list of recipients and the file of them."""

import csv
import io

import pytest

from app.domain.group_messages import export
from tests.integration.group_messages.conftest import Sender


@pytest.fixture
async def sent(sender: Sender) -> str:
    """Five that were sent, two of which failed, and two that were skipped."""
    await sender.contacts(5, "vip")
    for name in ("=1+1", "B"):
        await sender.contact(first_name=name, tags=["vip"])
    made = await sender.send({"tags": ["vip"]})
    await sender.walk(made)
    await sender.settle(made, lambda number: number < "+251911000200")
    return made


async def test_pages_hold_everybody_once(sender: Sender, sent: str) -> None:
    for sort in ("id", "-id"):
        seen, cursor = [], None
        while True:
            query = {"limit": 2, "sort": sort} | ({} if cursor is None else {"cursor": cursor})
            page = await sender.answer("GET", f"/group-messages/{sent}/recipients", **query)
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len({each["contact_id"] for each in seen}) == len(seen) == 7
    statuses = [each["status"] for each in seen]
    assert {status: statuses.count(status) for status in statuses} == {"sent": 3, "failed": 2, "skipped": 2}


async def test_by_status(sender: Sender, sent: str) -> None:
    failed = await sender.answer("GET", f"/group-messages/{sent}/recipients", status="failed", include="total")
    assert failed["total"] == 2
    assert {each["error"]["code"] for each in failed["items"]} == {"unknown_recipient"}
    both = await sender.answer("GET", f"/group-messages/{sent}/recipients", **{"status[in]": "failed,skipped"})
    assert len(both["items"]) == 4


async def test_of_a_draft_there_are_none(sender: Sender) -> None:
    draft = await sender.draft({"addresses": ["+251911000150"]})
    page = await sender.answer("GET", f"/group-messages/{draft}/recipients", include="total")
    assert (page["items"], page["total"]) == ([], 0)


async def test_the_file_has_a_line_for_each(sender: Sender, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PART", 3)
    answer = await sender.call("GET", f"/group-messages/{sent}/recipients/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(lines) == len({line["contact_id"] for line in lines}) == 7
    assert sorted(line["status"] for line in lines) == ["failed"] * 2 + ["sent"] * 3 + ["skipped"] * 2
    assert {line["reason"] for line in lines} == {"", "no_address"}
    assert {line["error_code"] for line in lines} == {"", "unknown_recipient"}
