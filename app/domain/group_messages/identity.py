"""Ids of the messages of a group message: made from whom they go to, so that nobody gets two.

A UUIDv7 (RFC 9562 §5.7) whose time is the millisecond in which the group message was started, and whose other bits are
a digest of group message, run and address. Storing a message twice is then impossible, whatever happened to the walk
through the audience meanwhile, and all messages of one run lie in one range of ids.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from app.lib.ids import uuid_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class MessageIds:
    """The ids of one run: the first sending, or one repetition of what failed."""

    def __init__(self, group_message_id: UUID, run: int, started_at: datetime) -> None:
        self._time = ((started_at - _EPOCH) // _MILLISECOND).to_bytes(6, "big")
        self._seed = group_message_id.bytes + run.to_bytes(2, "big")

    def of(self, address: str) -> UUID:
        """The id of the message to `address`, in the form in which it is stored as the recipient."""
        digest = bytearray(blake2b(address.encode(), key=self._seed, digest_size=10).digest())
        digest[0] = digest[0] & 0x0F | 0x70
        digest[2] = digest[2] & 0x3F | 0x80
        return uuid_of(self._time + bytes(digest))

    @property
    def lowest(self) -> UUID:
        """No message of the run has a smaller id."""
        return uuid_of(self._time + bytes(10))

    @property
    def highest(self) -> UUID:
        """No message of the run has a larger id."""
        return uuid_of(self._time + b"\xff" * 10)
