"""What would happen if a group message were sent now: who would get it, how long it would take, what looks wrong."""

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.contacts.stores.contract import ContactStore
from app.domain.group_messages.checks import GroupChecks, text_fields
from app.domain.group_messages.composing import Composer
from app.domain.group_messages.plan import Checkpoint, Content, Phase, Plan, content_of
from app.domain.group_messages.quiet_hours import quiet_until, zone_of
from app.domain.group_messages.repository import GroupMessageRepository, Recipients
from app.domain.group_messages.schemas import (
    GroupMessageCreate,
    GroupMessagePreflightOut,
    PreflightSample,
    PreflightWarning,
    RecipientClasses,
)
from app.domain.group_messages.starting import ChosenTemplate, Starter, current_template
from app.domain.group_messages.walking import Walk, compiled_audience
from app.domain.messages.repository import NewMessage
from app.domain.opt_outs.classes import class_of
from app.domain.templates.checks import checked_content
from app.domain.templates.directory import TemplateDirectory, TemplateRecord
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, NotFound
from app.lib.ids import NewId

MOST = 5_000
"""Recipients that are looked at; of more, the rest is inferred from these."""

SAMPLES = 5
_AT_ONCE = 500
_LONG_SECONDS = 86_400.0


class Preflight:
    """Tries group messages of one account, inside one unit of work that it changes nothing in."""

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        *,
        channels: ChannelDirectory,
        templates: TemplateDirectory,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._channels = channels
        self._templates = templates
        self._checks = GroupChecks(session, store, account_id, channels, templates)
        self._starter = Starter(session, store, account_id, channels, clock, new_id)
        self._clock = clock
        self._new_id = new_id

    async def of_new(self, data: GroupMessageCreate) -> GroupMessagePreflightOut:
        """What would become of one that is not stored. Raises `InvalidValue` as making it would."""
        content = await self._checks.checked(data.channel_id, content_of(data, await self._starter.quiet_hours()))
        return await self._try(data.channel_id, content)

    async def of_stored(self, group_message_id: UUID) -> GroupMessagePreflightOut:
        """What would become of one if it were sent now, whatever it is at. Raises `NotFound`, `Conflict`."""
        found = await GroupMessageRepository(self._session, Scope(self._account_id)).find(group_message_id)
        if found is None:
            raise NotFound("There is no such group message.")
        return await self._try(found.channel_id, msgspec.convert(found.content, Content))

    async def _try(self, channel_id: UUID, content: Content) -> GroupMessagePreflightOut:
        channel = await self._channels.get(self._account_id, channel_id)
        if channel is None or channel.deleted:
            raise Conflict("The channel was deleted.", code="channel_deleted")
        template = await self._template(content)
        now = self._clock()
        plan = await self._starter.plan(content, ChosenTemplate(template.template_id, template.version), now)
        attempt = _Attempt(self._session, self._store, channel, content, plan, template, self._new_id())
        await attempt.walk()
        where = compiled_audience(content, plan, class_of(channel.type))
        contacts = 0 if where is None else await self._store.count(where)
        above = await self._starter.approval_above()
        return attempt.result(contacts + len(content.audience.addresses), above)

    async def _template(self, content: Content) -> TemplateRecord:
        if content.text is not None:
            return TemplateRecord(self._account_id, self._new_id(), 1, checked_content(text_fields(content)))
        if content.template_id is None:
            raise Conflict("It has no template.", code="template_deleted")
        chosen = await current_template(self._templates, self._account_id, content.template_id)
        record = await self._templates.get(self._account_id, chosen.id, chosen.version)
        if record is None:
            raise Conflict("The template was deleted.", code="template_deleted")
        return record


class _Attempt:
    """One walk through an audience, and what was seen in it."""

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        channel: ChannelRecord,
        content: Content,
        plan: Plan,
        template: TemplateRecord,
        group_message_id: UUID,
    ) -> None:
        self._channel = channel
        self._content = content
        self._plan = plan
        runs = plan.ids(group_message_id)
        # Whoever sleeps now gets a text as well: it is made for them here, too.
        awake = msgspec.structs.replace(content, quiet_hours=None)
        recipients = Recipients(session, channel.account_id, group_message_id)
        self._walk = Walk(
            session,
            store,
            channel.account_id,
            recipients,
            awake,
            plan,
            class_of(channel.type),
            runs,
            plan.moment,
            sending=False,
        )
        self._composer = Composer(group_message_id, content, template, channel, runs[-1], plan.time_zone)
        self._classes = RecipientClasses()
        self._seen: set[UUID] = set()
        self._segments = 0
        self._several = 0
        self._longest: list[NewMessage] = []
        self._whole = False

    async def walk(self) -> None:
        """Look at the first `MOST` of them."""
        checkpoint, looked_at = Checkpoint(), 0
        while looked_at < MOST:
            found = await self._walk.next(checkpoint, _AT_ONCE)
            looked_at += len(found.classes.targets) + len(found.classes.skips)
            composed = self._composer.compose(found.classes.targets, self._plan.moment)
            for skip in (*found.classes.skips, *composed.skips):
                self._count(skip.reason.value)
            zones = {t.address: "" if t.recipient is None else t.recipient.timezone for t in found.classes.targets}
            self._count("repeated", len(found.classes.targets) - len(composed.messages) - len(composed.skips))
            for message in composed.messages:
                self._note(message, zones[message.to])
            checkpoint = found.checkpoint
            if checkpoint.phase is Phase.ASLEEP:
                self._whole = True
                return

    def result(self, total: int, approval_above: int | None) -> GroupMessagePreflightOut:
        """What was seen, for a `total` of recipients in an account that wants approval above a number of them."""
        seen = sum(msgspec.structs.asdict(self._classes).values())
        scale = 1.0 if self._whole or seen == 0 else total / seen
        counts = {name: round(count * scale) for name, count in msgspec.structs.asdict(self._classes).items()}
        classes, segments = RecipientClasses(**counts), round(self._segments * scale)
        messages = classes.will_get_it + classes.quiet_now
        rate = self._rate()
        duration = None if rate is None else round(messages / rate, 1)
        return GroupMessagePreflightOut(
            total=total,
            needs_approval=approval_above is not None and total > approval_above,
            looked_at=seen,
            exact=self._whole,
            recipients=classes,
            segments=segments,
            rate=rate,
            duration_seconds=duration,
            samples=[
                PreflightSample(
                    contact_id=each.contact_id,
                    address=each.to,
                    text=each.text,
                    encoding=each.encoding,
                    segments=each.segments,
                )
                for each in self._longest
            ],
            warnings=self._warnings(total, classes, messages, duration),
        )

    def _count(self, name: str, count: int = 1) -> None:
        setattr(self._classes, name, getattr(self._classes, name) + count)

    def _note(self, message: NewMessage, zone: str) -> None:
        if message.id in self._seen:
            self._count("repeated")
            return
        self._seen.add(message.id)
        quiet = self._content.quiet_hours
        asleep = quiet is not None and quiet_until(self._plan.moment, quiet, zone_of(zone, self._plan.time_zone))
        self._count("quiet_now" if asleep else "will_get_it")
        self._segments += message.segments
        self._several += message.segments > 1
        self._longest.append(message)
        self._longest.sort(key=lambda each: (each.segments, len(each.text)), reverse=True)
        del self._longest[SAMPLES:]

    def _rate(self) -> float | None:
        rates = [] if self._content.rate is None else [self._content.rate]
        if self._channel.rate_per_second is not None:
            # It counts segments.
            each = self._segments / len(self._seen) if self._seen else 1.0
            rates.append(self._channel.rate_per_second / each)
        return round(min(rates), 3) if rates else None

    def _warnings(
        self, total: int, classes: RecipientClasses, messages: int, duration: float | None
    ) -> list[PreflightWarning]:
        found: list[tuple[str, str]] = []
        if messages == 0:
            found.append(("nobody", "Nobody would get it."))
        elif messages * 2 < total - classes.repeated:
            found.append(("few_recipients", f"Only {messages} of {total - classes.repeated} would get it."))
        if self._channel.paused:
            found.append(("channel_paused", "The channel is paused: messages would wait until it is resumed."))
        if self._several:
            share = 100 * self._several / len(self._seen)
            found.append(("several_segments", f"{share:.0f} % of the texts take more than one segment."))
        if duration is not None and duration > _LONG_SECONDS:
            found.append(("takes_long", f"At this rate it takes {duration / 3600:.0f} hours."))
        return [PreflightWarning(code=code, detail=detail) for code, detail in found]
