"""The second factor: codes by time from an authenticator, and recovery codes for when it is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.codes import letters
from app.domain.identity.guessing.service import second_factor_subject
from app.domain.identity.models import User
from app.domain.identity.repository import get_user
from app.domain.identity.schemas import Caller
from app.domain.identity.second_factor.repository import (
    confirm_secret,
    count_recovery_codes,
    offer_secret,
    remove_secret,
    replace_recovery_codes,
    use_recovery_code,
    use_step,
)
from app.domain.identity.second_factor.schemas import RecoveryCodes, SecondFactorOut, SecondFactorSetup
from app.domain.identity.second_factor.totp import (
    matching_step,
    new_recovery_codes,
    new_secret,
    provisioning_uri,
    recovery_code_hash,
)
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.repository import lock_user
from app.lib.errors import Conflict, InvalidValue, NotFound


def is_enabled(user: User) -> bool:
    """Whether the user logs in with a code too."""
    return user.totp_secret is not None and user.totp_confirmed_at is not None


async def take_second_factor(local: LocalIssuer, session: AsyncSession, user: User, code: str) -> bool:
    """Use a code up, of the authenticator or for recovery; False when it is wrong or was used. Lock the user first."""
    if await _take_totp(local, session, user, code):
        return True
    return await use_recovery_code(session, user.id, recovery_code_hash(user.id, code))


async def show_second_factor(local: LocalIssuer, caller: Caller) -> SecondFactorOut:
    """How it stands."""
    async with local.database.reading(identity=True) as session:
        user = _there(await get_user(session, caller.person()))
        left = await count_recovery_codes(session, user.id)
    enabled = is_enabled(user)
    return SecondFactorOut(
        enabled, user.totp_secret is not None and not enabled, user.totp_confirmed_at if enabled else None, left
    )


async def begin_second_factor(local: LocalIssuer, caller: Caller) -> SecondFactorSetup:
    """A new secret, which is in force once it is confirmed; one offered before is void. Raises `Conflict`."""
    secret = new_secret()
    async with local.database.unit_of_work(identity=True) as session:
        user = _there(await lock_user(session, caller.person()))
        if user.password_hash is None:
            raise Conflict("You do not log in with a password of this installation.", code="no_password")
        if is_enabled(user):
            raise Conflict("A second factor is enabled; remove it first.", code="second_factor_enabled")
        await offer_secret(session, user.id, local.envelope.encrypt(secret.encode(), totp_context(user.id)))
        setup = SecondFactorSetup(secret, provisioning_uri(secret, user.email))
        await local.answered(session, setup)
    return setup


async def confirm_second_factor(local: LocalIssuer, caller: Caller, code: str) -> RecoveryCodes:
    """The authenticator shows the right codes: from now on they are asked for. Raises `Conflict`, `InvalidValue`."""
    async with _guess(local, caller) as (session, user):
        if user.totp_secret is None:
            raise Conflict("No second factor was begun.", code="no_second_factor")
        if is_enabled(user):
            raise Conflict("The second factor is enabled already.", code="second_factor_enabled")
        if not await _take_totp(local, session, user, code):
            raise _wrong_code()
        await confirm_secret(session, user.id)
        codes = await _renew(local, session, user.id)
        await local.record(session, user, "second_factor_enabled", "user", user.id)
        await local.mail(session, user.email, letters.second_factor_changed(enabled=True))
        await local.answered(session, codes)
    return codes


async def renew_recovery_codes(local: LocalIssuer, caller: Caller, code: str) -> RecoveryCodes:
    """Ten new recovery codes instead of those there are. Raises `Conflict`, `InvalidValue`."""
    async with _guess(local, caller) as (session, user):
        await _check(local, session, user, code)
        codes = await _renew(local, session, user.id)
        await local.record(session, user, "recovery_codes_renewed", "user", user.id)
        await local.answered(session, codes)
    return codes


async def disable_second_factor(local: LocalIssuer, caller: Caller, code: str) -> None:
    """Only the password is asked for from now on. Raises `Conflict`, `InvalidValue`."""
    async with _guess(local, caller) as (session, user):
        await _check(local, session, user, code)
        await remove_secret(session, user.id)
        await local.record(session, user, "second_factor_disabled", "user", user.id)
        await local.mail(session, user.email, letters.second_factor_changed(enabled=False))


def totp_context(user_id: UUID) -> str:
    """What a sealed secret is tied to."""
    return f"user:{user_id}:totp"


@asynccontextmanager
async def _guess(local: LocalIssuer, caller: Caller) -> AsyncIterator[tuple[AsyncSession, User]]:
    """A unit of work with the user locked, which is an attempt at guessing a code unless it ends well."""
    async with (
        local.guesses.attempt(second_factor_subject(caller.person()), local.origin.ip) as attempt,
        local.database.unit_of_work(identity=True) as session,
    ):
        yield session, _there(await lock_user(session, caller.person()))
        await attempt.succeeded(session)


async def _check(local: LocalIssuer, session: AsyncSession, user: User, code: str) -> None:
    if not is_enabled(user):
        raise Conflict("No second factor is enabled.", code="no_second_factor")
    if not await take_second_factor(local, session, user, code):
        raise _wrong_code()


async def _take_totp(local: LocalIssuer, session: AsyncSession, user: User, code: str) -> bool:
    if user.totp_secret is None:
        return False
    secret = local.envelope.decrypt(user.totp_secret, totp_context(user.id)).decode()
    step = matching_step(secret, code, local.clock())
    return step is not None and await use_step(session, user.id, step)


async def _renew(local: LocalIssuer, session: AsyncSession, user_id: UUID) -> RecoveryCodes:
    codes = new_recovery_codes()
    stored = [(local.new_id(), recovery_code_hash(user_id, code)) for code in codes]
    await replace_recovery_codes(session, user_id, stored)
    return RecoveryCodes(codes)


def _there(user: User | None) -> User:
    if user is None:
        raise NotFound("There is no such user.")
    return user


def _wrong_code() -> InvalidValue:
    return InvalidValue.at("/code", "invalid_code", "This code is wrong or was used.")
