"""What a channel's link tells its account: connected, disconnected, error."""

from typing import Any
from uuid import UUID

from app.domain.channels.states import ChannelStatus
from app.domain.events.schemas import EventType, NewEvent


def link_changes(before: ChannelStatus | None, now: ChannelStatus) -> tuple[EventType, ...]:
    """What a sender's report says that its previous one (None: there was none) did not.

    A link that was active and is in error did both: it was disconnected, and it failed. So `connected` and
    `disconnected` always alternate, and `error` comes once for each time.
    """
    changes = []
    if before is ChannelStatus.ACTIVE and now is not ChannelStatus.ACTIVE:
        changes.append(EventType.CHANNEL_DISCONNECTED)
    if now is ChannelStatus.ACTIVE and before is not ChannelStatus.ACTIVE:
        changes.append(EventType.CHANNEL_CONNECTED)
    if now is ChannelStatus.ERROR and before is not ChannelStatus.ERROR:
        changes.append(EventType.CHANNEL_ERROR)
    return tuple(changes)


def link_events(
    account_id: UUID,
    channel_id: UUID,
    name: str,
    before: ChannelStatus | None,
    now: ChannelStatus,
    health: dict[str, Any],
) -> list[NewEvent]:
    """The events of a report; `reason` in their data is the report's `detail`, in words for people."""
    data = {
        "channel_id": str(channel_id),
        "name": name,
        "status": now.value,
        "previous_status": None if before is None else before.value,
        "reason": str(health.get("detail", "")),
    }
    return [NewEvent(account_id, change, channel_id, data) for change in link_changes(before, now)]
