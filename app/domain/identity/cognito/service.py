"""Registering and logging in through Cognito. No unit of work is open, and no connection held, while AWS is asked."""

import base64
import binascii
from uuid import UUID

import jwt
import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.schemas import account_out
from app.domain.identity.codes.schemas import EmailVerification, PasswordChange, PasswordReset
from app.domain.identity.cognito.client import AuthAnswer, IssuedTokens
from app.domain.identity.cognito.refusals import (
    WRONG_CODE,
    CognitoRefusal,
    answering,
    challenge_required,
    invalid_code,
    invalid_credentials,
    silent_about_users,
    unavailable,
)
from app.domain.identity.cognito.repository import find_refresh_token, keep_session
from app.domain.identity.cognito.users import new_owner
from app.domain.identity.emails import normalise_email
from app.domain.identity.events import announce_change
from app.domain.identity.passwords import check_new_password, normalise_password
from app.domain.identity.repository import add_registration, find_user_by_email, get_user
from app.domain.identity.schemas import Caller, Login, Registered, Registration, TokenPair, user_out
from app.domain.identity.service import check_registration
from app.domain.identity.sessions.local import LocalIssuer
from app.domain.identity.sessions.repository import (
    extend_session,
    insert_refresh_token,
    lock_refresh_family,
    lock_user,
    lock_user_by_email,
    revoke_session,
    revoke_sessions,
    use_refresh_token,
)
from app.domain.identity.tokens import AccessClaims, refresh_token_hash
from app.lib.crypto import CryptoError
from app.lib.errors import AppError, Conflict, FieldError, Forbidden, InvalidValue, Unauthenticated
from app.lib.logging import get_logger

log = get_logger(__name__)

PREFIX = "ct_"
"""Begins the refresh tokens of log-ins through Cognito."""


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    """What a refresh token of ours holds: Cognito's, and the user name its secret hash is made of."""

    username: str
    token: str

    def __repr__(self) -> str:
        return "<_Sealed>"


def of_cognito(refresh_token: str) -> bool:
    """Whether a refresh token is of a log-in through Cognito, and not of one with a password of this installation."""
    return refresh_token.startswith(PREFIX)


class CognitoLogins:
    """What `app.domain.identity.sessions.login` and `codes` do, for an installation where people log in at Cognito.

    The refresh token a client gets holds Cognito's own, sealed: nobody can use that one but through us, so that it
    rotates, ends with its session, and betrays a thief, like those of our own log-ins.
    """

    def __init__(self, local: LocalIssuer) -> None:
        pool = local.access.cognito
        if pool is None:
            raise ValueError("Cognito is not configured")
        self._local = local
        self._pool = pool
        self._client = pool.client
        self._database = local.database
        self._seconds = local.access.settings.refresh_token_seconds

    async def register(self, data: Registration) -> Registered:
        """A new user of the pool and here, who owns a new account and is sent a code.

        Raises `InvalidValue`, `Conflict` (`email_taken`), `TooManyRequests`, `Unavailable`. When it ends between the
        two, the user exists in the pool only; their first log-in makes them known here.
        """
        data = check_registration(data)
        async with self._database.reading(identity=True) as session:
            if await find_user_by_email(session, data.email) is not None:
                raise Conflict("There is already a user with this e-mail address.", code="email_taken")
        with answering():
            made = await self._client.sign_up(data.email, normalise_password(data.password), data.full_name)
        user, account, membership = new_owner(
            self._local.new_id, data.email, data.full_name, made.subject, data.account_name
        )
        async with self._database.unit_of_work(identity=True) as session:
            await add_registration(session, user, account, membership)
            registered = Registered(user_out(user), account_out(account))
            await self._local.record(session, user, "created", "account", account.id, registered.account)
            await self._local.answered(session, registered)
        return registered

    async def verify_email(self, data: EmailVerification) -> None:
        """Confirm an address with the code that was sent to it; raises `InvalidValue` (`invalid_code`)."""
        address = normalise_email(data.email)
        if address is None:
            raise invalid_code()
        try:
            with answering():
                await self._client.confirm_sign_up(address, data.code.strip())
        except Unauthenticated as error:
            # An address that nobody has, or one that is confirmed: as little is told as with a wrong code.
            raise invalid_code() from error
        async with self._database.unit_of_work(identity=True) as session:
            user = await lock_user_by_email(session, address)
            if user is not None and user.cognito_subject is not None and user.email_verified_at is None:
                user.email_verified_at = self._local.clock()
                await session.flush()
                await self._local.record(session, user, "email_verified", "user", user.id)
            await self._local.answered(session, None)

    async def resend_verification(self, email: str) -> None:
        """Send another code; does not tell whether there was anybody to send it to."""
        address = normalise_email(email)
        if address is not None:
            with answering(), silent_about_users():
                await self._client.resend_confirmation_code(address)

    async def forgot_password(self, email: str) -> None:
        """Send a code to set a new password with; does not tell whether there was anybody to send it to."""
        address = normalise_email(email)
        if address is not None:
            with answering(), silent_about_users():
                await self._client.forgot_password(address)

    async def reset_password(self, data: PasswordReset) -> None:
        """Set a new password with a code, which ends every session; raises `InvalidValue`, `TooManyRequests`."""
        errors: list[FieldError] = []
        check_new_password(data.password, data.email, errors)
        if errors:
            raise InvalidValue.of(errors)
        address = normalise_email(data.email)
        if address is None:
            raise invalid_code()
        try:
            with answering():
                await self._client.confirm_forgot_password(
                    address, data.code.strip(), normalise_password(data.password)
                )
        except (Unauthenticated, Forbidden) as error:
            raise invalid_code() from error
        async with self._database.unit_of_work(identity=True) as session:
            user = await lock_user_by_email(session, address)
            if user is not None and user.cognito_subject is not None:
                await revoke_sessions(session, user.id)
                await announce_change(session)
                await self._local.record(session, user, "password_reset", "user", user.id)
            await self._local.answered(session, None)

    async def knows(self, access_token: str) -> bool:
        """Whether a good access token is Cognito's and not one of our own; raises like `AccessTokens.verify`."""
        return (await self._local.access.tokens.verify(access_token)).subject is not None

    async def change_password(self, caller: Caller, access_token: str, data: PasswordChange) -> None:
        """Replace the password of the user who is logged in, and end their other sessions.

        `access_token` is the one they came in with, of Cognito's. Raises `InvalidValue`, `TooManyRequests`.
        """
        async with self._database.reading(identity=True) as session:
            known = await get_user(session, caller.person())
        if known is None:
            raise Unauthenticated("The user of this token does not exist any more.", code="invalid_token")
        errors: list[FieldError] = []
        check_new_password(data.new_password, known.email, errors, "/new_password")
        if errors:
            raise InvalidValue.of(errors)
        old, new = normalise_password(data.current_password), normalise_password(data.new_password)
        with answering("/new_password"):
            try:
                await self._client.change_password(access_token, old, new)
            except CognitoRefusal as refusal:
                if refusal.kind != "NotAuthorizedException":
                    raise
                if "access token" in refusal.words:
                    raise Unauthenticated("This session has ended; log in again.", code="session_ended") from None
                if "attempts exceeded" in refusal.words:
                    raise
                detail = "This is not your password."
                raise InvalidValue.at("/current_password", "wrong_password", detail) from None
        async with self._database.unit_of_work(identity=True) as session:
            user = await lock_user(session, known.id)
            if user is not None:
                await revoke_sessions(session, user.id, keep=caller.session_id)
                await announce_change(session)
                await self._local.record(session, user, "password_changed", "user", user.id)
            await self._local.answered(session, None)

    async def log_in(self, data: Login) -> TokenPair:
        """Tokens for an address and a password, and for the code of an authenticator where the pool asks for one.

        Raises `Unauthenticated` (`invalid_credentials`, `second_factor_required`, `invalid_code`,
        `challenge_required`), `Forbidden` (`email_not_verified`, `email_taken`), `TooManyRequests`, `Unavailable`.
        """
        address = normalise_email(data.email)
        if address is None:
            raise invalid_credentials()
        with answering():
            answer = await self._client.log_in(address, normalise_password(data.password))
            tokens = answer.tokens or await self._after_challenge(answer, address, data.code)
        claims = await self._verified(tokens.access_token)
        if tokens.refresh_token is None or claims.session_id == self._pool.issuer.session_id(claims.token_id):
            log.error("the app client of Cognito must give refresh tokens, and have token revocation enabled")
            raise unavailable()
        user_id = await self._pool.users.find_or_make(claims, tokens.access_token, self._local.origin)
        sealed = self._seal(claims.session_id, _Sealed(_username(tokens.access_token), tokens.refresh_token))
        async with self._database.unit_of_work(identity=True) as session:
            user = await lock_user(session, user_id)
            if user is None:
                raise invalid_credentials()
            await keep_session(session, claims.session_id, user_id, self._local.origin, self._seconds)
            await self._store(session, sealed, user_id, claims.session_id)
            await self._local.record(session, user, "logged_in", "session", claims.session_id)
            pair = TokenPair(tokens.access_token, sealed, "Bearer", tokens.expires_in)
            await self._local.answered(session, pair)
        return pair

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Exchange a refresh token for a new pair; using one twice ends the session. Raises `Unauthenticated`."""
        token_hash = _digest(refresh_token)
        async with self._database.reading(identity=True) as session:
            issued = await find_refresh_token(session, token_hash)
        if issued is None:
            raise _invalid_refresh_token()
        opened = self._open(issued.session_id, refresh_token)
        # Cognito first: were it away after the token had been used up here, the client would be logged out by that.
        tokens = await self._refreshed(opened) if issued.good else None
        sealed = ""
        if tokens is not None:
            claims = await self._verified(tokens.access_token)
            if claims.session_id != issued.session_id:
                log.error("a refreshed token of Cognito's belongs to another log-in")
                raise unavailable()
            sealed = self._seal(issued.session_id, _Sealed(opened.username, tokens.refresh_token or opened.token))
        async with self._database.unit_of_work(identity=True) as session:
            await lock_refresh_family(session, token_hash)
            used_now = await use_refresh_token(session, token_hash) is not None
            if tokens is None or not used_now or not await extend_session(session, issued.session_id, self._seconds):
                # Used before, so that it was stolen from somebody; or Cognito has ended the log-in.
                await revoke_session(session, issued.session_id)
                await announce_change(session)
            else:
                await self._store(session, sealed, issued.user_id, issued.session_id)
                pair = TokenPair(tokens.access_token, sealed, "Bearer", tokens.expires_in)
                await self._local.answered(session, pair)
                return pair
        await self._revoke_at_cognito(opened)
        raise _invalid_refresh_token()

    async def log_out(self, refresh_token: str) -> None:
        """End the session of a refresh token, here at once and then at Cognito; an unknown token is no error."""
        token_hash = _digest(refresh_token)
        async with self._database.unit_of_work(identity=True) as session:
            family_id = await lock_refresh_family(session, token_hash)
            if family_id is None:
                return
            await revoke_session(session, family_id)
            await announce_change(session)
        try:
            opened = self._open(family_id, refresh_token)
        except Unauthenticated:
            return
        await self._revoke_at_cognito(opened)

    async def _after_challenge(self, answer: AuthAnswer, address: str, code: str | None) -> IssuedTokens:
        if answer.challenge == "SOFTWARE_TOKEN_MFA":
            if code is None:
                raise Unauthenticated("Send a code of your second factor too.", code="second_factor_required")
            try:
                answer = await self._client.answer_challenge(answer, address, code.strip())
            except CognitoRefusal as refusal:
                if refusal.kind in WRONG_CODE:
                    detail = "The code of the second factor is wrong or was used."
                    raise Unauthenticated(detail, code="invalid_code") from None
                raise
        if answer.tokens is not None:
            return answer.tokens
        if answer.challenge == "NEW_PASSWORD_REQUIRED":
            raise challenge_required("Your password is a temporary one; ask who gave it to you for a lasting one.")
        raise challenge_required("Your user pool demands a step at log-in that is not offered here.")

    async def _verified(self, access_token: str) -> AccessClaims:
        try:
            return await self._local.access.tokens.verify(access_token)
        except Unauthenticated as error:
            log.error("Cognito's own token does not verify: see the user pool id, the client ids and the clock")
            raise unavailable() from error

    async def _refreshed(self, opened: _Sealed) -> IssuedTokens | None:
        """None when Cognito does not refresh it any more."""
        try:
            with answering():
                return (await self._client.refresh(opened.username, opened.token)).tokens
        except (Unauthenticated, Forbidden):
            return None

    async def _revoke_at_cognito(self, opened: _Sealed) -> None:
        try:
            with answering():
                await self._client.revoke(opened.token)
        except AppError as error:
            # It is sealed, and its session has ended here: it lets nobody in. At Cognito it expires by itself.
            log.warning("a refresh token is not revoked at Cognito", reason=error.code)

    async def _store(self, session: AsyncSession, sealed: str, user_id: UUID, session_id: UUID) -> None:
        digest = _digest(sealed)
        await insert_refresh_token(session, self._local.new_id(), user_id, session_id, digest, self._seconds)

    def _seal(self, session_id: UUID, content: _Sealed) -> str:
        sealed = self._local.envelope.encrypt(msgspec.msgpack.encode(content), _context(session_id))
        return PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _open(self, session_id: UUID, refresh_token: str) -> _Sealed:
        encoded = refresh_token.removeprefix(PREFIX)
        try:
            sealed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            plain = self._local.envelope.decrypt(sealed, _context(session_id))
            return msgspec.msgpack.decode(plain, type=_Sealed)
        except (CryptoError, binascii.Error, ValueError, msgspec.DecodeError) as error:
            # Sealed under an encryption key that was removed since.
            raise _invalid_refresh_token() from error


def _username(access_token: str) -> str:
    """The user name in a verified token: what a secret hash is made of when the token is refreshed."""
    claims = jwt.decode(access_token, options={"verify_signature": False})
    return str(claims.get("username") or claims["sub"])


def _digest(refresh_token: str) -> bytes:
    # Another one than that of our own log-ins, which must not find it: they would not ask Cognito.
    return refresh_token_hash("cognito:" + refresh_token)


def _context(session_id: UUID) -> str:
    return f"cognito_refresh_token:{session_id}"


def _invalid_refresh_token() -> Unauthenticated:
    return Unauthenticated("The refresh token is not valid; log in again.", code="invalid_refresh_token")
