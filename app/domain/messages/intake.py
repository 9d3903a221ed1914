"""Group commit: requests that arrive together share one transaction, and each is answered only after it committed.

One transaction a message would be bounded by fsync (about 1,400/s on a small machine); shared, the same disk takes
many times that at the same durability. One transaction at a time: while it waits for the disk, the next one fills, and
fuller ones beat more of them (measured with 64 connections: one 5,500/s, two 4,900/s, three 4,200/s).

Messages to people who have opted out are found in that transaction too: they are left out, and their requests are told
so, while everybody else's are stored. Those that came over SMPP were answered before anybody could look at them one by
one; they are stored as failed, and the application gets the receipt it asked for.

A request with an idempotency key brings its answer along, which the same transaction stores: before the messages,
because a key that has an answer already means that this request's messages must not be stored, while everybody else's
must; and after consent is held (`app.domain.opt_outs.lookup`), because nobody may wait for that who keeps others
waiting for a key.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import groupby
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelRecord
from app.domain.idempotency.repository import insert_answers
from app.domain.idempotency.schemas import StoredAnswer
from app.domain.idempotency.service import key_in_use
from app.domain.messages.events import DispatchMessage, Lane
from app.domain.messages.people import NO_PEOPLE, Addressed, People
from app.domain.messages.repository import NewMessage, dispatch_rows, insert_messages
from app.domain.messages.unwanted import fail_stored
from app.domain.opt_outs.classes import class_of
from app.domain.opt_outs.lookup import Outgoing, hold_consent
from app.domain.outbox.repository import NewOutboxRow, insert_outbox
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import NewId
from app.lib.logging import get_logger
from app.lib.metrics import group_commit_size, messages_accepted

log = get_logger(__name__)

MAX_GROUP = 1000
"""Messages in one transaction."""

MAX_WAITING = 20_000
"""Messages waiting for a transaction before requests are refused with 503."""


Refused = frozenset[UUID]
"""Ids of messages that were not stored, because their recipients have opted out."""

Reconsider = Callable[[Refused], StoredAnswer | None]
"""Makes the answer of a request when some of its messages are refused; None when it is not stored with the others."""

_NONE: Refused = frozenset()


class Submission:
    """The messages of one request, in groups of one channel each, and its answer, waiting for their transaction.

    `answer` is the one to store, `refused` and `failed` are those of its messages that nobody gets: they are not
    stored, or stored as failed.
    """

    __slots__ = ("_offered", "_reconsider", "answer", "count", "done", "failed", "groups", "refused")

    def __init__(
        self,
        groups: list[tuple[ChannelRecord, list[NewMessage]]],
        answer: StoredAnswer | None,
        reconsider: Reconsider | None,
        done: "asyncio.Future[Refused]",
    ) -> None:
        self.groups = groups
        self.done = done
        self.count = sum(len(messages) for _, messages in groups)
        self._offered = answer
        self._reconsider = reconsider
        self.begin()

    def begin(self) -> None:
        """Forget what a transaction found that then failed: it says nothing about the next one."""
        self.answer = self._offered
        self.refused = self.failed = _NONE
        if self.answer is not None:
            self.answer.refused = False

    def leave_out(self, unwanted: set[UUID]) -> None:
        """Take note of which of its messages nobody wants, and find another answer."""
        mine = [message for _, messages in self.groups for message in messages if message.id in unwanted]
        self.failed = frozenset(message.id for message in mine if message.smpp_account_id is not None)
        self.refused = frozenset(message.id for message in mine) - self.failed
        if self.refused and self.answer is not None:
            self.answer = None if self._reconsider is None else self._reconsider(self.refused)


class MessageIntake:
    """Stores accepted messages with their outbox rows. `committed` is called after every commit, to wake the relay.

    `people` says which contacts messages to mere addresses are for.
    """

    def __init__(
        self, database: Database, new_id: NewId, committed: Callable[[], None], people: People = NO_PEOPLE
    ) -> None:
        self._people = people
        self._database = database
        self._new_id = new_id
        self._committed = committed
        self._waiting: deque[Submission] = deque()
        self._count = 0
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def __repr__(self) -> str:
        return f"<MessageIntake {self._count} waiting>"

    def start(self) -> None:
        """Start committing on the running loop."""
        self._task = asyncio.create_task(self._run(), name="intake")

    async def stop(self) -> None:
        """Commit what waits, then end."""
        self._stopping = True
        self._filled.set()
        if self._task is not None:
            await self._task

    async def accept(
        self,
        groups: list[tuple[ChannelRecord, list[NewMessage]]],
        answer: StoredAnswer | None = None,
        reconsider: Reconsider | None = None,
    ) -> Refused:
        """Return once all messages are committed, together or not at all, and with them the `answer`, if any.

        The ids of those come back that were left out instead, because their recipients have opted out. With any, the
        answer is the one that `reconsider` makes of them, or none. Raises `Unavailable` when the database is down, or
        when so much waits already that more would only time out; `Conflict` (`idempotency_key_in_use`) when the key of
        `answer` has one already: nothing was stored then, and `answer.refused` is set.
        """
        submission = Submission(groups, answer, reconsider, asyncio.get_running_loop().create_future())
        if self._stopping or self._count + submission.count > MAX_WAITING:
            raise Unavailable("Too many messages are waiting to be stored; send again shortly.", retry_after=1.0)
        self._waiting.append(submission)
        self._count += submission.count
        self._filled.set()
        refused = await submission.done
        for _, messages in groups:
            count = sum(message.id not in refused for message in messages) if refused else len(messages)
            messages_accepted.labels(messages[0].lane.value).inc(count)
        return refused

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._filled.clear()
                await self._filled.wait()
                continue
            await self._commit(self._take())

    def _take(self) -> list[Submission]:
        taken: list[Submission] = []
        count = 0
        while self._waiting and count < MAX_GROUP:
            submission = self._waiting.popleft()
            taken.append(submission)
            count += submission.count
        self._count -= count
        return taken

    async def _commit(self, submissions: list[Submission]) -> None:
        try:
            await self._store(submissions)
        except Unavailable as error:
            _settle(submissions, error)
        except Exception as error:
            if len(submissions) == 1:
                log.error("messages could not be stored", exc_info=error)
                _settle(submissions, error)
                return
            # One request's defect must not be everybody's: find it by storing each request by itself.
            for submission in submissions:
                await self._commit([submission])
        else:
            _settle(submissions, None)
            self._committed()

    async def _store(self, submissions: list[Submission]) -> None:
        for submission in submissions:
            submission.begin()
        messages, rows = self._rows(submissions)
        async with self._database.unit_of_work(*_accounts(submissions)) as session:
            unwanted = await _leave_out_unwanted(session, submissions)
            if await _refuse_answered(session, submissions) or unwanted:
                messages, rows = self._rows(submissions)
            if messages:
                await self._insert(session, submissions, messages)
                if rows:
                    await insert_outbox(session, rows)
            if unwanted:
                await self._fail_unwanted(session, submissions)
        group_commit_size.observe(len(messages))

    def _rows(self, submissions: list[Submission]) -> tuple[list[NewMessage], list[NewOutboxRow]]:
        stored: list[NewMessage] = []
        rows: list[NewOutboxRow] = []
        queues: dict[tuple[UUID, Lane], tuple[ChannelRecord, list[DispatchMessage]]] = {}
        for submission in submissions:
            if submission.answer is not None and submission.answer.refused:
                continue
            for channel, messages in submission.groups:
                if submission.refused:
                    messages = [message for message in messages if message.id not in submission.refused]
                stored.extend(messages)
                if submission.failed:
                    messages = [message for message in messages if message.id not in submission.failed]
                for lane, group in groupby(messages, key=lambda message: message.lane):
                    _, queue = queues.setdefault((channel.id, lane), (channel, []))
                    queue.extend(message.dispatched() for message in group)
        for (_, lane), (channel, queue) in queues.items():
            rows.extend(dispatch_rows(channel, lane, queue, self._new_id))
        return stored, rows

    async def _insert(self, session: AsyncSession, submissions: list[Submission], messages: list[NewMessage]) -> None:
        classes = {channel.id: class_of(channel.type) for each in submissions for channel, _ in each.groups}
        if self._people.beside_messages:
            types = {channel_id: self._people.address_type(kind) for channel_id, kind in classes.items()}
            await insert_messages(session, messages, types)
            return
        unknown = [message for message in messages if message.contact_id is None]
        asked = [Addressed(each.account_id, classes[each.channel_id], each.to) for each in unknown]
        found = await self._people.recipients(session, asked) if asked else []
        known = {message.id: contact_id for message, contact_id in zip(unknown, found, strict=True) if contact_id}
        if known:
            messages = [
                msgspec.structs.replace(each, contact_id=known[each.id]) if each.id in known else each
                for each in messages
            ]
        await insert_messages(session, messages)

    async def _fail_unwanted(self, session: AsyncSession, submissions: list[Submission]) -> None:
        failed: dict[UUID, list[UUID]] = {}
        for submission in submissions:
            for _, messages in submission.groups:
                for message in messages:
                    if message.id in submission.failed:
                        failed.setdefault(message.account_id, []).append(message.id)
        for account_id, ids in failed.items():
            await fail_stored(session, account_id, ids, self._new_id)


def _accounts(submissions: list[Submission]) -> set[UUID]:
    return {channel.account_id for submission in submissions for channel, _ in submission.groups}


async def _leave_out_unwanted(session: AsyncSession, submissions: list[Submission]) -> bool:
    """Find the messages whose recipients have opted out, and let none do so meanwhile; whether there are any."""
    outgoing: list[Outgoing] = []
    ids: list[UUID] = []
    for submission in submissions:
        for channel, messages in submission.groups:
            kind = class_of(channel.type)
            for message in messages:
                ids.append(message.id)
                outgoing.append(Outgoing(message.account_id, kind, message.to, message.topic))
    unwanted = {ids[position] for position in await hold_consent(session, outgoing)}
    if unwanted:
        for submission in submissions:
            submission.leave_out(unwanted)
    return bool(unwanted)


async def _refuse_answered(session: AsyncSession, submissions: list[Submission]) -> bool:
    """Store the answers; whether one was refused, because another request with its key was answered first."""
    first = {answer.key: answer for submission in reversed(submissions) if (answer := submission.answer) is not None}
    if not first:
        return False
    inserted = await insert_answers(session, list(first.values()))
    some = False
    for submission in submissions:
        answer = submission.answer
        if answer is not None:
            answer.refused = first[answer.key] is not answer or answer.key not in inserted
            some = some or answer.refused
    return some


def _settle(submissions: list[Submission], error: Exception | None) -> None:
    for submission in submissions:
        done = submission.done
        if done.done():
            continue
        if error is not None:
            done.set_exception(error)
        elif submission.answer is not None and submission.answer.refused:
            done.set_exception(key_in_use())
        else:
            done.set_result(submission.refused)
