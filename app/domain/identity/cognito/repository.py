"""Statements about users of Cognito and their sessions. Nothing here commits."""

from uuid import UUID

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import User
from app.domain.identity.schemas import Origin


async def find_user_by_subject(session: AsyncSession, subject: str) -> User | None:
    """The user whom Cognito knows by this `sub`."""
    return (await session.execute(select(User).where(User.cognito_subject == subject))).scalar_one_or_none()


async def lock_address(session: AsyncSession, email: str) -> None:
    """Let one process at a time decide whose this address is, until the transaction ends."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('cognito_user:' || :email, 0))"), {"email": email}
    )


async def give_to_subject(session: AsyncSession, user_id: UUID, subject: str) -> None:
    """Have the user log in through Cognito from now on.

    Whoever set the password or the second factor of an address that was never verified need not have been its owner:
    both go, and the caller ends every session. The password of a verified one goes too: Cognito has another.
    """
    await session.execute(
        text(
            "UPDATE users SET cognito_subject = :subject, password_hash = NULL, totp_secret = NULL,"
            " totp_confirmed_at = NULL, totp_last_step = NULL,"
            " email_verified_at = coalesce(email_verified_at, now()), updated_at = now() WHERE id = :user"
        ),
        {"subject": subject, "user": user_id},
    )
    await session.execute(text("DELETE FROM recovery_codes WHERE user_id = :user"), {"user": user_id})


async def mark_verified(session: AsyncSession, email: str) -> None:
    """The user of Cognito with this address has confirmed it."""
    await session.execute(
        text(
            "UPDATE users SET email_verified_at = now(), updated_at = now()"
            " WHERE email = :email AND cognito_subject IS NOT NULL AND email_verified_at IS NULL"
        ),
        {"email": email},
    )


class SessionState(msgspec.Struct, frozen=True):
    """A user of Cognito, and the session of a token of theirs: None when we have not seen it before."""

    user_id: UUID
    owner_id: UUID | None
    revoked: bool
    lasts: bool


async def find_session(session: AsyncSession, subject: str, session_id: UUID, seconds: int) -> SessionState | None:
    """The user with this `sub` and the session; `lasts` is whether it lives for `seconds` more. None: no such user."""
    row = (
        await session.execute(
            text(
                "SELECT u.id, s.user_id, s.revoked_at IS NOT NULL,"
                " coalesce(s.expires_at > now() + make_interval(secs => :seconds), false)"
                " FROM users u LEFT JOIN sessions s ON s.id = :session WHERE u.cognito_subject = :subject"
            ),
            {"subject": subject, "session": session_id, "seconds": float(seconds)},
        )
    ).one_or_none()
    return None if row is None else SessionState(*row)


async def keep_session(session: AsyncSession, session_id: UUID, user_id: UUID, origin: Origin, seconds: int) -> None:
    """The session lives `seconds` from now, and is made when it is new; one that was revoked stays so."""
    await session.execute(
        text(
            "INSERT INTO sessions (id, user_id, ip, user_agent, expires_at)"
            " VALUES (:id, :user, :ip, :agent, now() + make_interval(secs => :seconds))"
            " ON CONFLICT (id) DO UPDATE SET last_used_at = now(), updated_at = now(),"
            " expires_at = greatest(sessions.expires_at, excluded.expires_at)"
            " WHERE sessions.revoked_at IS NULL AND sessions.user_id = excluded.user_id"
        ),
        {
            "id": session_id,
            "user": user_id,
            "ip": origin.ip,
            "agent": origin.user_agent,
            "seconds": float(seconds),
        },
    )


class IssuedRefreshToken(msgspec.Struct, frozen=True):
    """Whose refresh token it is, and whether it is still good: neither used nor revoked, and not too old."""

    user_id: UUID
    session_id: UUID
    good: bool


async def find_refresh_token(session: AsyncSession, token_hash: bytes) -> IssuedRefreshToken | None:
    """The refresh token with this digest, or None when we never issued it."""
    row = (
        await session.execute(
            text(
                "SELECT user_id, family_id, used_at IS NULL AND revoked_at IS NULL AND expires_at > now()"
                " FROM refresh_tokens WHERE token_hash = :hash"
            ),
            {"hash": token_hash},
        )
    ).one_or_none()
    return None if row is None else IssuedRefreshToken(*row)
