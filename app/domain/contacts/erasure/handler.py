"""The job that erases a person: one kind of trace after the other, each in steps with a bound.

The contact itself goes when everything else is done; a job that fails before that can be asked for again. Messages are
looked through once more after that: somebody may have written meanwhile. Nothing that is erased is found again, so a
step that is repeated does no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.erasure.messages import MessageErasure
from app.domain.contacts.erasure.person import Person, merges_of, person_of
from app.domain.contacts.erasure.schemas import KIND, ErasureReport, ErasureSpec
from app.domain.contacts.erasure.traces import TraceErasure
from app.domain.contacts.merging.records import MergeState
from app.domain.contacts.merging.repository import lock_merges
from app.domain.contacts.merging.service import MergeService
from app.domain.contacts.merging.undoing import UndoService
from app.domain.contacts.stores.contract import ContactStores
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.domain.jobs.contract import JobFailed, JobRun
from app.lib.clock import Clock
from app.lib.ids import NewId

WAIT_SECONDS = 2.0
MOST_WAITS = 150
"""How often, and after how long each time, it is looked whether what is being handed over has been."""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where the job is: which of `PHASES`, after what in it, and whom it is about; None when all is done.

    `walked` is the last message that was looked through, `waits` how often something was waited for.
    """

    phase: int
    person: Person | None
    after: str | None = None
    walked: str | None = None
    waits: int = 0


class Task(msgspec.Struct):
    """One step: what it works on, and what it finds out.

    `waiting` says that somebody else has to finish first, `again` that the person is more than was known, and that all
    is to be done anew.
    """

    session: AsyncSession
    account_id: UUID
    person: Person
    spec: ErasureSpec
    stores: ContactStores
    place: Checkpoint
    report: ErasureReport
    after: str | None = None
    more: bool = False
    walked: str | None = None
    waiting: bool = False
    again: bool = False
    done: int = 0

    @property
    def messages(self) -> MessageErasure:
        """The messages of the account."""
        return MessageErasure(self.session, self.account_id, self.person)

    @property
    def traces(self) -> TraceErasure:
        """What else is written down."""
        return TraceErasure(self.session, self.account_id, self.person)

    def go_on(self, after: object) -> None:
        """Come back to this phase, after that; None: it is over."""
        self.after, self.more = (None, False) if after is None else (str(after), True)


async def _cancel(task: Task) -> None:
    canceled, left = await task.messages.cancel()
    task.report.canceled += canceled
    task.waiting = left > 0
    task.more = canceled > 0 or left > 0


async def _known(task: Task) -> None:
    erased = await task.messages.erase_some()
    task.report.messages += erased
    task.done += erased
    task.more = erased > 0


async def _written(task: Task) -> None:
    # The second time only what has come since.
    after = task.after or task.walked
    seen = await task.messages.erase_from(UUID(after) if after else None)
    task.report.messages += seen.erased
    task.done += seen.erased
    task.walked = str(seen.after) if seen.after else after
    task.go_on(seen.after)


async def _parts(task: Task) -> None:
    task.report.message_parts += await task.messages.erase_parts()


async def _receipts(task: Task) -> None:
    seen = await task.messages.erase_receipts(UUID(task.after) if task.after else None)
    task.report.receipts += seen.erased
    task.go_on(seen.after)


async def _events(task: Task) -> None:
    looked = await task.traces.erase_events(task.after)
    task.report.events += looked.erased
    task.go_on(looked.after)


async def _entries(task: Task) -> None:
    looked = await task.traces.erase_entries(task.after)
    task.report.audit_entries += looked.erased
    task.go_on(looked.after)


async def _group_messages(task: Task) -> None:
    looked = await task.traces.erase_group_messages(task.after)
    task.report.group_messages += looked.erased
    task.report.group_messages_left += looked.left
    task.go_on(looked.after)


async def _consent(task: Task) -> None:
    opt_outs = await task.traces.erase_consent(forget=task.spec.forget_opt_outs)
    if task.spec.forget_opt_outs:
        task.report.opt_outs += opt_outs
    else:
        task.report.opt_outs_kept = opt_outs


async def _contact(task: Task) -> None:
    store = task.stores.of(task.session, task.account_id)
    await lock_merges(task.session, task.account_id)
    now = task.person.with_more(await person_of(task.session, store, task.account_id, task.person.ids[0]))
    if now != task.person:
        # Merged meanwhile, or given another address: there is more to look for.
        task.person, task.again = now, True
        return
    removed = await store.delete(task.person.ids)
    task.report.contacts += len(removed)
    task.report.merges += await task.traces.erase_merges()
    task.done += len(removed)


PHASES: tuple[Callable[[Task], Awaitable[None]], ...] = (
    *(_cancel, _known, _written, _parts, _receipts, _events, _entries, _group_messages, _consent, _contact),
    *(_cancel, _known, _written, _parts),
)


class ContactErasure:
    """`contacts.erase`: the spec is `ErasureSpec`, the result `ErasureReport`."""

    kind = KIND

    def __init__(self, stores: ContactStores, *, clock: Clock, new_id: NewId) -> None:
        self._stores = stores
        self._clock = clock
        self._new_id = new_id

    async def run(self, job: JobRun) -> None:
        """Do what is left."""
        spec = msgspec.convert(job.spec, ErasureSpec)
        if job.checkpoint is None:
            await self._begin(job, spec)
        while (place := msgspec.convert(job.checkpoint, Checkpoint)).person is not None:
            if place.waits > MOST_WAITS:
                raise JobFailed("A message to this person is being handed over still; erase again later.")
            if await self._step(job, spec, place, place.person):
                await asyncio.sleep(WAIT_SECONDS)

    async def _begin(self, job: JobRun, spec: ErasureSpec) -> None:
        async with job.step() as step:
            store = self._stores.of(step.session, job.account_id)
            person = await person_of(step.session, store, job.account_id, spec.contact_id)
            if await self._finish_merges(step.session, job.account_id, person):
                person = await person_of(step.session, store, job.account_id, spec.contact_id)
            step.result = msgspec.to_builtins(ErasureReport())
            step.checkpoint = msgspec.to_builtins(Checkpoint(0, person))

    async def _step(self, job: JobRun, spec: ErasureSpec, place: Checkpoint, person: Person) -> bool:
        """One step; whether to wait before the next."""
        async with job.step() as step:
            report = msgspec.convert(step.result or {}, ErasureReport)
            task = Task(
                step.session,
                job.account_id,
                person,
                spec,
                self._stores,
                place,
                report,
                after=place.after,
                walked=place.walked,
            )
            await PHASES[place.phase](task)
            if task.again:
                step.checkpoint = msgspec.to_builtins(Checkpoint(0, task.person))
                return False
            phase = place.phase + (not task.more)
            ended = phase == len(PHASES)
            if ended:
                audit = AuditTrail(step.session, None, Origin(), self._new_id)
                await audit.record(job.account_id, "erased", "contact", spec.contact_id, after=report)
                step.total = job.done + task.done
            step.done = task.done
            step.result = msgspec.to_builtins(report)
            step.checkpoint = msgspec.to_builtins(
                Checkpoint(
                    phase,
                    # Who it was is forgotten with the last step.
                    None if ended else person,
                    task.after if task.more else None,
                    None if ended else task.walked,
                    place.waits + 1 if task.waiting else 0,
                )
            )
        return task.waiting

    async def _finish_merges(self, session: AsyncSession, account_id: UUID, person: Person) -> bool:
        """Finish what was begun and not finished with the person's contacts; whether there was anything."""
        audit = AuditTrail(session, None, Origin(), self._new_id)
        clock, new_id = self._clock, self._new_id
        merges = MergeService(session, self._stores, account_id, audit=audit, clock=clock, new_id=new_id)
        undoing = UndoService(session, self._stores, account_id, audit=audit, clock=clock, new_id=new_id)
        found = False
        for merge in await merges_of(session, account_id, person.ids):
            if merge.state == MergeState.RUNNING:
                await merges.carry_out(merge.id)
                found = True
            elif merge.state == MergeState.UNDOING:
                await undoing.carry_out(merge.id)
                found = True
        return found
