"""How long binds wait, what people read meanwhile, and how many may begin at once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.smpp.config import SmppHost
from smpp_daemon.bind_health import EVENTS, BindState, History
from smpp_daemon.bind_pace import BindPace, _Second
from smpp_daemon.protocol.status import RALYBND, RBINDFAIL, RINVPASWD, RSYSERR
from smpp_daemon.retry import Cause, Delays, Ending, in_words, refusal, same_trouble, wait_for
from smpp_daemon.route import Route

DELAYS = Delays()
HOSTS = tuple(SmppHost(host=f"host{n}", port=2775) for n in range(3))


@given(st.sampled_from(Cause), st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_to_a_limit_and_differ(cause: Cause, tries: int, jitter: float) -> None:
    wait = wait_for(cause, tries, DELAYS, lambda: jitter)
    assert 0 < wait <= 1.25 * 300
    assert wait_for(cause, tries + 1, DELAYS, lambda: jitter) >= wait
    assert wait_for(cause, tries, DELAYS, lambda: 0.0) < wait_for(cause, tries, DELAYS, lambda: 1.0)


def test_what_the_operator_must_not_see_too_often_is_never_tried_sooner() -> None:
    """field problem 18: no try before an SMSC's own timer; and refused credentials are tried once a minute at most."""
    for jitter in (0.0, 1.0):

        def wait(cause: Cause, tries: int, jitter: float = jitter) -> float:
            return wait_for(cause, tries, DELAYS, lambda: jitter)

        fatal = [wait(Cause.CREDENTIALS, tries) for tries in (1, 2, 3, 4, 9)]
        assert fatal[0] >= 60
        assert fatal[-1] >= 300
        assert all(earlier <= later for earlier, later in pairwise(fatal))
        ghost = [wait(Cause.GHOST, tries) for tries in range(1, 6)]
        assert ghost[0] >= 30
        assert ghost[-1] >= 120
        assert wait(Cause.BIND_FAILED, 1) >= 15


def test_refusals_are_told_apart_and_put_into_words() -> None:
    ghost = refusal(RALYBND)
    assert ghost.cause is Cause.GHOST
    assert in_words(ghost, 95.2, 4).startswith(
        "RALYBND, retry in 95 s (try 4). The operator still holds an old session"
    )
    assert refusal(RINVPASWD).cause is Cause.CREDENTIALS
    assert in_words(refusal(RINVPASWD), 60, 1) == "RINVPASWD, retry in 60 s (try 1). The password is wrong."
    assert refusal(RBINDFAIL).cause is Cause.BIND_FAILED
    assert refusal(RSYSERR).cause is Cause.REFUSED
    assert refusal(0x4FF).reason.startswith("0x000004FF: ")
    lost = Ending(Cause.LINK, "connection lost: [Errno 104] reset")
    assert in_words(lost, 0.2, 1) == "connection lost: [Errno 104] reset."
    assert in_words(lost, 8, 7) == "connection lost: [Errno 104] reset, retry in 8 s (try 7)."
    assert same_trouble(Cause.LINK, Cause.UNBOUND)
    assert not same_trouble(Cause.LINK, Cause.GHOST)
    assert not same_trouble(None, Cause.LINK)


@given(st.integers(1, 20), st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_no_second_holds_more_starts_than_allowed(limit: int, gaps: list[float]) -> None:
    second, now, starts = _Second(limit), 0.0, []
    for gap in gaps:
        now += gap
        starts.append(second.reserve(now))
        assert starts[-1] >= now
    assert starts == sorted(starts)
    for first, later in zip(starts, starts[limit:], strict=False):
        assert later >= first + 1.0


async def test_a_long_line_at_one_host_holds_nobody_else_up() -> None:
    pace = BindPace(1000, per_host=1)
    await pace.turn(HOSTS[0])
    # The next turn at that host is a second away, all the others have theirs at once.
    for number in range(500):
        await pace.turn(SmppHost(host=f"h{number}", port=1))
    assert len(pace._hosts) <= 501


def test_binds_are_spread_over_hosts_move_on_and_come_back() -> None:
    routes = [Route(HOSTS, number) for number in range(4)]
    assert [route.host.host for route in routes] == ["host0", "host1", "host2", "host0"]
    route = routes[2]
    assert route.seconds_away(DELAYS, lambda: 0.5) is None
    route.failed()
    assert (route.host.host, route.home.host, route.away) == ("host0", "host2", True)
    first = route.seconds_away(DELAYS, lambda: 0.5)
    assert first == pytest.approx(300)
    route.home_is_down()
    assert route.seconds_away(DELAYS, lambda: 0.5) == pytest.approx(600)
    for _ in range(20):
        route.home_is_down()
    assert route.seconds_away(DELAYS, lambda: 0.0) == pytest.approx(0.75 * 3600)
    route.lasted()
    assert route.seconds_away(DELAYS, lambda: 0.5) == pytest.approx(3600)
    route.go_home()
    route.lasted()
    route.failed()
    assert route.seconds_away(DELAYS, lambda: 0.5) == pytest.approx(300)


def test_the_history_is_short_and_counts_a_day() -> None:
    history = History()
    for number in range(3 * EVENTS):
        history.record(float(number), BindState.BOUND, "host", str(number))
        history.lost(number * 3600.0)
    assert [event.reason for event in history.events] == [str(n) for n in range(2 * EVENTS, 3 * EVENTS)]
    assert history.events[0].at == "1970-01-01T00:00:40Z"
    assert history.reconnects == 60
    assert history.reconnects_since_a_day(59 * 3600.0) == 24
    assert history.reconnects_since_a_day(200 * 3600.0) == 0
