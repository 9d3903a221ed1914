"""The window as a plain value, and against a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_daemon.protocol.constants import MAX_SEQUENCE, CommandId
from smpp_daemon.protocol.window import Window

RESP = CommandId.SUBMIT_SM_RESP


def test_problem_07_the_window_is_hard() -> None:
    """Answers field problem 7."""
    window = Window(3, 10)
    assert window.open(["a", "b", "c", "d"], RESP, 0) == [1, 2, 3]
    assert window.room == 0
    assert window.open(["d"], RESP, 0) == []
    assert window.take(2, RESP) == ("b", 0, RESP)
    assert window.open(["d"], RESP, 1) == [4]


def test_a_response_of_the_wrong_kind_closes_nothing() -> None:
    window = Window(3, 10)
    window.open(["a"], RESP, 0)
    assert window.take(1, CommandId.DATA_SM_RESP) is None
    assert window.take_any(1) == ("a", 0, RESP)
    assert window.take(1, RESP) is None


def test_problem_06_expiry_frees_the_slot_and_remembers_the_number() -> None:
    """Answers field problem 6."""
    window = Window(2, 10)
    window.open(["a"], RESP, 0)
    window.open(["b"], RESP, 5)
    assert window.next_deadline() == 10
    assert window.expire(9.9) == []
    assert window.expire(10) == [(1, ("a", 0, RESP))]
    assert window.room == 1
    assert window.next_deadline() == 15
    assert window.take_late(1) == ("a", 0, RESP)
    assert window.take_late(1) is None


def test_tombstones_are_bounded_and_the_oldest_go_first() -> None:
    window = Window(10, 1, tombstone_limit=4)
    for second in range(0, 100, 10):
        window.open([second, second + 1], RESP, second)
        window.expire(second + 2)
    assert [window.take_late(number) is not None for number in range(1, 21)] == [False] * 16 + [True] * 4


def test_problem_41_sequence_wraps_past_numbers_in_flight() -> None:
    """Answers field problem 41."""
    window = Window(10, 10, first_sequence=MAX_SEQUENCE - 1)
    assert window.open(["a", "b", "c"], RESP, 0) == [MAX_SEQUENCE - 1, MAX_SEQUENCE, 1]
    assert window.reserve() == 2
    window.take(MAX_SEQUENCE, RESP)
    again = Window(10, 10)
    again.open(["x", "y"], RESP, 0)
    again._next = MAX_SEQUENCE
    assert again.open(["z", "w"], RESP, 0) == [MAX_SEQUENCE, 3]


def test_a_number_used_again_forgets_its_tombstone() -> None:
    window = Window(1, 1)
    window.open(["old"], RESP, 0)
    window.expire(1)
    window._next = 1
    window.open(["new"], RESP, 2)
    assert window.take_late(1) is None
    assert window.take(1, RESP) == ("new", 2, RESP)


def test_drain_hands_out_everything_in_order() -> None:
    window = Window(5, 10)
    window.open("abc", RESP, 0)
    assert [entry.token for _, entry in window.drain()] == ["a", "b", "c"]
    assert len(window) == 0


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="can send nothing"):
        Window(0, 1)


@given(st.lists(st.tuples(st.sampled_from(["open", "take", "tick"]), st.integers(0, 40)), max_size=80))
def test_every_request_ends_exactly_once(steps: list[tuple[str, int]]) -> None:
    window = Window(7, 3)
    now, opened = 0.0, 0
    ended: list[object] = []
    for step, number in steps:
        if step == "open":
            count = len(window.open(range(opened, opened + number % 9), RESP, now))
            opened += count
        elif step == "take":
            entry = window.take(number, RESP)
            if entry is not None:
                ended.append(entry[0])
        else:
            now += number / 10
            ended += [entry.token for _, entry in window.expire(now)]
        assert len(window) <= 7
    ended += [entry.token for _, entry in window.drain()]
    assert set(ended) == set(range(opened))
    assert len(ended) == opened
