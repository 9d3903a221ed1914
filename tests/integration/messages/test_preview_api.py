"""Looking at a text before it is sent."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Preview = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def preview(client: httpx.AsyncClient, registered: dict[str, Any]) -> Preview:
    async def post(text: str = "Hello", **more: Any) -> httpx.Response:
        return await client.post("/v1/messages/preview", json={"text": text, **more}, headers=registered["headers"])

    return post


@pytest.fixture
def smpp(client: httpx.AsyncClient, registered: dict[str, Any]) -> Callable[..., Awaitable[str]]:
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


async def test_a_plain_text(preview: Preview) -> None:
    answer = await preview("Hello {you}")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "text": "Hello {you}",
        "encoding": "gsm7",
        "segments": 1,
        "length": 13,
        "per_segment": 160,
        "warnings": [],
        "replacements": [],
        "parts": ["Hello {you}"],
        "cost": None,
    }


async def test_a_character_outside_the_alphabet_is_named_with_what_could_replace_it(preview: Preview) -> None:
    text = "It is twelve’ " + "x" * 57
    shown = (await preview(text, channel_type="smpp")).json()
    assert (shown["encoding"], shown["segments"], shown["length"], shown["per_segment"]) == ("ucs2", 2, 71, 67)
    assert shown["warnings"] == [{"index": 12, "character": "’", "code": "not_gsm7", "suggestion": "'"}]
    assert shown["parts"] == [text[:67], text[67:]]
    nothing_close = (await preview("日")).json()
    assert nothing_close["warnings"][0]["suggestion"] is None


async def test_parts_never_split_a_character(preview: Preview) -> None:
    shown = (await preview("a" * 152 + "€" + "b" * 9)).json()
    assert shown["parts"] == ["a" * 152, "€" + "b" * 9]
    shown = (await preview("日" * 66 + "😀" + "日" * 5)).json()
    assert shown["parts"] == ["日" * 66, "😀" + "日" * 5]


async def test_text_is_shown_in_nfc(preview: Preview) -> None:
    shown = (await preview("e\u0301")).json()
    assert (shown["text"], shown["encoding"]) == ("é", "gsm7")


@pytest.mark.parametrize(
    ("config", "text", "expected"),
    [
        ({"long_message": "udh16"}, "a" * 305, ("gsm7", 3, 305, 152)),
        ({"long_message": "payload"}, "a" * 305, ("gsm7", 2, 305, 153)),
        ({"national_language": "turkish"}, "ş" * 155, ("gsm7", 1, 155, 155)),
        ({"default_alphabet": "ucs2"}, "a" * 71, ("ucs2", 2, 71, 67)),
        ({"default_alphabet": "latin1"}, "é€", ("ucs2", 1, 2, 70)),
        ({"gsm7_packed": True}, "a" * 161, ("gsm7", 2, 161, 153)),
        ({"ucs2_byte_order": "little"}, "日本", ("ucs2", 1, 2, 70)),
    ],
)
async def test_a_channels_own_options_count(
    preview: Preview,
    smpp: Callable[..., Awaitable[str]],
    config: dict[str, Any],
    text: str,
    expected: tuple[str, int, int, int],
) -> None:
    answer = await preview(text, channel_id=await smpp(**config))
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["encoding"], shown["segments"], shown["length"], shown["per_segment"]) == expected
    assert "".join(shown["parts"]) == text
    assert len(shown["parts"]) == shown["segments"]


async def test_a_channel_that_substitutes_says_what_it_replaces(
    preview: Preview, smpp: Callable[..., Awaitable[str]]
) -> None:
    shown = (await preview("It’s ok…", channel_id=await smpp(substitute_characters=True))).json()
    assert (shown["text"], shown["encoding"], shown["warnings"]) == ("It's ok...", "gsm7", [])
    assert shown["replacements"] == [
        {"index": 2, "character": "’", "replacement": "'"},
        {"index": 7, "character": "…", "replacement": "..."},
    ]


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"text": ""}, "/text", "wrong_length"),
        ({"text": "a\u0000b"}, "/text", "not_allowed"),
        ({"text": None}, "/text", "wrong_type"),
        ({"text": "a" * 4097}, "/text", "wrong_length"),
        # Normalised, this character becomes three of two units each.
        ({"text": "\U0001d160" * 4096}, "/text", "too_long"),
        ({"channel_type": "pigeon"}, "/channel_type", "not_allowed"),
        ({"channel_id": "0199aaaa-0000-7000-8000-000000000000"}, "/channel_id", "not_found"),
        ({"channel_id": "12"}, "/channel_id", "not_uuid"),
        ({"colour": "red"}, "/colour", "unknown_field"),
    ],
)
async def test_bad_values_are_refused_with_a_pointer(
    preview: Preview, change: dict[str, Any], pointer: str, code: str
) -> None:
    answer = await preview(**change)
    assert answer.status_code == 422, answer.text
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, code)]


async def test_a_lone_surrogate_is_refused(client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
    headers = {**registered["headers"], "content-type": "application/json"}
    answer = await client.post("/v1/messages/preview", content=b'{"text": "a\\ud83d"}', headers=headers)
    assert answer.status_code in (400, 422), answer.text


async def test_a_channel_of_another_type_or_tenant_is_refused(
    client: httpx.AsyncClient, other: dict[str, Any], preview: Preview, smpp: Callable[..., Awaitable[str]]
) -> None:
    channel = await smpp()
    answer = await preview(channel_id=channel, channel_type="sandbox")
    assert answer.json()["errors"][0]["pointer"] == "/channel_type"
    assert (await preview(channel_id=channel, channel_type="smpp")).status_code == 200
    body = {"text": "Hello", "channel_id": channel}
    foreign = await client.post("/v1/messages/preview", json=body, headers=other["headers"])
    assert (foreign.status_code, foreign.json()["errors"][0]["code"]) == (422, "not_found")


async def test_a_long_text_is_counted_although_it_could_not_be_sent(preview: Preview) -> None:
    assert (await preview("a" * 4096)).json()["segments"] == 27


async def test_nobody_previews_without_signing_in(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/messages/preview", json={"text": "Hello"})).status_code == 401
