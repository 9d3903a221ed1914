"""Sessions and their refresh tokens. Nothing here commits."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.schemas import Origin


async def insert_session(session: AsyncSession, session_id: UUID, user_id: UUID, origin: Origin, seconds: int) -> None:
    """Store a session that lives `seconds` from now unless it is used; forget the user's that ended a week ago."""
    await session.execute(
        text("DELETE FROM sessions WHERE user_id = :user AND expires_at < now() - interval '7 days'"),
        {"user": user_id},
    )
    await session.execute(
        text(
            "INSERT INTO sessions (id, user_id, ip, user_agent, expires_at)"
            " VALUES (:id, :user, :ip, :agent, now() + make_interval(secs => :seconds))"
        ),
        {
            "id": session_id,
            "user": user_id,
            "ip": origin.ip,
            "agent": origin.user_agent,
            "seconds": float(seconds),
        },
    )


async def extend_session(session: AsyncSession, session_id: UUID, seconds: int) -> None:
    """The session was used: it lives `seconds` from now."""
    await session.execute(
        text(
            "UPDATE sessions SET last_used_at = now(), updated_at = now(),"
            " expires_at = now() + make_interval(secs => :seconds) WHERE id = :id"
        ),
        {"id": session_id, "seconds": float(seconds)},
    )


async def is_session_alive(session: AsyncSession, session_id: UUID, user_id: UUID) -> bool:
    """Whether the user's session was neither revoked nor left unused for too long."""
    alive = await session.scalar(
        text(
            "SELECT EXISTS (SELECT FROM sessions WHERE id = :id AND user_id = :user"
            " AND revoked_at IS NULL AND expires_at > now())"
        ),
        {"id": session_id, "user": user_id},
    )
    return bool(alive)


async def lock_refresh_family(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """The family of a token, locked until the transaction ends: a rotation that runs beside a revocation of the
    same family would otherwise leave a token behind that the revocation did not see. None for an unknown token.
    """
    family: UUID | None = await session.scalar(
        text("SELECT family_id FROM refresh_tokens WHERE token_hash = :hash"), {"hash": token_hash}
    )
    if family is not None:
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('refresh_family:' || CAST(:family AS text), 0))"),
            {"family": str(family)},
        )
    return family


async def use_refresh_token(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """Use the token up; returns its user, or None when it was used, revoked, expired or never issued."""
    user_id: UUID | None = await session.scalar(
        text(
            "UPDATE refresh_tokens SET used_at = now(), updated_at = now() WHERE token_hash = :hash"
            " AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()"
            " AND EXISTS (SELECT FROM sessions s WHERE s.id = family_id AND s.revoked_at IS NULL) RETURNING user_id"
        ),
        {"hash": token_hash},
    )
    return user_id


async def was_refresh_token_used(session: AsyncSession, token_hash: bytes) -> bool:
    """Whether the token was already exchanged for another one."""
    used = await session.scalar(
        text("SELECT used_at IS NOT NULL FROM refresh_tokens WHERE token_hash = :hash"), {"hash": token_hash}
    )
    return bool(used)


async def revoke_session(session: AsyncSession, family_id: UUID) -> None:
    """End the session and every token of the family; call `lock_refresh_family` first."""
    await session.execute(
        text("UPDATE sessions SET revoked_at = now(), updated_at = now() WHERE id = :family AND revoked_at IS NULL"),
        {"family": family_id},
    )
    await session.execute(
        text(
            "UPDATE refresh_tokens SET revoked_at = now(), updated_at = now()"
            " WHERE family_id = :family AND revoked_at IS NULL"
        ),
        {"family": family_id},
    )


async def insert_refresh_token(
    session: AsyncSession, token_id: UUID, user_id: UUID, family_id: UUID, token_hash: bytes, seconds: int
) -> None:
    """Store a token that lives `seconds` from now, by the database's clock; forget the user's expired ones."""
    await session.execute(
        text("DELETE FROM refresh_tokens WHERE user_id = :user AND expires_at < now()"), {"user": user_id}
    )
    await session.execute(
        text(
            "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, expires_at)"
            " VALUES (:id, :user, :family, :hash, now() + make_interval(secs => :seconds))"
        ),
        {"id": token_id, "user": user_id, "family": family_id, "hash": token_hash, "seconds": float(seconds)},
    )
