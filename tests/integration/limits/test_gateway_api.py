"""What every answer of the API carries, whatever it answers, and what no handler gets to see."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings, read_settings
from tests.conftest import register, serve_app
from tests.integration.limits.conftest import store_key

PAGE = "https://console.example.com"
PROXY, CLIENT = "10.1.2.3", "203.0.113.7"


@asynccontextmanager
async def api(environment: dict[str, str], **settings: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API with other settings than the tests usually have; HTTP comes from 127.0.0.1."""
    variables = {f"TURUMBA_{name.upper()}": value for name, value in settings.items()}
    async with serve_app(read_settings({**environment, **variables})) as client:
        yield client


ANSWERS = {
    "public": ("GET", "/health/live", 200),
    "unknown path": ("GET", "/nothing", 404),
    "wrong method": ("DELETE", "/health/live", 405),
    "no token": ("GET", "/v1/channels", 401),
    "compressed body": ("POST", "/v1/auth/login", 415),
    "page": ("GET", "/v1/docs", 200),
}


class TestHeaders:
    @pytest.mark.parametrize(("method", "path", "status"), ANSWERS.values(), ids=ANSWERS)
    async def test_of_every_answer(self, client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
        headers = {"Content-Encoding": "gzip"} if status == 415 else {}
        answer = await client.request(method, path, headers={**headers, "X-Request-Id": "mine-1"})
        assert answer.status_code == status
        assert answer.headers.get_list("x-request-id") == ["mine-1"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers, "the address is plain http"
        assert "access-control-allow-origin" not in answer.headers
        if status >= 400:
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["request_id"] == "mine-1"
            assert int(answer.headers["ratelimit-limit"]) > 0, "counted on the address"

    async def test_strict_transport_security_with_https(self, environment: dict[str, str]) -> None:
        async with api(environment, public_url="https://turumba.test") as client:
            answer = await client.get("/health/live")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"

    async def test_the_docs_need_no_inline_script(self, client: httpx.AsyncClient) -> None:
        page = await client.get("/v1/docs")
        assert "script-src 'self';" in page.headers["content-security-policy"]
        assert "<script>" not in page.text
        for source in ("/v1/docs/start.js", "/v1/docs/assets/swagger-ui-bundle.js"):
            assert f'<script src="{source}"></script>' in page.text
            script = await client.get(source)
            assert (script.status_code, script.headers["content-type"].partition(";")[0]) == (200, "text/javascript")

    async def test_head_is_get_without_its_content(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        for path in ("/v1/context", "/v1/docs/assets/swagger-ui.css"):
            get = await client.get(path, headers=registered["headers"])
            head = await client.head(path, headers=registered["headers"])
            assert (head.status_code, head.content) == (200, b"")
            for name in ("content-type", "content-length", "etag"):
                assert head.headers.get(name) == get.headers.get(name)
        assert (await client.head("/v1/auth/login")).status_code == 405

    async def test_what_a_route_allows(self, client: httpx.AsyncClient) -> None:
        answer = await client.put("/v1/context")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
        options = await client.options("/v1/context")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


class TestLimits:
    async def test_a_caller_sees_the_tightest(
        self, environment: dict[str, str], database_url: str, registered: dict[str, Any]
    ) -> None:
        limits = {"limits_credential_per_minute": "120", "limits_account_per_minute": "60", "limits_burst_seconds": "2"}
        key = await store_key(database_url, registered["account"]["id"])
        async with api(environment, **limits) as client:
            first = await client.get("/v1/context/basic", headers=key)
            assert first.headers["ratelimit-limit"] == "60"
            assert first.headers["ratelimit-policy"] == "60;w=60;burst=2"
            assert first.headers["ratelimit-remaining"] == "1"
            assert first.headers["ratelimit-reset"] == "1"
            refused = [await client.get("/v1/context/basic", headers=key) for _ in range(5)][-1]
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit-remaining"] == "0"
        assert refused.json()["code"] == "too_many_requests"

    async def test_strangers_are_counted_by_their_address(self, environment: dict[str, str]) -> None:
        async with api(environment, limits_address_per_minute="6", limits_burst_seconds="60") as client:
            answers = [
                await client.get("/nothing"),
                await client.get("/v1/channels"),
                await client.get("/v1/channels", headers={"Authorization": "Bearer tk_wrong"}),
                await client.delete("/v1/context"),
                await client.post("/v1/auth/login", content=b"{"),
                await client.post("/v1/auth/login", headers={"Content-Encoding": "br"}),
            ]
            assert [answer.status_code for answer in answers] == [404, 401, 401, 405, 400, 415]
            assert [answer.headers["ratelimit-remaining"] for answer in answers] == list("543210")
            for path in ("/nothing", "/v1/channels"):
                assert (await client.get(path)).status_code == 429
            assert (await client.post("/v1/auth/login", content=b"{")).json()["code"] == "too_many_requests"
            for path in ("/health/live", "/metrics", "/.well-known/jwks.json", "/v1/docs", "/v1/openapi.json"):
                answer = await client.get(path)
                assert answer.status_code == 200
                assert "ratelimit-limit" not in answer.headers

    async def test_a_valid_credential_is_not_its_address(
        self, environment: dict[str, str], registered: dict[str, Any]
    ) -> None:
        async with api(environment, limits_address_per_minute="1", limits_burst_seconds="60") as client:
            for _ in range(3):
                await client.get("/nothing")
            assert (await client.get("/nothing")).status_code == 429
            assert (await client.get("/v1/context", headers=registered["headers"])).status_code == 200


class TestCors:
    PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}

    async def test_a_page_that_is_listed(self, environment: dict[str, str]) -> None:
        async with api(environment, api_cors_origins=f"{PAGE}, http://localhost:5173") as client:
            asked = await client.options("/v1/messages", headers=self.PREFLIGHT)
            assert asked.status_code == 204
            assert asked.headers["access-control-allow-origin"] == PAGE
            assert "POST" in asked.headers["access-control-allow-methods"]
            allowed = asked.headers["access-control-allow-headers"].lower().split(", ")
            assert {"authorization", "content-type", "idempotency-key", "if-match", "x-account-id"} <= set(allowed)
            assert asked.headers["vary"].startswith("Origin")
            assert "access-control-allow-credentials" not in asked.headers
            for path in ("/health/live", "/nothing", "/v1/channels"):
                answer = await client.get(path, headers={"Origin": PAGE})
                assert answer.headers["access-control-allow-origin"] == PAGE
                exposed = answer.headers["access-control-expose-headers"].lower()
                assert all(name in exposed for name in ("etag", "ratelimit-remaining", "retry-after", "x-request-id"))
                assert "Origin" in answer.headers["vary"]

    async def test_other_pages_and_no_pages(self, environment: dict[str, str]) -> None:
        async with api(environment, api_cors_origins=PAGE) as client:
            for origin in (f"{PAGE}.evil.example", "http://console.example.com", "null"):
                asked = await client.options("/v1/messages", headers={**self.PREFLIGHT, "Origin": origin})
                answer = await client.get("/health/live", headers={"Origin": origin})
                assert not any(name.startswith("access-control") for name in (*asked.headers, *answer.headers))
                assert "Origin" in answer.headers["vary"], "or a cache gives it to the page that may read it"

    async def test_every_page(self, environment: dict[str, str]) -> None:
        async with api(environment, api_cors_origins="*") as client:
            asked = await client.options("/v1/messages", headers=self.PREFLIGHT)
            answer = await client.get("/nothing", headers={"Origin": PAGE})
        assert asked.headers["access-control-allow-origin"] == answer.headers["access-control-allow-origin"] == "*"

    async def test_it_is_off(self, client: httpx.AsyncClient) -> None:
        asked = await client.options("/v1/messages", headers=self.PREFLIGHT)
        assert not any(name.startswith("access-control") for name in asked.headers)


class TestCompression:
    async def test_long_json_when_it_is_wanted(self, client: httpx.AsyncClient) -> None:
        plain = await client.get("/v1/openapi.json", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/v1/openapi.json", headers={"Accept-Encoding": "br;q=1, gzip;q=0.8"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert packed.headers["etag"] == plain.headers["etag"]
        assert int(packed.headers["content-length"]) < len(plain.content) / 4
        for answer in (plain, packed):
            assert "Accept-Encoding" in answer.headers["vary"]
        async with client.stream("GET", "/v1/openapi.json", headers={"Accept-Encoding": "gzip"}) as raw:
            assert gzip.decompress(b"".join([part async for part in raw.aiter_raw()])) == plain.content

    async def test_short_answers_stay_as_they_are(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/health/live", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers


class TestAddresses:
    async def test_a_key_for_some_networks_behind_a_proxy(
        self, environment: dict[str, str], database_url: str, registered: dict[str, Any]
    ) -> None:
        key = await store_key(database_url, registered["account"]["id"], f"{CLIENT}/32")
        path = "/v1/context/basic"
        async with api(environment, api_trusted_proxies="127.0.0.0/8, 10.0.0.0/8") as client:
            through = {**key, "X-Forwarded-For": f"192.0.2.1, {CLIENT}, {PROXY}"}
            assert (await client.get(path, headers=through)).status_code == 200
            claimed = {**key, "X-Forwarded-For": f"{CLIENT}, 192.0.2.1, {PROXY}"}
            assert (await client.get(path, headers=claimed)).json()["code"] == "address_not_allowed"
        async with api(environment) as client:
            assert (await client.get(path, headers=through)).json()["code"] == "address_not_allowed"


async def test_headers_of_inner_services_do_not_come_in(settings: Settings) -> None:
    seen: list[tuple[bytes, bytes]] = []
    app = create_app(settings)
    handler: Any = app.asgi_handler

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    handler._app = inner
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://turumba.test") as client:  # type: ignore[arg-type]
        await client.get(
            "/v1/channels",
            headers={
                "X-Account-Ids": "1",
                "X-Role-Ids": "2",
                "X-Turumba-User": "3",
                "X-Account-Id": "4",
                "X-Accounting": "5",
            },
        )
    assert {name for name, _ in seen if name.startswith(b"x-")} == {b"x-account-id", b"x-accounting"}


async def test_registering_still_works_through_it_all(client: httpx.AsyncClient) -> None:
    person = await register(client)
    answer = await client.get("/v1/context", headers=person["headers"])
    assert answer.headers["ratelimit-policy"] == "120000;w=60;burst=20000"
