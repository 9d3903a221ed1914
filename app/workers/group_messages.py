"""Sends group messages: takes steps of those that can go on, one after the other, fair to all of them."""

import asyncio
from uuid import UUID

from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.stores.contract import ContactStores
from app.domain.group_messages.events import GROUP_MESSAGES_CHANGED
from app.domain.group_messages.repository import next_due, runnable
from app.domain.group_messages.steps import Steps
from app.domain.messages.events import Lane
from app.domain.outbox.waker import OutboxWaker
from app.domain.templates.directory import TemplateDirectory
from app.lib.clock import Clock
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.listen import listen
from app.lib.logging import get_logger
from app.lib.metrics import messages_accepted
from app.lib.service import Stop, backoff
from app.lib.tasks import end_tasks

log = get_logger(__name__)

MOST = 100
"""Group messages that are looked at in one round."""

BUSY_SECONDS = 0.02
IDLE_SECONDS = 0.5
"""Between two rounds that have nothing to do, at least and at most."""

DEFECT_SECONDS = 30.0
"""How long one whose step failed for an unknown reason is left alone, so that it delays nobody else's."""


class GroupMessageSender:
    """Takes the steps of one worker; several workers take different ones."""

    def __init__(
        self,
        database: Database,
        stores: ContactStores,
        channels: ChannelDirectory,
        templates: TemplateDirectory,
        waker: OutboxWaker,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._database = database
        self._steps = Steps(stores, channels, templates, clock, new_id)
        self._waker = waker
        self._wake = asyncio.Event()
        self._left_alone: dict[UUID, float] = {}

    async def run(self, stop: Stop) -> None:
        """Take steps until `stop`; an outage of the database is waited out."""
        listener = asyncio.create_task(
            listen(self._database, GROUP_MESSAGES_CHANGED, lambda _: self._wake.set()), name="group-messages-listener"
        )
        stop.needs(listener)
        self._waker.start()
        failures = 0
        try:
            while not stop.requested:
                self._wake.clear()
                try:
                    looked_at = await self.round(stop)
                    wait = 0.0 if looked_at else await self._until_next()
                    failures = 0
                except Unavailable as error:
                    failures += 1
                    wait = backoff(failures, most=5.0)
                    log.warning("cannot send group messages", reason=error.detail, retry_in=round(wait, 2))
                    await stop.wait(wait)
                    continue
                if wait > 0:
                    await stop.wait_or(self._wake, wait)
        finally:
            await self._waker.stop()
            await end_tasks(listener)

    async def _until_next(self) -> float:
        async with self._database.reading() as session:
            seconds = await next_due(session)
        return IDLE_SECONDS if seconds is None else min(max(seconds, BUSY_SECONDS), IDLE_SECONDS)

    async def round(self, stop: Stop) -> int:
        """One step of each that can go on; how many recipients were looked at."""
        now = asyncio.get_running_loop().time()
        self._left_alone = {each: until for each, until in self._left_alone.items() if until > now}
        async with self._database.reading() as session:
            found = [each for each in await runnable(session, MOST) if each[0] not in self._left_alone]
        looked_at = 0
        for group_message_id, account_id in found:
            if stop.requested:
                break
            try:
                async with self._database.unit_of_work(account_id) as session:
                    taken = await self._steps.take(session, account_id, group_message_id)
            except Unavailable:
                raise
            except Exception:
                log.exception("step of a group message failed", group_message_id=str(group_message_id))
                self._left_alone[group_message_id] = now + DEFECT_SECONDS
                continue
            looked_at += taken.looked_at
            if taken.messages:
                self._waker.wake()
                messages_accepted.labels(Lane.BULK.value).inc(taken.messages)
        return looked_at
