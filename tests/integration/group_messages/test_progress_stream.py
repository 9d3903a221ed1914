"""Progress as Server-Sent Events, over the whole API."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from app.api import progress_stream
from app.api.progress_stream import GroupMessageStanding, ProgressStreams
from app.domain.group_messages.schemas import GroupMessageCounts
from app.domain.group_messages.states import GroupStatus
from app.lib.errors import Unavailable
from tests.conftest import Registered
from tests.integration.group_messages.conftest import Sender

NOTHING = dict.fromkeys(GroupMessageCounts.__struct_fields__, 0)
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_stream, "LOOK_SECONDS", 0.02)


def events_of(body: str) -> list[tuple[str, Any]]:
    """Name and data of each event; ids count them."""
    found = []
    for number, block in enumerate(filter(None, body.replace("\r\n", "\n").split("\n\n")), 1):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if "data" in fields:
            assert int(fields["id"]) == number
            found.append((fields["event"], json.loads(fields["data"])))
    return found


async def test_events_follow_the_counters_to_the_end(sender: Sender) -> None:
    await sender.contacts(4, "vip")
    sent = await sender.send({"tags": ["vip"]})
    path = f"/v1/group-messages/{sent}/progress"
    headers = {**sender.headers, **STREAM}
    listening = asyncio.create_task(sender.client.get(path, headers=headers))
    await sender.walk(sent)
    await sender.settle(sent)
    await sender.step(sent)
    answer = await listening
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = events_of(answer.text)
    assert [name for name, _ in events][-1] == "completed"
    assert {name for name, _ in events[:-1]} <= {"progress"}
    assert events[-1][1] == {
        "status": "completed",
        "progress": (await sender.show(sent))["progress"],
        "paused_because": None,
    }
    # Of one that has ended there is nothing to wait for.
    again = events_of((await sender.client.get(path, headers=headers)).text)
    assert again == events[-1:]


async def test_without_asking_for_a_stream_it_is_one_document(sender: Sender) -> None:
    sent = await sender.send({"addresses": ["+251911000150"]})
    answer = await sender.client.get(f"/v1/group-messages/{sent}/progress", headers={**sender.headers, "Accept": "*/*"})
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["failures"] == []


async def test_a_stream_ends_after_a_while_and_is_never_silent_for_long(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_stream, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr(progress_stream, "LONGEST_SECONDS", 0.3)
    draft = await sender.draft({"addresses": ["+251911000150"]})
    answer = await sender.client.get(f"/v1/group-messages/{draft}/progress", headers={**sender.headers, **STREAM})
    assert [name for name, _ in events_of(answer.text)] == ["progress"]
    assert ": nothing new" in answer.text


async def test_the_stream_of_a_draft_ends_when_it_is_deleted(sender: Sender) -> None:
    draft = await sender.draft({"addresses": ["+251911000150"]})
    path = f"/v1/group-messages/{draft}"
    listening = asyncio.create_task(sender.client.get(f"{path}/progress", headers={**sender.headers, **STREAM}))
    await asyncio.sleep(0)
    deleted = await sender.client.delete(path, headers=sender.headers)
    assert deleted.status_code == 204
    answer = await listening
    # Whichever of the two came first.
    assert answer.status_code == 404 or [name for name, _ in events_of(answer.text)] == ["progress"]


async def test_nobody_else_may_listen(sender: Sender, other: Registered) -> None:
    sent = await sender.send({"addresses": ["+251911000150"]})
    answer = await sender.client.get(f"/v1/group-messages/{sent}/progress", headers={**other["headers"], **STREAM})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_process_has_only_so_many_streams(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_stream, "MOST_STREAMS", 1)
    streams = ProgressStreams()

    async def look() -> Any:
        raise AssertionError("nobody looks before the first event was read")

    streams.check_room()
    first = GroupMessageStanding(
        status=GroupStatus.DRAFT, progress=msgspec.convert(NOTHING, GroupMessageCounts), paused_because=None
    )
    open_one = streams.events(first, look)
    await anext(open_one)
    with pytest.raises(Unavailable):
        streams.check_room()
    await open_one.aclose()  # type: ignore[attr-defined]
    streams.check_room()
