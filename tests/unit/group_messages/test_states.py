"""What can be done with a group message in which status."""

import pytest

from app.domain.group_messages.states import AFTER, ALLOWED, GroupAction, GroupStatus, check_allowed
from app.lib.errors import Conflict

S = GroupStatus

DONE_ALREADY = {
    (GroupAction.PAUSE, S.PAUSED),
    (GroupAction.RESUME, S.RUNNING),
    (GroupAction.CANCEL, S.CANCELED),
}


@pytest.mark.parametrize("action", GroupAction)
@pytest.mark.parametrize("status", GroupStatus)
def test_each_action_in_each_status(action: GroupAction, status: GroupStatus) -> None:
    if status in ALLOWED[action]:
        assert check_allowed(status, action)
    elif (action, status) in DONE_ALREADY:
        assert not check_allowed(status, action)
    else:
        with pytest.raises(Conflict) as caught:
            check_allowed(status, action)
        assert caught.value.code == "wrong_status"


def test_nothing_leads_out_of_a_canceled_one() -> None:
    assert [action for action, statuses in ALLOWED.items() if S.CANCELED in statuses] == [GroupAction.DELETE]


def test_nothing_under_way_can_be_deleted_or_changed() -> None:
    under_way = {S.SCHEDULED, S.RUNNING, S.PAUSED}
    assert not under_way & (ALLOWED[GroupAction.DELETE] | ALLOWED[GroupAction.EDIT] | ALLOWED[GroupAction.SEND])
    assert set(AFTER) == {action for action, _ in DONE_ALREADY}
