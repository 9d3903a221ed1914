"""Logging in, staying logged in, logging out. Nothing here commits: the unit of work does."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.access import KnownUser
from app.domain.identity.events import announce_change
from app.domain.identity.repository import replace_password_hash
from app.domain.identity.schemas import Origin, TokenPair
from app.domain.identity.sessions.repository import (
    extend_session,
    insert_refresh_token,
    insert_session,
    lock_refresh_family,
    revoke_session,
    use_refresh_token,
    was_refresh_token_used,
)
from app.domain.identity.tokens import Signer, new_refresh_token, refresh_token_hash
from app.lib.ids import NewId


class LoginService:
    """The sessions of users, each a family of refresh tokens of which one is good."""

    def __init__(
        self, session: AsyncSession, signer: Signer, refresh_seconds: int, new_id: NewId, origin: Origin
    ) -> None:
        self._session = session
        self._signer = signer
        self._refresh_seconds = refresh_seconds
        self._new_id = new_id
        self._origin = origin

    async def open(self, user: KnownUser, session_id: UUID) -> TokenPair:
        """Begin a session for a user whose password was checked."""
        if user.new_hash is not None:
            await replace_password_hash(self._session, user.user_id, user.old_hash, user.new_hash)
        await insert_session(self._session, session_id, user.user_id, self._origin, self._refresh_seconds)
        return await self._issue(user.user_id, session_id)

    async def refresh(self, token: str) -> TokenPair | None:
        """Exchange a refresh token for a new pair; it cannot be used again.

        None when it is not good, and then the unit of work must still commit: a token that was used before has been
        stolen from somebody, so that its whole family has just been revoked.
        """
        token_hash = refresh_token_hash(token)
        family_id = await lock_refresh_family(self._session, token_hash)
        if family_id is None:
            return None
        user_id = await use_refresh_token(self._session, token_hash)
        if user_id is None:
            if await was_refresh_token_used(self._session, token_hash):
                await revoke_session(self._session, family_id)
                await announce_change(self._session)
            return None
        if not await extend_session(self._session, family_id, self._refresh_seconds):
            return None
        return await self._issue(user_id, family_id)

    async def _issue(self, user_id: UUID, family_id: UUID) -> TokenPair:
        refresh_token = new_refresh_token()
        await insert_refresh_token(
            self._session,
            self._new_id(),
            user_id,
            family_id,
            refresh_token_hash(refresh_token),
            self._refresh_seconds,
        )
        return TokenPair(self._signer.access_token(user_id, family_id), refresh_token, "Bearer", self._signer.seconds)


async def end_login(session: AsyncSession, token: str) -> None:
    """Revoke the session a refresh token belongs to; an unknown token is no error."""
    family_id = await lock_refresh_family(session, refresh_token_hash(token))
    if family_id is not None:
        await revoke_session(session, family_id)
        await announce_change(session)
