"""Ids of the messages of a group message: valid, in their range, and different for whatever differs."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from app.domain.group_messages.identity import MessageIds
from app.lib.ids import time_of

GROUP = UUID("019ab0d6-3c10-7b3c-9a6e-5d7f3b2c1e1e")
MOMENT = datetime(2026, 11, 26, 10, 0, 0, 123456, tzinfo=UTC)

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
runs = st.integers(0, 65_535)


@given(st.uuids(), runs, moments, st.text(max_size=64))
def test_they_are_uuids_of_version_7_with_the_time_of_the_start(group: UUID, run: int, at: datetime, to: str) -> None:
    ids = MessageIds(group, run, at)
    made = UUID(bytes=ids.of(to).bytes)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert timedelta(0) <= at - time_of(made) < timedelta(milliseconds=1)
    assert ids.lowest <= made <= ids.highest


@given(moments)
def test_the_ranges_of_two_milliseconds_have_nothing_in_common(at: datetime) -> None:
    first, second = MessageIds(GROUP, 0, at), MessageIds(GROUP, 1, at + timedelta(milliseconds=1))
    assert first.highest < second.lowest


def test_a_hundred_thousand_addresses_have_as_many_ids() -> None:
    ids = MessageIds(GROUP, 0, MOMENT)
    assert len({ids.of(f"+2519{number:08d}").bytes for number in range(100_000)}) == 100_000


@given(st.text(max_size=64), st.text(max_size=64))
def test_the_same_address_always_has_the_same_id_and_another_one_another(a: str, b: str) -> None:
    ids = MessageIds(GROUP, 0, MOMENT)
    assert (MessageIds(GROUP, 0, MOMENT).of(a) == ids.of(b)) == (a == b)


@given(st.uuids(), runs)
def test_another_run_or_group_message_has_other_ids(group: UUID, run: int) -> None:
    mine, theirs = MessageIds(GROUP, 0, MOMENT), MessageIds(group, run, MOMENT)
    assert (mine.of("+251911000100") == theirs.of("+251911000100")) == ((group, run) == (GROUP, 0))
