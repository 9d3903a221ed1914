"""How an operator writes its message ids: one number, many notations (field problems with ids all start here)."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

LONGEST = 64
"""Characters of message_id in a response (SMPP 3.4 §4.4.2: 65 octets with the NUL)."""

IdBase = Literal["hex", "decimal", "uuid"]

_UUID_VERSION_8 = (8 << 76) | (0b10 << 62)


class IdFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base` of the number; `width` pads it with zeros on the left, up to 64 characters; `upper` for A-F.

    `prefix` goes in front. `uuid` spreads the number over a UUID of version 8 (RFC 9562 §5.8), 36 characters. Raises
    ValueError when prefix and width do not fit in 64 characters.
    """

    base: IdBase = "hex"
    width: Annotated[int, msgspec.Meta(ge=0)] = 0
    upper: bool = False
    prefix: str = ""

    def __post_init__(self) -> None:
        if len(self.prefix) + max(self.width, 36 if self.base == "uuid" else 20) > LONGEST:
            raise ValueError(f"width: an id of prefix {self.prefix!r} and its digits exceeds {LONGEST} characters")
        if not self.prefix.isascii() or not self.prefix.isprintable():
            raise ValueError(f"prefix: {self.prefix!r} is not printable ASCII")

    def write(self, number: int) -> str:
        """The id of the message with this number."""
        if self.base == "hex":
            digits = f"{number:x}"
        elif self.base == "decimal":
            digits = str(number)
        else:
            digits = str(UUID(int=_UUID_VERSION_8 | (number >> 40) << 80 | number & 0xFF_FFFF_FFFF))
        digits = digits.zfill(self.width)
        return self.prefix + (digits.upper() if self.upper else digits)
