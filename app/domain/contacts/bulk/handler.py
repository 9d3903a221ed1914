"""The job that changes many contacts: it walks those that match in the order of their ids, a batch in a transaction."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.attributes import AttributeService, infer_type, parse_value
from app.domain.contacts.bulk.schemas import BulkCounts, BulkSpec
from app.domain.contacts.filtering import ContactFilters
from app.domain.contacts.groups import hold_groups
from app.domain.contacts.stores.contract import Amendment, ContactStores
from app.domain.jobs.contract import JobFailed, JobRun
from app.lib.clock import Clock
from app.lib.errors import Conflict, InvalidValue
from app.lib.filters import All, Condition, Expression, Operator
from app.lib.ids import NewId

KIND = "contacts.bulk"
BATCH = 1_000


class ContactBulk:
    """`contacts.bulk`: the spec is `BulkSpec`.

    Each contact is met at most once, in the order of ids, which no action changes: one that an action keeps from
    matching is behind the walk by then, and none is left out. Contacts that were made after the action was asked for
    are not met.
    """

    kind = KIND

    def __init__(self, stores: ContactStores, *, clock: Clock, new_id: NewId) -> None:
        self._stores = stores
        self._clock = clock
        self._new_id = new_id

    async def run(self, job: JobRun) -> None:
        """Do what is left."""
        spec = msgspec.convert(job.spec, BulkSpec)
        if job.checkpoint is None:
            await self._begin(job, spec)
        more = True
        while more:
            more = await self._batch(job, spec)

    async def _begin(self, job: JobRun, spec: BulkSpec) -> None:
        async with job.step() as step:
            where = await self._where(step.session, job.account_id, spec)
            step.total = await self._stores.of(step.session, job.account_id).count(where)
            step.checkpoint = {"after": None}
            step.result = msgspec.to_builtins(BulkCounts())

    async def _batch(self, job: JobRun, spec: BulkSpec) -> bool:
        """One step; whether there may be more."""
        after = (job.checkpoint or {}).get("after")
        async with job.step() as step:
            store = self._stores.of(step.session, job.account_id)
            where = await self._where(step.session, job.account_id, spec)
            ids = await store.ids(where, None if after is None else UUID(after), BATCH)
            if ids:
                if spec.action == "delete":
                    changed = len(await store.delete(ids))
                else:
                    amendment = await self._amendment(step.session, job.account_id, spec)
                    changed = await store.amend(ids, amendment, self._clock())
                counts = msgspec.convert(step.result or {}, BulkCounts)
                counts.changed += changed
                counts.unchanged += len(ids) - changed
                step.done = len(ids)
                step.result = msgspec.to_builtins(counts)
                step.checkpoint = {"after": str(ids[-1])}
            if len(ids) < BATCH:
                step.total = job.done + len(ids)
        return len(ids) == BATCH

    async def _where(self, session: AsyncSession, account_id: UUID, spec: BulkSpec) -> Expression:
        if spec.ids is not None:
            return Condition("id", Operator.IN, spec.ids)
        asked_at = spec.asked_at
        filters = ContactFilters(session, account_id, clock=_standing(asked_at), new_id=self._new_id)
        try:
            where = await filters.read(spec.filter)
        except InvalidValue as error:
            raise JobFailed(f"The filter does not hold any more: {error.detail}") from error
        return All((where, Condition("created_at", Operator.LTE, asked_at)))

    async def _amendment(self, session: AsyncSession, account_id: UUID, spec: BulkSpec) -> Amendment:
        if spec.group_id is not None and not await hold_groups(session, account_id, [spec.group_id]):
            raise JobFailed("The group was deleted.")
        tags, groups = tuple(spec.tags), () if spec.group_id is None else (spec.group_id,)
        match spec.action:
            case "add_tags":
                return Amendment(add_tags=tags)
            case "remove_tags":
                return Amendment(remove_tags=tags)
            case "add_to_group":
                return Amendment(join_groups=groups)
            case "remove_from_group":
                return Amendment(leave_groups=groups)
            case "set_status":
                return Amendment(status=spec.status)
            case _:
                return Amendment(attributes=await self._attributes(session, account_id, spec.attributes))

    async def _attributes(self, session: AsyncSession, account_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
        """The values, by definitions that cannot be deleted until the step ends."""
        service = AttributeService(session, account_id, clock=self._clock, new_id=self._new_id)
        given = {key: value for key, value in values.items() if value is not None}
        try:
            types = await service.define_missing({key: infer_type(value) for key, value in given.items()})
            return dict.fromkeys(values) | {key: parse_value(types[key], value) for key, value in given.items()}
        except Conflict as error:
            raise JobFailed(error.detail) from error
        except ValueError as error:
            raise JobFailed(f"An attribute was defined anew, and its value does not fit: {error}.") from error


def _standing(at: datetime) -> Clock:
    return lambda: at
