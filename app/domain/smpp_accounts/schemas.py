"""What goes in and out about SMPP accounts."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)", description="Unique name.")
]
SystemId = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=15,
        pattern=r"^[A-Za-z0-9._-]+$(?!\n)",
        description="What the client binds with, unique in the installation; SMPP 3.4 §5.2.1 allows 15 characters.",
    ),
]
Password = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=64,
        pattern=r"^[!-~]+$(?!\n)",
        description="Generated when it is left out. SMPP 3.4 §5.2.2 allows 8 characters; most clients take more.",
    ),
]
Network = Annotated[str, Meta(max_length=49, description="An address or a network, e.g. 192.0.2.0/24.")]
Networks = Annotated[
    tuple[Network, ...], Meta(max_length=64, description="From where binds may come; empty: anywhere.")
]
MaxBinds = Annotated[int, Meta(ge=1, le=64, description="Binds at the same time, on all daemons together.")]
RatePerSecond = Annotated[
    float, Meta(gt=0, le=100_000, description="PDUs a second that its binds on one daemon may submit together.")
]
Burst = Annotated[int, Meta(ge=1, le=100_000, description="PDUs at once after a pause; a second's worth by default.")]
Window = Annotated[int, Meta(ge=1, le=1000, description="Unanswered deliver_sm on each bind.")]
InboundLimit = Annotated[
    int, Meta(ge=1, le=10_000, description="Unanswered submits on each bind; further ones get RTHROTTLED.")
]
Sender = Annotated[str, Meta(min_length=1, max_length=20, pattern=r"^[ -~]+$(?!\n)")]
Country = Annotated[
    str, Meta(pattern=r"^[A-Z]{2}$(?!\n)", description="ISO 3166-1 code that national numbers are read by, e.g. ET.")
]
Lane = Literal["high", "bulk"]
Alphabet = Literal["gsm7", "latin1", "ascii"]


class BindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What binds of an account may do, and how what they send is read.

    `rate_per_second` None is unlimited. `default_from` is the sender of what names none; without it the channel's is
    taken. `default_alphabet` is what data_coding 0 means to this client (SMPP 3.4 §5.2.19), in both directions. `lane`
    is that of messages with priority_flag 0 and 1; higher ones always go first.
    """

    allowed_networks: Networks = ()
    max_binds: MaxBinds = 4
    rate_per_second: RatePerSecond | None = None
    burst: Burst | None = None
    window: Window = 10
    inbound_limit: InboundLimit = 500
    receive_inbound: bool = True
    default_from: Sender | None = None
    default_country: Country | None = None
    default_alphabet: Alphabet = "gsm7"
    lane: Lane = "high"


class SmppAccountCreate(BindSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account. Without `password` one is made and shown once."""

    name: Name
    system_id: SystemId
    channel_id: UUID
    password: Password | None = None
    enabled: bool = True

    def __repr__(self) -> str:
        return f"<SmppAccountCreate {self.system_id!r}>"


class SmppAccountPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the fields that are sent. Null clears what can be empty, and is read everywhere to be refused."""

    name: Name | UnsetType | None = UNSET
    system_id: SystemId | UnsetType | None = UNSET
    channel_id: UUID | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    enabled: bool | UnsetType | None = UNSET
    allowed_networks: Networks | UnsetType | None = UNSET
    max_binds: MaxBinds | UnsetType | None = UNSET
    rate_per_second: RatePerSecond | UnsetType | None = UNSET
    burst: Burst | UnsetType | None = UNSET
    window: Window | UnsetType | None = UNSET
    inbound_limit: InboundLimit | UnsetType | None = UNSET
    receive_inbound: bool | UnsetType | None = UNSET
    default_from: Sender | UnsetType | None = UNSET
    default_country: Country | UnsetType | None = UNSET
    default_alphabet: Alphabet | UnsetType | None = UNSET
    lane: Lane | UnsetType | None = UNSET

    def __repr__(self) -> str:
        return "<SmppAccountPatch>"


CLEARABLE = frozenset({"rate_per_second", "burst", "default_from", "default_country"})
"""Fields that a PATCH may set to null."""


class SmppAccountOut(msgspec.Struct, frozen=True, kw_only=True):
    """An account as clients see it: never with its password. `last_bound_at` is a minute exact."""

    id: UUID
    account_id: UUID
    name: str
    system_id: str
    channel_id: UUID
    enabled: bool
    allowed_networks: tuple[str, ...]
    max_binds: int
    rate_per_second: float | None
    burst: int | None
    window: int
    inbound_limit: int
    receive_inbound: bool
    default_from: str | None
    default_country: str | None
    default_alphabet: Alphabet
    lane: Lane
    last_bound_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SmppAccountMade(SmppAccountOut, frozen=True, kw_only=True, omit_defaults=True):
    """The answer that shows a generated `password`, once; without it when the caller chose the password."""

    password: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"<SmppAccountMade {self.system_id!r}>"
