"""What an account is told about consent: `contact.opted_out` and `contact.opted_in`."""

from uuid import UUID

from app.domain.events.schemas import EventType, NewEvent
from app.domain.opt_outs.classes import Address, Source, Topic


def consent_event(
    account_id: UUID, opt_out_id: UUID, address: Address, topic: Topic, source: Source, *, out: bool
) -> NewEvent:
    """The event of a change; its subject is the opt-out, which is gone once the person has opted in again."""
    data = {
        "opt_out_id": str(opt_out_id),
        "channel_class": address[0].value,
        "address": address[1],
        "topic": topic.value,
        "source": source.value,
    }
    kind = EventType.CONTACT_OPTED_OUT if out else EventType.CONTACT_OPTED_IN
    return NewEvent(account_id, kind, opt_out_id, data)
