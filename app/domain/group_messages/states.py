"""What a group message can become, and through which action."""

from enum import StrEnum

from app.lib.errors import Conflict


class GroupStatus(StrEnum):
    """`scheduled` waits for its time, `awaiting_approval` for somebody else; `completed` once every message has left,
    or will not.
    """

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELED = "canceled"


class GroupAction(StrEnum):
    """What its owner can do with one."""

    EDIT = "edit"
    SEND = "send"
    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY_FAILED = "retry_failed"
    DELETE = "delete"


_S, _A = GroupStatus, GroupAction

ALLOWED: dict[GroupAction, frozenset[GroupStatus]] = {
    _A.EDIT: frozenset({_S.DRAFT}),
    _A.SEND: frozenset({_S.DRAFT}),
    _A.APPROVE: frozenset({_S.AWAITING_APPROVAL}),
    _A.REJECT: frozenset({_S.AWAITING_APPROVAL}),
    _A.PAUSE: frozenset({_S.SCHEDULED, _S.RUNNING}),
    _A.RESUME: frozenset({_S.PAUSED}),
    _A.CANCEL: frozenset({_S.AWAITING_APPROVAL, _S.SCHEDULED, _S.RUNNING, _S.PAUSED}),
    _A.RETRY_FAILED: frozenset({_S.COMPLETED}),
    _A.DELETE: frozenset({_S.DRAFT, _S.COMPLETED, _S.CANCELED}),
}

AFTER: dict[GroupAction, GroupStatus] = {
    _A.PAUSE: _S.PAUSED,
    _A.RESUME: _S.RUNNING,
    _A.CANCEL: _S.CANCELED,
}
"""Where an action leads that can be asked for twice."""


def check_allowed(status: GroupStatus, action: GroupAction) -> bool:
    """True when `action` changes something, False when it has been done already; raises `Conflict` otherwise."""
    if status in ALLOWED[action]:
        return True
    if AFTER.get(action) is status:
        return False
    allowed = ", ".join(sorted(ALLOWED[action]))
    word = action.value.replace("_", " ")
    raise Conflict(f"The group message is {status}; {word} is possible while it is: {allowed}.", code="wrong_status")
