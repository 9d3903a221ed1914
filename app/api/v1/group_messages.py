"""Group messages: one text to many, tried before, sent, steered and followed."""

from collections.abc import AsyncIterator
from typing import cast
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.response import ServerSentEvent, Stream
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.progress_stream import GroupMessageStanding
from app.api.requests import ApiRequest, list_query, refuse_null
from app.domain.group_messages.export import export_recipients
from app.domain.group_messages.listing import RECIPIENTS
from app.domain.group_messages.preflight import Preflight
from app.domain.group_messages.repository import LISTING
from app.domain.group_messages.schemas import (
    GroupMessageCreate,
    GroupMessageOut,
    GroupMessagePatch,
    GroupMessagePreflightOut,
    GroupMessageProgressOut,
    GroupMessageReject,
    GroupRecipientOut,
)
from app.domain.group_messages.service import GroupMessageService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page

_CLEARABLE = (*("fallback", "from", "rate", "quiet_hours", "send_at", "validity_seconds", "error_limit"),)


def _tagged(
    group_message: GroupMessageOut, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[GroupMessageOut]:
    return Response(group_message, status_code=status_code, headers=tag_of(group_message.updated_at) | (headers or {}))


def _made(group_message: GroupMessageOut) -> Response[GroupMessageOut]:
    return _tagged(group_message, 201, {"Location": f"/v1/group-messages/{group_message.id}"})


def _service(session: AsyncSession, container: Container, caller: Caller, audit: AuditTrail) -> GroupMessageService:
    return GroupMessageService(
        session,
        container.contact_stores.of(session, caller.account_id),
        caller.account_id,
        channels=container.channels,
        templates=container.templates,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
        user_id=caller.user_id,
    )


def _standing(shown: GroupMessageOut) -> GroupMessageStanding:
    return GroupMessageStanding(status=shown.status, progress=shown.progress, paused_because=shown.paused_because)


def provide_group_messages(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> GroupMessageService:
    """The group messages of the caller's account, in the request's unit of work."""
    return _service(session, container, caller, audit)


def provide_preflight(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
) -> Preflight:
    """Tries group messages of the caller's account."""
    return Preflight(
        session,
        container.contact_stores.of(session, caller.account_id),
        caller.account_id,
        channels=container.channels,
        templates=container.templates,
        clock=container.clock,
        new_id=container.new_id,
    )


class GroupMessageController(Controller):
    """`/v1/group-messages`."""

    path = "/v1/group-messages"
    tags = ["group messages"]
    dependencies = {
        "group_messages": Provide(provide_group_messages, sync_to_thread=False),
        "preflight": Provide(provide_preflight, sync_to_thread=False),
    }

    @get(
        "/",
        guards=[requires("group_messages:read")],
        operation_id="ListGroupMessages",
        summary="List group messages",
        opt={"listing": LISTING},
    )
    async def index(
        self, request: ApiRequest, group_messages: NamedDependency[GroupMessageService]
    ) -> Page[GroupMessageOut]:
        """Newest first. Filters: name, status, channel_id, created_at. Sorts: created_at."""
        return await group_messages.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("group_messages:create")],
        operation_id="CreateGroupMessage",
        summary="Draft a group message",
    )
    async def create(
        self, data: JSONBody[GroupMessageCreate], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """Nothing is sent before `send`."""
        return _made(await group_messages.create(data))

    @post(
        "/preflight",
        status_code=200,
        guards=[requires("group_messages:read")],
        operation_id="PreflightGroupMessage",
        summary="Try a group message that is not stored",
        opt={"problems": {409: ("channel_deleted", "template_deleted")}},
    )
    async def preflight_new(
        self, data: JSONBody[GroupMessageCreate], preflight: NamedDependency[Preflight]
    ) -> GroupMessagePreflightOut:
        """Nothing is stored or sent. Of more than 5,000 recipients the rest is inferred from the first."""
        return await preflight.of_new(data)

    @get(
        "/{group_message_id:uuid}",
        guards=[requires("group_messages:read")],
        operation_id="GetGroupMessage",
        summary="One group message",
    )
    async def show(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """With where its recipients stand. The ETag follows what its owner decided, not its progress."""
        return _tagged(await group_messages.get(group_message_id))

    @patch(
        "/{group_message_id:uuid}",
        guards=[requires("group_messages:update")],
        operation_id="UpdateGroupMessage",
        summary="Change a draft",
        opt={"clearable": _CLEARABLE, "problems": {409: ("wrong_status",)}},
    )
    async def update(
        self,
        group_message_id: FromPath[UUID],
        data: JSONBody[GroupMessagePatch],
        request: ApiRequest,
        group_messages: NamedDependency[GroupMessageService],
    ) -> Response[GroupMessageOut]:
        """Each field is replaced whole, `audience` too."""
        for field in ("name", "channel_id", "audience", "text", "template_id", "variables", "topic", "metadata"):
            if getattr(data, field) is None:
                raise refuse_null(f"/{field}")
        return _tagged(await group_messages.patch(group_message_id, data, if_match(request)))

    @delete(
        "/{group_message_id:uuid}",
        guards=[requires("group_messages:delete")],
        operation_id="DeleteGroupMessage",
        summary="Forget a group message",
        opt={"problems": {409: ("wrong_status",)}},
    )
    async def remove(
        self,
        group_message_id: FromPath[UUID],
        request: ApiRequest,
        group_messages: NamedDependency[GroupMessageService],
    ) -> None:
        """A draft, or one that has ended. Its messages stay."""
        await group_messages.delete(group_message_id, if_match(request))

    @post(
        "/{group_message_id:uuid}/send",
        status_code=202,
        guards=[requires("group_messages:send")],
        operation_id="SendGroupMessage",
        summary="Send it",
        opt={"etag": True, "problems": {409: ("wrong_status", "channel_deleted", "template_deleted", "name_taken")}},
    )
    async def send(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """At `send_at` when that is still to come, else now; where the account wants approvals for so many recipients
        it waits for one first. What its segments and its template say at that moment
        stands until its end.
        """
        return _tagged(await group_messages.send(group_message_id), 202)

    @post(
        "/{group_message_id:uuid}/approve",
        status_code=200,
        guards=[requires("group_messages:approve")],
        operation_id="ApproveGroupMessage",
        summary="Agree to its being sent",
        opt={
            "etag": True,
            "problems": {409: ("wrong_status", "own_request", "channel_deleted", "template_deleted")},
        },
    )
    async def approve(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """Whoever asked for it cannot. It starts at once unless its `send_at` is still to come; what is sent is the
        version of the template that was asked for.
        """
        return _tagged(await group_messages.approve(group_message_id))

    @post(
        "/{group_message_id:uuid}/reject",
        status_code=200,
        guards=[requires("group_messages:approve")],
        operation_id="RejectGroupMessage",
        summary="Do not agree to its being sent",
        opt={"etag": True, "problems": {409: ("wrong_status",)}},
    )
    async def reject(
        self,
        group_message_id: FromPath[UUID],
        data: JSONBody[GroupMessageReject],
        group_messages: NamedDependency[GroupMessageService],
    ) -> Response[GroupMessageOut]:
        """It is a draft again, which can be changed and sent anew."""
        return _tagged(await group_messages.reject(group_message_id, data.reason))

    @post(
        "/{group_message_id:uuid}/pause",
        status_code=200,
        guards=[requires("group_messages:send")],
        operation_id="PauseGroupMessage",
        summary="Send no more for now",
        opt={"etag": True, "problems": {409: ("wrong_status",)}},
    )
    async def pause(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """What is under way, a few seconds' worth, still goes out."""
        return _tagged(await group_messages.pause(group_message_id))

    @post(
        "/{group_message_id:uuid}/resume",
        status_code=200,
        guards=[requires("group_messages:send")],
        operation_id="ResumeGroupMessage",
        summary="Go on",
        opt={"etag": True, "problems": {409: ("wrong_status",)}},
    )
    async def resume(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """Where it stopped. An error limit that had paused it counts anew."""
        return _tagged(await group_messages.resume(group_message_id))

    @post(
        "/{group_message_id:uuid}/cancel",
        status_code=200,
        guards=[requires("group_messages:send")],
        operation_id="CancelGroupMessage",
        summary="Send nothing more",
        opt={"etag": True, "problems": {409: ("wrong_status",)}},
    )
    async def cancel(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """What is queued and not being handed over is canceled, too. It cannot be resumed; clone it instead."""
        return _tagged(await group_messages.cancel(group_message_id))

    @post(
        "/{group_message_id:uuid}/retry-failed",
        status_code=202,
        guards=[requires("group_messages:send")],
        operation_id="RetryFailedGroupMessage",
        summary="Send again to whom it failed for",
        opt={"etag": True, "problems": {409: ("wrong_status", "too_many_retries")}},
    )
    async def retry_failed(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """Once it is completed. Each gets a new message with the same version of the template; nobody else does."""
        return _tagged(await group_messages.retry_failed(group_message_id), 202)

    @post(
        "/{group_message_id:uuid}/clone",
        guards=[requires("group_messages:create")],
        operation_id="CloneGroupMessage",
        summary="Draft another one like it",
    )
    async def clone(
        self, group_message_id: FromPath[UUID], group_messages: NamedDependency[GroupMessageService]
    ) -> Response[GroupMessageOut]:
        """The same text for the same audience, without its `send_at`."""
        return _made(await group_messages.clone(group_message_id))

    @post(
        "/{group_message_id:uuid}/preflight",
        status_code=200,
        guards=[requires("group_messages:read")],
        operation_id="PreflightStoredGroupMessage",
        summary="Try a group message",
        opt={"problems": {409: ("channel_deleted", "template_deleted")}},
    )
    async def preflight_stored(
        self, group_message_id: FromPath[UUID], preflight: NamedDependency[Preflight]
    ) -> GroupMessagePreflightOut:
        """As if it were sent now. Nothing is sent."""
        return await preflight.of_stored(group_message_id)

    @get(
        "/{group_message_id:uuid}/progress",
        guards=[requires("group_messages:read")],
        operation_id="GetGroupMessageProgress",
        summary="How far it has come, and what went wrong",
        opt={"streams": GroupMessageStanding},
    )
    async def progress(
        self,
        group_message_id: FromPath[UUID],
        request: ApiRequest,
        caller: NamedDependency[Caller],
        container: NamedDependency[Container],
        audit: NamedDependency[AuditTrail],
        group_messages: NamedDependency[GroupMessageService],
    ) -> Response[GroupMessageProgressOut]:
        """Counters as of now; failures by cause and skipped recipients by reason.

        With `Accept: text/event-stream` the counters come as Server-Sent Events whenever they have changed, at most
        once a second: `progress`, and at the end `completed` or `canceled`. After 15 seconds the stream ends, and an
        `EventSource` comes back by itself.
        """
        if "text/event-stream" not in request.headers.get("accept", ""):
            return Response(await group_messages.progress(group_message_id))
        container.streams.check_room()

        async def look() -> GroupMessageStanding:
            async with container.database.reading(caller.account_id) as session:
                return _standing(await _service(session, container, caller, audit).get(group_message_id))

        first = _standing(await group_messages.get(group_message_id))
        stream = ServerSentEvent(container.streams.events(first, look), headers={"Cache-Control": "no-store"})
        # For the document, which says what the events hold.
        return cast("Response[GroupMessageProgressOut]", stream)

    @get(
        "/{group_message_id:uuid}/recipients",
        guards=[requires("group_messages:read")],
        operation_id="ListGroupMessageRecipients",
        summary="What became of each recipient",
        opt={"listing": RECIPIENTS},
    )
    async def recipients(
        self,
        group_message_id: FromPath[UUID],
        request: ApiRequest,
        group_messages: NamedDependency[GroupMessageService],
    ) -> Page[GroupRecipientOut]:
        """Those that were looked at so far, in no order that means anything. Filters: status, where `skipped` is
        whoever gets nothing. Sorts: id.
        """
        query = list_query(request, RECIPIENTS)
        return await (await group_messages.recipients(group_message_id)).page(query)

    @get(
        "/{group_message_id:uuid}/recipients/export",
        guards=[requires("group_messages:read")],
        operation_id="ExportGroupMessageRecipients",
        summary="What became of each recipient, as a CSV file",
        opt={"download": ("text/csv",)},
    )
    async def export(
        self,
        group_message_id: FromPath[UUID],
        caller: NamedDependency[Caller],
        container: NamedDependency[Container],
        group_messages: NamedDependency[GroupMessageService],
    ) -> Response[None]:
        """What a spreadsheet would take for a formula has an apostrophe in front; telephone numbers are as they are."""
        recipients = await group_messages.recipients(group_message_id)
        lines = export_recipients(container.database, caller.account_id, group_message_id, recipients.runs)
        # Read before the answer begins, so that a database that is down is still an error.
        first = [await anext(lines), await anext(lines, b"")]
        headers = {"Content-Disposition": 'attachment; filename="recipients.csv"', "Cache-Control": "no-store"}
        download = Stream(_after(first, lines), media_type="text/csv", headers=headers)
        # For the document: what the file holds has no schema.
        return cast("Response[None]", download)


async def _after(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for line in first:
        yield line
    async for line in rest:
        yield line
