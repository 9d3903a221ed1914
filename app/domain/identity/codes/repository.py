"""Every statement on the codes that are sent by e-mail. Nothing here commits."""

from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Purpose = Literal["verify_email", "reset_password"]

# Codes are counted under the user's lock: two requests at once send one.
_RECENT = text(
    """
    SELECT count(*) FILTER (WHERE created_at > now() - interval '1 minute'), count(*) FROM email_codes
    WHERE user_id = :user AND purpose = :purpose AND created_at > now() - interval '1 hour'
    """
)
_INSERT = text(
    """
    INSERT INTO email_codes (id, user_id, purpose, code, expires_at)
    VALUES (:id, :user, :purpose, :code, now() + make_interval(secs => :seconds))
    """
)
_NEWEST = text(
    """
    SELECT id, code, wrong_tries, used_at IS NULL AND expires_at > now() AS good FROM email_codes
    WHERE user_id = :user AND purpose = :purpose ORDER BY created_at DESC, id DESC LIMIT 1
    """
)
_WRONG = text("UPDATE email_codes SET wrong_tries = wrong_tries + 1, updated_at = now() WHERE id = :id")
_USED = text("UPDATE email_codes SET used_at = now(), updated_at = now() WHERE id = :id")


class StoredCode(msgspec.Struct, frozen=True):
    """The newest code of a user for a purpose: sealed, and `good` while it is neither used nor too old."""

    id: UUID
    code: bytes
    wrong_tries: int
    good: bool

    def __repr__(self) -> str:
        return f"<StoredCode {self.id}>"


async def count_recent_codes(session: AsyncSession, user_id: UUID, purpose: Purpose) -> tuple[int, int]:
    """How many codes were made within the last minute, and within the last hour."""
    row = (await session.execute(_RECENT, {"user": user_id, "purpose": purpose})).one()
    return row[0], row[1]


async def insert_code(
    session: AsyncSession, code_id: UUID, user_id: UUID, purpose: Purpose, sealed: bytes, seconds: int
) -> None:
    """Store a code that is good for `seconds`."""
    values = {"id": code_id, "user": user_id, "purpose": purpose, "code": sealed, "seconds": float(seconds)}
    await session.execute(_INSERT, values)


async def newest_code(session: AsyncSession, user_id: UUID, purpose: Purpose) -> StoredCode | None:
    """The code sent last. Have the user locked, or tries at the same moment count as one."""
    row = (await session.execute(_NEWEST, {"user": user_id, "purpose": purpose})).one_or_none()
    return None if row is None else StoredCode(*row)


async def count_wrong_try(session: AsyncSession, code_id: UUID) -> None:
    """Somebody typed another code."""
    await session.execute(_WRONG, {"id": code_id})


async def use_code(session: AsyncSession, code_id: UUID) -> None:
    """It cannot be used again."""
    await session.execute(_USED, {"id": code_id})
