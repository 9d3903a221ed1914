"""Making, changing and steering group messages. Nothing here commits: the unit of work does."""

import unicodedata
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.stores.contract import ContactStore
from app.domain.group_messages.approval import Approval, ApprovalState, approval_of, decided, request_number
from app.domain.group_messages.checks import GroupChecks, text_fields
from app.domain.group_messages.events import announce, group_message_event
from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.listing import RecipientList
from app.domain.group_messages.models import GroupMessage
from app.domain.group_messages.plan import Checkpoint, Content, Outcomes, Phase, Plan, content_of
from app.domain.group_messages.progress import Move, Settled, count_moves, settled
from app.domain.group_messages.repository import GroupMessageRepository, Recipients
from app.domain.group_messages.schemas import (
    GroupMessageApprovalOut,
    GroupMessageCounts,
    GroupMessageCreate,
    GroupMessageFailuresOut,
    GroupMessageOut,
    GroupMessagePatch,
    GroupMessageProgressOut,
)
from app.domain.group_messages.starting import ChosenTemplate, Starter, current_template
from app.domain.group_messages.states import GroupAction, GroupStatus, check_allowed
from app.domain.identity.audit.service import AuditTrail
from app.domain.templates.content import TemplateFallback
from app.domain.templates.directory import TemplateDirectory
from app.domain.templates.schemas import TemplateCreate
from app.domain.templates.service import TemplateService
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at, check_version

TAKE_BACK = 50_000
"""Messages that a cancellation takes back: more are never under way (`pacing.MOST`)."""

MAX_RUNS = 20
"""The first sending and the repetitions of what failed."""

_CONTENT = tuple(Content.__struct_fields__)


class GroupMessageService:
    """The group messages of one account, inside one unit of work.

    Methods raise `NotFound` for one of another account as for none, `InvalidValue` with pointers into the body,
    `Conflict` (`wrong_status`) for what is not possible now, and `PreconditionFailed` when `if_match` holds versions
    and none of them is the stored one.
    """

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        *,
        channels: ChannelDirectory,
        templates: TemplateDirectory,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
        user_id: UUID | None = None,
    ) -> None:
        self._session = session
        self._account_id = account_id
        self._group_messages = GroupMessageRepository(session, Scope(account_id))
        self._checks = GroupChecks(session, store, account_id, channels, templates)
        self._starter = Starter(session, store, account_id, channels, clock, new_id)
        self._directory = templates
        self._templates = TemplateService(session, account_id, audit=audit, clock=clock, new_id=new_id)
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._user_id = user_id

    async def page(self, query: ListQuery) -> Page[GroupMessageOut]:
        """One page of the account's group messages."""
        page = await self._group_messages.page(query)
        counted = await settled(self._session, self._account_id, [each.id for each in page.items])
        shown = [group_message_out(each, counted.get(each.id, Settled())) for each in page.items]
        return Page(shown, page.next_cursor, page.total)

    async def get(self, group_message_id: UUID) -> GroupMessageOut:
        """One of them."""
        return await self._out(await self._find(group_message_id))

    async def progress(self, group_message_id: UUID) -> GroupMessageProgressOut:
        """Where it stands, and why what went wrong did."""
        group_message = await self._find(group_message_id)
        recipients = Recipients(self._session, self._account_id, group_message_id)
        return GroupMessageProgressOut(
            status=GroupStatus(group_message.status),
            progress=progress_of(group_message, await self._counted(group_message)),
            paused_because=group_message.paused_because,
            failures=[
                GroupMessageFailuresOut(kind=each.kind, code=each.code, count=each.messages)
                for each in await recipients.failures(_runs(group_message))
            ],
            skipped=await recipients.skipped_by_reason(),
        )

    async def recipients(self, group_message_id: UUID) -> RecipientList:
        """Those that were looked at."""
        group_message = await self._find(group_message_id)
        return RecipientList(self._session, self._account_id, group_message_id, _runs(group_message))

    async def create(self, data: GroupMessageCreate) -> GroupMessageOut:
        """A new draft."""
        content = await self._checks.checked(data.channel_id, content_of(data, await self._starter.quiet_hours()))
        now = self._clock()
        group_message = GroupMessage(
            id=self._new_id(),
            account_id=self._account_id,
            name=unicodedata.normalize("NFC", data.name),
            channel_id=data.channel_id,
            status=GroupStatus.DRAFT.value,
            content=msgspec.to_builtins(content),
            plan=None,
            send_at=_moment(data.send_at),
            checkpoint=None,
            total=None,
            accepted=0,
            skipped=0,
            step_at=None,
            paused_because=None,
            approval=None,
            created_by=self._user_id,
            created_at=now,
            updated_at=now,
            started_at=None,
            ended_at=None,
        )
        await self._group_messages.add(group_message)
        made = await self._out(group_message)
        await self._record("created", group_message.id, after=made)
        return made

    async def clone(self, group_message_id: UUID) -> GroupMessageOut:
        """A new draft that says the same to the same audience."""
        source = await self._find(group_message_id)
        content = msgspec.convert(source.content, Content)
        fields = {name: getattr(content, name) for name in _CONTENT}
        if content.text is not None:
            # The template that was made of it is the other one's.
            fields["template_id"] = None
        name = f"{source.name[:190]} (copy)"
        return await self.create(GroupMessageCreate(name=name, channel_id=source.channel_id, **fields))

    async def patch(
        self, group_message_id: UUID, data: GroupMessagePatch, if_match: Collection[str] | None = None
    ) -> GroupMessageOut:
        """Change a draft. A change of nothing keeps the version."""
        group_message = await self._find(group_message_id, for_update=True, if_match=if_match)
        check_allowed(GroupStatus(group_message.status), GroupAction.EDIT)
        before = await self._out(group_message)
        given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
        changed = {name: value for name, value in given.items() if name in _CONTENT}
        if "text" in changed and "template_id" not in changed:
            changed["template_id"] = None
        elif "template_id" in changed and "text" not in changed:
            changed = {"text": None, "fallback": None} | changed
        content = msgspec.structs.replace(msgspec.convert(group_message.content, Content), **changed)
        channel_id = given.get("channel_id", group_message.channel_id)
        content = await self._checks.checked(channel_id, content)
        changes: dict[str, Any] = {"channel_id": channel_id, "content": msgspec.to_builtins(content)}
        if "name" in given:
            changes["name"] = unicodedata.normalize("NFC", given["name"])
        if "send_at" in given:
            changes["send_at"] = _moment(given["send_at"])
        self._change(group_message, changes)
        after = await self._out(group_message)
        if group_message.updated_at != before.updated_at:
            await self._session.flush()
            await self._record("updated", group_message.id, before=before, after=after)
        return after

    async def delete(self, group_message_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Forget one that is not under way; its messages stay."""
        group_message = await self._find(group_message_id, for_update=True, if_match=if_match)
        check_allowed(GroupStatus(group_message.status), GroupAction.DELETE)
        before = await self._out(group_message)
        await self._group_messages.remove(group_message)
        await self._record("deleted", group_message_id, before=before)

    async def send(self, group_message_id: UUID) -> GroupMessageOut:
        """Start it, or let it wait: for its `send_at` when that is still to come, and for approval."""
        group_message = await self._find(group_message_id, for_update=True)
        check_allowed(GroupStatus(group_message.status), GroupAction.SEND)
        template = await self._template_of(group_message)
        number = request_number(group_message)
        group_message.approval = None
        if await self._starter.approval_above() is not None:
            approval = Approval(
                state=ApprovalState.NOT_NEEDED,
                requested_by=self._audit.actor,
                requested_at=self._clock(),
                template_version=template.version,
                number=number,
            )
            group_message.approval = msgspec.to_builtins(approval)
        return await self._go(group_message, template)

    async def approve(self, group_message_id: UUID) -> GroupMessageOut:
        """Agree to what somebody else asked for: it starts, or waits for its time."""
        group_message = await self._find(group_message_id, for_update=True)
        approval = approval_of(group_message)
        if approval is not None and approval.state is ApprovalState.APPROVED:
            return await self._out(group_message)
        check_allowed(GroupStatus(group_message.status), GroupAction.APPROVE)
        template_id = msgspec.convert(group_message.content, Content).template_id
        if approval is None or template_id is None:
            raise Conflict("The template was deleted.", code="template_deleted")
        version = approval.template_version
        template = await current_template(self._directory, self._account_id, template_id, version)
        approval = decided(approval, ApprovalState.APPROVED, self._audit.actor, self._clock(), None)
        await self._move(group_message, {"approval": msgspec.to_builtins(approval)}, "approved")
        return await self._go(group_message, template)

    async def reject(self, group_message_id: UUID, reason: str | None) -> GroupMessageOut:
        """Do not agree: it is a draft again."""
        group_message = await self._find(group_message_id, for_update=True)
        approval = approval_of(group_message)
        if group_message.status == GroupStatus.DRAFT and approval and approval.state is ApprovalState.REJECTED:
            return await self._out(group_message)
        check_allowed(GroupStatus(group_message.status), GroupAction.REJECT)
        changes: dict[str, Any] = {"status": GroupStatus.DRAFT.value, "total": None}
        if approval is not None:
            rejected = decided(approval, ApprovalState.REJECTED, self._audit.actor, self._clock(), reason)
            changes["approval"] = msgspec.to_builtins(rejected)
        shown = await self._move(group_message, changes, "rejected")
        await self._tell(group_message, "rejected")
        return shown

    async def _go(self, group_message: GroupMessage, template: ChosenTemplate) -> GroupMessageOut:
        now = self._clock()
        if group_message.send_at is not None and group_message.send_at > now:
            await self._starter.schedule(group_message, template, now)
        else:
            await self._starter.start(group_message, template, now)
        words = {
            GroupStatus.RUNNING: ("started", "started"),
            GroupStatus.AWAITING_APPROVAL: ("requested", "awaiting_approval"),
            GroupStatus.SCHEDULED: ("scheduled", None),
        }
        action, happened = words[GroupStatus(group_message.status)]
        shown = await self._move(group_message, {}, action)
        if happened is not None:
            await self._tell(group_message, happened)
        return shown

    async def pause(self, group_message_id: UUID) -> GroupMessageOut:
        """Send no more for now. What is under way, a few seconds' worth, still goes out."""
        group_message = await self._find(group_message_id, for_update=True)
        if not check_allowed(GroupStatus(group_message.status), GroupAction.PAUSE):
            return await self._out(group_message)
        changes = {"status": GroupStatus.PAUSED.value, "step_at": None, "paused_because": None}
        paused = await self._move(group_message, changes, "paused")
        await self._tell(group_message, "paused")
        return paused

    async def resume(self, group_message_id: UUID) -> GroupMessageOut:
        """Go on where it stopped."""
        group_message = await self._find(group_message_id, for_update=True)
        if not check_allowed(GroupStatus(group_message.status), GroupAction.RESUME):
            return await self._out(group_message)
        if group_message.plan is None:
            # It was paused before it was due.
            changes: dict[str, Any] = {"status": GroupStatus.SCHEDULED.value, "step_at": group_message.send_at}
        else:
            counted = await self._counted(group_message)
            checkpoint = msgspec.convert(group_message.checkpoint, Checkpoint)
            # Whoever goes on has seen the errors.
            checkpoint = msgspec.structs.replace(checkpoint, forgiven=Outcomes(counted.ended, counted.failed))
            changes = {
                "status": GroupStatus.RUNNING.value,
                "step_at": None,
                "checkpoint": msgspec.to_builtins(checkpoint),
            }
        return await self._move(group_message, {**changes, "paused_because": None}, "resumed")

    async def cancel(self, group_message_id: UUID) -> GroupMessageOut:
        """Send nothing more: what was handed to nobody yet is taken back. What has left cannot be."""
        group_message = await self._find(group_message_id, for_update=True)
        if not check_allowed(GroupStatus(group_message.status), GroupAction.CANCEL):
            return await self._out(group_message)
        if group_message.plan is not None:
            recipients = Recipients(self._session, self._account_id, group_message.id)
            await recipients.let_nobody_wake()
            taken = await recipients.take_back(_runs(group_message)[-1], TAKE_BACK)
            moves = {Move(group_message.id, "queued", "canceled"): len(taken)}
            await count_moves(self._session, self._account_id, moves)
        now = self._clock()
        changes = {"status": GroupStatus.CANCELED.value, "step_at": None, "ended_at": now}
        return await self._move(group_message, changes, "canceled")

    async def retry_failed(self, group_message_id: UUID) -> GroupMessageOut:
        """Send once more to those whose message failed, each with the same version of the template."""
        group_message = await self._find(group_message_id, for_update=True)
        check_allowed(GroupStatus(group_message.status), GroupAction.RETRY_FAILED)
        plan = msgspec.convert(group_message.plan, Plan)
        if len(plan.runs) >= MAX_RUNS:
            raise Conflict(f"It has been repeated {MAX_RUNS - 1} times; clone it.", code="too_many_retries")
        # Another millisecond, so that the ids of no two runs lie in one range.
        now = max(self._clock(), plan.runs[-1] + timedelta(milliseconds=1))
        plan = msgspec.structs.replace(plan, runs=(*plan.runs, now))
        changes = {
            "plan": msgspec.to_builtins(plan),
            "checkpoint": msgspec.to_builtins(Checkpoint(phase=Phase.FAILED)),
            "status": GroupStatus.RUNNING.value,
            "step_at": None,
            "ended_at": None,
        }
        return await self._move(group_message, changes, "retried")

    async def _template_of(self, group_message: GroupMessage) -> ChosenTemplate:
        """The template it is made with; a text of its own becomes one, so that its messages can name a version."""
        content = msgspec.convert(group_message.content, Content)
        if content.template_id is not None:
            return await current_template(self._directory, self._account_id, content.template_id)
        fields = text_fields(content)
        number = request_number(group_message)
        tail = str(group_message.id)[-12:] if number == 1 else f"{str(group_message.id)[-12:]}, {number}"
        made = await self._templates.create(
            TemplateCreate(
                name=f"{group_message.name[:150]} ({tail})",
                body=str(fields["body"]),
                fallback=content.fallback or TemplateFallback(),
            )
        )
        content = msgspec.structs.replace(content, template_id=made.id)
        group_message.content = msgspec.to_builtins(content)
        return ChosenTemplate(made.id, made.version)

    async def _find(
        self, group_message_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> GroupMessage:
        group_message = await self._group_messages.find(group_message_id, for_update=for_update)
        if group_message is None:
            raise NotFound("There is no such group message.")
        check_version(group_message.updated_at, if_match, "group message")
        return group_message

    def _change(self, group_message: GroupMessage, changes: dict[str, Any]) -> None:
        changes = {name: value for name, value in changes.items() if getattr(group_message, name) != value}
        for name, value in changes.items():
            setattr(group_message, name, value)
        if changes:
            group_message.updated_at = changed_at(self._clock(), group_message.updated_at)

    async def _move(self, group_message: GroupMessage, changes: dict[str, Any], action: str) -> GroupMessageOut:
        for name, value in changes.items():
            setattr(group_message, name, value)
        group_message.updated_at = changed_at(self._clock(), group_message.updated_at)
        await self._session.flush()
        await announce(self._session)
        await self._record(action, group_message.id)
        return await self._out(group_message)

    async def _tell(self, group_message: GroupMessage, happened: str) -> None:
        await group_message_event(self._session, group_message, happened, self._new_id)

    async def _out(self, group_message: GroupMessage) -> GroupMessageOut:
        return group_message_out(group_message, await self._counted(group_message))

    async def _counted(self, group_message: GroupMessage) -> Settled:
        counted = await settled(self._session, self._account_id, [group_message.id])
        return counted.get(group_message.id, Settled())

    async def _record(
        self, action: str, group_message_id: UUID, *, before: Any | None = None, after: Any | None = None
    ) -> None:
        await self._audit.record(
            self._account_id, action, "group_message", group_message_id, before=before, after=after
        )


def group_message_out(group_message: GroupMessage, counted: Settled) -> GroupMessageOut:
    """The row as clients see it."""
    content = msgspec.convert(group_message.content, Content)
    return GroupMessageOut(
        id=group_message.id,
        account_id=group_message.account_id,
        name=group_message.name,
        channel_id=group_message.channel_id,
        send_at=group_message.send_at,
        status=GroupStatus(group_message.status),
        progress=progress_of(group_message, counted),
        paused_because=group_message.paused_because,
        approval=_approval_out(group_message),
        created_at=group_message.created_at,
        updated_at=group_message.updated_at,
        started_at=group_message.started_at,
        ended_at=group_message.ended_at,
        **{name: getattr(content, name) for name in _CONTENT},
    )


def _approval_out(group_message: GroupMessage) -> GroupMessageApprovalOut | None:
    approval = approval_of(group_message)
    if approval is None:
        return None
    return GroupMessageApprovalOut(
        **{name: getattr(approval, name) for name in GroupMessageApprovalOut.__struct_fields__}
    )


def _runs(group_message: GroupMessage) -> list[MessageIds]:
    if group_message.plan is None:
        return []
    return msgspec.convert(group_message.plan, Plan).ids(group_message.id)


def progress_of(group_message: GroupMessage, counted: Settled) -> GroupMessageCounts:
    """Where its recipients stand."""
    looked_at = group_message.accepted + group_message.skipped
    total = max(group_message.total or 0, looked_at)
    ended = group_message.status in (GroupStatus.COMPLETED, GroupStatus.CANCELED)
    return GroupMessageCounts(
        total=looked_at if ended else total,
        waiting=0 if ended else total - looked_at,
        queued=group_message.accepted - counted.count,
        skipped=group_message.skipped,
        **msgspec.structs.asdict(counted),
    )


def _moment(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise InvalidValue.at("/send_at", "invalid", "A time with a zone is needed, e.g. 2026-11-24T10:00:00Z.")
    return value
