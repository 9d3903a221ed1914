"""Sessions and their refresh tokens. Nothing here commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import LoginSession, User
from app.domain.identity.schemas import Origin
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = LoginSession.__table__

LISTING = Listing(
    id_column=_TABLE.c.id,
    fields={"created_at": FilterField(Kind.DATETIME), "last_used_at": FilterField(Kind.DATETIME)},
    columns={name: _TABLE.c[name] for name in ("created_at", "last_used_at")},
    sorts={"created_at": Sort(None, datetime)},
)


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The user with this id as stored now, kept from changing until the transaction ends."""
    return (await session.execute(_locked().where(User.id == user_id))).scalar_one_or_none()


async def lock_user_by_email(session: AsyncSession, email: str) -> User | None:
    """The user with this normalised address as stored now, kept from changing until the transaction ends."""
    return (await session.execute(_locked().where(User.email == email))).scalar_one_or_none()


def _locked() -> Select[tuple[User]]:
    # FOR NO KEY UPDATE: rows that refer to the user can be written meanwhile.
    return select(User).with_for_update(key_share=True).execution_options(populate_existing=True)


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


async def extend_session(session: AsyncSession, session_id: UUID, seconds: int) -> bool:
    """The session was used: it lives `seconds` from now. False when it has been revoked."""
    extended = await session.scalar(
        text(
            "UPDATE sessions SET last_used_at = now(), updated_at = now(),"
            " expires_at = now() + make_interval(secs => :seconds) WHERE id = :id AND revoked_at IS NULL RETURNING id"
        ),
        {"id": session_id, "seconds": float(seconds)},
    )
    return extended is not None


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
    """The session of a token, locked until the transaction ends: a rotation that runs beside a revocation of the
    same session would otherwise leave a token behind that the revocation did not see. None for an unknown token.

    Whoever changes a session and its tokens locks the session first, or two of them would wait for each other.
    """
    family: UUID | None = await session.scalar(
        text(
            "SELECT s.id FROM sessions s JOIN refresh_tokens t ON t.family_id = s.id"
            " WHERE t.token_hash = :hash FOR NO KEY UPDATE OF s"
        ),
        {"hash": token_hash},
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


async def page_of_sessions(session: AsyncSession, user_id: UUID, query: ListQuery) -> Page[LoginSession]:
    """One page of the user's sessions that have not ended."""
    alive = select(LoginSession).where(
        LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None), LoginSession.expires_at > func.now()
    )
    return await fetch_page(session, alive, LISTING, query)


async def revoke_sessions(
    session: AsyncSession, user_id: UUID, *, only: UUID | None = None, keep: UUID | None = None
) -> Sequence[UUID]:
    """End the user's sessions, or the one `only`, but not the one to `keep`; returns those that had not ended.

    A rotation beside it waits for the row of its session, or is waited for: a token it made is revoked here too.
    """
    ended = await session.execute(
        text(
            "UPDATE sessions SET revoked_at = now(), updated_at = now()"
            " WHERE user_id = :user AND revoked_at IS NULL AND expires_at > now()"
            " AND (CAST(:only AS uuid) IS NULL OR id = :only) AND id IS DISTINCT FROM CAST(:keep AS uuid) RETURNING id"
        ),
        {"user": user_id, "only": only, "keep": keep},
    )
    ids = ended.scalars().all()
    if ids:
        await session.execute(
            text(
                "UPDATE refresh_tokens SET revoked_at = now(), updated_at = now()"
                " WHERE family_id = ANY (:ids) AND revoked_at IS NULL"
            ),
            {"ids": list(ids)},
        )
    return ids


async def insert_refresh_token(
    session: AsyncSession, token_id: UUID, user_id: UUID, family_id: UUID, token_hash: bytes, seconds: int
) -> None:
    """Store a token that lives `seconds` from now, by the database's clock; forget the user's expired ones."""
    await session.execute(
        text(
            "DELETE FROM refresh_tokens WHERE id IN (SELECT id FROM refresh_tokens"
            " WHERE user_id = :user AND expires_at < now() FOR UPDATE SKIP LOCKED)"
        ),
        {"user": user_id},
    )
    await session.execute(
        text(
            "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, expires_at)"
            " VALUES (:id, :user, :family, :hash, now() + make_interval(secs => :seconds))"
        ),
        {"id": token_id, "user": user_id, "family": family_id, "hash": token_hash, "seconds": float(seconds)},
    )
