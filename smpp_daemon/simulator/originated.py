"""Mobile-originated messages: a text becomes one deliver_sm or several parts (3GPP TS 23.040 §9.2.3.24)."""

import itertools
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

import msgspec

from connectors.sms_text import gsm7
from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.pdu import DeliverSm
from smpp_daemon.protocol.tlv import Tlvs
from smpp_daemon.simulator.chances import happens
from smpp_daemon.simulator.journal import Originated
from smpp_daemon.simulator.script import Traffic

UCS2 = 8
LATIN_1 = 3
ASCII = 1
OCTETS = 140
SEPTETS = 160

Concatenation = Literal["udh8", "udh16", "sar", "payload"]


class Message(msgspec.Struct, frozen=True):
    """A text on its way from a handset. `data_coding` None: the default alphabet when it fits, else UCS-2.

    `part_length` None fills the parts; else each holds at most so many septets, units or octets. `order` are part
    numbers (from 1) in the order in which they are sent, each as often as it shall come; None sends every part once.
    """

    text: str
    source: str
    destination: str
    concatenation: Concatenation = "udh8"
    data_coding: int | None = None
    part_length: int | None = None
    order: Sequence[int] | None = None


def parts_of(message: Message, *, system_id: str, number: int, group: int, at: float) -> list[Originated]:
    """Its parts in their own order, numbered from `number` on. `group` is also the reference of the parts.

    Raises ValueError when the text does not fit in the data_coding or in 255 parts.
    """
    data_coding = message.data_coding
    if data_coding is None:
        data_coding = 0 if gsm7.is_gsm7(message.text) else UCS2
    data = _encode(message.text, data_coding)
    chunks = _chunks(data, data_coding, message)
    total = len(chunks)
    if total > 255:
        raise ValueError(f"the text takes {total} parts; 255 is the most there can be")
    found: list[Originated] = []
    for part, chunk in enumerate(chunks, start=1):
        udh, tlvs = (b"", ()) if total == 1 else _marks(message.concatenation, group, total, part)
        found.append(
            Originated(
                number=number + part - 1,
                at=at,
                system_id=system_id,
                source=message.source,
                destination=message.destination,
                text=message.text,
                message=(udh + chunk).hex(),
                group=group,
                part=part,
                parts=total,
                esm_class=EsmClass.UDHI if udh else 0,
                data_coding=data_coding,
                tlvs=tuple((tag, value.hex()) for tag, value in tlvs),
                payload=message.concatenation == "payload",
            )
        )
    return found


def originated_body(part: Originated) -> bytes:
    """Body of its deliver_sm (§4.6.1)."""
    content = bytes.fromhex(part.message)
    tlvs = tuple((tag, bytes.fromhex(value)) for tag, value in part.tlvs)
    if part.payload:
        tlvs = (*tlvs, (int(Tag.MESSAGE_PAYLOAD), content))
        content = b""
    return encode_body(
        DeliverSm(
            source_addr_ton=part.source_ton,
            source_addr_npi=part.source_npi,
            source_addr=part.source,
            destination_addr=part.destination,
            esm_class=part.esm_class,
            data_coding=part.data_coding,
            short_message=content,
            tlvs=tlvs,
        )
    )


def messages_of(traffic: Traffic) -> Iterator[Message]:
    """The messages of a script for ever, texts and sources in turn."""
    for text, source in zip(itertools.cycle(traffic.texts), itertools.cycle(traffic.sources), strict=True):
        yield Message(
            text=text,
            source=source,
            destination=traffic.destination,
            concatenation=traffic.concatenation,
            data_coding=traffic.data_coding,
            part_length=traffic.part_length,
        )


def order_of(traffic: Traffic, total: int, random: Random) -> list[int]:
    """In which order the parts of one message leave, and which come twice."""
    order = list(range(1, total + 1))
    if total > 1 and happens(traffic.out_of_order, random):
        while order == sorted(order):
            random.shuffle(order)
    return [part for part in order for _ in range(2 if happens(traffic.duplicate, random) else 1)]


def _encode(text: str, data_coding: int) -> bytes:
    if data_coding == UCS2:
        return text.encode("utf-16-be")
    if data_coding == 0:
        return gsm7.encode(text)
    if data_coding == ASCII:
        return text.encode("ascii")
    return text.encode("latin-1")


def _chunks(data: bytes, data_coding: int, message: Message) -> list[bytes]:
    if message.concatenation == "payload":
        return [data]
    width = 2 if data_coding == UCS2 else 1
    seven_bit = data_coding in (0, ASCII)
    whole = SEPTETS if seven_bit else OCTETS // width
    header = 7 if message.concatenation == "udh16" else 6
    room = (SEPTETS - -(-header * 8 // 7)) if seven_bit else (OCTETS - header) // width
    if message.part_length is not None:
        whole, room = min(whole, message.part_length), min(room, message.part_length)
    if len(data) <= whole * width:
        return [data]
    step = room * width
    if step < 2 * width:
        raise ValueError("a part needs room for a pair of septets or units")
    chunks: list[bytes] = []
    start = 0
    while start < len(data):
        end = start + step
        last = data[end - width] if end < len(data) else 0
        # An escape or the first half of a surrogate pair stays with what follows it.
        if (data_coding == 0 and last == gsm7.ESCAPE) or (width == 2 and last & 0xFC == 0xD8):
            end -= width
        chunks.append(data[start:end])
        start = end
    return chunks


def _marks(concatenation: Concatenation, group: int, total: int, part: int) -> tuple[bytes, Tlvs]:
    if concatenation == "sar":
        reference = (group & 0xFFFF).to_bytes(2, "big")
        return b"", (
            (Tag.SAR_MSG_REF_NUM, reference),
            (Tag.SAR_TOTAL_SEGMENTS, bytes((total,))),
            (Tag.SAR_SEGMENT_SEQNUM, bytes((part,))),
        )
    if concatenation == "udh16":
        return bytes((6, 0x08, 4, group >> 8 & 0xFF, group & 0xFF, total, part)), ()
    return bytes((5, 0x00, 3, group & 0xFF, total, part)), ()
