"""The long-lived part of identity in one process: who a token belongs to, and what they may do."""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import msgspec
from argon2 import PasswordHasher
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.api_keys.repository import find_key, record_use
from app.domain.identity.api_keys.secrets import is_api_key, secret_hash
from app.domain.identity.cognito.pool import CognitoPool
from app.domain.identity.emails import normalise_email
from app.domain.identity.events import IDENTITY_CHANGED, was_announced
from app.domain.identity.guessing.service import Guesses
from app.domain.identity.keys import SigningKeys
from app.domain.identity.models import Account
from app.domain.identity.passwords import Passwords
from app.domain.identity.permissions import Permissions, flatten, reading_only
from app.domain.identity.repository import default_membership, find_user_by_email, get_membership, get_user
from app.domain.identity.schemas import Caller, user_required
from app.domain.identity.sessions.repository import is_session_alive
from app.domain.identity.tokens import AccessTokens
from app.lib.clock import Clock
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.errors import Forbidden, Malformed, Unauthenticated, Unavailable
from app.lib.ids import NewId
from app.lib.listen import listen
from app.lib.logging import get_logger
from app.settings import IdentitySettings

log = get_logger(__name__)

MAX_CALLERS = 10_000
RECORD_USE_SECONDS = 5.0
"""How often the last uses of API keys are written down, all in one statement."""


class KnownUser(msgspec.Struct, frozen=True):
    """A user who has just proved to be one. `new_hash` replaces `old_hash` when the parameters have changed."""

    user_id: UUID
    old_hash: str
    new_hash: str | None

    def __repr__(self) -> str:
        return f"<KnownUser {self.user_id}>"


class _Key(msgspec.Struct, frozen=True):
    """What a caller is remembered by: a session of a user, or the digest of an API key; and the account asked for."""

    account_id: UUID | None
    user_id: UUID | None = None
    session_id: UUID | None = None
    api_key: bytes | None = None


class _Known(msgspec.Struct, frozen=True):
    """A caller, with what is checked again on every request."""

    caller: Caller
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    expires_at: datetime | None = None


class IdentityAccess:
    """Keys, token verifier, password hasher, and the callers of the last moments.

    One for each process, built before its event loop serves. `start()` makes the first signing key and raises
    `Unavailable` when the database is away; everything else then loads what it needs when it is first used. Run
    `listen()` and `record_uses()` as tasks.
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
        cognito: CognitoPool | None = None,
    ) -> None:
        self._database = database
        self.settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self.keys = SigningKeys(database, envelope, token_seconds=settings.access_token_seconds, monotonic=monotonic)
        self.passwords = Passwords(PasswordHasher(memory_cost=settings.password_memory_mebibytes * 1024))
        self.guesses = Guesses(database)
        self.tokens = AccessTokens(
            self.keys,
            issuer=issuer,
            seconds=settings.access_token_seconds,
            clock=clock,
            new_id=new_id,
            others=[] if cognito is None else [cognito.issuer],
        )
        self.cognito = cognito
        self._callers: dict[_Key, tuple[float, _Known]] = {}
        self._resolving: dict[_Key, asyncio.Task[_Known]] = {}
        self._uses: dict[UUID, tuple[datetime, str | None]] = {}
        database.when_committed(self._committed)

    async def start(self) -> None:
        """Make sure of a signing key and prepare the password hasher."""
        await self.passwords.prepare()
        await self.keys.start()

    async def listen(self) -> None:
        """Forget callers as soon as any process changed what decides about them; until cancelled."""
        await listen(self._database, IDENTITY_CHANGED, lambda _: self.forget())

    async def record_uses(self) -> None:
        """Write down now and then when and from where API keys were used; until cancelled."""
        while True:
            await asyncio.sleep(RECORD_USE_SECONDS)
            uses, self._uses = self._uses, {}
            if not uses:
                continue
            try:
                async with self._database.unit_of_work(identity=True) as session:
                    await record_use(session, uses)
            except Unavailable as error:
                log.warning("uses of API keys are not recorded", reason=error.detail)

    def forget(self) -> None:
        """Resolve every caller anew; what is being resolved now is not remembered."""
        self._callers.clear()
        self._resolving.clear()

    async def authenticate(self, token: str, account_header: str | None, ip: str | None) -> Caller:
        """Who sent `token` from `ip`, in the account they ask for (`X-Account-Id`) or in their default one.

        Raises `Unauthenticated`, `Malformed` for a header that is not a UUID, `Forbidden` for an account that the
        caller does not belong to or an address that the key is not for, `Unavailable`.
        """
        if is_api_key(token):
            known = await self._known(_Key(_account_id(account_header), api_key=secret_hash(token)))
            self._check_key(known, ip)
            return known.caller
        user_id, session_id = await self._bearer(token, ip)
        key = _Key(_account_id(account_header), user_id=user_id, session_id=session_id)
        return (await self._known(key)).caller

    async def person(self, token: str, ip: str | None) -> UUID:
        """The user of an access token sent from `ip`, whether or not they are a member of any account.

        Raises `Unauthenticated`, `Forbidden` (`user_required`) for an API key, `Unavailable`.
        """
        if is_api_key(token):
            raise user_required()
        user_id, session_id = await self._bearer(token, ip)
        async with self._database.reading(identity=True) as session:
            if not await is_session_alive(session, session_id, user_id):
                raise Unauthenticated("This session has ended; log in again.", code="session_ended")
        return user_id

    async def check_password(self, email: str, password: str) -> KnownUser:
        """The user with this address and password. Raises `Unauthenticated`, after the same time for any reason."""
        normalised = normalise_email(email)
        user = None
        if normalised is not None:
            async with self._database.reading(identity=True) as session:
                user = await find_user_by_email(session, normalised)
        stored = user.password_hash if user else None
        # No connection is held while the hash is computed.
        matches = await self.passwords.verify(stored, password)
        if user is None or stored is None or not matches:
            raise Unauthenticated("The e-mail address or the password is wrong.", code="invalid_credentials")
        outdated = self.passwords.outdated(stored)
        new_hash = await self.passwords.hash(password) if outdated else None
        return KnownUser(user.id, stored, new_hash)

    async def _bearer(self, token: str, ip: str | None) -> tuple[UUID, UUID]:
        """User and session of an access token; whether the session is alive is not looked at yet."""
        claims = await self.tokens.verify(token)
        if claims.user_id is not None:
            return claims.user_id, claims.session_id
        if self.cognito is None:
            raise Unauthenticated("The user of this token is not known here.", code="invalid_token")
        return await self.cognito.users.admit(claims, token, ip), claims.session_id

    def _committed(self, session: AsyncSession) -> None:
        if was_announced(session):
            self.forget()

    def _check_key(self, known: _Known, ip: str | None) -> None:
        now = self._clock()
        if known.expires_at is not None and known.expires_at <= now:
            raise Unauthenticated("The API key has expired.", code="token_expired")
        if known.networks:
            address = _address(ip)
            if address is None or not any(address in network for network in known.networks):
                raise Forbidden("This API key may not be used from your address.", code="address_not_allowed")
        if known.caller.api_key_id is not None:
            self._uses[known.caller.api_key_id] = (now, ip)

    async def _known(self, key: _Key) -> _Known:
        remembered = self._callers.get(key)
        if remembered is not None and remembered[0] > self._monotonic():
            return remembered[1]
        # A busy client's requests all find the memory expired at once: one query serves them.
        task = self._resolving.get(key)
        if task is None:
            task = asyncio.create_task(self._resolve(key))
            self._resolving[key] = task
            task.add_done_callback(lambda done: self._resolved(key, done))
        return await asyncio.shield(task)

    def _resolved(self, key: _Key, task: "asyncio.Task[_Known]") -> None:
        current = self._resolving.get(key) is task
        if current:
            del self._resolving[key]
        # Reading the exception also says that somebody did, should every waiter have gone.
        if task.cancelled() or task.exception() is not None or not current:
            return
        self._callers.pop(key, None)
        if len(self._callers) >= MAX_CALLERS:
            del self._callers[next(iter(self._callers))]
        self._callers[key] = (self._monotonic() + self.settings.context_cache_seconds, task.result())

    async def _resolve(self, key: _Key) -> _Known:
        async with self._database.reading(identity=True) as session:
            if key.api_key is not None:
                return await _resolve_key(session, key.api_key, key.account_id)
            if key.user_id is None:
                raise ValueError("neither a user nor an API key")
            return await _resolve_user(session, key.user_id, key.session_id, key.account_id)


async def _resolve_user(
    session: AsyncSession, user_id: UUID, session_id: UUID | None, account_id: UUID | None
) -> _Known:
    user = await get_user(session, user_id)
    if user is None:
        raise Unauthenticated("The user of this token does not exist any more.", code="invalid_token")
    if session_id is not None and not await is_session_alive(session, session_id, user_id):
        raise Unauthenticated("This session has ended; log in again.", code="session_ended")
    if account_id is None:
        found = await default_membership(session, user_id)
    else:
        found = await get_membership(session, user_id, account_id)
    if found is None:
        if account_id is None:
            raise Forbidden("You are not a member of any account.", code="no_account")
        raise Forbidden("You are not a member of this account.", code="not_a_member")
    account, role = found
    return _Known(
        Caller(
            account_id=account.id,
            name=user.email,
            role_name=role.name,
            permissions=_permissions(account, role.permissions),
            user_id=user_id,
            session_id=session_id,
            suspended=account.suspended,
        )
    )


async def _resolve_key(session: AsyncSession, digest: bytes, account_id: UUID | None) -> _Known:
    found = await find_key(session, digest, account_id)
    if found is None:
        raise Unauthenticated("The API key is not valid.", code="invalid_token")
    key, account, role = found
    if account is None:
        raise Forbidden("This API key belongs to another account.", code="not_a_member")
    granted: Permissions = key.permissions if key.permissions is not None else role.permissions if role else {}
    return _Known(
        Caller(
            account_id=account.id,
            name=key.name,
            role_name=role.name if role is not None else "",
            permissions=_permissions(account, granted),
            api_key_id=key.id,
            suspended=account.suspended,
        ),
        tuple(ipaddress.ip_network(network) for network in key.allowed_networks),
        key.expires_at,
    )


def _permissions(account: Account, granted: Permissions) -> frozenset[str]:
    return reading_only(flatten(granted)) if account.suspended else flatten(granted)


def _address(ip: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return None
    # A dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
    return getattr(address, "ipv4_mapped", None) or address


def _account_id(header: str | None) -> UUID | None:
    if header is None:
        return None
    try:
        return UUID(header)
    except ValueError as error:
        raise Malformed("X-Account-Id must be the id (UUID) of an account.", code="bad_account_id") from error
