"""A message → the bodies of its submit_sm PDUs, the way its channel wants them."""

import random
from collections.abc import Callable

from app.domain.messages.events import DispatchMessage
from connectors.smpp.config import SmppConfig
from connectors.smpp.options import LongMessage
from connectors.sms_text.segments import Encoding, Segment, Style, count, segment
from smpp_daemon.addresses import source_address
from smpp_daemon.protocol.codec import SubmitTemplate
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.errors import PduEncodeError
from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.times import format_relative
from smpp_daemon.protocol.tlv import encode_tlvs

MAX_TEMPLATES = 1000
"""Senders of one channel are few; periods of validity are many, one for each second."""

RECEIPT_REQUESTED = 1
"""registered_delivery: a receipt for success and failure (SMPP 3.4 §5.2.17)."""

_STYLES: dict[LongMessage, Style] = {
    LongMessage.UDH: "udh8",
    LongMessage.UDH16: "udh16",
    LongMessage.SAR: "sar",
    LongMessage.PAYLOAD: "payload",
}
_DATA_CODING = {Encoding.GSM7: 0x00, Encoding.UCS2: 0x08}
_WHOLE_LENGTH = 160


class UnsendableError(Exception):
    """The message cannot be put into submit_sm at all; the text says why."""


class SubmissionEncoder:
    """Makes submit_sm bodies for one channel; `config` may be replaced by a new encoder at any time.

    `wall` is seconds since the epoch, for what is left of a validity period. References of long texts count up, so
    that two of them to one handset differ (3GPP TS 23.040 §9.2.3.24.1).
    """

    def __init__(self, config: SmppConfig, wall: Callable[[], float], *, first_reference: int | None = None) -> None:
        self._config = config
        self._wall = wall
        self._style = _STYLES[config.long_message]
        self._reference = random.randrange(0x10000) if first_reference is None else first_reference
        self._templates: dict[tuple[str | None, int, int, str], SubmitTemplate] = {}

    def bodies(self, message: DispatchMessage) -> list[bytes]:
        """One body for each PDU, in order. Raises `UnsendableError`."""
        try:
            cut = segment(message.text, reference=self._next_reference(message.text), style=self._style)
            coding = _DATA_CODING[cut.encoding]
            destination = message.to.removeprefix("+").encode("latin-1")
            segments = cut.segments
            if len(segments) == 1 and not segments[0].udh:
                return [self._single(message, coding, destination, segments[0].user_data)]
            return [self._part(message, coding, destination, part) for part in segments]
        except (ValueError, PduEncodeError) as error:
            raise UnsendableError(str(error)) from error

    def _single(self, message: DispatchMessage, coding: int, destination: bytes, data: bytes) -> bytes:
        template = self._template(message, 0, coding)
        # Only a text that is too long for one segment goes into message_payload, whose sm_length is 0 (§5.3.2.32).
        if len(data) > (_WHOLE_LENGTH if coding == 0 else 140):
            return template.body(destination, b"", encode_tlvs(((Tag.MESSAGE_PAYLOAD, data),)))
        return template.body(destination, data)

    def _part(self, message: DispatchMessage, coding: int, destination: bytes, part: Segment) -> bytes:
        if part.udh:
            return self._template(message, EsmClass.UDHI, coding).body(destination, part.udh + part.user_data)
        sar = (
            (Tag.SAR_MSG_REF_NUM, part.reference.to_bytes(2, "big")),
            (Tag.SAR_TOTAL_SEGMENTS, bytes((part.total,))),
            (Tag.SAR_SEGMENT_SEQNUM, bytes((part.number,))),
        )
        return self._template(message, 0, coding).body(destination, part.user_data, encode_tlvs(sar))

    def _next_reference(self, text: str) -> int | None:
        # 35 characters are at most 70 UTF-16 units. References are spent on long texts only, or 8 bits come round soon.
        if len(text) <= 35 or self._style == "payload" or count(text, style=self._style).segments == 1:
            return None
        self._reference = (self._reference + 1) & 0xFFFF
        return self._reference & 0xFF if self._style == "udh8" else self._reference

    def _template(self, message: DispatchMessage, esm_class: int, coding: int) -> SubmitTemplate:
        validity = "" if message.validity_seconds is None else self._validity(message, message.validity_seconds)
        key = (message.sender, esm_class, coding, validity)
        template = self._templates.get(key)
        if template is None:
            config = self._config
            source = source_address(message.sender, config)
            template = SubmitTemplate(
                SubmitSm(
                    source_addr_ton=source.ton,
                    source_addr_npi=source.npi,
                    source_addr=source.address,
                    dest_addr_ton=config.dest_ton,
                    dest_addr_npi=config.dest_npi,
                    esm_class=esm_class,
                    validity_period=validity,
                    registered_delivery=RECEIPT_REQUESTED,
                    data_coding=coding,
                )
            )
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            self._templates[key] = template
        return template

    def _validity(self, message: DispatchMessage, seconds: int) -> str:
        # The period began when the message was accepted, which its UUIDv7 tells in milliseconds (RFC 9562 §5.7).
        age = self._wall() - int.from_bytes(message.id[:6], "big") / 1000
        return format_relative(max(1, min(seconds, round(seconds - age))))
