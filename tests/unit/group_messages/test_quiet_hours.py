"""Quiet hours in the recipient's own time, also where clocks are set."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.group_messages.quiet_hours import quiet_until, zone_of
from app.domain.identity.accounts.settings import QuietHours

NIGHT = QuietHours(start="21:00", end="08:00")
NOON = QuietHours(start="12:00", end="14:00")
BERLIN, ADDIS = ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Addis_Ababa")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (NIGHT, "2026-11-26T17:59", None),
        (NIGHT, "2026-11-26T18:00", "2026-11-27T05:00"),
        (NIGHT, "2026-11-27T04:59", "2026-11-27T05:00"),
        (NIGHT, "2026-11-27T05:00", None),
        (NOON, "2026-11-26T09:00", "2026-11-26T11:00"),
        (NOON, "2026-11-26T11:00", None),
    ],
    ids=["before", "begins", "ends-soon", "over", "noon", "afternoon"],
)
def test_in_addis_ababa(quiet: QuietHours, now: str, until: str | None) -> None:
    assert quiet_until(at(now), quiet, ADDIS) == (None if until is None else at(until))


def test_only_on_the_days_on_which_it_begins() -> None:
    friday = QuietHours(start="21:00", end="08:00", days=("fri",))
    assert quiet_until(at("2026-11-26T19:00"), friday, UTC) is None
    assert quiet_until(at("2026-11-26T22:00"), friday, UTC) is None
    assert quiet_until(at("2026-11-27T22:00"), friday, UTC) == at("2026-11-28T08:00")
    assert quiet_until(at("2026-11-28T07:00"), friday, UTC) == at("2026-11-28T08:00")
    assert quiet_until(at("2026-11-28T22:00"), friday, UTC) is None


def test_a_night_in_which_clocks_are_set_forward_or_back() -> None:
    # On 2026-03-29 at 02:00 it becomes 03:00, on 2026-10-25 at 03:00 it becomes 02:00.
    assert quiet_until(at("2026-03-28T21:00"), NIGHT, BERLIN) == at("2026-03-29T06:00")
    assert quiet_until(at("2026-10-24T21:00"), NIGHT, BERLIN) == at("2026-10-25T07:00")


def test_an_end_that_the_clocks_leave_out() -> None:
    quiet = QuietHours(start="01:00", end="02:30")
    until = quiet_until(at("2026-03-29T00:30"), quiet, BERLIN)
    assert until is not None
    assert at("2026-03-29T01:00") <= until <= at("2026-03-29T01:30")
    assert quiet_until(until, quiet, BERLIN) is None


def test_the_hour_that_comes_twice_is_quiet_twice() -> None:
    quiet = QuietHours(start="02:00", end="02:30")
    assert quiet_until(at("2026-10-25T00:10"), quiet, BERLIN) == at("2026-10-25T00:30")
    again = quiet_until(at("2026-10-25T01:10"), quiet, BERLIN)
    assert again is not None
    assert again > at("2026-10-25T01:10")


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
    st.times(),
    st.times(),
)
def test_the_end_lies_ahead_and_within_a_day(now: datetime, name: str, start: object, end: object) -> None:
    quiet = QuietHours(start=str(start)[:5], end=str(end)[:5])
    until = quiet_until(now, quiet, ZoneInfo(name))
    assert until is None or now < until <= now + timedelta(hours=26)


def test_the_zone_of_a_recipient() -> None:
    assert str(zone_of("Europe/Berlin", "UTC")) == "Europe/Berlin"
    assert str(zone_of("Nowhere/Land", "Europe/Berlin")) == "Europe/Berlin"
    assert zone_of("../../etc/passwd", "") is UTC
    assert zone_of("", "") is UTC
