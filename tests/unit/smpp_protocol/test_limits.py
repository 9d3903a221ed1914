"""Timers, throttle, time strings, status words and the state table: the values around a session."""

import math
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.states import BOUND, BOUND_SIGNAL, TRANSITIONS, Signal, State, advance
from smpp_daemon.protocol.status import STATUSES, StatusClass, describe, parse_status
from smpp_daemon.protocol.throttle import Throttle
from smpp_daemon.protocol.timers import TimerAction, Timers, TimerSettings
from smpp_daemon.protocol.times import format_absolute, format_relative, parse_time

SETTINGS = TimerSettings(bind=5, enquire_link_interval=30, enquire_link_timeout=10, unbind=3)


def test_bind_timer() -> None:
    timers = Timers(SETTINGS, 0, 0).awaiting_bind(100)
    assert timers.next_deadline() == 105
    assert timers.tick(104.9) is TimerAction.NOTHING
    assert timers.tick(105) is TimerAction.BIND_TIMEOUT
    assert timers.bind_done(101).tick(106) is TimerAction.NOTHING


def test_problem_20_silence_is_asked_about_and_then_ends_the_link() -> None:
    """Answers field problem 20."""
    timers = Timers(SETTINGS, 0, 0).bind_done(100)
    assert timers.next_deadline() == 130
    assert timers.tick(129) is TimerAction.NOTHING
    assert timers.tick(130) is TimerAction.SEND_ENQUIRE_LINK
    asked = timers.enquired(130)
    assert asked.next_deadline() == 140
    assert asked.tick(139) is TimerAction.NOTHING
    assert asked.tick(140) is TimerAction.LINK_DEAD
    assert asked.heard(131).tick(160) is TimerAction.NOTHING
    assert asked.heard(131).tick(161) is TimerAction.SEND_ENQUIRE_LINK


def test_any_pdu_settles_an_enquiry_and_silence_after_it_is_asked_about_anew() -> None:
    asked = Timers(SETTINGS, 0, 0).bind_done(100).enquired(130).heard(138)
    assert asked.next_deadline() == 168
    assert asked.tick(167) is TimerAction.NOTHING
    assert asked.tick(168) is TimerAction.SEND_ENQUIRE_LINK


def test_problem_21_nothing_is_asked_before_the_bind_or_after_the_unbind() -> None:
    """Answers field problem 21."""
    timers = Timers(SETTINGS, 0, 0)
    assert timers.next_deadline() is None
    assert timers.tick(1e9) is TimerAction.NOTHING
    leaving = timers.bind_done(0).unbinding(10)
    assert leaving.next_deadline() == 13
    assert leaving.tick(13) is TimerAction.UNBIND_TIMEOUT
    assert leaving.stopped().tick(1e9) is TimerAction.NOTHING


def test_inactivity() -> None:
    settings = TimerSettings(enquire_link_interval=1000, inactivity=60)
    timers = Timers(settings, 0, 0).bind_done(0)
    assert timers.heard(50).tick(60) is TimerAction.INACTIVE
    assert timers.active(50).tick(60) is TimerAction.NOTHING
    assert timers.next_deadline() == 60
    both = Timers(TimerSettings(enquire_link_interval=60, inactivity=60), 0, 0).bind_done(0)
    assert both.tick(60) is TimerAction.INACTIVE


@pytest.mark.parametrize("rate", [0.5, 10, 333, 2000])
def test_the_rate_is_exact_over_time(rate: float) -> None:
    throttle = Throttle(rate, 1, 0.0)
    now, sent = 0.0, 0
    while now < 100:
        sent += throttle.take(1000, now)
        now = max(now + 1e-4, throttle.next_at(now))
    assert abs(sent - rate * 100) <= max(2, rate * 100 * 0.005)


@given(st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 50)), max_size=60))
def test_never_more_than_rate_and_burst(steps: list[tuple[float, int]]) -> None:
    throttle = Throttle(100, 20, 0.0)
    now = 0.0
    sent = 0
    for pause, wanted in steps:
        now += pause
        granted = throttle.take(wanted, now)
        assert 0 <= granted <= wanted
        sent += granted
        assert sent <= 100 * now + 20 + 1e-6


def test_problem_11_a_refusal_halves_once_pauses_and_recovers() -> None:
    """Answers field problem 11."""
    throttle = Throttle(100, 10, 0.0)
    for moment in (1.0, 1.1, 1.2):
        throttle.on_throttled(moment)
    assert throttle.current_rate == 50
    assert throttle.take(10, 2.19) == 0
    assert throttle.next_at(1.5) == pytest.approx(2.2 + 1 / 50)
    assert throttle.take(10, 2.23) == 1
    throttle.take(10, 7.2)
    assert throttle.current_rate == pytest.approx(75, abs=0.5)
    throttle.take(10, 60)
    assert throttle.current_rate == 100


def test_problem_12_a_longer_pause_wins_and_the_floor_holds() -> None:
    """Answers field problem 12."""
    throttle = Throttle(100, 10, 0.0)
    throttle.on_throttled(0, pause=1)
    throttle.on_throttled(0.5, pause=10)
    assert throttle.paused_until == 10.5
    for moment in range(20, 200, 2):
        throttle.on_throttled(moment, pause=1.99)
    assert throttle.current_rate >= 2


def test_a_live_rate_change() -> None:
    throttle = Throttle(100, 10, 0.0)
    throttle.set_rate(500, 50, 0.0)
    assert (throttle.current_rate, throttle.take(100, 1.0)) == (500, 47)
    throttle.on_throttled(1.0)
    throttle.set_rate(1000, 50, 1.0)
    assert throttle.current_rate == 250
    throttle.set_rate(10, 5, 1.0)
    assert throttle.current_rate == 10
    for rate, burst in ((0, 1), (-1, 1), (1, 0), (float("inf"), 1), (float("nan"), 1)):
        with pytest.raises(ValueError, match="must be above 0"):
            throttle.set_rate(rate, burst, 2.0)


def test_unused_grants_go_back() -> None:
    throttle = Throttle(10, 10, 0.0)
    assert throttle.take(10, 0.0) == 9
    throttle.give_back(4)
    assert throttle.take(10, 0.0) == 4
    assert throttle.next_at(0.0) == pytest.approx(0.005)
    assert throttle.next_at(0.0, 100) == pytest.approx(0.805)


@pytest.mark.parametrize(("rate", "burst"), [(10, 1), (10, 5), (100, 10), (100, 1), (2000, 200), (2000, 20)])
def test_late_timers_cost_no_rate_and_late_pdus_break_no_limit(rate: float, burst: float) -> None:
    throttle = Throttle(rate, burst, 0.0)
    chance = random.Random(rate)
    now, sent = 0.0, []
    while now < 20:
        # Whoever waits is woken up to 2 ms late, and what leaves arrives up to 5 ms later than what follows.
        count = throttle.take(10_000, now)
        sent += [now + chance.uniform(0, 0.005) for _ in range(count)]
        now = max(now, throttle.next_at(now)) + chance.uniform(0.001, 0.002)
    assert len(sent) == pytest.approx(20 * rate + burst, abs=max(2, 0.01 * 20 * rate))
    sent.sort()
    allowed = rate * 0.1 + burst
    assert all(sent[i + math.floor(allowed)] - sent[i] > 0.1 for i in range(len(sent) - math.floor(allowed)))


def test_times() -> None:
    assert format_relative(3661) == "000000010101000R"
    assert format_relative(99 * 86400 + 5) == "000099000000000R"
    now = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    assert parse_time("000000010101000R", now) == datetime(2026, 11, 24, 10, 1, 1, tzinfo=UTC)
    assert parse_time("180711070003912+", now) == datetime(2018, 7, 11, 4, 0, 3, 900_000, tzinfo=UTC)
    assert parse_time("", now) is None
    assert parse_time(format_absolute(now), now) == now
    for bad in ("soon", "18071107000391+", "189911070003912+", "180711070003999+"):
        with pytest.raises(ValueError, match=r"."):
            parse_time(bad, now)
    with pytest.raises(ValueError, match="negative"):
        format_relative(-1)


def test_problem_23_any_status_has_words() -> None:
    """Answers field problem 23."""
    assert describe(0x58).status_class is StatusClass.THROTTLE
    assert describe(0x14).status_class is StatusClass.THROTTLE
    assert describe(0x05).status_class is StatusClass.SESSION
    assert {code for code, status in STATUSES.items() if status.status_class is StatusClass.BIND_FATAL} == {
        0x0E,
        0x0F,
        0x53,
    }
    for code in (0x22, 0x55F, 0x4FF, 0xFFFFFFFF):
        assert describe(code).status_class is StatusClass.PERMANENT
        assert describe(code).name == f"0x{code:08X}"
    assert all(status.advice.endswith(".") for status in STATUSES.values())


def test_statuses_are_read_from_names_and_numbers() -> None:
    assert [parse_status(text) for text in ("RTHROTTLED", "esme_rthrottled", "88", "0x58")] == [0x58] * 4
    for bad in ("", "nothing", "-1", "0x100000000"):
        with pytest.raises(ValueError, match="command_status"):
            parse_status(bad)


def test_the_state_table_is_complete_and_ends() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {BOUND_SIGNAL[mode] for mode in BindMode} == {Signal.BOUND_TX, Signal.BOUND_RX, Signal.BOUND_TRX}
    for state, steps in TRANSITIONS.items():
        assert steps[Signal.CLOSED] is State.CLOSED
        assert set(steps.values()) <= set(State)
        if state in BOUND:
            assert steps[Signal.UNBIND_REQUESTED] is State.UNBINDING
    assert set(TRANSITIONS[State.CLOSED]) == {Signal.CLOSED}
    with pytest.raises(LocalProtocolError, match="BIND_REQUESTED is not possible in CLOSED"):
        advance(State.CLOSED, Signal.BIND_REQUESTED)
