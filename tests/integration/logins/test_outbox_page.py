"""The page that shows mails to who has no SMTP server."""

import secrets

import httpx
import msgspec

from app.domain.mails.service import queue_mail
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from app.settings import Settings
from tests.conftest import register, serve_app
from tests.integration.logins.conftest import CodeFor


async def test_the_page_is_there_only_where_it_was_asked_for(client: httpx.AsyncClient) -> None:
    answer = await client.get("/local/outbox")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    nothing = await client.get("/local/nothing")
    assert answer.json()["detail"] == nothing.json()["detail"]
    assert "/local/outbox" not in (await client.get("/v1/openapi.json")).text


async def test_the_page_shows_codes_and_runs_nothing(
    settings: Settings, database: Database, envelope: Envelope, code_for: CodeFor
) -> None:
    shown = msgspec.structs.replace(settings, mail=msgspec.structs.replace(settings.mail, outbox_page=True))
    async with serve_app(shown) as client:
        someone = await register(client)
        mark = secrets.token_hex(4)
        async with database.unit_of_work() as session:
            await queue_mail(
                session,
                envelope,
                new_id,
                to=f"{mark}@example.com",
                subject=f"<b>{mark}</b>",
                body=f"<script>alert('{mark}')</script> https://turumba.test/x?a=1&b=\"{mark} end",
            )
            await queue_mail(
                session, Envelope({"lost": bytes(32)}), new_id, to="x@example.com", subject=f"Lost {mark}", body="?"
            )
        answer = await client.get("/local/outbox")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert await code_for(someone["user"]["email"]) in answer.text
    assert someone["user"]["email"] in answer.text
    assert f"&lt;b&gt;{mark}&lt;/b&gt;" in answer.text
    assert "<script" not in answer.text
    assert '<a href="https://turumba.test/x?a=1&amp;b=">' in answer.text
    assert f"Lost {mark}" in answer.text
    assert "not sent: no SMTP server is configured" in answer.text
