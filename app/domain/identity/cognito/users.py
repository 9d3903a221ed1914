"""Which of our users a subject of Cognito is."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.schemas import account_out
from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.cognito.client import CognitoClient, PoolUser
from app.domain.identity.cognito.refusals import CognitoRefusal, answering
from app.domain.identity.cognito.repository import (
    find_session,
    find_user_by_subject,
    give_to_subject,
    keep_session,
    lock_address,
    mark_verified,
)
from app.domain.identity.emails import normalise_email
from app.domain.identity.events import announce_change
from app.domain.identity.models import Account, Membership, User
from app.domain.identity.names import check_name
from app.domain.identity.permissions import OWNER
from app.domain.identity.repository import add_registration, default_membership
from app.domain.identity.schemas import Origin
from app.domain.identity.sessions.repository import lock_user_by_email, revoke_sessions
from app.domain.identity.tokens import AccessClaims
from app.lib.clock import Clock
from app.lib.db import Database
from app.lib.errors import FieldError, Forbidden, Unauthenticated
from app.lib.ids import NewId

T = TypeVar("T")

MAX_REMEMBERED = 10_000
REFUSED_SECONDS = 5.0
"""How long a token whose user cannot be told is refused unasked: AWS counts our questions for all users together."""

LONGEST_TOKEN_SECONDS = 86_400
"""The longest life that Cognito gives an access token: for so long a session must last that a token has begun."""


class CognitoUsers:
    """Admits genuine tokens: knows or makes their user, and keeps the session they belong to.

    Every token of the pool belongs to a session of ours, whoever obtained it: it is made when the token is first seen.
    So users see it in their list, and a session that was ended here lets no token in, not even one that Cognito makes
    afterwards from the same log-in. `session_seconds` is how long a session is remembered after its last new token.
    """

    def __init__(
        self,
        database: Database,
        client: CognitoClient,
        *,
        session_seconds: int,
        clock: Clock,
        new_id: NewId,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._client = client
        self._session_seconds = max(session_seconds, 2 * LONGEST_TOKEN_SECONDS)
        self._clock = clock
        self._new_id = new_id
        self._monotonic = monotonic
        self._admitted: dict[str, UUID] = {}
        self._admitting: dict[str, asyncio.Task[UUID]] = {}
        self._refused: dict[str, tuple[float, Forbidden]] = {}

    async def admit(self, claims: AccessClaims, token: str, ip: str | None) -> UUID:
        """The user of a verified token that was sent from `ip`; whether its session is alive must be asked on each use.

        Raises `Unauthenticated`, `Forbidden` (`email_not_verified`, `email_taken`), `Unavailable`.
        """
        user_id = self._admitted.get(claims.token_id)
        if user_id is not None:
            return user_id
        refused = self._refused.get(claims.token_id)
        if refused is not None and refused[0] > self._monotonic():
            raise Forbidden(refused[1].detail, code=refused[1].code)
        # A page that loads sends many requests with a new token at once.
        task = self._admitting.get(claims.token_id)
        if task is None:
            task = asyncio.create_task(self._admit(claims, token, ip))
            self._admitting[claims.token_id] = task
            task.add_done_callback(lambda done: self._done(claims.token_id, done))
        return await asyncio.shield(task)

    def _done(self, token_id: str, task: "asyncio.Task[UUID]") -> None:
        del self._admitting[token_id]
        self._refused.pop(token_id, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            _remember(self._admitted, token_id, task.result())
        elif isinstance(error, Forbidden):
            _remember(self._refused, token_id, (self._monotonic() + REFUSED_SECONDS, error))

    async def _admit(self, claims: AccessClaims, token: str, ip: str | None) -> UUID:
        subject = _subject(claims)
        async with self._database.reading(identity=True) as session:
            state = await find_session(session, subject, claims.session_id, LONGEST_TOKEN_SECONDS)
        if state is not None and state.owner_id is not None and (state.revoked or state.owner_id != state.user_id):
            raise Unauthenticated("This session has ended; log in again.", code="session_ended")
        user_id = state.user_id if state is not None else await self.find_or_make(claims, token, Origin(ip))
        if state is None or not state.lasts:
            async with self._database.unit_of_work(identity=True) as session:
                await keep_session(session, claims.session_id, user_id, Origin(ip), self._session_seconds)
        return user_id

    async def find_or_make(self, claims: AccessClaims, token: str, origin: Origin) -> UUID:
        """The user of a verified token: known by subject, else by an address that Cognito has verified, else new.

        That also completes a registration that ended between Cognito and us. Raises like `admit`.
        """
        subject = _subject(claims)
        async with self._database.reading(identity=True) as session:
            known = await find_user_by_subject(session, subject)
        if known is not None and known.email_verified_at is not None:
            return known.id
        # No connection is held while Cognito is asked.
        described = await self._describe(token)
        email = normalise_email(described.attribute("email")) if described is not None else None
        verified = email is not None and described is not None and described.attribute("email_verified") == "true"
        if known is not None:
            if verified and email == known.email:
                async with self._database.unit_of_work(identity=True) as session:
                    await mark_verified(session, known.email)
            return known.id
        if described is None or email is None or not verified or described.attribute("sub") != subject:
            raise Forbidden("Your e-mail address is not verified.", code="email_not_verified")
        async with self._database.unit_of_work(identity=True) as session:
            return await self._link_or_make(session, subject, email, described, origin)

    async def _describe(self, token: str) -> PoolUser | None:
        with answering():
            try:
                return await self._client.get_user(token)
            except CognitoRefusal as refusal:
                # A token without the scope to read one's own attributes, or revoked at Cognito: it proves no address.
                if refusal.kind in ("NotAuthorizedException", "UserNotFoundException", "UserNotConfirmedException"):
                    return None
                raise

    async def _link_or_make(
        self, session: AsyncSession, subject: str, email: str, described: PoolUser, origin: Origin
    ) -> UUID:
        await lock_address(session, email)
        known = await find_user_by_subject(session, subject)
        if known is not None:
            return known.id
        trail = AuditTrail(session, None, origin, self._new_id)
        user = await lock_user_by_email(session, email)
        if user is None:
            user, account, membership = new_owner(self._new_id, email, _full_name(described, email), subject)
            user.email_verified_at = self._clock()
            await add_registration(session, user, account, membership)
            await trail.record(account.id, "created", "account", account.id, after=account_out(account), by=_by(user))
            return user.id
        if user.cognito_subject is not None and user.email_verified_at is not None:
            # Somebody else had the address in the pool before; what is theirs here is not handed on by the address.
            raise Forbidden("Another user here has your e-mail address.", code="email_taken")
        await give_to_subject(session, user.id, subject)
        await revoke_sessions(session, user.id)
        await announce_change(session)
        found = await default_membership(session, user.id)
        if found is not None:
            await trail.record(found[0].id, "linked_to_cognito", "user", user.id, by=_by(user))
        return user.id


def _remember(memory: dict[str, T], token_id: str, value: T) -> None:
    if len(memory) >= MAX_REMEMBERED:
        del memory[next(iter(memory))]
    memory[token_id] = value


def new_owner(
    new_id: NewId, email: str, full_name: str, subject: str, account_name: str | None = None
) -> tuple[User, Account, Membership]:
    """A user of Cognito who owns an account of their own, named after them unless they named it."""
    account_id = new_id()
    account = Account(id=account_id, name=account_name or full_name, path=[account_id])
    user = User(
        id=new_id(),
        email=email,
        full_name=full_name,
        password_hash=None,
        cognito_subject=subject,
        default_account_id=account_id,
    )
    return user, account, Membership(id=new_id(), user_id=user.id, account_id=account_id, role_id=OWNER.id)


def _full_name(described: PoolUser, email: str) -> str:
    given = f"{described.attribute('given_name')} {described.attribute('family_name')}"
    for candidate in (described.attribute("name"), given):
        errors: list[FieldError] = []
        name = check_name(candidate, "", errors)
        if not errors:
            return name
    return email.partition("@")[0]


def _by(user: User) -> ActorOut:
    return ActorOut("user", user.id, user.email)


def _subject(claims: AccessClaims) -> str:
    if claims.subject is None:
        raise ValueError("not a token of Cognito's")
    return claims.subject
