"""How many messages are let go: never more than the own rate allows, never more under way than a few seconds' worth."""

from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.group_messages.pacing import (
    LEAST,
    LONGEST_WAIT,
    MOST,
    SECONDS_UNDER_WAY,
    SHORTEST_WAIT,
    Pace,
    handed_over,
    looked_again,
    room,
    wait,
)

gaps = st.lists(st.floats(0, 10), min_size=1, max_size=60)


@given(st.floats(0.01, 10_000), gaps)
def test_its_own_rate_is_kept_over_any_time(rate: float, gaps: list[float]) -> None:
    pace, sent, now = None, [], 0.0
    for gap in gaps:
        now += gap
        pace = looked_again(pace, now, 0, rate)
        count = room(pace, None, rate, 0, 1)
        pace = handed_over(pace, count, count, rate)
        sent.append((now, count))
    sums = list(accumulate((count for _, count in sent), initial=0))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            seconds = sent[last][0] - sent[first][0]
            # What gathered in one second before, and what came during the time.
            assert sums[last + 1] - sums[first] <= max(rate, 2) + rate * seconds + 1e-6 * rate + 1e-6


@given(st.floats(0.01, 100), st.integers(1, 100))
def test_its_own_rate_is_reached(rate: float, looks: int) -> None:
    pace, total, now = None, 0, 0.0
    for _ in range(looks):
        pace = looked_again(pace, now, 0, rate)
        count = room(pace, None, rate, 0, 1)
        pace = handed_over(pace, count, count, rate)
        total += count
        now += 1 / max(rate, 1)
    assert total >= int(rate * (now - 1))


@given(st.floats(0.01, 1e5), st.integers(1, 20), st.integers(0, 10**6), st.floats(1, 10))
def test_no_more_is_under_way_than_a_few_seconds_of_the_channels_rate(
    rate: float, sharing: int, under_way: int, segments: float
) -> None:
    pace = Pace(0, 0, 0, 0, segments=segments)
    allowed = under_way + room(pace, rate, None, under_way, sharing)
    assert allowed <= max(under_way, 1, rate / segments / sharing * SECONDS_UNDER_WAY)
    assert allowed <= max(under_way, MOST)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.integers(0, 20_000)), max_size=40))
def test_without_a_rate_it_is_what_leaves_in_that_time(looks: list[tuple[float, int]]) -> None:
    pace, now, settled = looked_again(None, 0.0, 0, None), 0.0, 0
    for gap, more in looks:
        now, settled = now + gap, settled + more
        pace = looked_again(pace, now, settled, None)
        assert 0 <= room(pace, None, None, 0, 1) <= max(LEAST, min(MOST, pace.rate * SECONDS_UNDER_WAY))
        assert room(pace, None, None, MOST, 1) == 0


def test_a_channel_that_could_send_faster_soon_gets_more() -> None:
    pace, now, settled, under_way = looked_again(None, 0.0, 0, None), 0.0, 0, 0
    for _ in range(40):
        under_way += room(pace, None, None, under_way, 1)
        # Everything leaves within the quarter of a second, 5,000 at most.
        left = min(under_way, 5_000)
        now, settled, under_way = now + 0.25, settled + left, under_way - left
        pace = looked_again(pace, now, settled, None)
    assert pace.rate > 15_000


def test_of_a_channel_that_sends_far_below_its_rate_only_what_leaves_is_under_way() -> None:
    pace, now, settled, under_way = looked_again(None, 0.0, 0, None), 0.0, 0, 0
    for _ in range(40):
        under_way += room(pace, 2_000, None, under_way, 1)
        # 300 a second, whatever the channel may.
        left = min(under_way, 75)
        now, settled, under_way = now + 0.25, settled + left, under_way - left
        pace = looked_again(pace, now, settled, None)
    assert under_way == pytest.approx(300 * SECONDS_UNDER_WAY, rel=0.15)


def test_a_channel_with_a_rate_reaches_it() -> None:
    pace, now, settled, under_way = looked_again(None, 0.0, 0, None), 0.0, 0, 0
    for _ in range(40):
        under_way += room(pace, 2_000, None, under_way, 1)
        left = min(under_way, 500)
        now, settled, under_way = now + 0.25, settled + left, under_way - left
        pace = looked_again(pace, now, settled, None)
    assert pace.rate == pytest.approx(2_000, rel=0.01)


def test_a_little_room_is_not_worth_a_step() -> None:
    pace = Pace(0, 0, 0, 0, rate=10_000)
    assert [room(pace, 1_000, None, under_way, 1) for under_way in (4_000, 3_501, 3_500, 0)] == [0, 0, 500, 4_000]
    assert [room(pace, 10_000, None, under_way, 1) for under_way in (38_001, 38_000)] == [0, 2_000]
    assert [room(pace, 1, None, under_way, 1) for under_way in (4, 3)] == [0, 1]
    own = Pace(0, 0, 0, 0, rate=10_000, allowance=24.9)
    assert room(own, None, 100, 0, 1) == 0
    assert room(msgspec.structs.replace(own, allowance=25.0), None, 100, 0, 1) == 25
    assert wait(own, 100) == pytest.approx(0.05)
    assert room(Pace(0, 0, 0, 0, allowance=1.0), None, 0.1, 0, 1) == 1


def test_counters_that_go_back_are_no_negative_rate() -> None:
    pace = looked_again(looked_again(None, 0.0, 100, None), 1.0, 50, None)
    assert pace.rate == 0
    assert room(pace, None, None, 0, 1) == LEAST


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.one_of(st.none(), st.floats(0.01, 1e4)))
def test_how_long_to_wait_has_bounds(idle: float, allowance: float, rate: float | None) -> None:
    pace = Pace(idle, idle, 0, 0.0, allowance=allowance)
    assert SHORTEST_WAIT <= wait(pace, rate) <= LONGEST_WAIT


def test_the_longer_nothing_leaves_the_longer_it_waits() -> None:
    assert wait(Pace(0.1, 0, 0, 0.0), None) < wait(Pace(4.0, 0, 0, 0.0), None) < wait(Pace(60.0, 0, 0, 0.0), None)
    assert wait(Pace(0.0, 0, 0, 0.0, allowance=0.5), 1.0) == 0.5
