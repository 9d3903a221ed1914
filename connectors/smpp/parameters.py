"""Optional parameters that a channel adds to its messages, as people write them → octets (SMPP 3.4 §5.3)."""

from binascii import unhexlify
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

LONGEST = 512
"""Octets of a value: far beyond what any operator asks for."""

WRITTEN_BY_TEXT = frozenset({0x020C, 0x020E, 0x020F, 0x0424})
"""sar_* and message_payload (§5.3.2.22-24, §5.3.2.32): how a text is cut decides about them, nobody else."""


class TlvKind(StrEnum):
    """How the value of an optional parameter is written: text with or without its final NUL, hexadecimal, a number."""

    C_STRING = "c_string"
    TEXT = "text"
    HEX = "hex"
    INTEGER_1 = "integer_1"
    INTEGER_2 = "integer_2"
    INTEGER_4 = "integer_4"


Kind = Annotated[TlvKind, Meta(description="How the value is written.")]
Tag = Annotated[int, Meta(ge=0, le=0xFFFF, description="Its tag; India's DLT uses 5120 and 5121.")]


class TlvValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An optional parameter with its value (SMPP 3.4 §5.3)."""

    tag: Tag
    value: Annotated[str, Meta(max_length=512, description="Written as `kind` says.")]
    kind: Kind = TlvKind.C_STRING

    def __post_init__(self) -> None:
        _check_tag(self.tag)
        try:
            parameter_octets(self.kind, self.value)
        except ValueError as error:
            raise ValueError(f"The value of parameter {self.tag} {error}.") from None


class TlvSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An optional parameter whose value comes with each message."""

    tag: Tag
    kind: Kind = TlvKind.C_STRING
    required: Annotated[bool, Meta(description="A message without it fails instead of being sent without it.")] = False

    def __post_init__(self) -> None:
        _check_tag(self.tag)


def _check_tag(tag: int) -> None:
    if tag in WRITTEN_BY_TEXT:
        raise ValueError(f"Parameter {tag} is written as long_message says.")


_WIDTHS = {TlvKind.INTEGER_1: 1, TlvKind.INTEGER_2: 2, TlvKind.INTEGER_4: 4}


def parameter_octets(kind: TlvKind, value: str) -> bytes:
    """`value`, written as `kind` says, as it goes into the parameter. Raises ValueError in words for its author."""
    width = _WIDTHS.get(kind)
    if width is not None:
        if not (value.isascii() and value.isdigit()) or int(value) >= 1 << 8 * width:
            raise ValueError(f"must be a number from 0 to {(1 << 8 * width) - 1}")
        return int(value).to_bytes(width, "big")
    try:
        octets = unhexlify(value) if kind is TlvKind.HEX else value.encode("latin-1")
    except ValueError:
        words = "hexadecimal" if kind is TlvKind.HEX else "text in Latin-1"
        raise ValueError(f"must be {words}") from None
    if kind is TlvKind.C_STRING:
        if 0 in octets:
            raise ValueError("must not hold a NUL")
        octets += b"\0"
    if len(octets) > LONGEST:
        raise ValueError(f"must take at most {LONGEST} octets")
    return octets


def written_value(value: Any) -> str:
    """A metadata field as `parameter_octets` takes it: text or a whole number. Raises ValueError."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("must be text or a whole number")
