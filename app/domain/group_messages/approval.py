"""Whether somebody else has to agree before a group message is sent, and who did."""

from datetime import datetime
from enum import StrEnum

import msgspec

from app.domain.group_messages.models import GroupMessage
from app.domain.identity.audit.schemas import ActorOut
from app.lib.errors import Conflict


class ApprovalState(StrEnum):
    """`not_needed` is one that was asked for while it was small enough; if it has grown when it is due, it waits."""

    NOT_NEEDED = "not_needed"
    AWAITING = "awaiting"
    APPROVED = "approved"
    REJECTED = "rejected"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A request to send a group message, and what was decided.

    It is for one version of the template: what was approved is what is sent, whoever changes the template meanwhile.
    `number` counts the requests for one group message.
    """

    state: ApprovalState
    requested_by: ActorOut
    requested_at: datetime
    template_version: int
    decided_by: ActorOut | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    number: int = 1


def approval_of(group_message: GroupMessage) -> Approval | None:
    """What is stored of it; None where the account wanted none when it was asked for."""
    return None if group_message.approval is None else msgspec.convert(group_message.approval, Approval)


def approved_version(group_message: GroupMessage) -> int | None:
    """The version of the template that was approved; None where the present one is sent."""
    approval = approval_of(group_message)
    return approval.template_version if approval is not None and approval.state is ApprovalState.APPROVED else None


def request_number(group_message: GroupMessage) -> int:
    """The number of the next request."""
    approval = approval_of(group_message)
    return 1 if approval is None else approval.number + 1


def decided(approval: Approval, state: ApprovalState, by: ActorOut, now: datetime, reason: str | None) -> Approval:
    """The request with a decision. Raises `Conflict` (`own_request`) for an approval of one's own."""
    asked = approval.requested_by
    if state is ApprovalState.APPROVED and (asked.type, asked.id) == (by.type, by.id):
        raise Conflict("You have asked for this yourself: somebody else has to approve it.", code="own_request")
    return msgspec.structs.replace(approval, state=state, decided_by=by, decided_at=now, reason=reason)
