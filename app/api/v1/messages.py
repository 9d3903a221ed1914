"""Sending and reading messages."""

from collections.abc import Collection
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody

from app.api.deps import Container
from app.api.guards import requires
from app.api.idempotency import TRIED_FIRST, answered_with
from app.api.requests import ApiRequest, list_query
from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.stores.contract import Contact
from app.domain.messages.preparing import Preparation
from app.domain.messages.preview import preview_message
from app.domain.messages.repository import LISTING
from app.domain.messages.schemas import (
    BatchResult,
    MessageBatch,
    MessageCreate,
    MessageDetail,
    MessageOut,
    MessagePreview,
    PreviewOut,
)
from app.domain.messages.service import MessageService
from app.lib.pagination import Page


def provide_messages(request: ApiRequest) -> MessageService:
    """The caller's messages.

    One dependency instead of several: Litestar resolves more than one in a task group, which costs the hot path more
    than all of our own checks together.
    """
    container: Container = request.app.state.container
    account_id: UUID = request.user.account_id

    async def find_contacts(ids: Collection[UUID]) -> dict[UUID, Contact]:
        async with container.database.reading(account_id) as session:
            current = await current_ids(session, account_id, ids)
            there = await container.contact_stores.of(session, account_id).get(
                {current.get(each, each) for each in ids}
            )
        return {each: there[now] for each in ids if (now := current.get(each, each)) in there}

    preparation = Preparation(
        account_id, container.channels, container.templates, find_contacts, container.clock, container.new_id
    )
    return MessageService(account_id, container.intake, preparation)


def _sent(message: MessageOut) -> Response[MessageOut]:
    return Response(message, status_code=201, headers={"Location": f"/v1/messages/{message.id}"})


def _judged(result: BatchResult) -> Response[BatchResult]:
    return Response(result, status_code=200)


class MessageController(Controller):
    """`/v1/messages`."""

    path = "/v1/messages"
    tags = ["messages"]
    dependencies = {"messages": Provide(provide_messages, sync_to_thread=False)}

    @post(
        "/",
        guards=[requires("messages:send")],
        operation_id="SendMessage",
        summary="Send one message",
        opt={"idempotency": TRIED_FIRST, "etag": False},
    )
    async def send(
        self, data: JSONBody[MessageCreate], request: ApiRequest, messages: NamedDependency[MessageService]
    ) -> Response[MessageOut]:
        """Answered after the message and its outbox row are committed: what is accepted is never lost."""
        return _sent(await messages.send(data, answered_with(request, _sent)))

    @post(
        "/batch",
        status_code=200,
        guards=[requires("messages:send")],
        operation_id="SendMessageBatch",
        summary="Send up to 1,000 messages",
        opt={"idempotency": TRIED_FIRST},
    )
    async def send_batch(
        self,
        data: JSONBody[MessageBatch],
        request: ApiRequest,
        messages: NamedDependency[MessageService],
        container: NamedDependency[Container],
    ) -> Response[BatchResult]:
        """Each message is judged by itself; the accepted ones are committed together."""
        result = await messages.send_batch(data, container.settings.public_url, answered_with(request, _judged))
        return _judged(result)

    @post(
        "/preview",
        status_code=200,
        guards=[requires("messages:send")],
        operation_id="PreviewMessage",
        summary="Segments, encoding and warnings of a text",
    )
    async def preview(
        self, data: JSONBody[MessagePreview], request: ApiRequest, container: NamedDependency[Container]
    ) -> PreviewOut:
        """Nothing is stored or sent."""
        return await preview_message(data, request.user.account_id, container.channels)

    @get(
        "/",
        guards=[requires("messages:read")],
        operation_id="ListMessages",
        summary="List messages",
        opt={"listing": LISTING},
    )
    async def index(
        self, request: ApiRequest, messages: NamedDependency[MessageService], container: NamedDependency[Container]
    ) -> Page[MessageOut]:
        """Newest first.

        Filters: id, channel_id, contact_id, status, direction, lane, to, from, created_at, updated_at.
        """
        query = list_query(request, LISTING)
        async with container.database.reading(messages.account_id) as session:
            return await messages.page(session, query)

    @get(
        "/{message_id:uuid}",
        guards=[requires("messages:read")],
        operation_id="GetMessage",
        summary="One message with its events, parts and attempts",
        opt={"etag": False},
    )
    async def show(
        self,
        message_id: FromPath[UUID],
        messages: NamedDependency[MessageService],
        container: NamedDependency[Container],
    ) -> MessageDetail:
        """The whole history of one message."""
        async with container.database.reading(messages.account_id) as session:
            return await messages.detail(session, message_id)
