"""`GET /v1/events`: everything once, in order, and only one's own."""

import asyncio
import secrets
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.domain.events.schemas import EventType, NewEvent
from app.domain.events.service import record_events
from app.lib.db import Database
from app.lib.ids import new_id
from tests.integration.events.conftest import settle


def event(who: dict[str, Any], subject: UUID | None = None, kind: EventType = EventType.CHANNEL_ERROR) -> NewEvent:
    return NewEvent(UUID(who["account"]["id"]), kind, subject or uuid4(), {"reason": "because"})


async def write(database: Database, *events: NewEvent) -> None:
    async with database.unit_of_work() as session:
        await record_events(session, events, new_id)


async def write_and_settle(database: Database, *events: NewEvent) -> None:
    await write(database, *events)
    await settle(database)


async def read(client: httpx.AsyncClient, who: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    answer = await client.get("/v1/events", params=parameters, headers=who["headers"])
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_pages_lead_through_everything_and_resume_where_they_ended(
    client: httpx.AsyncClient, registered: dict[str, Any], database: Database
) -> None:
    assert await read(client, registered) == {"items": [], "next_cursor": None, "resume_cursor": None}
    subjects = [uuid4() for _ in range(7)]
    for subject in subjects[:5]:
        await write(database, event(registered, subject))
    await write_and_settle(database, *(event(registered, subject) for subject in subjects[5:]))
    seen: list[str] = []
    page = await read(client, registered, limit=3)
    while True:
        seen += [each["subject_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        assert page["next_cursor"] == page["resume_cursor"]
        page = await read(client, registered, limit=3, cursor=page["next_cursor"])
    assert seen == [str(each) for each in subjects]
    resume = page["resume_cursor"]
    nothing = await read(client, registered, cursor=resume)
    assert (nothing["items"], nothing["next_cursor"], nothing["resume_cursor"]) == ([], None, resume)
    await write_and_settle(database, event(registered, late := uuid4()))
    assert [each["subject_id"] for each in (await read(client, registered, cursor=resume))["items"]] == [str(late)]


async def test_an_event_that_commits_late_is_never_skipped(
    client: httpx.AsyncClient, registered: dict[str, Any], database: Database
) -> None:
    await write_and_settle(database, event(registered, first := uuid4()))
    async with database.unit_of_work() as slow:
        # It has its id and its time before the others, and commits after them.
        await record_events(slow, [event(registered, late := uuid4())], new_id)
        await write(database, event(registered, early := uuid4()))
        page = await read(client, registered)
        assert [each["subject_id"] for each in page["items"]] == [str(first)], "the later one waits for the slow one"
        resume = page["resume_cursor"]
    await settle(database)
    rest = (await read(client, registered, cursor=resume))["items"]
    assert [each["subject_id"] for each in rest] == [str(late), str(early)]


async def test_a_reader_beside_many_writers_sees_each_event_once(
    client: httpx.AsyncClient, registered: dict[str, Any], database: Database
) -> None:
    subjects = {str(uuid4()) for _ in range(120)}
    left = set(subjects)

    async def writer() -> None:
        while left:
            async with database.unit_of_work() as session:
                for _ in range(secrets.randbelow(3) + 1):
                    if left:
                        await record_events(session, [event(registered, UUID(left.pop()))], new_id)
                        await asyncio.sleep(secrets.randbelow(5) / 1000)

    writers = asyncio.gather(*(writer() for _ in range(3)))
    seen: list[str] = []
    resume: dict[str, str] = {}
    async with asyncio.timeout(30):
        while len(seen) < len(subjects):
            page = await read(client, registered, limit=7, **resume)
            seen += [each["subject_id"] for each in page["items"]]
            if page["resume_cursor"]:
                resume = {"cursor": page["resume_cursor"]}
    await writers
    assert len(seen) == len(subjects)
    assert set(seen) == subjects


async def test_nobody_sees_anothers(
    client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any], database: Database
) -> None:
    subject = uuid4()
    await write_and_settle(database, event(registered, subject), event(other, subject))
    for who in (registered, other):
        items = (await read(client, who, subject_id=str(subject)))["items"]
        assert [each["account_id"] for each in items] == [who["account"]["id"]]
    assert (await client.get("/v1/events")).status_code == 401


async def test_filters_and_shape(client: httpx.AsyncClient, registered: dict[str, Any], database: Database) -> None:
    subject = uuid4()
    await write_and_settle(database, event(registered), event(registered, subject, EventType.CHANNEL_CONNECTED))
    page = await read(client, registered, type="channel.connected", include="total")
    assert page["total"] == 1
    (found,) = page["items"]
    assert found.keys() == {"id", "account_id", "type", "subject_id", "data", "created_at", "updated_at"}
    assert (found["type"], found["subject_id"], found["data"]) == (
        "channel.connected",
        str(subject),
        {"reason": "because"},
    )
    since = {"created_at[gte]": found["created_at"], "subject_id": str(subject), "type[startswith]": "channel."}
    assert (await read(client, registered, **since))["items"] == [found]
    assert (await read(client, registered, sort="-position", limit=1))["items"] == [found]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"sort": "created_at"}, "unknown_sort"),
        ({"kind": "x"}, "unknown_filter"),
        ({"limit": "0"}, "bad_limit"),
        ({"cursor": "x"}, "bad_cursor"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    client: httpx.AsyncClient, registered: dict[str, Any], parameters: dict[str, str], code: str
) -> None:
    answer = await client.get("/v1/events", params=parameters, headers=registered["headers"])
    assert (answer.status_code, answer.json()["code"]) == (400, code)
