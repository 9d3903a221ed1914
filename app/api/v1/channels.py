"""Channels and their types."""

from functools import cache
from inspect import cleandoc
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query, refuse_null
from app.domain.channels.repository import LISTING
from app.domain.channels.schemas import ChannelCreate, ChannelOut, ChannelPatch, ChannelTestOut, ChannelTypeOut
from app.domain.channels.service import ChannelService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page
from connectors.contract import StructType
from connectors.registry import connectors


def _tagged(channel: ChannelOut, status_code: int = 200, headers: dict[str, str] | None = None) -> Response[ChannelOut]:
    return Response(channel, status_code=status_code, headers=tag_of(channel.updated_at) | (headers or {}))


def _schema(kind: StructType) -> dict[str, Any]:
    """The JSON Schema of a struct, with the struct itself at the top instead of behind a reference."""
    document = msgspec.json.schema(kind)
    definitions: dict[str, Any] = document["$defs"]
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    top: dict[str, Any] = definitions.pop(kind.__name__)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}


@cache
def channel_types() -> tuple[ChannelTypeOut, ...]:
    """Every connector as clients see it."""
    return tuple(
        ChannelTypeOut(
            type=connector.type,
            name=connector.title,
            capabilities=connector.capabilities,
            sent_by=connector.sent_by,
            config=_schema(connector.config_type),
            credentials=_schema(connector.credentials_type),
        )
        for connector in connectors()
    )


def provide_channels(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> ChannelService:
    """The channels of the caller's account, in the request's unit of work."""
    return ChannelService(
        session,
        caller.account_id,
        envelope=container.envelope,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


class ChannelTypeController(Controller):
    """`/v1/channel-types`."""

    path = "/v1/channel-types"
    tags = ["channels"]

    @get("/", guards=[requires("channels:read")], operation_id="ListChannelTypes", summary="What channels can be made")
    async def index(self) -> Page[ChannelTypeOut]:
        """Every connector, with JSON Schemas to build a form from."""
        return Page(list(channel_types()), None)


class ChannelController(Controller):
    """`/v1/channels`."""

    path = "/v1/channels"
    tags = ["channels"]
    dependencies = {"channels": Provide(provide_channels, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("channels:read")],
        operation_id="ListChannels",
        summary="List channels",
        opt={"listing": LISTING},
    )
    async def index(
        self,
        request: ApiRequest,
        channels: NamedDependency[ChannelService],
    ) -> Page[ChannelOut]:
        """Newest first. Filters: name, type, status, created_at. Sorts: created_at, name."""
        return await channels.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("channels:create")],
        operation_id="CreateChannel",
        summary="Make a channel",
        opt={"problems": {409: ("name_taken",)}},
    )
    async def create(
        self,
        data: JSONBody[ChannelCreate],
        channels: NamedDependency[ChannelService],
    ) -> Response[ChannelOut]:
        """Credentials are stored encrypted and never shown again."""
        channel = await channels.create(data)
        return _tagged(channel, 201, {"Location": f"/v1/channels/{channel.id}"})

    @get("/{channel_id:uuid}", guards=[requires("channels:read")], operation_id="GetChannel", summary="One channel")
    async def show(
        self,
        channel_id: FromPath[UUID],
        channels: NamedDependency[ChannelService],
    ) -> Response[ChannelOut]:
        """`health` is what its sender last reported; the ETag follows the configuration only."""
        return _tagged(await channels.get(channel_id))

    @patch(
        "/{channel_id:uuid}",
        guards=[requires("channels:update")],
        operation_id="UpdateChannel",
        summary="Change a channel",
        opt={"clearable": ("rate",), "problems": {409: ("name_taken", "no_type")}},
    )
    async def update(
        self,
        channel_id: FromPath[UUID],
        data: JSONBody[ChannelPatch],
        request: ApiRequest,
        channels: NamedDependency[ChannelService],
    ) -> Response[ChannelOut]:
        """JSON merge patch; null brings a field of `config` back to its default. `credentials` are replaced whole."""
        for field in ("name", "config", "credentials"):
            if getattr(data, field) is None:
                raise refuse_null(f"/{field}")
        return _tagged(await channels.patch(channel_id, data, if_match(request)))

    @delete(
        "/{channel_id:uuid}",
        guards=[requires("channels:delete")],
        operation_id="DeleteChannel",
        summary="End a channel",
    )
    async def remove(
        self,
        channel_id: FromPath[UUID],
        request: ApiRequest,
        channels: NamedDependency[ChannelService],
    ) -> None:
        """Its messages stay; what was still queued fails."""
        await channels.delete(channel_id, if_match(request))

    @post(
        "/{channel_id:uuid}/pause",
        status_code=200,
        guards=[requires("channels:update")],
        operation_id="PauseChannel",
        summary="Stop sending for now",
        opt={"etag": True},
    )
    async def pause(
        self,
        channel_id: FromPath[UUID],
        channels: NamedDependency[ChannelService],
    ) -> Response[ChannelOut]:
        """Messages are still accepted and wait."""
        return _tagged(await channels.pause(channel_id))

    @post(
        "/{channel_id:uuid}/resume",
        status_code=200,
        guards=[requires("channels:update")],
        operation_id="ResumeChannel",
        summary="Send again",
        opt={"etag": True, "problems": {409: ("no_type",)}},
    )
    async def resume(
        self,
        channel_id: FromPath[UUID],
        channels: NamedDependency[ChannelService],
    ) -> Response[ChannelOut]:
        """What waited goes out first."""
        return _tagged(await channels.resume(channel_id))

    @post(
        "/{channel_id:uuid}/connect",
        status_code=200,
        guards=[requires("channels:update")],
        operation_id="ConnectChannel",
        summary="Try again to connect",
        opt={"etag": True, "problems": {409: ("channel_paused", "no_type")}},
    )
    async def connect(
        self,
        channel_id: FromPath[UUID],
        channels: NamedDependency[ChannelService],
    ) -> Response[ChannelOut]:
        """Ends the waiting between attempts of a link that failed."""
        return _tagged(await channels.connect(channel_id))

    @post(
        "/{channel_id:uuid}/test",
        status_code=200,
        guards=[requires("channels:update")],
        operation_id="TestChannel",
        summary="Could it send now?",
        opt={"problems": {409: ("no_type",)}},
    )
    async def test(
        self,
        channel_id: FromPath[UUID],
        channels: NamedDependency[ChannelService],
    ) -> ChannelTestOut:
        """Checks what can be checked without sending anything to anybody."""
        return await channels.test(channel_id)

    @get(
        "/{channel_id:uuid}/binds",
        guards=[requires("channels:read")],
        operation_id="ListChannelBinds",
        summary="SMPP: the state of each bind",
    )
    async def binds(
        self,
        channel_id: FromPath[UUID],
        channels: NamedDependency[ChannelService],
    ) -> Page[dict[str, Any]]:
        """As last reported; empty for types without binds."""
        return Page(await channels.binds(channel_id), None)
