"""What logging in with a password of this installation works with, in one request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.access import IdentityAccess
from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.codes.letters import Letter
from app.domain.identity.guessing.service import Guesses
from app.domain.identity.models import User
from app.domain.identity.repository import default_membership
from app.domain.identity.schemas import Origin
from app.domain.mails.service import queue_mail
from app.lib.clock import Clock
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import NewId


@dataclass(frozen=True, slots=True)
class LocalIssuer:
    """Passwords, codes and sessions of this installation, for a request from `origin`.

    It opens units of work of its own: what was counted is committed although the answer is an error, and no connection
    is held while a password is hashed. `answered` goes at the end of the one that does what was asked for, with what is
    answered: a request with an idempotency key has its answer stored there, and everybody else nothing.
    """

    database: Database
    envelope: Envelope
    access: IdentityAccess
    clock: Clock
    new_id: NewId
    origin: Origin
    answered: Callable[[AsyncSession, msgspec.Struct | None], Awaitable[None]]

    @property
    def guesses(self) -> Guesses:
        """The counter of failed attempts."""
        return self.access.guesses

    async def mail(self, session: AsyncSession, email: str, letter: Letter) -> None:
        """Have a letter sent when the transaction commits."""
        await queue_mail(session, self.envelope, self.new_id, to=email, subject=letter.subject, body=letter.body)

    async def record(
        self,
        session: AsyncSession,
        user: User,
        action: str,
        resource_type: str,
        resource_id: UUID | None,
        after: msgspec.Struct | None = None,
    ) -> None:
        """Write what a user did about their own log-in into the log of their default account, if they have one."""
        found = await default_membership(session, user.id)
        if found is not None:
            trail = AuditTrail(session, None, self.origin, self.new_id)
            by = ActorOut("user", user.id, user.email)
            await trail.record(found[0].id, action, resource_type, resource_id, after=after, by=by)
