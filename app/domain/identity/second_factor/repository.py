"""Every statement on second factors. Nothing here commits."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_USE_STEP = text(
    """
    UPDATE users SET totp_last_step = :step
    WHERE id = :user AND (totp_last_step IS NULL OR totp_last_step < :step) RETURNING id
    """
)
_OFFER = text(
    """
    UPDATE users SET totp_secret = :secret, totp_confirmed_at = NULL, totp_last_step = NULL, updated_at = now()
    WHERE id = :user
    """
)
_CONFIRM = text("UPDATE users SET totp_confirmed_at = now(), updated_at = now() WHERE id = :user")
_REMOVE = text(
    """
    UPDATE users SET totp_secret = NULL, totp_confirmed_at = NULL, totp_last_step = NULL, updated_at = now()
    WHERE id = :user
    """
)
_USE_RECOVERY = text(
    """
    UPDATE recovery_codes SET used_at = now(), updated_at = now()
    WHERE user_id = :user AND code_hash = :hash AND used_at IS NULL RETURNING id
    """
)
_FORGET_RECOVERY = text("DELETE FROM recovery_codes WHERE user_id = :user")
_ADD_RECOVERY = text("INSERT INTO recovery_codes (id, user_id, code_hash) VALUES (:id, :user, :hash)")
_COUNT_RECOVERY = text("SELECT count(*) FROM recovery_codes WHERE user_id = :user AND used_at IS NULL")


async def offer_secret(session: AsyncSession, user_id: UUID, sealed: bytes) -> None:
    """Store a secret that is not in force before it is confirmed."""
    await session.execute(_OFFER, {"user": user_id, "secret": sealed})


async def confirm_secret(session: AsyncSession, user_id: UUID) -> None:
    """The secret is in force."""
    await session.execute(_CONFIRM, {"user": user_id})


async def remove_secret(session: AsyncSession, user_id: UUID) -> None:
    """The user has no second factor, nor codes that stand in for it."""
    await session.execute(_REMOVE, {"user": user_id})
    await session.execute(_FORGET_RECOVERY, {"user": user_id})


async def use_step(session: AsyncSession, user_id: UUID, step: int) -> bool:
    """Use the code of a time step up, and those of earlier steps; False when it was (RFC 6238 §5.2)."""
    return await session.scalar(_USE_STEP, {"user": user_id, "step": step}) is not None


async def use_recovery_code(session: AsyncSession, user_id: UUID, code_hash: bytes) -> bool:
    """Use a recovery code up; False when it is none of the user's or was used."""
    return await session.scalar(_USE_RECOVERY, {"user": user_id, "hash": code_hash}) is not None


async def replace_recovery_codes(session: AsyncSession, user_id: UUID, codes: Iterable[tuple[UUID, bytes]]) -> None:
    """Forget the user's codes and store these, each with an id."""
    await session.execute(_FORGET_RECOVERY, {"user": user_id})
    await session.execute(_ADD_RECOVERY, [{"id": id_, "user": user_id, "hash": digest} for id_, digest in codes])


async def count_recovery_codes(session: AsyncSession, user_id: UUID) -> int:
    """How many the user has left."""
    return int(await session.scalar(_COUNT_RECOVERY, {"user": user_id}) or 0)
