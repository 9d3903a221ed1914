"""What goes in and out about channels."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.channels.states import ChannelStatus
from connectors.contract import Capabilities

Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)", description="Unique name.")
]
TypeName = Annotated[str, Meta(max_length=50, description="One of the channel types.")]


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast the channel may send, in what its provider counts: segments for SMS, messages elsewhere.

    `burst` is how many may go at once after a pause; None leaves it to the sender.
    """

    per_second: Annotated[float, Meta(gt=0, le=100_000, description="Segments or messages a second, e.g. 100 or 0.5.")]
    burst: Annotated[int, Meta(ge=1, le=100_000, description="How many may go at once after a pause.")] | None = None


class ChannelCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new channel. `config` and `credentials` are what `GET /v1/channel-types` describes for its type."""

    name: Name
    type: TypeName
    config: dict[str, Any] = {}
    credentials: dict[str, Any] = {}
    rate: Rate | None = None

    def __repr__(self) -> str:
        return f"<ChannelCreate {self.type!r} {self.name!r}>"


class ChannelPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: `config` and `rate` are merged (null brings a default back), `credentials` are replaced whole.

    Null is read for every field, so that its refusal can say which field cannot be cleared.
    """

    name: Name | UnsetType | None = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    credentials: dict[str, Any] | UnsetType | None = UNSET
    rate: dict[str, Any] | UnsetType | None = UNSET

    def __repr__(self) -> str:
        return "<ChannelPatch>"


class ChannelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as clients see it: never with credentials. `health` is what its sender last reported."""

    id: UUID
    account_id: UUID
    name: str
    type: str
    config: dict[str, Any]
    rate: Rate | None
    status: ChannelStatus
    health: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class ChannelTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the channel could send now; `detail` says in words what is in the way, or that nothing is."""

    ok: bool
    detail: str
    status: ChannelStatus


class ChannelTypeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A type of channel. `type` is what a channel's `type` says; `config` and `credentials` are JSON Schemas."""

    type: str
    name: str
    capabilities: Capabilities
    sent_by: Literal["worker", "smppd"]
    config: dict[str, Any]
    credentials: dict[str, Any]
