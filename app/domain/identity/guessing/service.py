"""Slows guessing down: of passwords, of codes by e-mail, of the second factor.

An attempt is counted as a failure before it is checked, in a transaction of its own: it stays counted although the
request fails, and attempts sent at the same moment do not slip through. Who succeeds is forgiven. What is counted by is
what was typed, not a user, so that an address nobody has is slowed down like any other.
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.emails import normalise_email
from app.domain.identity.guessing.repository import Rule, clear, count_failure, uncount
from app.lib.db import Database
from app.lib.errors import Conflict, TooManyRequests

SUBJECT_RULE = Rule(free=5, forgiven_every=900.0, longest=900.0)
"""At the longest wait one more attempt is forgiven as it is made: an attacker has about a hundred a day."""

ADDRESS_RULE = Rule(free=100, forgiven_every=9.0, longest=60.0)
"""100 in 15 minutes, and waits of a minute at most: a whole office, or the customers of an operator, share one."""

MAX_WAITING = 32


def login_subject(email: str) -> str:
    """What failed log-ins with this address are counted by."""
    return f"login:{_digest(email)}"


def code_subject(email: str) -> str:
    """What wrong codes for this address are counted by; apart from log-ins, so that neither locks the other out."""
    return f"code:{_digest(email)}"


def second_factor_subject(user_id: UUID) -> str:
    """What wrong codes of this user, once they are logged in, are counted by."""
    return f"second_factor:{user_id}"


class Attempt:
    """One attempt, counted as a failure until `succeeded` or `undecided` is called in a unit of work that commits."""

    def __init__(self, subject: str, address: str | None) -> None:
        self._subject = subject
        self._address = address

    async def succeeded(self, session: AsyncSession) -> None:
        """It was right: its subject has a clean slate; its address is only not charged for it.

        Otherwise whoever has a user of their own could clear the slate of the address they guess from.
        """
        await clear(session, [self._subject])
        await self._uncount_address(session)

    async def undecided(self, session: AsyncSession) -> None:
        """It was neither right nor wrong."""
        await uncount(session, self._subject)
        await self._uncount_address(session)

    async def _uncount_address(self, session: AsyncSession) -> None:
        if self._address is not None:
            await uncount(session, self._address)


class _Gate:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Guesses:
    """The counter of failed attempts; one for each process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gates: dict[str, _Gate] = {}

    @asynccontextmanager
    async def attempt(self, subject: str, ip: str | None) -> AsyncIterator[Attempt]:
        """Check a guess inside the block; raises `TooManyRequests` when it is too early for one.

        No transaction may be open around it.
        """
        # One after the other, or several right passwords at the same moment would look like guesses to each other.
        async with self._turn(subject):
            attempt = Attempt(subject, _address_subject(ip))
            await self._count(subject, _address_subject(ip))
            try:
                yield attempt
            except (TooManyRequests, Conflict):
                # Nothing was checked.
                async with self._database.unit_of_work(identity=True) as session:
                    await attempt.undecided(session)
                raise

    async def _count(self, subject: str, address: str | None) -> None:
        async with self._database.unit_of_work(identity=True) as session:
            # Always in this order, so that two requests cannot wait for each other. What is raised undoes the first.
            wait = await count_failure(session, subject, SUBJECT_RULE)
            if wait is None and address is not None:
                wait = await count_failure(session, address, ADDRESS_RULE)
            if wait is not None:
                raise TooManyRequests("Too many failed attempts; try again later.", retry_after=wait)

    @asynccontextmanager
    async def _turn(self, subject: str) -> AsyncIterator[None]:
        gate = self._gates.setdefault(subject, _Gate())
        if gate.users > MAX_WAITING:
            raise TooManyRequests("Too many attempts at the same moment; try again shortly.", retry_after=2.0)
        gate.users += 1
        try:
            async with gate.lock:
                yield
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[subject]


def _digest(email: str) -> str:
    # However an address is written it is counted once; what is none is counted too.
    return hashlib.sha256((normalise_email(email) or email).encode()).hexdigest()


def _address_subject(ip: str | None) -> str | None:
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    if address.is_loopback:
        # A proxy on this host whose headers are not trusted: everybody comes from there.
        return None
    if address.version == 6:
        # Whoever has one address has the whole /64 (RFC 6177 §2).
        return f"address:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"address:{address}"
