"""Optional parameters: tag, length, value (SMPP 3.4 §5.3)."""

from struct import Struct
from typing import TypeAlias

from smpp_daemon.protocol.errors import PduEncodeError

Tlvs: TypeAlias = tuple[tuple[int, bytes], ...]
"""(tag, value) in wire order; unknown tags and repeated ones are kept."""

_TAG_LENGTH = Struct("!HH")


def decode_tlvs(data: bytes, position: int) -> tuple[Tlvs, int]:
    """TLVs of `data` from `position` to its end, and how many octets at the end could not be read.

    A truncated TLV and stray octets never cost the PDU: peers append a NUL to the short message, which is skipped, or
    cut the last TLV short.
    """
    tlvs, rest = _read(data, position)
    if rest and position < len(data) and data[position] == 0:
        shifted, left = _read(data, position + 1)
        if not left:
            return shifted, 1
    return tlvs, rest


def _read(data: bytes, position: int) -> tuple[Tlvs, int]:
    tlvs: list[tuple[int, bytes]] = []
    end = len(data)
    while end - position >= 4:
        tag, length = _TAG_LENGTH.unpack_from(data, position)
        after = position + 4 + length
        if after > end:
            break
        tlvs.append((tag, data[position + 4 : after]))
        position = after
    return tuple(tlvs), end - position


def encode_tlvs(tlvs: Tlvs) -> bytes:
    """Wire form. Raises `PduEncodeError` when a tag or a length does not fit in 16 bits."""
    parts: list[bytes] = []
    for tag, value in tlvs:
        if not 0 <= tag <= 0xFFFF or len(value) > 0xFFFF:
            raise PduEncodeError(f"TLV 0x{tag:x} with {len(value)} octets does not fit")
        parts.append(_TAG_LENGTH.pack(tag, len(value)))
        parts.append(value)
    return b"".join(parts)


def find_tlv(tlvs: Tlvs, tag: int) -> bytes | None:
    """Value of the first TLV with this tag, or None."""
    for found, value in tlvs:
        if found == tag:
            return value
    return None


def find_text(tlvs: Tlvs, tag: int) -> str | None:
    """A C-Octet String TLV as text, with or without its terminating NUL; None when absent."""
    value = find_tlv(tlvs, tag)
    return None if value is None else str(value.split(b"\0", 1)[0], "latin-1")


def find_integer(tlvs: Tlvs, tag: int) -> int | None:
    """An Integer TLV of any width; None when absent or empty."""
    value = find_tlv(tlvs, tag)
    return int.from_bytes(value, "big") if value else None
