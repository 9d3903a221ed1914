"""The walk through the audience of one group message, a few hundred recipients at a time."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.fields import at, fields_with
from app.domain.contacts.stores.contract import AddressKey, AddressType, Contact, ContactStore, Recipient
from app.domain.group_messages.audience import audience_expression
from app.domain.group_messages.classification import Classes, Reason, Skip, Sleeper, Target, classify, status_reason
from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.plan import Checkpoint, Content, Phase, Plan
from app.domain.group_messages.quiet_hours import quiet_until, zone_of
from app.domain.group_messages.repository import Recipients
from app.domain.group_messages.schemas import Audience
from app.domain.opt_outs.classes import Address, ChannelClass, Topic
from app.domain.opt_outs.lookup import opted_out, topics_of
from app.lib.filters import Expression, parse_json


class Found(msgspec.Struct, frozen=True):
    """Some of the audience, sorted out, and where the walk goes on after them."""

    classes: Classes
    checkpoint: Checkpoint


class Walk:
    """Finds the next recipients, inside the unit of work of one step."""

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        recipients: Recipients,
        content: Content,
        plan: Plan,
        channel_class: ChannelClass,
        runs: Sequence[MessageIds],
        now: datetime,
        *,
        sending: bool = True,
    ) -> None:
        """`runs` has the ids of each run, the present one last. Only a walk for `sending` holds consent as it is."""
        self._session = session
        self._store = store
        self._account_id = account_id
        self._recipients = recipients
        self._content = content
        self._plan = plan
        self._class = channel_class
        self._kind = AddressType.of_class(channel_class)
        self._runs = runs
        self._now = now
        self._sending = sending

    async def next(self, checkpoint: Checkpoint, most: int) -> Found:
        """At most `most` of those who have not been looked at. A phase with nothing more in it leads to the next."""
        match checkpoint.phase:
            case Phase.CONTACTS:
                return await self._contacts(checkpoint, most)
            case Phase.ADDRESSES:
                return await self._addresses(checkpoint, most)
            case Phase.ASLEEP:
                return await self._awake(checkpoint, most)
            case Phase.FAILED:
                return await self._failed(checkpoint, most)
            case Phase.DONE:
                return Found(Classes([], [], []), checkpoint)

    def audience(self) -> Expression | None:
        """The contacts that are meant; None when none are."""
        return compiled_audience(self._content, self._plan, self._class)

    async def _contacts(self, checkpoint: Checkpoint, most: int) -> Found:
        where = self.audience()
        recipients = [] if where is None else await self._store.recipients(where, checkpoint.after, most)
        after = recipients[-1].id if recipients else None
        following = msgspec.structs.replace(checkpoint, after=after)
        if len(recipients) < most:
            following = msgspec.structs.replace(checkpoint, phase=Phase.ADDRESSES, after=None)
        return Found(await self._sorted_out(recipients), following)

    async def _addresses(self, checkpoint: Checkpoint, most: int) -> Found:
        listed = self._content.audience.addresses
        some = listed[checkpoint.index : checkpoint.index + most]
        end = checkpoint.index + len(some)
        following = msgspec.structs.replace(checkpoint, index=end)
        if end >= len(listed):
            following = msgspec.structs.replace(checkpoint, phase=Phase.ASLEEP, index=0)
        return Found(await self._by_address(some), following)

    async def _awake(self, checkpoint: Checkpoint, most: int) -> Found:
        woken = await self._recipients.wake(most)
        following = checkpoint
        if not woken and await self._recipients.next_waking() is None:
            following = msgspec.structs.replace(checkpoint, phase=Phase.DONE)
        classes = await self._by_address([address for _, address in woken if address is not None])
        ids = [contact_id for contact_id, address in woken if address is None]
        there = await self._store.get(ids)
        contacts = await self._sorted_out([_recipient(there[each]) for each in ids if each in there])
        classes.targets += contacts.targets
        classes.sleepers += contacts.sleepers
        classes.skips += contacts.skips
        classes.skips += [Skip(each, each, None, Reason.GONE) for each in ids if each not in there]
        return Found(classes, following)

    async def _failed(self, checkpoint: Checkpoint, most: int) -> Found:
        # `index` is the run that is looked through.
        run = checkpoint.index
        failed = await self._recipients.failed(self._runs[run], checkpoint.after, most)
        following = msgspec.structs.replace(checkpoint, after=failed[-1].id if failed else None)
        if len(failed) < most:
            more = run + 2 < len(self._runs)
            following = msgspec.structs.replace(
                checkpoint, phase=Phase.FAILED if more else Phase.ASLEEP, after=None, index=run + 1 if more else 0
            )
        # What a repetition in between has sent once more is judged by that one's message.
        again = {later.of(each.address): each.address for later in self._runs[run + 1 : -1] for each in failed}
        repeated = {again[each] for each in await self._recipients.known(list(again))}
        return Found(
            await self._by_address([each.address for each in failed if each.address not in repeated]), following
        )

    async def _by_address(self, values: Sequence[str]) -> Classes:
        """Whoever these addresses belong to, at these addresses."""
        if not values:
            return Classes([], [], [])
        keys = [AddressKey(self._kind, value) for value in values]
        owners = await self._store.owners(keys)
        there = await self._store.get(set(owners.values()))
        excluded = await self._excluded(set(there))
        unwanted = await self._unwanted(values)
        classes = Classes([], [], [])
        for key in keys:
            owner = owners.get(key)
            contact = None if owner is None else there.get(owner)
            recipient = None if contact is None else _recipient(contact)
            recipient_id = self._runs[-1].of(key.value) if recipient is None else recipient.id
            reason = self._reason(key.value, recipient, unwanted, excluded)
            if reason is not None:
                classes.skips.append(Skip(recipient_id, None if recipient is None else owner, key.value, reason))
                continue
            until = self._quiet_until(recipient)
            if until is None:
                classes.targets.append(Target(key.value, recipient))
            else:
                classes.sleepers.append(Sleeper(recipient_id, key.value, until))
        return classes

    def _reason(
        self, address: str, recipient: Recipient | None, unwanted: set[str], excluded: set[UUID]
    ) -> Reason | None:
        if address in self._content.audience.exclude.addresses or (recipient and recipient.id in excluded):
            return Reason.EXCLUDED
        if address in unwanted:
            return Reason.OPTED_OUT
        return None if recipient is None else status_reason(recipient)

    def _quiet_until(self, recipient: Recipient | None) -> datetime | None:
        if self._content.quiet_hours is None:
            return None
        zone = zone_of("" if recipient is None else recipient.timezone, self._plan.time_zone)
        return quiet_until(self._now, self._content.quiet_hours, zone)

    async def _excluded(self, ids: set[UUID]) -> set[UUID]:
        exclude = self._content.audience.exclude
        if not ids or exclude.is_empty:
            return set()
        named = Audience(contact_ids=sorted(ids), exclude=exclude)
        where = audience_expression(named, _segments(self._plan), self._kind)
        return ids - set(await self._store.ids(where, None, len(ids)))

    async def _sorted_out(self, recipients: Sequence[Recipient]) -> Classes:
        values = [each.value for recipient in recipients for each in recipient.addresses if each.type is self._kind]
        return classify(
            recipients,
            self._kind,
            await self._unwanted(values),
            quiet=self._content.quiet_hours,
            time_zone=self._plan.time_zone,
            now=self._now,
        )

    async def _unwanted(self, values: Sequence[str]) -> set[str]:
        """Those of the addresses that do not want this; of a walk for sending, until its transaction ends."""
        addresses: list[Address] = [(self._class, value) for value in dict.fromkeys(values)]
        if self._sending:
            held = await opted_out(self._session, self._account_id, addresses, self._content.topic)
            return {value for _, value in held}
        about = {Topic.ALL, Topic(self._content.topic)}
        found = await topics_of(self._session, self._account_id, addresses)
        return {value for (_, value), topics in found.items() if topics & about}


def compiled_audience(content: Content, plan: Plan, channel_class: ChannelClass) -> Expression | None:
    """The contacts that are meant; None when none are."""
    return audience_expression(content.audience, _segments(plan), AddressType.of_class(channel_class))


def _segments(plan: Plan) -> dict[UUID, Expression]:
    fields = fields_with(plan.attributes)
    return {
        UUID(key): at(parse_json(document, fields), plan.attributes, plan.moment)
        for key, document in plan.segments.items()
    }


def _recipient(contact: Contact) -> Recipient:
    return Recipient(
        contact.id,
        contact.first_name,
        contact.last_name,
        contact.language,
        contact.timezone,
        contact.status,
        contact.addresses,
        contact.attributes,
    )
