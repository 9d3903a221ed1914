"""One step of a group message: some recipients looked at, their messages stored, and what sends them.

Everything of a step (messages, outbox, who was skipped, checkpoint, counters) is one transaction, in which the group
message is locked: a process that dies leaves the last step's checkpoint, and any other process takes the next one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.contacts.stores.contract import ContactStores
from app.domain.group_messages.approval import approved_version
from app.domain.group_messages.classification import Classes, Skip
from app.domain.group_messages.composing import Composer
from app.domain.group_messages.events import PROGRESS_SECONDS, group_message_event
from app.domain.group_messages.models import GroupMessage
from app.domain.group_messages.pacing import Pace, handed_over, looked_again, room, wait
from app.domain.group_messages.plan import Checkpoint, Content, Phase, Plan, Told
from app.domain.group_messages.progress import Move, Settled, count_moves, settled
from app.domain.group_messages.repository import GroupMessageRepository, Recipients
from app.domain.group_messages.starting import Starter, current_template
from app.domain.group_messages.states import GroupStatus
from app.domain.group_messages.walking import Walk
from app.domain.messages.events import Lane
from app.domain.messages.repository import NewMessage, copy_messages, dispatch_rows
from app.domain.opt_outs.classes import class_of
from app.domain.outbox.repository import insert_outbox
from app.domain.templates.directory import TemplateDirectory
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, InvalidValue
from app.lib.ids import NewId

MOST = 2_000
"""Recipients in one step."""

LATER = 1.0
"""Seconds until one is looked at again whose channel is paused, or which only waits for its last messages."""

_NOW = select(func.clock_timestamp())


class Taken(NamedTuple):
    """What a step did: how many recipients it looked at, and how many messages it stored."""

    looked_at: int
    messages: int


NOTHING = Taken(0, 0)


class Steps:
    """Takes steps, for every account."""

    def __init__(
        self,
        stores: ContactStores,
        channels: ChannelDirectory,
        templates: TemplateDirectory,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._stores = stores
        self._channels = channels
        self._templates = templates
        self._clock = clock
        self._new_id = new_id

    async def take(self, session: AsyncSession, account_id: UUID, group_message_id: UUID) -> Taken:
        """Take one step in the caller's transaction. Raises `Unavailable`."""
        repository = GroupMessageRepository(session, Scope(account_id))
        group_message = await repository.take(group_message_id)
        if group_message is None:
            return NOTHING
        now: datetime = (await session.execute(_NOW)).scalar_one()
        if group_message.status == GroupStatus.SCHEDULED and group_message.step_at is not None:
            if group_message.step_at <= now:
                await self._start(session, group_message, now)
            return NOTHING
        if group_message.status != GroupStatus.RUNNING:
            return NOTHING
        step = _Step(self, session, repository, group_message, now)
        taken = await step.take()
        happened = step.happened()
        await repository.save_step(group_message)
        if happened is not None:
            await group_message_event(session, group_message, happened, self._new_id, step.counted)
        return taken

    async def _start(self, session: AsyncSession, group_message: GroupMessage, now: datetime) -> None:
        content = msgspec.convert(group_message.content, Content)
        account_id = group_message.account_id
        store = self._stores.of(session, account_id)
        starter = Starter(session, store, account_id, self._channels, self._clock, self._new_id)
        try:
            if content.template_id is None:
                raise Conflict("It has no template.", code="template_deleted")
            version = approved_version(group_message)
            template = await current_template(self._templates, account_id, content.template_id, version)
            await starter.start(group_message, template, now)
        except (Conflict, InvalidValue) as error:
            group_message.status = GroupStatus.PAUSED.value
            group_message.paused_because = error.detail
            group_message.step_at = None
        await GroupMessageRepository(session, Scope(account_id)).save_start(group_message)
        happened = "started" if group_message.status == GroupStatus.RUNNING else group_message.status
        await group_message_event(session, group_message, happened, self._new_id)

    async def channel(self, group_message: GroupMessage) -> ChannelRecord | None:
        """Its channel, unless that was deleted."""
        found = await self._channels.get(group_message.account_id, group_message.channel_id)
        return None if found is None or found.deleted else found

    def walk(self, session: AsyncSession, group_message: GroupMessage, step: "_Step", channel: ChannelRecord) -> Walk:
        """The walk of a group message."""
        return Walk(
            session,
            self._stores.of(session, group_message.account_id),
            group_message.account_id,
            step.recipients,
            step.content,
            step.plan,
            class_of(channel.type),
            step.runs,
            step.now,
        )

    async def composer(self, group_message: GroupMessage, step: "_Step", channel: ChannelRecord) -> Composer | None:
        """Makes its messages; None when the version of its template is gone."""
        plan = step.plan
        template = await self._templates.get(group_message.account_id, plan.template_id, plan.template_version)
        if template is None:
            return None
        return Composer(group_message.id, step.content, template, channel, step.runs[-1], plan.time_zone)

    async def dispatch(self, session: AsyncSession, channel: ChannelRecord, messages: Sequence[NewMessage]) -> None:
        """Store messages with what sends them."""
        if messages:
            await copy_messages(session, messages)
            dispatched = [message.dispatched() for message in messages]
            await insert_outbox(session, dispatch_rows(channel, Lane.BULK, dispatched, self._new_id))


class _Step:
    """One step of one group message, which is locked."""

    def __init__(
        self,
        steps: Steps,
        session: AsyncSession,
        repository: GroupMessageRepository,
        group_message: GroupMessage,
        now: datetime,
    ) -> None:
        self._steps = steps
        self._session = session
        self._repository = repository
        self._group_message = group_message
        self.now = now
        self.content = msgspec.convert(group_message.content, Content)
        self.plan = msgspec.convert(group_message.plan, Plan)
        self.runs = self.plan.ids(group_message.id)
        self.recipients = Recipients(session, group_message.account_id, group_message.id)
        self._checkpoint = msgspec.convert(group_message.checkpoint or {}, Checkpoint)
        self.counted = Settled()

    async def take(self) -> Taken:
        group_message = self._group_message
        known = await settled(self._session, group_message.account_id, [group_message.id])
        counted = self.counted = known.get(group_message.id, Settled())
        under_way = group_message.accepted - counted.count
        if self._checkpoint.phase is Phase.DONE:
            return self._wait_for_the_rest(under_way)
        channel = await self._steps.channel(group_message)
        if channel is None:
            return self._pause("The channel was deleted.")
        reason = self._too_many_errors(counted)
        if reason is not None:
            return self._pause(reason)
        pace = looked_again(self._checkpoint.pace, self.now.timestamp(), counted.count, self.content.rate)
        sharing = await self._repository.sharing(channel.id)
        most = 0 if channel.paused else room(pace, channel.rate_per_second, self.content.rate, under_way, sharing)
        if most == 0 and not channel.paused and under_way > 0:
            # Whoever is to be tried again in a while must not keep the others waiting.
            under_way -= await self.recipients.to_be_tried_again(self.runs[-1])
            most = room(pace, channel.rate_per_second, self.content.rate, under_way, sharing)
        if most == 0:
            return self._look_again(pace, LATER if channel.paused else wait(pace, self.content.rate))
        return await self._go_on(channel, pace, min(most, MOST))

    def happened(self) -> str | None:
        """The event that the step was: the end of running, or now and then how far it has come."""
        group_message = self._group_message
        if group_message.status != GroupStatus.RUNNING:
            return group_message.status
        now, told = self.now.timestamp(), self._checkpoint.told or Told(self.plan.runs[-1].timestamp(), 0, 0)
        news = Told(now, self.counted.ended, group_message.accepted + group_message.skipped)
        if now - told.at < PROGRESS_SECONDS or news[1:] == told[1:]:
            return None
        self._checkpoint = msgspec.structs.replace(self._checkpoint, told=news)
        self._group_message.checkpoint = msgspec.to_builtins(self._checkpoint)
        return "progress"

    async def _go_on(self, channel: ChannelRecord, pace: Pace, most: int) -> Taken:
        group_message = self._group_message
        composer = await self._steps.composer(group_message, self, channel)
        if composer is None:
            return self._pause("The version of the template it was started with is gone.")
        found = await self._steps.walk(self._session, group_message, self, channel).next(self._checkpoint, most)
        classes = found.classes
        composed = composer.compose(classes.targets, self.now)
        there = await self.recipients.known([message.id for message in composed.messages])
        messages = [message for message in composed.messages if message.id not in there]
        await self._steps.dispatch(self._session, channel, messages)
        await self.recipients.let_sleep(classes.sleepers)
        await self._settle(messages, [*classes.skips, *composed.skips])
        segments = sum(message.segments for message in messages)
        pace = handed_over(pace, len(messages), segments, self.content.rate)
        until = await self._until_next(found.checkpoint, classes)
        self._checkpoint = msgspec.structs.replace(found.checkpoint, pace=pace)
        self._save(until)
        return Taken(len(classes.targets) + len(classes.skips) + len(classes.sleepers), len(messages))

    async def _settle(self, messages: Sequence[NewMessage], skips: Sequence[Skip]) -> None:
        group_message = self._group_message
        if len(self.runs) > 1:
            # They count once: as what has become of the repetition. Whoever gets none stays one who failed.
            moves = {Move(group_message.id, "failed", "queued"): len(messages)}
            await count_moves(self._session, group_message.account_id, moves)
            return
        group_message.accepted += len(messages)
        group_message.skipped += await self.recipients.skip(skips)

    async def _until_next(self, following: Checkpoint, classes: Classes) -> datetime | None:
        if following.phase is Phase.ASLEEP and not (classes.targets or classes.skips):
            return await self.recipients.next_waking()
        return None

    def _wait_for_the_rest(self, under_way: int) -> Taken:
        group_message = self._group_message
        if under_way > 0:
            return self._look_again(self._checkpoint.pace, LATER)
        group_message.status = GroupStatus.COMPLETED.value
        group_message.total = group_message.accepted + group_message.skipped
        group_message.ended_at = self.now
        group_message.step_at = None
        return NOTHING

    def _pause(self, reason: str) -> Taken:
        self._group_message.status = GroupStatus.PAUSED.value
        self._group_message.paused_because = reason
        self._group_message.step_at = None
        return NOTHING

    def _look_again(self, pace: Pace | None, seconds: float) -> Taken:
        self._checkpoint = msgspec.structs.replace(self._checkpoint, pace=pace)
        self._save(self.now + timedelta(seconds=seconds))
        return NOTHING

    def _save(self, step_at: datetime | None) -> None:
        self._group_message.checkpoint = msgspec.to_builtins(self._checkpoint)
        self._group_message.step_at = step_at or self.now

    def _too_many_errors(self, counted: Settled) -> str | None:
        limit = self.content.error_limit
        if limit is None or len(self.runs) > 1:
            return None
        forgiven = self._checkpoint.forgiven
        ended, failed = counted.ended - forgiven.ended, counted.failed - forgiven.failed
        if ended < limit.after or failed * 100 <= limit.percent * ended:
            return None
        return f"{failed} of {ended} messages failed, which is more than {limit.percent:g} %."
