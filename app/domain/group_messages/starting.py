"""Starting a group message: what is decided then stands until its end."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.attributes import AttributeService
from app.domain.contacts.records import Segment
from app.domain.contacts.stores.contract import ContactStore
from app.domain.group_messages.approval import Approval, ApprovalState, approval_of, approved_version
from app.domain.group_messages.checks import with_current_contacts
from app.domain.group_messages.models import GroupMessage
from app.domain.group_messages.plan import Checkpoint, Content, Phase, Plan
from app.domain.group_messages.progress import start_counting
from app.domain.group_messages.states import GroupStatus
from app.domain.group_messages.walking import compiled_audience
from app.domain.identity.accounts.settings import AccountSettings, QuietHours, stored_settings
from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.models import Account
from app.domain.opt_outs.classes import class_of
from app.domain.templates.directory import TemplateDirectory
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, InvalidValue
from app.lib.filters import Expression
from app.lib.ids import NewId


class ChosenTemplate(NamedTuple):
    """The version of a template that the messages are made with."""

    id: UUID
    version: int


async def current_template(
    templates: TemplateDirectory, account_id: UUID, template_id: UUID, version: int | None = None
) -> ChosenTemplate:
    """A template as it is now, or in its `version`. Raises `Conflict` (`template_deleted`) when it is there no more."""
    found = await templates.get(account_id, template_id)
    if found is None:
        raise Conflict("The template was deleted.", code="template_deleted")
    return ChosenTemplate(template_id, found.version if version is None else version)


class Starter:
    """Starts group messages of one account, inside one unit of work."""

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        channels: ChannelDirectory,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._channels = channels
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)

    async def start(self, group_message: GroupMessage, template: ChosenTemplate, now: datetime) -> None:
        """Make it run, or wait for approval where it has more recipients than the account lets go without.

        Raises `Conflict` or `InvalidValue` when something it needs is gone meanwhile.
        """
        content, plan, where, total = await self._audience(group_message, template, now)
        group_message.total = total
        if await self._must_wait(group_message, template, total, now):
            return
        group_message.content = msgspec.to_builtins(content)
        group_message.plan = msgspec.to_builtins(plan)
        group_message.checkpoint = msgspec.to_builtins(
            Checkpoint(phase=Phase.ADDRESSES if where is None else Phase.CONTACTS)
        )
        group_message.status = GroupStatus.RUNNING.value
        group_message.started_at = now
        group_message.step_at = None
        await start_counting(self._session, self._account_id, group_message.id)

    async def schedule(self, group_message: GroupMessage, template: ChosenTemplate, now: datetime) -> None:
        """Make it wait for its `send_at`, and for approval before; raises what `start` does."""
        _, _, _, total = await self._audience(group_message, template, now)
        if not await self._must_wait(group_message, template, total, now):
            group_message.status = GroupStatus.SCHEDULED.value
            group_message.step_at = group_message.send_at

    async def approval_above(self) -> int | None:
        """How many recipients the account lets go without approval; None for any number."""
        return (await self._settings()).group_message_approval_above

    async def _audience(
        self, group_message: GroupMessage, template: ChosenTemplate, now: datetime
    ) -> tuple[Content, Plan, Expression | None, int]:
        content = await self._current(msgspec.convert(group_message.content, Content))
        channel = await self._channels.get(self._account_id, group_message.channel_id)
        if channel is None or channel.deleted:
            raise Conflict("The channel was deleted.", code="channel_deleted")
        plan = await self.plan(content, template, now)
        where = compiled_audience(content, plan, class_of(channel.type))
        contacts = 0 if where is None else await self._store.count(where)
        # Addresses that are contacts' of the audience too are known when they are looked at.
        return content, plan, where, contacts + len(content.audience.addresses)

    async def _must_wait(
        self, group_message: GroupMessage, template: ChosenTemplate, total: int, now: datetime
    ) -> bool:
        above = await self.approval_above()
        if above is None or total <= above or approved_version(group_message) is not None:
            return False
        asked = approval_of(group_message)
        # Of one that was scheduled before the account wanted approvals nobody knows who asked.
        by = ActorOut("system", None, "turumba") if asked is None else asked.requested_by
        approval = Approval(
            state=ApprovalState.AWAITING,
            requested_by=by,
            requested_at=now,
            template_version=template.version,
            number=1 if asked is None else asked.number,
        )
        group_message.approval = msgspec.to_builtins(approval)
        group_message.status = GroupStatus.AWAITING_APPROVAL.value
        group_message.step_at = None
        group_message.total = total
        return True

    async def _current(self, content: Content) -> Content:
        """The content, with the contacts that some have been merged into meanwhile."""
        audience = await with_current_contacts(self._session, self._account_id, content.audience)
        exclude = await with_current_contacts(self._session, self._account_id, audience.exclude)
        return msgspec.structs.replace(content, audience=msgspec.structs.replace(audience, exclude=exclude))

    async def plan(self, content: Content, template: ChosenTemplate, now: datetime) -> Plan:
        """What stands from now on. Raises `InvalidValue` for a segment that is gone or cannot be read any more."""
        wanted = {*content.audience.segment_ids, *content.audience.exclude.segment_ids}
        found = await self._session.execute(Scope(self._account_id).select(Segment).where(Segment.id.in_(wanted)))
        segments = {str(segment.id): segment.filter for segment in found.scalars()}
        if len(segments) < len(wanted):
            raise InvalidValue.at("/audience/segment_ids", "not_found", "One of the segments was deleted.")
        return Plan(
            template_id=template.id,
            template_version=template.version,
            segments=segments,
            attributes=await self._attributes.definitions(),
            moment=now,
            time_zone=(await self._settings()).time_zone or "",
            runs=(now,),
        )

    async def quiet_hours(self) -> QuietHours | None:
        """Those of the account, for a group message that does not say."""
        return (await self._settings()).quiet_hours

    async def _settings(self) -> AccountSettings:
        account = await self._session.get(Account, self._account_id)
        return AccountSettings() if account is None else stored_settings(account.settings)
