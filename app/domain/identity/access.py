"""The long-lived part of identity in one process: who a token belongs to, and what they may do."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import msgspec

from app.domain.identity.emails import normalise_email
from app.domain.identity.keys import SigningKeys
from app.domain.identity.passwords import Passwords
from app.domain.identity.permissions import flatten
from app.domain.identity.repository import default_membership, find_user_by_email, get_membership, get_user
from app.domain.identity.schemas import Caller
from app.domain.identity.tokens import AccessTokens
from app.lib.clock import Clock
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.errors import Forbidden, Malformed, Unauthenticated
from app.lib.ids import NewId
from app.settings import IdentitySettings

MAX_CALLERS = 10_000

_Key = tuple[UUID, UUID | None]


class KnownUser(msgspec.Struct, frozen=True):
    """A user who has just proved to be one. `new_hash` replaces `old_hash` when the parameters have changed."""

    user_id: UUID
    old_hash: str
    new_hash: str | None

    def __repr__(self) -> str:
        return f"<KnownUser {self.user_id}>"


class IdentityAccess:
    """Keys, token verifier, password hasher, and the callers of the last moments.

    One for each process, built before its event loop serves. `start()` makes the first signing key and raises
    `Unavailable` when the database is away; everything else then loads what it needs when it is first used.
    """

    def __init__(
        self,
        database: Database,
        envelope: Envelope,
        settings: IdentitySettings,
        *,
        issuer: str,
        clock: Clock,
        new_id: NewId,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self.settings = settings
        self._monotonic = monotonic
        self.keys = SigningKeys(database, envelope, token_seconds=settings.access_token_seconds, monotonic=monotonic)
        self.passwords = Passwords()
        self.tokens = AccessTokens(
            self.keys, issuer=issuer, seconds=settings.access_token_seconds, clock=clock, new_id=new_id
        )
        self._callers: dict[_Key, tuple[float, Caller]] = {}
        self._resolving: dict[_Key, asyncio.Task[Caller]] = {}

    async def start(self) -> None:
        """Make sure of a signing key and prepare the password hasher."""
        await self.passwords.prepare()
        await self.keys.start()

    async def authenticate(self, token: str, account_header: str | None) -> Caller:
        """Who sent `token`, in the account they ask for (`X-Account-Id`) or in their default one.

        Raises `Unauthenticated`, `Malformed` for a header that is not a UUID, `Forbidden` for an account that is
        suspended or that the user is not a member of, `Unavailable`.
        """
        claims = await self.tokens.verify(token)
        return await self._caller(claims.user_id, _account_id(account_header))

    async def check_password(self, email: str, password: str) -> KnownUser:
        """The user with this address and password. Raises `Unauthenticated`, after the same time for any reason."""
        normalised = normalise_email(email)
        user = None
        if normalised is not None:
            async with self._database.reading() as session:
                user = await find_user_by_email(session, normalised)
        # No connection is held while the hash is computed.
        matches = await self.passwords.verify(user.password_hash if user else None, password)
        if user is None or not matches:
            raise Unauthenticated("The e-mail address or the password is wrong.", code="invalid_credentials")
        outdated = self.passwords.outdated(user.password_hash)
        new_hash = await self.passwords.hash(password) if outdated else None
        return KnownUser(user.id, user.password_hash, new_hash)

    async def _caller(self, user_id: UUID, account_id: UUID | None) -> Caller:
        key = (user_id, account_id)
        remembered = self._callers.get(key)
        if remembered is not None and remembered[0] > self._monotonic():
            return remembered[1]
        # A busy client's requests all find the memory expired at once: one query serves them.
        task = self._resolving.get(key)
        if task is None:
            task = asyncio.create_task(self._resolve(user_id, account_id))
            self._resolving[key] = task
            task.add_done_callback(lambda done: self._resolved(key, done))
        return await asyncio.shield(task)

    def _resolved(self, key: _Key, task: "asyncio.Task[Caller]") -> None:
        del self._resolving[key]
        # Reading the exception also says that somebody did, should every waiter have gone.
        if task.cancelled() or task.exception() is not None:
            return
        self._callers.pop(key, None)
        if len(self._callers) >= MAX_CALLERS:
            del self._callers[next(iter(self._callers))]
        self._callers[key] = (self._monotonic() + self.settings.context_cache_seconds, task.result())

    async def _resolve(self, user_id: UUID, account_id: UUID | None) -> Caller:
        async with self._database.reading() as session:
            if account_id is None:
                found = await default_membership(session, user_id)
            else:
                found = await get_membership(session, user_id, account_id)
            if found is None and await get_user(session, user_id) is None:
                raise Unauthenticated("The user of this token does not exist any more.", code="invalid_token")
        if found is None:
            if account_id is None:
                raise Forbidden("You are not a member of any account.", code="no_account")
            raise Forbidden("You are not a member of this account.", code="not_a_member")
        account, role = found
        if account.status != "active":
            raise Forbidden("This account is suspended.", code="account_suspended")
        return Caller(user_id, account.id, role.name, flatten(role.permissions))


def _account_id(header: str | None) -> UUID | None:
    if header is None:
        return None
    try:
        return UUID(header)
    except ValueError as error:
        raise Malformed("X-Account-Id must be the id (UUID) of an account.", code="bad_account_id") from error
