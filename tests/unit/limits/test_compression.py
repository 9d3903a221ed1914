"""When an answer is compressed."""

import gzip

import pytest

from app.api.compression import IN_THREAD_BYTES, accepts_gzip, compress, compressible


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (b"gzip", True),
        (b"deflate, GZIP;q=1.0, *;q=0.5", True),
        (b"br, x-gzip", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"gzip;q=x", False),
        (b"gzipped", False),
        (b"br;gzip", False),
        (b"*", False),
        (b"identity", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_whether_the_client_takes_it(header: bytes, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("media_type", "worthwhile"),
    [
        (b"application/json", True),
        (b"application/problem+json", True),
        (b"text/html; charset=utf-8", True),
        (b"text/csv", True),
        (b"text/event-stream", False),
        (b"image/png", False),
        (b"application/jsonp", False),
        (b"application/octet-stream", False),
    ],
)
def test_what_is_worth_it(media_type: bytes, worthwhile: bool) -> None:
    assert compressible(media_type) is worthwhile


@pytest.mark.parametrize("length", [0, 2_000, IN_THREAD_BYTES + 1])
async def test_it_comes_out_as_it_went_in(length: int) -> None:
    body = b"0123456789"[: length % 10] + b"0123456789" * (length // 10)
    assert gzip.decompress(await compress(body)) == body
