"""Whoever keeps a copy of who wants what: contacts."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.opt_outs.classes import ChannelClass, Topic


class OptState(msgspec.Struct, frozen=True):
    """What an address is opted out of now; nothing when `topics` is empty."""

    channel_class: ChannelClass
    address: str
    topics: frozenset[Topic]


class OptStateListener(Protocol):
    """Told of every change, in the transaction that makes it."""

    async def changed(self, session: AsyncSession, account_id: UUID, states: Sequence[OptState]) -> None:
        """The state of these addresses of the account after the change. Must not commit."""


class Nobody:
    """Keeps no copy."""

    async def changed(self, session: AsyncSession, account_id: UUID, states: Sequence[OptState]) -> None:
        """Nothing to do."""


NOBODY: OptStateListener = Nobody()
