"""What goes in and out about erasing a person."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

KIND = "contacts.erase"

ERASED = "erased"
"""What stands for an address that was erased."""


class ErasureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person is to be erased.

    `reason` goes to the audit log, which keeps it: no personal data belongs in it. With `forget_opt_outs` it is
    forgotten as well that the person wants no messages; without, the address stays for that alone.
    """

    reason: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] | None = None
    forget_opt_outs: bool = False


class ErasureSpec(msgspec.Struct, frozen=True):
    """What the job is asked for."""

    contact_id: UUID
    forget_opt_outs: bool = False


class ErasureTold(msgspec.Struct, frozen=True):
    """What the audit log says of it."""

    job_id: UUID
    reason: str | None
    forget_opt_outs: bool


class ErasureReport(msgspec.Struct):
    """The result of the job: of what how much was erased.

    `canceled` are messages that had not been sent, `opt_outs` those that were forgotten, `opt_outs_kept` those whose
    address stays so that the person is not written to again. `contacts` are those that were removed.
    `group_messages_left` name an address of the person and have not ended: change or cancel them.
    """

    messages: int = 0
    canceled: int = 0
    message_parts: int = 0
    receipts: int = 0
    events: int = 0
    audit_entries: int = 0
    opt_outs: int = 0
    opt_outs_kept: int = 0
    group_messages: int = 0
    group_messages_left: int = 0
    merges: int = 0
    contacts: int = 0


def document(spec: ErasureSpec) -> dict[str, Any]:
    """The spec as a job keeps it."""
    plain: dict[str, Any] = msgspec.to_builtins(spec)
    return plain
