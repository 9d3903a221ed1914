"""The message for each recipient: its text made from the template, counted as its channel will send it."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from uuid import UUID

import msgspec

from app.domain.channels.directory import ChannelRecord
from app.domain.contacts.filling import template_values
from app.domain.group_messages.classification import Reason, Skip, Target
from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.plan import Content
from app.domain.group_messages.quiet_hours import zone_of
from app.domain.messages.events import Lane, encode
from app.domain.messages.repository import NewMessage
from app.domain.messages.schemas import MAX_SEGMENTS
from app.domain.messages.sms import NO_OPTIONS, counter_of, with_metadata
from app.domain.templates.directory import TemplateRecord
from app.domain.templates.language.plan import Skipped
from app.domain.templates.language.values import Reason as ValueReason
from app.domain.templates.rendering import MessagePlan, RenderedMessage, kind_of

_REASONS = {ValueReason.MISSING: Reason.MISSING_VARIABLE, ValueReason.TOO_LONG: Reason.TOO_LONG}


class Composed(msgspec.Struct, frozen=True):
    """What came of the targets of one step: a message, or a skip where the text cannot be made."""

    messages: list[NewMessage]
    skips: list[Skip]


class Composer:
    """Makes the messages of one group message."""

    def __init__(
        self,
        group_message_id: UUID,
        content: Content,
        template: TemplateRecord,
        channel: ChannelRecord,
        ids: MessageIds,
        time_zone: str,
    ) -> None:
        self._group_message_id = group_message_id
        self._content = content
        self._template = template
        self._channel = channel
        self._ids = ids
        self._time_zone = time_zone
        self._kind = kind_of(channel.type)
        self._sender = content.sender if content.sender is not None else channel.default_from
        self._metadata = msgspec.json.encode(content.metadata)
        # What a channel needs of the metadata was checked when they were written; it may have been changed since.
        options = with_metadata(NO_OPTIONS, content.metadata, channel.config, [])
        self._sms = None if options == NO_OPTIONS else encode(options)
        self._count = counter_of(channel.config)
        # Thousands of recipients have few languages and time zones.
        self._plans: dict[str | None, MessagePlan] = {}
        self._zones: dict[str, tzinfo] = {}

    def compose(self, targets: Sequence[Target], now: datetime) -> Composed:
        """The messages for these recipients; one address gets one message, however often it stands there."""
        made: dict[UUID, NewMessage] = {}
        skips: list[Skip] = []
        for target in targets:
            outcome = self._one(target, now)
            if isinstance(outcome, Skip):
                skips.append(outcome)
            else:
                made.setdefault(outcome.id, outcome)
        return Composed(list(made.values()), skips)

    def _one(self, target: Target, now: datetime) -> NewMessage | Skip:
        recipient = target.recipient
        language, zone, contact = None, self._time_zone, None
        if recipient is not None:
            language, zone = recipient.language or None, recipient.timezone
            contact = template_values(recipient)
        plan = self._plans.get(language)
        if plan is None:
            plan = self._plans[language] = self._template.plan(self._kind, language)
        own_zone = self._zones.get(zone)
        if own_zone is None:
            own_zone = self._zones[zone] = zone_of(zone, self._time_zone)
        outcome = plan.render(plan.values(self._content.variables, contact), own_zone)
        if not isinstance(outcome, RenderedMessage):
            reason = Reason.MISSING_VARIABLE if isinstance(outcome, Skipped) else _reason(outcome.reason)
            return self._skip(target, reason, outcome.variable)
        if not outcome.text:
            return self._skip(target, Reason.UNUSABLE_VALUE, "The text would be empty.")
        encoding, segments, _, _ = self._count(outcome.text)
        if segments > MAX_SEGMENTS:
            return self._skip(target, Reason.TOO_LONG, f"{segments} segments")
        return NewMessage(
            self._ids.of(target.address),
            self._channel.account_id,
            self._channel.id,
            Lane.BULK,
            target.address,
            self._sender,
            outcome.text,
            encoding,
            segments,
            self._content.validity_seconds,
            self._metadata,
            now,
            self._sms,
            topic=self._content.topic.value,
            contact_id=None if recipient is None else recipient.id,
            group_message_id=self._group_message_id,
            template_id=self._template.template_id,
            template_version=self._template.version,
        )

    def _skip(self, target: Target, reason: Reason, detail: str | None) -> Skip:
        if target.recipient is not None:
            return Skip(target.recipient.id, target.recipient.id, target.address, reason, detail)
        return Skip(self._ids.of(target.address), None, target.address, reason, detail)


def _reason(reason: ValueReason) -> Reason:
    return _REASONS.get(reason, Reason.UNUSABLE_VALUE)
