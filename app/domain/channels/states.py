"""The status of a channel: which there are, and what moves one to another."""

from enum import StrEnum
from typing import Literal


class ChannelStatus(StrEnum):
    """`connecting`, `active` and `error` are what the sender sees; `paused` is the owner's wish and wins over them."""

    DRAFT = "draft"
    CONNECTING = "connecting"
    ACTIVE = "active"
    PAUSED = "paused"
    ERROR = "error"


REPORTABLE = frozenset({ChannelStatus.CONNECTING, ChannelStatus.ACTIVE, ChannelStatus.ERROR})
"""What a sender may report, and what its report may replace."""


def ready_status(sent_by: Literal["worker", "smppd"]) -> ChannelStatus:
    """Where a complete channel that nobody paused begins: what keeps a session has to connect first."""
    return ChannelStatus.CONNECTING if sent_by == "smppd" else ChannelStatus.ACTIVE


def after_resume(current: ChannelStatus, sent_by: Literal["worker", "smppd"]) -> ChannelStatus:
    """Resuming what is not paused changes nothing."""
    return ready_status(sent_by) if current is ChannelStatus.PAUSED else current


def after_change(current: ChannelStatus, sent_by: Literal["worker", "smppd"]) -> ChannelStatus:
    """Config or credentials changed: a working or failed link proves nothing any more, a pause stays."""
    return ChannelStatus.PAUSED if current is ChannelStatus.PAUSED else ready_status(sent_by)
