"""How SMPP accounts are told about: to the daemons that they changed, to their binds what happened to messages.

`SmppDelivery` travels through the account's queue (`app.lib.broker.smpp_queue`) as MessagePack. Its structs are
`array_like`: adding a field means appending it with a default.
"""

from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

SMPP_ACCOUNT_CHANGED = "turumba_smpp_account_changed"
"""The NOTIFY channel; the payload is the id of an SMPP account that was made, changed or deleted, or `all`."""

MAX_ITEMS = 100
"""Most receipts and messages in one delivery. After a crash the rest of one is repeated, so it is not larger."""


class SmppReceipt(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What became of a message that an SMPP account submitted.

    `message_id` is the 16 bytes of our id, `to` and `sender` are those of the message, `status` is a message status.
    `submitted_at` and `done_at` are seconds since the epoch, `text` is the beginning of the message.
    `registered_delivery` is what the client asked for (SMPP 3.4 §5.2.17), `code` the provider's error code.
    """

    message_id: bytes
    to: str
    sender: str | None
    status: str
    submitted_at: float
    done_at: float
    text: str
    registered_delivery: int
    code: str | None = None


class SmppInbound(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message from a contact. `message_id` is the 16 bytes of the id it is stored under."""

    message_id: bytes
    sender: str
    to: str
    text: str


class SmppDelivery(msgspec.Struct, array_like=True, frozen=True):
    """Up to `MAX_ITEMS` things for the receivers of one SMPP account. `event_id` names a repeated delivery."""

    event_id: UUID
    smpp_account_id: UUID
    receipts: list[SmppReceipt] = []
    inbound: list[SmppInbound] = []


encode = msgspec.msgpack.Encoder().encode
"""`SmppDelivery` → bytes."""

decode_delivery = msgspec.msgpack.Decoder(SmppDelivery).decode
"""Bytes → `SmppDelivery`; raises `msgspec.DecodeError` on anything else."""


async def announce_change(session: AsyncSession, smpp_account_id: UUID) -> None:
    """Tell all daemons when, and only if, the transaction commits."""
    await session.execute(
        text("SELECT pg_notify(:notify_channel, :payload)"),
        {"notify_channel": SMPP_ACCOUNT_CHANGED, "payload": str(smpp_account_id)},
    )


async def announce_all(session: AsyncSession) -> None:
    """Tell all daemons, when the transaction commits, that any of the accounts may be seen differently now."""
    await session.execute(
        text("SELECT pg_notify(:notify_channel, 'all')"),
        {"notify_channel": SMPP_ACCOUNT_CHANGED},
    )
