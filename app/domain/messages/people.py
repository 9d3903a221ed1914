"""Who the addresses of messages belong to: what messages ask of those who keep contacts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.opt_outs.classes import ChannelClass
from app.domain.opt_outs.listeners import Nobody, OptStateListener


class Letter(msgspec.Struct, frozen=True, gc=False):
    """That somebody wrote, or was written to, at a moment. `address` as it stands in the message."""

    address: str
    at: datetime


class Addressed(msgspec.Struct, frozen=True, gc=False):
    """An address that a message of an account is for, canonical, on a channel of this class."""

    account_id: UUID
    channel_class: ChannelClass
    address: str


class People(OptStateListener, Protocol):
    """Knows who addresses belong to. Works in the caller's unit of work, in sets, and never commits."""

    @property
    def beside_messages(self) -> bool:
        """Whether addresses of contacts are in the database of messages, where storing a message finds them itself."""

    def address_type(self, channel_class: ChannelClass) -> str:
        """What the type of the addresses is called that channels of a class reach."""

    async def senders(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, letters: Sequence[Letter]
    ) -> dict[str, UUID]:
        """The contacts that wrote to a channel, by address; new ones are made of those that nobody knows.

        An address that can belong to nobody, such as a short number, is left out.
        """

    async def recipients(self, session: AsyncSession, addressed: Sequence[Addressed]) -> list[UUID | None]:
        """Whose addresses these are, in their order; None for nobody's. Several accounts may be asked about at once."""

    async def written_to(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, letters: dict[UUID, Letter]
    ) -> None:
        """Remember when these contacts were last written to on a channel."""


class NoPeople(Nobody):
    """Knows nobody."""

    beside_messages = False

    def address_type(self, channel_class: ChannelClass) -> str:
        """Whatever the class is called."""
        return channel_class.value

    async def senders(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, letters: Sequence[Letter]
    ) -> dict[str, UUID]:
        """Nobody."""
        return {}

    async def recipients(self, session: AsyncSession, addressed: Sequence[Addressed]) -> list[UUID | None]:
        """Nobody's."""
        return [None] * len(addressed)

    async def written_to(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, letters: dict[UUID, Letter]
    ) -> None:
        """Nothing to do."""


NO_PEOPLE: People = NoPeople()
