"""Hundreds of thousands of random and mutated PDUs against sessions of both kinds in every state.

`TURUMBA_TEST_FUZZ_PDUS` says how many, `TURUMBA_TEST_FUZZ_SEED` which ones; the same seed repeats the same run.
"""

import gc
import os
import sys

import pytest

from smpp_daemon.protocol.codec import decode, encode
from smpp_daemon.protocol.constants import HEADER_LENGTH
from smpp_daemon.protocol.errors import PduDecodeError, PduEncodeError
from smpp_daemon.protocol.events import (
    BindRequested,
    DeliverReceived,
    Event,
    RequestReceived,
    SubmitReceived,
    UnexpectedResponse,
)
from smpp_daemon.protocol.pdu import QuerySmResp
from smpp_daemon.protocol.session import EsmeSession, SmscSession
from smpp_daemon.protocol.states import BOUND, FINISHED
from tests.unit.smpp_protocol.fuzzing import INBOUND_LIMIT, WINDOW, Generator, headers_of, seats

PDUS = int(os.environ.get("TURUMBA_TEST_FUZZ_PDUS", "100000"))
SEED = int(os.environ.get("TURUMBA_TEST_FUZZ_SEED", "20261124"))
STEP = 0.01


def respond(session: EsmeSession | SmscSession, event: Event, generator: Generator, now: float) -> None:
    """What an owner might do with an event: answer it, refuse it, or nothing."""
    status = generator.random.choice((0, 0, 0x58, 0xFFFFFFFF))
    if generator.random.random() < 0.3:
        return
    if isinstance(session, EsmeSession):
        if isinstance(event, DeliverReceived):
            session.answer_deliver(event.sequence, status)
    elif isinstance(event, SubmitReceived):
        session.answer_submit(event.sequence, status, "id")
    elif isinstance(event, RequestReceived):
        session.answer(event.sequence, status, QuerySmResp("1"))
    elif isinstance(event, BindRequested):
        session.answer_bind(event.sequence, status, now)


def check_bounds(session: EsmeSession | SmscSession) -> None:
    link = session.link
    assert len(link.window) <= WINDOW
    assert len(link.window._tombstones) <= link.window.tombstone_limit
    assert link.inbound == sum(map(len, link._inbound.values())) <= INBOUND_LIMIT
    assert len(link._control) <= 3
    assert len(link._framer._partial) <= session.config.max_pdu
    assert not link._output
    assert not link._untaken


def test_problems_25_27_and_39_nothing_a_peer_sends_breaks_hangs_or_fills_a_session() -> None:
    """Answers field problem 25, field problem 27 and field problem 39."""
    generator = Generator(SEED)
    places = seats()
    fed = events_seen = nacked = 0
    now = 0.0
    blocks = 0
    while fed < PDUS:
        if not blocks and fed > PDUS // 5:
            # Everything that is made once, caches too, has been made by now.
            gc.collect()
            blocks = sys.getallocatedblocks()
        seat = places[fed % len(places)]
        session = seat.ready(now)
        finished = session.state in FINISHED
        for piece in generator.pieces(generator.frame()):
            events = session.receive(piece, now)
            assert not (finished and events)
            events_seen += len(events)
            for event in events:
                assert isinstance(event, Event)
                nacked += isinstance(event, UnexpectedResponse)
                if session.state in BOUND or isinstance(event, BindRequested):
                    respond(session, event, generator, now)
            finished = session.state in FINISHED
        fed += 1
        now += STEP
        if fed % 7 == 0:
            session.tick(now)
            seat.work(session, now)
        headers_of(session.take_output())
        due = session.next_deadline()
        assert due is None or session.state not in FINISHED
        check_bounds(session)
    gc.collect()
    grown = sys.getallocatedblocks() - blocks
    # Windows, tombstones and half PDUs of 16 sessions breathe; one lost object for each hundred PDUs does not pass.
    assert grown < max(2000, PDUS // 100), grown
    assert events_seen > PDUS // 10
    assert nacked > PDUS // 100
    assert all(seat.sessions >= 1 for seat in places)


def test_the_codec_reads_or_refuses_every_mutation() -> None:
    generator = Generator(SEED + 1)
    read = refused = 0
    for _ in range(PDUS // 4):
        frame = generator.frame()
        try:
            decoded = decode(frame)
        except PduDecodeError as error:
            refused += 1
            assert 0 < error.status <= 0xFF
            continue
        read += 1
        try:
            again = encode(decoded.pdu, decoded.sequence, decoded.status)
        except PduEncodeError:
            # A peer's text was longer than SMPP allows: kept when read, never written.
            continue
        assert decode(again)[:4] == decoded[:4]
        assert len(again) >= HEADER_LENGTH
    assert min(read, refused) > PDUS // 40


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_repeats_its_run(seed: int) -> None:
    one, other, different = Generator(seed), Generator(seed), Generator(seed + 10)
    frames = [one.frame() for _ in range(100)]
    assert frames == [other.frame() for _ in range(100)]
    assert frames != [different.frame() for _ in range(100)]
