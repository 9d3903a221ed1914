from hypothesis import given
from hypothesis import strategies as st

from app.domain.messages.receipts import whole_status
from app.domain.messages.states import FINAL, TRANSITIONS, MessageStatus, may_become, transition_pairs


def test_every_status_stands_in_the_table() -> None:
    assert set(TRANSITIONS) == set(MessageStatus)


def test_no_path_leads_back() -> None:
    """However a message walks through the table, it never sees a status twice."""

    def walk(path: list[MessageStatus]) -> None:
        for following in TRANSITIONS[path[-1]]:
            assert following not in path, path
            walk([*path, following])

    for status in MessageStatus:
        walk([status])


def test_unknown_is_settled_by_late_evidence_but_never_requeued() -> None:
    assert may_become(MessageStatus.UNKNOWN, MessageStatus.DELIVERED)
    assert not may_become(MessageStatus.UNKNOWN, MessageStatus.QUEUED)
    assert not may_become(MessageStatus.SENT, MessageStatus.UNKNOWN)


def test_final_statuses() -> None:
    assert {
        MessageStatus.DELIVERED,
        MessageStatus.READ,
        MessageStatus.FAILED,
        MessageStatus.EXPIRED,
        MessageStatus.CANCELED,
        MessageStatus.RECEIVED,
    } == FINAL


def test_the_pairs_are_the_table() -> None:
    pairs = set(zip(*transition_pairs(), strict=True))
    assert pairs == {(a.value, b.value) for a, following in TRANSITIONS.items() for b in following}


@given(st.permutations(["delivered", "delivered", "delivered"]), st.integers(0, 3))
def test_a_message_is_delivered_when_all_its_parts_are(parts: list[str], arrived: int) -> None:
    seen = parts[:arrived] + ["sent"] * (3 - arrived)
    assert whole_status(seen, 3) == ("delivered" if arrived == 3 else None)


@given(st.lists(st.sampled_from(["sent", "delivered", "read"]), max_size=4), st.sampled_from(["failed", "expired"]))
def test_one_lost_part_spoils_the_message(others: list[str], lost: str) -> None:
    assert whole_status([*others, lost], len(others) + 1) == lost


def test_parts_that_are_not_known_yet_keep_it_open() -> None:
    assert whole_status(["delivered"], 2) is None
