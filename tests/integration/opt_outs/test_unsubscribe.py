"""Links by which people unsubscribe: a page that asks, and one click that does (RFC 8058)."""

import asyncio
import base64
import hashlib
import re
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from app.domain.opt_outs.classes import ChannelClass, Topic
from app.domain.opt_outs.unsubscribe import Subscription, unsubscribe_headers, unsubscribe_token, unsubscribe_url
from app.lib.crypto import Envelope
from app.lib.ids import new_id
from app.settings import Settings
from tests.conftest import serve_app
from tests.integration.opt_outs.conftest import Desk

ADDRESS = "reader@example.com"
CLICK = {"List-Unsubscribe": "One-Click"}
OUT = [("email", ADDRESS, "marketing")]


@pytest.fixture
def subscription(desk: Desk) -> Subscription:
    return Subscription(desk.account_id, ChannelClass.EMAIL, ADDRESS, Topic.MARKETING, new_id())


@pytest.fixture
def path(envelope: Envelope, subscription: Subscription) -> str:
    return f"/v1/unsubscribe/{unsubscribe_token(envelope, subscription)}"


async def test_the_page_asks_and_changes_nothing(desk: Desk, path: str) -> None:
    for method in ("GET", "HEAD", "GET"):
        answer = await desk.client.request(method, path)
        assert answer.status_code == 200
        assert await desk.opt_outs() == []
    assert answer.headers["content-type"].startswith("text/html")
    assert ADDRESS in answer.text and "marketing messages" in answer.text
    assert '<form method="post">' in answer.text and "<button" in answer.text
    assert 'lang="en"' in answer.text and "viewport" in answer.text
    assert "<script" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "form-action 'self'" in policy
    style = re.search(r"<style>(.*)</style>", answer.text, re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("encoding", ["form", "multipart"])
async def test_one_click(desk: Desk, path: str, subscription: Subscription, encoding: str) -> None:
    sent: Any = {"data": CLICK} if encoding == "form" else {"files": {"List-Unsubscribe": (None, "One-Click")}}
    for _ in range(2):
        answer = await desk.client.post(path, **sent)
        assert answer.status_code == 200, answer.text
        assert "You are unsubscribed" in answer.text
    assert await desk.opt_outs() == OUT
    (opt_out,) = await desk.items("/opt-outs")
    assert (opt_out["source"], opt_out["message_id"]) == ("unsubscribe_link", str(subscription.message_id))
    assert await desk.ledger() == [("opted_out", ADDRESS, "marketing", "unsubscribe_link")]


async def test_many_clicks_at_once(desk: Desk, path: str) -> None:
    answers = await asyncio.gather(*(desk.client.post(path, data=CLICK) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await desk.ledger()) == 1


async def test_with_an_idempotency_key(desk: Desk, path: str) -> None:
    for _ in range(2):
        answer = await desk.client.post(path, data=CLICK, headers={"Idempotency-Key": "click"})
        assert (answer.status_code, "You are unsubscribed" in answer.text) == (200, True)
    assert await desk.opt_outs() == OUT


@pytest.mark.parametrize("body", [b"", b"List-Unsubscribe=No", b"x" * 5000 + b"One-Click", b"\xff\x00"])
async def test_another_post_is_asked_again(desk: Desk, path: str, body: bytes) -> None:
    answer = await desk.client.post(path, content=body)
    assert answer.status_code == 400
    assert "<button" in answer.text
    assert await desk.opt_outs() == []


async def test_a_broken_link_is_a_page_too(client: httpx.AsyncClient, path: str, envelope: Envelope) -> None:
    sealed = envelope.encrypt(b"\x95nonsense", "unsubscribe")
    elsewhere = envelope.encrypt(b"", "channel:x:credentials")
    broken = [
        path[:-1],
        path + "A",
        path[:-5] + "AAAAA",
        "/v1/unsubscribe/x",
        "/v1/unsubscribe/" + "A" * 3000,
        "/v1/unsubscribe/%00",
        "/v1/unsubscribe/%C3%A9",
        "/v1/unsubscribe/%F0%9F%9B%91",
        *(f"/v1/unsubscribe/{base64.urlsafe_b64encode(each).decode().rstrip('=')}" for each in (sealed, elsewhere)),
    ]
    for each in broken:
        for method in ("GET", "POST"):
            answer = await client.request(method, each, data=CLICK if method == "POST" else None)
            assert answer.status_code == 404, each
            assert "This link does not work" in answer.text, each
            assert "content-security-policy" in answer.headers


async def test_a_link_of_an_account_that_is_gone(client: httpx.AsyncClient, envelope: Envelope) -> None:
    token = unsubscribe_token(envelope, Subscription(new_id(), ChannelClass.EMAIL, ADDRESS))
    answer = await client.post(f"/v1/unsubscribe/{token}", data=CLICK)
    assert (answer.status_code, "This link does not work" in answer.text) == (404, True)


async def test_an_address_is_text_on_the_page(desk: Desk, envelope: Envelope) -> None:
    hostile = Subscription(desk.account_id, ChannelClass.EMAIL, "<script>alert(1)</script>@example.com")
    answer = await desk.client.get(f"/v1/unsubscribe/{unsubscribe_token(envelope, hostile)}")
    assert "<script" not in answer.text and "&lt;script&gt;" in answer.text


async def test_a_link_outlives_a_rotation_of_keys(desk: Desk, settings: Settings, path: str) -> None:
    new = "test-2:" + base64.b64encode(bytes(range(32, 64))).decode()
    rotated = msgspec.structs.replace(settings, encryption_keys=f"{new},{settings.encryption_keys}")
    async with serve_app(rotated) as client:
        assert (await client.post(path, data=CLICK)).status_code == 200
    assert await desk.opt_outs() == OUT


def test_headers_for_an_email(envelope: Envelope) -> None:
    account = UUID(int=7)
    url = unsubscribe_url(envelope, Subscription(account, ChannelClass.EMAIL, ADDRESS), "https://msg.example.com/")
    assert url.startswith("https://msg.example.com/v1/unsubscribe/")
    assert ADDRESS not in url and len(url) < 500
    assert unsubscribe_headers(url) == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
