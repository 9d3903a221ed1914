"""Registering, logging in with a password, changing it, and ending sessions."""

from uuid import UUID

from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.codes import letters
from app.domain.identity.codes.schemas import PasswordChange
from app.domain.identity.codes.service import issue_code
from app.domain.identity.events import announce_change
from app.domain.identity.guessing.service import login_subject
from app.domain.identity.models import User
from app.domain.identity.passwords import check_new_password
from app.domain.identity.repository import get_user
from app.domain.identity.schemas import Caller, Login, Registered, Registration, TokenPair
from app.domain.identity.second_factor.service import is_enabled, take_second_factor
from app.domain.identity.service import IdentityService, check_registration
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.repository import lock_user, page_of_sessions, revoke_sessions
from app.domain.identity.sessions.schemas import SessionOut, session_out
from app.domain.identity.sessions.service import LoginService
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound, Unauthenticated
from app.lib.pagination import ListQuery, Page


async def register(local: LocalIssuer, data: Registration) -> Registered:
    """A new user who owns a new account, and is sent a code for their address.

    Raises `InvalidValue`, `Conflict` (`email_taken`), `TooManyRequests`.
    """
    data = check_registration(data)
    password_hash = await local.access.passwords.hash(data.password)
    async with local.database.unit_of_work(identity=True) as session:
        registered = await IdentityService(session, local.new_id).register(data, password_hash)
        user, account = registered.user, registered.account
        await issue_code(local, session, user.id, user.email, "verify_email")
        by = ActorOut("user", user.id, user.email)
        trail = AuditTrail(session, None, local.origin, local.new_id)
        await trail.record(account.id, "created", "account", account.id, after=account, by=by)
        await local.answered(session, registered)
    return registered


async def log_in(local: LocalIssuer, data: Login) -> TokenPair:
    """Tokens for an address, its password and, where one is enabled, a code of the second factor.

    Raises `Unauthenticated` (`invalid_credentials`, `second_factor_required`, `invalid_code`), and `TooManyRequests`
    without looking at the password when it is too early for another guess.
    """
    signer = await local.access.tokens.signer()
    seconds = local.access.settings.refresh_token_seconds
    tokens = None
    async with local.guesses.attempt(login_subject(data.email), local.origin.ip) as attempt:
        known = await local.access.check_password(data.email, data.password)
        async with local.database.unit_of_work(identity=True) as session:
            user = await lock_user(session, known.user_id)
            # Under the lock: a password that was changed meanwhile must not open one more session.
            if user is None or user.password_hash != known.old_hash:
                raise Unauthenticated("The e-mail address or the password is wrong.", code="invalid_credentials")
            if is_enabled(user) and data.code is None:
                await attempt.undecided(session)
            else:
                if is_enabled(user) and not await take_second_factor(local, session, user, data.code or ""):
                    raise Unauthenticated("The code of the second factor is wrong or was used.", code="invalid_code")
                session_id = local.new_id()
                logins = LoginService(session, signer, seconds, local.new_id, local.origin)
                tokens = await logins.open(known, session_id)
                await local.record(session, user, "logged_in", "session", session_id)
                await attempt.succeeded(session)
                await local.answered(session, tokens)
    if tokens is None:
        raise Unauthenticated("Send a code of your second factor too.", code="second_factor_required")
    return tokens


async def refresh_tokens(local: LocalIssuer, token: str) -> TokenPair:
    """Exchange a refresh token for a new pair. Raises `Unauthenticated` (`invalid_refresh_token`).

    A token that was used before ends its whole session, which is committed although the answer is an error.
    """
    signer = await local.access.tokens.signer()
    seconds = local.access.settings.refresh_token_seconds
    async with local.database.unit_of_work(identity=True) as session:
        tokens = await LoginService(session, signer, seconds, local.new_id, local.origin).refresh(token)
        if tokens is not None:
            await local.answered(session, tokens)
    if tokens is None:
        raise Unauthenticated("The refresh token is not valid; log in again.", code="invalid_refresh_token")
    return tokens


async def change_password(local: LocalIssuer, caller: Caller, data: PasswordChange) -> None:
    """Replace the password of the user who is logged in, and end their other sessions.

    Raises `InvalidValue`, `TooManyRequests`, `Conflict` (`no_password`) for a user who has none here.
    """
    async with local.database.reading(identity=True) as session:
        user = await get_user(session, caller.person())
    if user is None:
        raise _no_user()
    stored = _password_hash(user)
    errors: list[FieldError] = []
    check_new_password(data.new_password, user.email, errors, "/new_password")
    if errors:
        raise InvalidValue.of(errors)
    passwords = local.access.passwords
    async with local.guesses.attempt(login_subject(user.email), local.origin.ip) as attempt:
        if not await passwords.verify(stored, data.current_password):
            raise _wrong_password()
        password_hash = await passwords.hash(data.new_password)
        async with local.database.unit_of_work(identity=True) as session:
            user = await lock_user(session, caller.person())
            if user is None or user.password_hash != stored:
                raise _wrong_password()
            user.password_hash = password_hash
            await session.flush()
            await revoke_sessions(session, user.id, keep=caller.session_id)
            await announce_change(session)
            await local.record(session, user, "password_changed", "user", user.id)
            await local.mail(session, user.email, letters.password_changed())
            await attempt.succeeded(session)
            await local.answered(session, None)


async def list_sessions(local: LocalIssuer, caller: Caller, query: ListQuery) -> Page[SessionOut]:
    """One page of the caller's sessions that have not ended."""
    async with local.database.reading(identity=True) as session:
        page = await page_of_sessions(session, caller.person(), query)
    return Page([session_out(each, caller.session_id) for each in page.items], page.next_cursor, page.total)


async def end_session(local: LocalIssuer, caller: Caller, session_id: UUID) -> None:
    """End one session of the caller, their own too; its access tokens are refused from then on. Raises `NotFound`."""
    if not await _end(local, caller, only=session_id):
        raise NotFound("There is no such session.")


async def end_other_sessions(local: LocalIssuer, caller: Caller) -> None:
    """End every session of the caller but the one that is asking."""
    await _end(local, caller, keep=caller.session_id)


async def _end(local: LocalIssuer, caller: Caller, *, only: UUID | None = None, keep: UUID | None = None) -> bool:
    async with local.database.unit_of_work(identity=True) as session:
        user = await lock_user(session, caller.person())
        if user is None:
            raise _no_user()
        ended = await revoke_sessions(session, user.id, only=only, keep=keep)
        if ended:
            await announce_change(session)
            # One entry, however many they were.
            await local.record(session, user, "session_revoked", "session", only)
    return bool(ended)


def _password_hash(user: User) -> str:
    if user.password_hash is None:
        raise Conflict("Your password is not kept here.", code="no_password")
    return user.password_hash


def _wrong_password() -> InvalidValue:
    return InvalidValue.at("/current_password", "wrong_password", "This is not your password.")


def _no_user() -> NotFound:
    return NotFound("There is no such user.")
