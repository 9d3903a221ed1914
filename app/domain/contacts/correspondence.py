"""Contacts as messages need them: who wrote, who is written to, who wants what."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.drafts import Draft
from app.domain.contacts.stores.contract import Activity, AddressKey, AddressType, ContactStores
from app.domain.contacts.writing import ContactWriter
from app.domain.messages.people import Addressed, Letter
from app.domain.opt_outs.addresses import canonical_address
from app.domain.opt_outs.classes import ChannelClass
from app.domain.opt_outs.listeners import OptState
from app.domain.opt_outs.places import place_of
from app.lib.clock import Clock
from app.lib.ids import NewId

_MOST = 1_000


class Correspondence:
    """The contacts of every account, as `app.domain.messages.people.People`."""

    def __init__(self, stores: ContactStores, clock: Clock, new_id: NewId) -> None:
        self._stores = stores
        self._clock = clock
        self._new_id = new_id

    @property
    def beside_messages(self) -> bool:
        """Whether addresses of contacts are in the database of messages."""
        return self._stores.transactional

    def address_type(self, channel_class: ChannelClass) -> str:
        """What the type of the addresses is called that channels of a class reach."""
        return AddressType.of_class(channel_class).value

    async def changed(self, session: AsyncSession, account_id: UUID, states: Sequence[OptState]) -> None:
        """Keep the copy of who wants what, in the transaction that changes it."""
        topics = {
            AddressKey(AddressType.of_class(state.channel_class), state.address): tuple(
                sorted(topic.value for topic in state.topics)
            )
            for state in states
        }
        if topics:
            await self._stores.of(session, account_id).set_opted_out(topics)

    async def senders(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, letters: Sequence[Letter]
    ) -> dict[str, UUID]:
        """The contacts that wrote to a channel, by address; whoever is new becomes one."""
        place = await place_of(session, account_id, channel_id)
        if place is None:
            return {}
        kind = AddressType.of_class(place.channel_class)
        keys: dict[str, AddressKey] = {}
        latest: dict[AddressKey, Letter] = {}
        for letter in letters:
            canonical = canonical_address(place.channel_class, letter.address, place.tenant.country)
            if canonical is None:
                continue
            key = keys[letter.address] = AddressKey(kind, canonical)
            if key not in latest or latest[key].at < letter.at:
                latest[key] = letter
        store = self._stores.of(session, account_id)
        owners = await store.owners(latest)
        unknown = [key for key in latest if key not in owners]
        if unknown:
            writer = ContactWriter(store, session, account_id, clock=self._clock, new_id=self._new_id)
            for start in range(0, len(unknown), _MOST):
                some = unknown[start : start + _MOST]
                written = await writer.upsert([Draft(addresses=(key,)) for key in some], "skip")
                owners |= {
                    key: each.contact_id for key, each in zip(some, written, strict=True) if each.contact_id is not None
                }
        await store.record_activity(
            [
                Activity(owners[key], channel_id, key, last_inbound_at=letter.at)
                for key, letter in latest.items()
                if key in owners
            ]
        )
        return {address: owners[key] for address, key in keys.items() if key in owners}

    async def recipients(self, session: AsyncSession, addressed: Sequence[Addressed]) -> list[UUID | None]:
        """Whose addresses these are, in their order."""
        keys = [
            (each.account_id, AddressKey(AddressType.of_class(each.channel_class), each.address)) for each in addressed
        ]
        owners = await self._stores.owners(session, keys)
        return [owners.get(key) for key in keys]

    async def written_to(
        self, session: AsyncSession, account_id: UUID, channel_id: UUID, letters: dict[UUID, Letter]
    ) -> None:
        """Remember when these contacts were last written to on a channel."""
        place = await place_of(session, account_id, channel_id)
        if place is None or not letters:
            return
        kind = AddressType.of_class(place.channel_class)
        await self._stores.of(session, account_id).record_activity(
            [
                Activity(contact_id, channel_id, AddressKey(kind, letter.address), last_outbound_at=letter.at)
                for contact_id, letter in letters.items()
            ]
        )
