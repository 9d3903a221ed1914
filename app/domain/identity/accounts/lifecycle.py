"""Suspending, deleting and restoring accounts, with all that lie below them. Nothing here commits.

An account has a status of its own; whether it is suspended follows from that and from those above it. Suspended means:
it can be read and nothing else, and nothing is sent. What is queued waits.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.events import announce_suspension
from app.domain.identity.accounts.reach import no_account, reach, reach_from_above, role_in
from app.domain.identity.accounts.repository import (
    close_account,
    grace_is_over,
    has_living_children,
    lock_account,
    lock_tree,
    read_account,
    spread_suspension,
)
from app.domain.identity.accounts.schemas import AccountOut, account_out
from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.models import Account
from app.domain.identity.permissions import lacking
from app.domain.identity.schemas import Caller
from app.lib.clock import Clock
from app.lib.errors import Conflict
from app.lib.versions import changed_at, check_version


class AccountStates:
    """Moves accounts from one status to another, for whoever was found to be allowed to.

    `by` is who does it where that is not the caller of a request. Methods lock the tree of the account first. They
    raise `NotFound` for an account that is gone, and `Conflict`.
    """

    def __init__(self, session: AsyncSession, audit: AuditTrail, clock: Clock, *, by: ActorOut | None = None) -> None:
        self._session = session
        self._audit = audit
        self._clock = clock
        self._by = by

    async def suspend(self, account: Account) -> AccountOut:
        """Suspend it and all below it. Twice is once. Raises `Conflict` (`account_closing`) for a deleted one."""
        account = await self._lock(account)
        if account.status == "closing":
            raise _closing()
        return await self._move(account, "suspended", "suspended")

    async def resume(self, account: Account) -> AccountOut:
        """End its suspension; what lies below is open again unless something else suspends it."""
        account = await self._lock(account)
        if account.status == "closing":
            raise _closing()
        return await self._move(account, "active", "resumed")

    async def close(self, account: Account, grace: timedelta, if_match: Collection[str] | None = None) -> None:
        """Delete it: it is suspended, and gone for good after `grace`.

        Raises `Conflict` for an account that has living sub-accounts (`has_sub_accounts`) or is deleted already, and
        `PreconditionFailed`.
        """
        account = await self._lock(account)
        if account.status == "closing":
            raise _closing()
        if account.suspended:
            raise lacking("accounts:delete", suspended=True)
        check_version(account.updated_at, if_match, "account")
        if await has_living_children(self._session, account.id):
            raise Conflict("This account has sub-accounts: delete those first.", code="has_sub_accounts")
        before = account_out(account)
        account.updated_at = changed_at(self._clock(), account.updated_at)
        await close_account(self._session, account, grace)
        await self._spread(account, before, "closing")

    async def restore(self, account: Account) -> AccountOut:
        """Bring a deleted account back before it is gone; one that is not deleted stays as it is.

        Raises `Conflict` when its time is over (`grace_over`) or the account above is deleted too (`parent_closing`).
        """
        account = await self._lock(account)
        if account.status != "closing":
            return account_out(account)
        if await grace_is_over(self._session, account.id):
            raise Conflict("The time in which this account could be restored is over.", code="grace_over")
        above = None if account.parent_id is None else await read_account(self._session, account.parent_id)
        if above is not None and above.status == "closing":
            raise Conflict("The account above is deleted too: restore that one first.", code="parent_closing")
        before = account_out(account)
        account.closes_at = None
        account.status = "active"
        account.updated_at = changed_at(self._clock(), account.updated_at)
        return await self._spread(account, before, "restored")

    async def _move(self, account: Account, status: str, action: str) -> AccountOut:
        before = account_out(account)
        if account.status == status:
            return before
        account.status = status
        account.updated_at = changed_at(self._clock(), account.updated_at)
        return await self._spread(account, before, action)

    async def _lock(self, account: Account) -> Account:
        await lock_tree(self._session, account)
        locked = await lock_account(self._session, account.id)
        if locked is None:
            raise no_account()
        return locked

    async def _spread(self, account: Account, before: AccountOut, action: str) -> AccountOut:
        await spread_suspension(self._session, account.id)
        fresh = await read_account(self._session, account.id)
        if fresh is None:
            raise no_account()
        after = account_out(fresh)
        await self._audit.record(account.id, action, "account", account.id, before=before, after=after, by=self._by)
        await announce_suspension(self._session)
        return after


class AccountLifecycle:
    """What one caller may do of it. Methods also raise `NotFound` for an account they do not reach and `Forbidden`."""

    def __init__(self, session: AsyncSession, caller: Caller, audit: AuditTrail, clock: Clock) -> None:
        self._session = session
        self._caller = caller
        self._states = AccountStates(session, audit, clock)

    async def suspend(self, account_id: UUID) -> AccountOut:
        """Suspend an account from one above it: nobody suspends themselves out."""
        account = await reach_from_above(self._session, self._caller, account_id, "accounts:update")
        return await self._states.suspend(account)

    async def resume(self, account_id: UUID) -> AccountOut:
        """End a suspension, from an account above."""
        account = await reach_from_above(self._session, self._caller, account_id, "accounts:update")
        return await self._states.resume(account)

    async def close(self, account_id: UUID, grace: timedelta, if_match: Collection[str] | None = None) -> None:
        """Delete an account, see `AccountStates.close`."""
        await self._states.close(await self._deletable(account_id), grace, if_match)

    async def restore(self, account_id: UUID) -> AccountOut:
        """Bring a deleted account back, with the permission that deletes it."""
        return await self._states.restore(await self._deletable(account_id))

    async def _deletable(self, account_id: UUID) -> Account:
        reached = await role_in(self._session, self._caller, account_id)
        if reached is None:
            raise no_account()
        if reached.account.status == "closing" and "accounts:delete" in reached.granted:
            # Suspended by nothing but its deletion, or by what the caller's wish cannot change anyway.
            return reached.account
        return await reach(self._session, self._caller, account_id, "accounts:delete")


def _closing() -> Conflict:
    return Conflict("This account is deleted; it can only be restored.", code="account_closing")
