"""HTTP to AWS with an end: in time, in size, and never to another address than the one that was asked."""

import asyncio

import httpx

from app.lib.errors import AppError


class NoAnswer(AppError):
    """There was no usable answer: no connection, no time left, or too much of it. Holds nothing that was sent."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
    retryable = True


async def fetch(
    http: httpx.AsyncClient, request: httpx.Request, *, seconds: float, max_bytes: int
) -> tuple[int, bytes]:
    """Status and body of the answer to `request`; raises `NoAnswer`. Follows and unpacks nothing."""
    try:
        # httpx's own deadlines are for each read: a server that drips a byte now and then would never meet them.
        async with asyncio.timeout(seconds):
            response = await http.send(request, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > max_bytes:
                        raise NoAnswer(f"more than {max_bytes} bytes", retry_after=5.0)
                return response.status_code, bytes(body)
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        # The class only: the text of an error may quote the request.
        raise NoAnswer(type(error).__name__, retry_after=5.0) from error
