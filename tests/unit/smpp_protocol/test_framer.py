"""Cutting the stream, whatever the pieces and whatever the garbage."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.codec import HEADER, encode
from smpp_daemon.protocol.constants import CommandId
from smpp_daemon.protocol.errors import FramingError
from smpp_daemon.protocol.events import SessionFailed
from smpp_daemon.protocol.framer import Framer
from smpp_daemon.protocol.pdu import EnquireLink, Pdu, SubmitSm
from tests.unit.smpp_protocol.pair import Pair
from tests.unit.smpp_protocol.strategies import NUMBERS, PDUS

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
    """Answers field problem 27."""
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


def cut(data: bytes, pieces: list[int]) -> list[tuple[int, int, int, int]]:
    """Headers of what arrives in pieces of these sizes; the last one is the length that was refused, if any was."""
    framer = Framer()
    found: list[tuple[int, int, int, int]] = []
    sizes = iter(pieces)
    while data:
        size = next(sizes, len(data))
        try:
            found += framer.feed(data[:size])[1]
        except FramingError as error:
            found += [*error.frames, (error.length, -1, -1, -1)]
            break
        data = data[size:]
    return found


@given(
    st.lists(st.tuples(PDUS, NUMBERS, NUMBERS), max_size=6),
    st.one_of(st.just(b""), st.binary(max_size=40)),
    st.lists(st.integers(0, 200), max_size=40),
)
def test_the_same_pdus_come_out_whatever_the_pieces(
    pdus: list[tuple[Pdu, int, int]], tail: bytes, pieces: list[int]
) -> None:
    stream = b"".join(encode(pdu, sequence, status) for pdu, sequence, status in pdus)
    whole = cut(stream + tail, [])
    assert cut(stream + tail, pieces) == whole
    assert cut(stream + tail, [1] * len(stream + tail)) == whole
    assert [frame[3] for frame in whole[: len(pdus)]] == [sequence for _, sequence, _ in pdus]


@given(st.lists(st.one_of(st.binary(max_size=30), PDUS.map(lambda pdu: encode(pdu, 3))), max_size=6), st.data())
def test_a_session_reports_the_same_whatever_the_pieces(stream: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(stream)
    edges = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=10)))
    whole, pieces = Pair(), Pair()
    for one, other in ((whole.esme, pieces.esme), (whole.smsc, pieces.smsc)):
        expected = one.receive(octets, whole.now)
        got = [
            event
            for start, end in pairwise([0, *edges, len(octets)])
            for event in other.receive(octets[start:end], pieces.now)
        ]
        if got and isinstance(got[-1], SessionFailed):
            # How much of the garbage could be shown depends on how much of it had come.
            assert type(expected[-1]) is SessionFailed
            got, expected = got[:-1], expected[:-1]
        assert got == expected
        assert other.take_output() == one.take_output()
        assert other.state is one.state
