"""What the HTTP server and the application refuse before they read it all, over a real connection."""

import asyncio

import httpx
import pytest

from app.lib.environment import BadEnvironment
from app.settings import read_settings
from tests.integration.limits.served import served

ANSWER_SECONDS = 10.0


async def exchange(port: int, *parts: bytes) -> tuple[int, bytes]:
    """Send raw bytes; the status and all that comes until the server closes or has answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                for part in parts:
                    writer.write(part)
                    await writer.drain()
            except ConnectionError:
                # It has seen enough; what it said is still to be read.
                pass
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            return int(head.split()[1]), head + await reader.readexactly(length)
    finally:
        writer.close()


async def test_bounds(environment: dict[str, str]) -> None:
    async with served(environment, 1, api_body_limit_kibibytes="64") as url:
        port = httpx.URL(url).port
        assert port is not None
        get, host = b"GET /v1/channels", b"Host: turumba.test\r\n"
        post = b"POST /v1/auth/login HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"
        chunk = b"4000\r\n" + b"[" * 0x4000 + b"\r\n"

        status, answer = await exchange(port, post, b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
        assert (status, b'"code":"body_too_large"' in answer) == (413, True), "more than 64 KiB in chunks"

        status, answer = await exchange(port, post, b"Content-Length: 1000000\r\n\r\n", b"[" * 100)
        assert (status, b'"code":"body_too_large"' in answer) == (413, True), "announced, and not waited for"

        status, answer = await exchange(port, get + b"?q=" + b"a" * 20_000 + b" HTTP/1.1\r\n" + host + b"\r\n")
        assert (status, b'"code":"url_too_long"' in answer) == (414, True)

        status, _ = await exchange(port, get + b"?q=" + b"a" * 70_000 + b" HTTP/1.1\r\n" + host + b"\r\n")
        assert status == 414, "by the server itself"

        head = get + b" HTTP/1.1\r\n" + host
        status, answer = await exchange(port, head + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n")
        assert (status, b'"code":"headers_too_large"' in answer) == (431, True)

        many = b"".join(b"x-%d: a\r\n" % number for number in range(150))
        status, _ = await exchange(port, head + many + b"\r\n")
        assert status == 431, "by the server itself"

        async with httpx.AsyncClient(base_url=url) as client:
            answer_to_head = await client.head("/v1/docs")
            assert answer_to_head.status_code == 200
            assert answer_to_head.headers["content-length"] == str(len((await client.get("/v1/docs")).content))
            stream = await client.head("/v1/docs/assets/swagger-ui-bundle.js")
            assert (stream.status_code, stream.content) == (200, b"")
            for answered in (answer_to_head, stream, await client.get("/nothing")):
                assert not any(digit.isdigit() for digit in answered.headers.get("server", ""))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TURUMBA_API_TRUSTED_PROXIES", "10.0.0.1/8"), ("TURUMBA_API_CORS_ORIGINS", "https://app.example.com/")],
)
async def test_a_wrong_list_is_told_at_the_start(environment: dict[str, str], variable: str, value: str) -> None:
    with pytest.raises(BadEnvironment, match=f"{variable}: '{value}'"):
        read_settings({**environment, variable: value})
