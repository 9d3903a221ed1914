"""Options of a short message: what is accepted, what is refused and where, and what reaches the sender."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.messages.events import SmsOptions, decode_dispatch, decode_sms_options
from app.lib.broker import dispatch_queue
from app.lib.db import Database

Post = Callable[..., Awaitable[httpx.Response]]
DLT = {
    "dlt_entity": {"tag": 0x1400, "required": True},
    "dlt/template": {"tag": 0x1401},
    "grade": {"tag": 0x1402, "kind": "integer_1"},
}


@pytest.fixture
async def smpp(client: httpx.AsyncClient, registered: dict[str, Any]) -> Callable[..., Awaitable[str]]:
    async def create(**config: Any) -> str:
        body = {
            "name": "Operator",
            "type": "smpp",
            "config": {"hosts": [{"host": "127.0.0.1", "port": 2775}], **config},
            "credentials": {"system_id": "demo", "password": "secret"},
        }
        created = await client.post("/v1/channels", json=body, headers=registered["headers"])
        assert created.status_code == 201, created.text
        return str(created.json()["id"])

    return create


@pytest.fixture
def post(client: httpx.AsyncClient, registered: dict[str, Any]) -> Post:
    async def send(channel: str, **more: Any) -> httpx.Response:
        body = {"channel_id": channel, "to": "+251911000100", **more}
        return await client.post("/v1/messages", json=body, headers=registered["headers"])

    return send


async def dispatched(database: Database, channel: str) -> list[SmsOptions | None]:
    """The options of what is on its way to a channel's sender."""
    async with database.reading() as session:
        rows = await session.execute(
            text("SELECT body FROM outbox WHERE queue = :queue ORDER BY id"),
            {"queue": dispatch_queue(UUID(channel), "high")},
        )
        messages = [message for row in rows for message in decode_dispatch(row.body).messages]
    return [None if message.sms is None else decode_sms_options(message.sms) for message in messages]


def pointers(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return sorted((error["pointer"], error["code"]) for error in answer.json()["errors"])


async def test_data_with_a_header_is_stored_and_shown_as_it_was_written(
    client: httpx.AsyncClient, registered: dict[str, Any], smpp: Any, post: Post, database: Database
) -> None:
    channel = await smpp()
    content = {"data": "DEADbeef", "udh": "0605040B8423F0", "data_coding": 245, "tlvs": [{"tag": 5121, "value": "00"}]}
    answer = await post(channel, content=content)
    assert answer.status_code == 201, answer.text
    message = (await client.get(f"/v1/messages/{answer.json()['id']}", headers=registered["headers"])).json()
    assert (message["text"], message["encoding"], message["segments"]) == ("", "binary", 1)
    assert message["content"] == content | {"data": "deadbeef", "udh": "0605040b8423f0"}
    assert await dispatched(database, channel) == [
        SmsOptions(b"\xde\xad\xbe\xef", bytes.fromhex("0605040b8423f0"), 245, tlvs=((5121, b"\0"),))
    ]


async def test_a_flash_message_and_one_without_options(smpp: Any, post: Post, database: Database) -> None:
    channel = await smpp()
    flash = await post(channel, text="Now", content={"flash": True, "priority": 3, "service_type": "CMT"})
    assert flash.json()["content"] == {"flash": True, "priority": 3, "service_type": "CMT"}
    assert (await post(channel, text="Plain")).status_code == 201
    assert (await post(channel, text="Plain", content=None)).status_code == 201
    assert (await post(channel, text="Plain", content={})).status_code == 201
    assert await dispatched(database, channel) == [
        SmsOptions(flash=True, priority=3, service_type="CMT"),
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/text", "missing_field")]),
        ({"content": {"flash": True}}, [("/text", "missing_field")]),
        ({"text": "x", "content": {"data": "00"}}, [("/content/data", "not_allowed")]),
        ({"text": "x", "content": {"udh": "00"}}, [("/content", "not_allowed")]),
        ({"text": "x", "content": {"data_coding": 4}}, [("/content", "not_allowed")]),
        ({"content": {"data": "00", "udh": "0605"}}, [("/content/udh", "invalid_value")]),
        ({"content": {"data": "00" * 138, "udh": "0201ff"}}, [("/content/data", "too_long")]),
        ({"content": {"data": "00", "data_coding": 4, "flash": True}}, [("/content/flash", "not_allowed")]),
        (
            {"text": "x", "content": {"tlvs": [{"tag": 1, "value": ""}, {"tag": 0x424, "value": "00"}]}},
            [("/content/tlvs/1/tag", "not_allowed")],
        ),
        ({"text": "x", "content": {"priority": 4}}, [("/content/priority", "out_of_range")]),
        ({"content": {"data": "0g"}}, [("/content/data", "wrong_format")]),
        ({"content": {"data": "000"}}, [("/content/data", "wrong_format")]),
        ({"text": "x", "content": {"service_type": "TOOLONG"}}, [("/content/service_type", "wrong_length")]),
        ({"text": "x", "content": {"unknown": 1}}, [("/content/unknown", "unknown_field")]),
        ({"text": "x", "content": {"tlvs": [{"tag": 65536, "value": ""}]}}, [("/content/tlvs/0/tag", "out_of_range")]),
    ],
)
async def test_what_contradicts_itself_is_refused_where_it_stands(
    smpp: Any, post: Post, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert pointers(await post(await smpp(), **body)) == expected


async def test_a_channel_that_sends_texts_only_takes_no_options(sandbox: str, post: Post) -> None:
    assert pointers(await post(sandbox, text="x", content={"flash": True})) == [("/content", "not_allowed")]


async def test_metadata_becomes_the_parameters_the_channel_makes_of_it(
    client: httpx.AsyncClient, registered: dict[str, Any], smpp: Any, post: Post, database: Database
) -> None:
    channel = await smpp(metadata_tlvs=DLT)
    metadata = {"dlt_entity": "1101", "dlt/template": 12345, "grade": 7, "else": "kept"}
    answer = await post(channel, text="Hello", metadata=metadata)
    assert answer.status_code == 201, answer.text
    message = (await client.get(f"/v1/messages/{answer.json()['id']}", headers=registered["headers"])).json()
    assert (message["metadata"], message["content"]) == (metadata, None)
    own = {"tlvs": [{"tag": 0x1400, "value": "00"}]}
    assert (await post(channel, text="Hello", content=own)).status_code == 201
    assert await dispatched(database, channel) == [
        SmsOptions(metadata_tlvs=((0x1400, b"1101\0"), (0x1401, b"12345\0"), (0x1402, b"\x07"))),
        SmsOptions(tlvs=((0x1400, b"\0"),)),
    ]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, [("/metadata/dlt_entity", "missing_field")]),
        ({"dlt_entity": True}, [("/metadata/dlt_entity", "invalid_value")]),
        ({"dlt_entity": {"id": 1}}, [("/metadata/dlt_entity", "invalid_value")]),
        ({"dlt_entity": "日本"}, [("/metadata/dlt_entity", "invalid_value")]),
        ({"dlt_entity": "x" * 513}, [("/metadata/dlt_entity", "invalid_value")]),
        ({"dlt_entity": "1", "grade": 256}, [("/metadata/grade", "invalid_value")]),
        (
            {"dlt/template": 1.5, "grade": "x"},
            [
                ("/metadata/dlt_entity", "missing_field"),
                ("/metadata/dlt~1template", "invalid_value"),
                ("/metadata/grade", "invalid_value"),
            ],
        ),
    ],
)
async def test_metadata_that_makes_no_parameter_is_refused_where_it_stands(
    smpp: Any, post: Post, metadata: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert pointers(await post(await smpp(metadata_tlvs=DLT), text="Hello", metadata=metadata)) == expected


async def test_a_batch_refuses_only_the_message_that_lacks_something(
    client: httpx.AsyncClient, registered: dict[str, Any], smpp: Any
) -> None:
    channel = await smpp(metadata_tlvs=DLT)
    base = {"channel_id": channel, "to": "+251911000100", "text": "Hello"}
    messages = [base | {"metadata": {"dlt_entity": "1"}}, base]
    answer = await client.post("/v1/messages/batch", json={"messages": messages}, headers=registered["headers"])
    assert [item["status"] for item in answer.json()["items"]] == [201, 422]


@pytest.mark.parametrize(
    ("config", "body", "expected"),
    [
        ({}, "x" * 306, ("gsm7", 2)),
        ({"long_message": "udh16"}, "x" * 306, ("gsm7", 3)),
        ({"long_message": "udh16"}, "ሰ" * 134, ("ucs2", 3)),
        ({"default_alphabet": "ucs2"}, "x" * 71, ("ucs2", 2)),
        ({"default_alphabet": "ascii"}, "£" * 71, ("ucs2", 2)),
        ({}, "ğış" * 30, ("ucs2", 2)),
        ({"national_language": "turkish"}, "ğış" * 54, ("gsm7", 2)),
        ({"national_language": "turkish"}, "ğış" * 20, ("gsm7", 1)),
        ({}, "It’s " * 20, ("ucs2", 2)),
        ({"substitute_characters": True}, "It’s " * 20, ("gsm7", 1)),
        ({"long_message": "payload"}, "x" * 306, ("gsm7", 2)),
    ],
)
async def test_segments_are_counted_as_the_channel_sends_them(
    smpp: Any, post: Post, config: dict[str, Any], body: str, expected: tuple[str, int]
) -> None:
    answer = await post(await smpp(**config), text=body)
    assert answer.status_code == 201, answer.text
    message = answer.json()
    assert (message["encoding"], message["segments"], message["text"]) == (*expected, body)


@pytest.mark.parametrize(
    "config",
    [
        {"tlvs": [{"tag": 5120, "value": "xyz", "kind": "hex"}]},
        {"tlvs": [{"tag": 5120, "value": "300", "kind": "integer_1"}]},
        {"tlvs": [{"tag": 0x20C, "value": "1"}]},
        {"metadata_tlvs": {"x": {"tag": 0x424}}},
    ],
)
async def test_a_channel_cannot_have_parameters_that_cannot_be_written(
    client: httpx.AsyncClient, registered: dict[str, Any], config: dict[str, Any]
) -> None:
    body = {
        "name": "Operator",
        "type": "smpp",
        "config": {"hosts": [{"host": "127.0.0.1", "port": 2775}], **config},
        "credentials": {"system_id": "demo"},
    }
    answer = await client.post("/v1/channels", json=body, headers=registered["headers"])
    (pointer, _), *_ = pointers(answer)
    assert pointer.startswith(f"/config/{next(iter(config))}")
