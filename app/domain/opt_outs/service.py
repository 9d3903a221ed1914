"""Opt-outs as people see and change them. Nothing here commits: the unit of work does."""

import unicodedata
from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.domain.opt_outs.addresses import check_address
from app.domain.opt_outs.changes import Proof, Wish, change_consent
from app.domain.opt_outs.classes import Source
from app.domain.opt_outs.listeners import NOBODY, OptStateListener
from app.domain.opt_outs.lookup import lock_consent
from app.domain.opt_outs.models import OptOut
from app.domain.opt_outs.places import tenant_of
from app.domain.opt_outs.repository import OptOutRepository
from app.domain.opt_outs.schemas import ConsentEventOut, OptOutCreate, OptOutOut, consent_event_out, opt_out_out
from app.lib.db import Scope
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import check_version


class OptOutService:
    """The opt-outs of the caller's account, inside one unit of work.

    Methods raise `NotFound` for an opt-out of another account as for none, and for one that has ended.
    """

    def __init__(
        self,
        session: AsyncSession,
        caller: Caller,
        audit: AuditTrail,
        *,
        new_id: NewId,
        listener: OptStateListener = NOBODY,
    ) -> None:
        self._session = session
        self._caller = caller
        self._account_id = caller.account_id
        self._audit = audit
        self._new_id = new_id
        self._listener = listener
        self._opt_outs = OptOutRepository(session, Scope(caller.account_id))

    async def page(self, query: ListQuery) -> Page[OptOutOut]:
        """One page of the opt-outs in force."""
        page = await self._opt_outs.page(query)
        return Page([opt_out_out(each) for each in page.items], page.next_cursor, page.total)

    async def ledger(self, query: ListQuery) -> Page[ConsentEventOut]:
        """One page of what ever changed."""
        page = await self._opt_outs.ledger(query)
        return Page([consent_event_out(each) for each in page.items], page.next_cursor, page.total)

    async def get(self, opt_out_id: UUID) -> OptOutOut:
        """One opt-out in force."""
        return opt_out_out(await self._find(opt_out_id))

    async def create(self, data: OptOutCreate) -> OptOutOut:
        """Opt somebody out, because they said so elsewhere.

        Raises `Conflict` (`already_opted_out`) when they are, of this topic, and `InvalidValue` for an address that is
        none of its class.
        """
        errors: list[FieldError] = []
        tenant = await tenant_of(self._session, self._account_id)
        address = check_address(data.channel_class, data.address, tenant.country, errors)
        if errors:
            raise InvalidValue.of(errors)
        detail = None if data.detail is None else unicodedata.normalize("NFC", data.detail)
        changes = await self._change(Wish((data.channel_class, address), data.topic, True, self._proof(detail)))
        if not changes:
            raise Conflict("This address is opted out already.", code="already_opted_out")
        made = opt_out_out(await self._find(changes[0]))
        await self._audit.record(self._account_id, "created", "opt_out", made.id, after=made)
        return made

    async def delete(self, opt_out_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Opt somebody in again, because they said so. Raises `PreconditionFailed` for another version."""
        await lock_consent(self._session, self._account_id)
        opt_out = await self._find(opt_out_id)
        check_version(opt_out.updated_at, if_match, "opt-out")
        before = opt_out_out(opt_out)
        # It is removed in a set: nothing of it must be left in the session.
        self._session.expunge(opt_out)
        await self._change(Wish((before.channel_class, before.address), before.topic, False, self._proof(None)))
        await self._audit.record(self._account_id, "deleted", "opt_out", opt_out_id, before=before)

    async def _change(self, wish: Wish) -> list[UUID]:
        changes = await change_consent(self._session, self._account_id, [wish], self._new_id, self._listener)
        return [each.opt_out_id for each in changes]

    async def _find(self, opt_out_id: UUID) -> OptOut:
        found = await self._opt_outs.find(opt_out_id)
        if found is None:
            raise NotFound("There is no such opt-out in force.")
        return found

    def _proof(self, detail: str | None) -> Proof:
        caller = self._caller
        if caller.api_key_id is not None:
            return Proof(source=Source.API, actor=ActorOut("api_key", caller.api_key_id, caller.name), detail=detail)
        return Proof(source=Source.MANUAL, actor=ActorOut("user", caller.user_id, caller.name), detail=detail)
