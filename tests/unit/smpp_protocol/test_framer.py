"""Cutting the stream, whatever the pieces and whatever the garbage."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.codec import HEADER, encode
from smpp_daemon.protocol.constants import CommandId
from smpp_daemon.protocol.errors import FramingError
from smpp_daemon.protocol.framer import Framer
from smpp_daemon.protocol.pdu import EnquireLink, SubmitSm

STREAM = b"".join(encode(SubmitSm(short_message=b"x" * size), size) for size in (0, 1, 100)) + encode(EnquireLink(), 9)


def sequences(framer: Framer, data: bytes) -> list[int]:
    buffer, frames = framer.feed(data)
    offset = 0
    for frame in frames:
        assert HEADER.unpack_from(buffer, offset) == frame
        offset += frame[0]
    return [frame[3] for frame in frames]


def test_one_read_with_many_pdus() -> None:
    assert sequences(Framer(), STREAM) == [0, 1, 100, 9]


def test_one_octet_at_a_time() -> None:
    framer = Framer()
    seen = [number for octet in STREAM for number in sequences(framer, bytes((octet,)))]
    assert seen == [0, 1, 100, 9]
    assert framer.buffered == 0


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_pieces(cuts: list[int]) -> None:
    framer = Framer()
    edges = [0, *sorted(cuts), len(STREAM)]
    seen: list[int] = []
    for start, end in pairwise(edges):
        seen += sequences(framer, STREAM[start:end])
    assert seen == [0, 1, 100, 9]


@pytest.mark.parametrize(
    ("data", "prefix"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400 Bad Request\\x0d\\x0a"),
        (b"AMQP\0\0\x09\x01", "AMQP\\x00\\x00\\x09\\x01"),
        (b"HTTP", "HTTP"),
        (b"\0\0\0\x0f", "\\x00\\x00\\x00\\x0f"),
        (b"\0\0\0\0" * 4, "\\x00" * 16),
        (b"\0\x01\0\x01" + b"a" * 12, "\\x00\\x01\\x00\\x01" + "a" * 12),
        (b"\xff" * 200, "\\xff" * 64),
    ],
)
def test_problem_27_garbage_length(data: bytes, prefix: str) -> None:
    with pytest.raises(FramingError) as caught:
        Framer().feed(data)
    assert caught.value.prefix == prefix
    assert caught.value.frames == []


def test_whole_pdus_before_garbage_are_handed_out() -> None:
    with pytest.raises(FramingError) as caught:
        Framer().feed(STREAM + b"HTTP")
    assert [frame[3] for frame in caught.value.frames] == [0, 1, 100, 9]


def test_garbage_in_pieces_is_found_at_its_fourth_octet() -> None:
    framer = Framer()
    assert framer.feed(b"HTT") == (b"HTT", [])
    with pytest.raises(FramingError):
        framer.feed(b"P")


def test_the_longest_pdu_passes_and_nothing_is_reserved_ahead() -> None:
    framer = Framer(max_pdu=1 << 24)
    tracemalloc.start()
    try:
        framer.feed(HEADER.pack(1 << 24, CommandId.DATA_SM, 0, 1))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    small = Framer(max_pdu=100)
    frame = HEADER.pack(100, CommandId.DATA_SM, 0, 1) + b"x" * 84
    assert sequences(small, frame) == [1]
    with pytest.raises(FramingError):
        small.feed(HEADER.pack(101, CommandId.DATA_SM, 0, 1))
