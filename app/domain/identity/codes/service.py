"""Codes by e-mail: the proof that an address receives mail, and with it a new password. Nothing tells who is known."""

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.codes import letters
from app.domain.identity.codes.repository import (
    Purpose,
    count_recent_codes,
    count_wrong_try,
    insert_code,
    newest_code,
    use_code,
)
from app.domain.identity.codes.schemas import CodeRequested, EmailVerification, PasswordReset
from app.domain.identity.emails import normalise_email
from app.domain.identity.events import announce_change
from app.domain.identity.guessing.repository import clear
from app.domain.identity.guessing.service import code_subject, login_subject
from app.domain.identity.models import User
from app.domain.identity.passwords import check_new_password
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.repository import lock_user_by_email, revoke_sessions
from app.lib.errors import FieldError, InvalidValue

DIGITS = 6
MAX_WRONG_TRIES = 5
MAX_PER_MINUTE = 1
MAX_PER_HOUR = 5
ANSWER_SECONDS = 0.25
"""When questions about an address are answered at the earliest, so that the time does not tell whether it is known."""


@asynccontextmanager
async def evened(seconds: float = ANSWER_SECONDS) -> AsyncIterator[None]:
    """The block takes at least `seconds`, however it ends. No transaction may be open around it."""
    began = time.monotonic()
    try:
        yield
    finally:
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))


async def send_code(local: LocalIssuer, email: str, purpose: Purpose) -> None:
    """Send a code to whoever has this address: once a minute and five times an hour, and otherwise silently not."""
    async with evened(), local.database.unit_of_work(identity=True) as session:
        user = await _user_of(session, email)
        if user is None or (purpose == "verify_email" and user.email_verified_at is not None):
            return
        minute, hour = await count_recent_codes(session, user.id, purpose)
        if minute < MAX_PER_MINUTE and hour < MAX_PER_HOUR:
            await issue_code(local, session, user.id, user.email, purpose)
            await local.answered(session, CodeRequested())


async def issue_code(local: LocalIssuer, session: AsyncSession, user_id: UUID, email: str, purpose: Purpose) -> None:
    """Make a code and queue its mail; codes sent before are no good any more."""
    seconds = local.access.settings.email_code_seconds
    code_id, code = local.new_id(), f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    sealed = local.envelope.encrypt(code.encode(), code_context(code_id))
    await insert_code(session, code_id, user_id, purpose, sealed, seconds)
    letter = letters.verification if purpose == "verify_email" else letters.reset
    await local.mail(session, email, letter(code, seconds))


async def verify_email(local: LocalIssuer, data: EmailVerification) -> None:
    """Note that mail to the address arrives. Raises `InvalidValue` and `TooManyRequests`, for any address alike."""
    async with evened(), local.guesses.attempt(code_subject(data.email), local.origin.ip) as attempt:
        async with local.database.unit_of_work(identity=True) as session:
            user = await _take_code(local, session, data.email, "verify_email", data.code)
            if user is not None:
                if user.email_verified_at is None:
                    user.email_verified_at = local.clock()
                    await session.flush()
                    await local.record(session, user, "email_verified", "user", user.id)
                await attempt.succeeded(session)
                await local.answered(session, None)
        # Raised only now: the wrong try was committed.
        if user is None:
            raise _wrong_code()


async def reset_password(local: LocalIssuer, data: PasswordReset) -> None:
    """Replace the password, end every session, lift the lock on guesses; the address is verified with it.

    Raises `InvalidValue` and `TooManyRequests`, for any address alike. A second factor stays in force.
    """
    errors: list[FieldError] = []
    check_new_password(data.password, data.email, errors)
    if errors:
        raise InvalidValue.of(errors)
    async with local.guesses.attempt(code_subject(data.email), local.origin.ip) as attempt:
        # Hashed for anybody, and before a connection is taken.
        password_hash = await local.access.passwords.hash(data.password)
        async with evened():
            async with local.database.unit_of_work(identity=True) as session:
                user = await _take_code(local, session, data.email, "reset_password", data.code)
                if user is not None:
                    user.password_hash = password_hash
                    user.email_verified_at = user.email_verified_at or local.clock()
                    await session.flush()
                    await revoke_sessions(session, user.id)
                    await announce_change(session)
                    await local.record(session, user, "password_reset", "user", user.id)
                    await local.mail(session, user.email, letters.password_changed())
                    await attempt.succeeded(session)
                    await clear(session, [login_subject(user.email)])
                    await local.answered(session, None)
            if user is None:
                raise _wrong_code()


def code_context(code_id: UUID) -> str:
    """What a sealed code is tied to."""
    return f"email_code:{code_id}"


async def _take_code(
    local: LocalIssuer, session: AsyncSession, email: str, purpose: Purpose, given: str
) -> User | None:
    """The user, locked, when `given` is their newest code, which is used up; None after counting a wrong try."""
    user = await _user_of(session, email)
    stored = None if user is None else await newest_code(session, user.id, purpose)
    if stored is None or not stored.good or stored.wrong_tries >= MAX_WRONG_TRIES:
        return None
    code = local.envelope.decrypt(stored.code, code_context(stored.id))
    if not hmac.compare_digest(code, given.strip().encode(errors="replace")):
        await count_wrong_try(session, stored.id)
        return None
    await use_code(session, stored.id)
    return user


async def _user_of(session: AsyncSession, email: str) -> User | None:
    normalised = normalise_email(email)
    return None if normalised is None else await lock_user_by_email(session, normalised)


def _wrong_code() -> InvalidValue:
    detail = "This code is wrong, used, too old, or was tried too often; ask for a new one."
    return InvalidValue.at("/code", "invalid_code", detail)
