"""A message → the bodies of its submit_sm PDUs, the way its channel wants them."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from app.domain.messages.events import DispatchMessage, SmsOptions, decode_sms_options
from connectors.smpp.config import SmppConfig
from connectors.smpp.options import AddressSide, Flash, ReceiptRequest, Validity
from connectors.smpp.parameters import parameter_octets
from connectors.smpp.text import text_options, written_text
from connectors.sms_text import encoding
from connectors.sms_text.encoding import Alphabet, data_coding
from connectors.sms_text.segments import Segment, SegmentedText, TextOptions, segment
from smpp_daemon.addresses import destination_address, source_address
from smpp_daemon.protocol.codec import SubmitTemplate
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.errors import PduEncodeError
from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.times import format_absolute, format_relative
from smpp_daemon.protocol.tlv import Tlvs, encode_tlvs

MAX_TEMPLATES = 1000
"""Senders of one channel are few; periods of validity are many, one for each second."""

BINARY = 0x04
"""data_coding of 8-bit data (SMPP 3.4 §5.2.19)."""

DISPLAY = b"\x01"
"""dest_addr_subunit for the display of the handset (§5.3.2.1)."""

_REGISTERED = {
    ReceiptRequest.ALL: 1,
    ReceiptRequest.FAILURES: 2,
    ReceiptRequest.LAST_PART: 1,
    ReceiptRequest.NONE: 0,
}
"""registered_delivery (§5.2.17); `last_part` is about all parts but the last, which ask for nothing."""

_FLASH: dict[Flash, encoding.Flash] = {
    Flash.DATA_CODING: "data_coding",
    Flash.MESSAGE_CLASS: "data_coding_f0",
    Flash.SUBUNIT: "none",
}
_MESSAGE_PAYLOAD = int(Tag.MESSAGE_PAYLOAD)
_DEST_ADDR_SUBUNIT = int(Tag.DEST_ADDR_SUBUNIT)
_UDHI = int(EsmClass.UDHI)


class UnsendableError(Exception):
    """The message cannot be put into submit_sm at all; the text says why."""


class _Extras(NamedTuple):
    """What a message says for itself, None where it leaves it to the channel."""

    flash: bool
    priority: int | None
    service_type: str | None
    protocol_id: int | None
    tlvs: Tlvs


class _Frame(NamedTuple):
    """What the parts of a message have in common, as far as a template depends on it."""

    sender: str | None
    ton: int
    npi: int
    validity: str
    extras: _Extras | None


class SubmissionEncoder:
    """Makes submit_sm bodies for one channel; `config` may be replaced by a new encoder at any time.

    `wall` is seconds since the epoch, for what is left of a validity period. References of long texts count up, so
    that two of them to one handset differ (3GPP TS 23.040 §9.2.3.24.1).
    """

    def __init__(self, config: SmppConfig, wall: Callable[[], float], *, first_reference: int | None = None) -> None:
        self._config = config
        self._wall = wall
        self._reference = random.randrange(0x10000) if first_reference is None else first_reference
        self._templates: dict[tuple[_Frame, int, int, int], SubmitTemplate] = {}
        self._text = _named(text_options(config))
        self._highest_reference = 0xFF if self._text["style"] == "udh8" else 0xFFFF
        self._codings = _codings(config)
        self._registered = _REGISTERED[config.receipts]
        self._last_part_only = config.receipts is ReceiptRequest.LAST_PART
        self._destination_rules = any(rule.side is AddressSide.DESTINATION for rule in config.address_rules)
        self._tlvs = tuple((each.tag, parameter_octets(each.kind, each.value)) for each in config.tlvs)
        self._required = {each.tag: name for name, each in config.metadata_tlvs.items() if each.required}

    def bodies(self, message: DispatchMessage) -> list[bytes]:
        """One body for each PDU, in order. Raises `UnsendableError`."""
        try:
            if message.sms is None:
                if self._required:
                    self._check_required(())
                return self._text_bodies(message, None)
            options = decode_sms_options(message.sms)
            extras = _extras(options)
            self._check_required(extras.tlvs)
            if options.data is not None:
                return [self._data_body(message, options, options.data, extras)]
            return self._text_bodies(message, extras)
        except (ValueError, PduEncodeError, msgspec.DecodeError) as error:
            raise UnsendableError(str(error)) from error

    def _text_bodies(self, message: DispatchMessage, extras: _Extras | None) -> list[bytes]:
        text = written_text(message.text, self._config) if self._config.substitute_characters else message.text
        # References are spent on long texts only, or 8 bits come round soon.
        reference = (self._reference + 1) & self._highest_reference
        cut = segment(text, reference=reference, **self._text)
        coding = self._codings[cut.alphabet]
        if extras is not None and extras.flash:
            coding = self._flash_coding(cut.alphabet, coding)
        frame, destination = self._frame(message, extras)
        segments = cut.segments
        if len(segments) == 1:
            return [self._single(frame, coding, destination, cut, segments[0])]
        self._reference = reference
        return [self._part(frame, coding, destination, part) for part in segments]

    def _single(self, frame: _Frame, coding: int, destination: bytes, cut: SegmentedText, part: Segment) -> bytes:
        registered = self._registered
        if part.udh:
            return self._template(frame, _UDHI, coding, registered).body(destination, part.udh + part.user_data)
        template = self._template(frame, 0, coding, registered)
        # Only a text that is too long for one segment goes into message_payload, whose sm_length is 0 (§5.3.2.32).
        if cut.length > cut.per_segment:
            return template.body(destination, b"", encode_tlvs(((_MESSAGE_PAYLOAD, part.user_data),)))
        return template.body(destination, part.user_data)

    def _part(self, frame: _Frame, coding: int, destination: bytes, part: Segment) -> bytes:
        registered = 0 if self._last_part_only and part.number < part.total else self._registered
        if part.udh:
            return self._template(frame, _UDHI, coding, registered).body(destination, part.udh + part.user_data)
        sar = (
            (Tag.SAR_MSG_REF_NUM, part.reference.to_bytes(2, "big")),
            (Tag.SAR_TOTAL_SEGMENTS, bytes((part.total,))),
            (Tag.SAR_SEGMENT_SEQNUM, bytes((part.number,))),
        )
        return self._template(frame, 0, coding, registered).body(destination, part.user_data, encode_tlvs(sar))

    def _data_body(self, message: DispatchMessage, options: SmsOptions, data: bytes, extras: _Extras) -> bytes:
        """Octets that go out as they are."""
        coding = options.data_coding
        if coding is None:
            coding = self._flash_coding("binary", BINARY) if extras.flash else BINARY
        frame, destination = self._frame(message, extras)
        template = self._template(frame, _UDHI if options.udh else 0, coding, self._registered)
        return template.body(destination, options.udh + data)

    def _frame(self, message: DispatchMessage, extras: _Extras | None) -> tuple[_Frame, bytes]:
        config = self._config
        if self._destination_rules:
            ton, npi, to = destination_address(message.to, config)
        else:
            ton, npi, to = config.dest_ton, config.dest_npi, message.to.removeprefix("+")
        validity = ""
        if message.validity_seconds is not None or config.default_validity_seconds is not None:
            validity = self._validity(message)
        return _Frame(message.sender, ton, npi, validity, extras), to.encode("latin-1")

    def _template(self, frame: _Frame, esm_class: int, coding: int, registered: int) -> SubmitTemplate:
        key = (frame, esm_class, coding, registered)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            template = self._templates[key] = self._make_template(*key)
        return template

    def _make_template(self, frame: _Frame, esm_class: int, coding: int, registered: int) -> SubmitTemplate:
        config = self._config
        extras = frame.extras or _Extras(False, None, None, None, ())
        own = dict(extras.tlvs)
        if extras.flash and config.flash is Flash.SUBUNIT:
            own.setdefault(_DEST_ADDR_SUBUNIT, DISPLAY)
        source = source_address(frame.sender, config)
        return SubmitTemplate(
            SubmitSm(
                service_type=config.service_type if extras.service_type is None else extras.service_type,
                source_addr_ton=source.ton,
                source_addr_npi=source.npi,
                source_addr=source.address,
                dest_addr_ton=frame.ton,
                dest_addr_npi=frame.npi,
                esm_class=esm_class,
                protocol_id=config.protocol_id if extras.protocol_id is None else extras.protocol_id,
                priority_flag=config.priority if extras.priority is None else extras.priority,
                validity_period=frame.validity,
                registered_delivery=registered,
                data_coding=coding,
                tlvs=(*((tag, value) for tag, value in self._tlvs if tag not in own), *own.items()),
            )
        )

    def _validity(self, message: DispatchMessage) -> str:
        now = self._wall()
        seconds = message.validity_seconds
        if seconds is None:
            # The channel's own says how long the operator may try, whenever that begins.
            left = float(self._config.default_validity_seconds or 0)
        else:
            # The period began when the message was accepted, which its UUIDv7 tells in milliseconds (RFC 9562 §5.7).
            age = now - int.from_bytes(message.id[:6], "big") / 1000
            left = max(1.0, min(seconds, seconds - age))
        if self._config.validity is Validity.ABSOLUTE:
            return format_absolute(datetime.fromtimestamp(round(now + left), UTC))
        return format_relative(round(left))

    def _flash_coding(self, alphabet: Alphabet, coding: int) -> int:
        flash = _FLASH[self._config.flash]
        if flash == "none":
            return coding
        return data_coding(alphabet, default=self._config.default_alphabet.value, flash=flash)

    def _check_required(self, tlvs: Tlvs) -> None:
        missing = self._required.keys() - {tag for tag, _ in tlvs}
        if missing:
            names = ", ".join(sorted(self._required[tag] for tag in missing))
            raise UnsendableError(f"this channel needs the metadata {names} of every message")


def _extras(options: SmsOptions) -> _Extras:
    """The message's own parameters go before those made of its metadata."""
    tlvs = dict(options.metadata_tlvs) | dict(options.tlvs)
    return _Extras(options.flash, options.priority, options.service_type, options.protocol_id, tuple(tlvs.items()))


def _codings(config: SmppConfig) -> dict[Alphabet, int]:
    """data_coding by the alphabet that a text is written in on this channel."""
    septets, wide = config.data_coding_gsm7, config.data_coding_ucs2
    codings: dict[Alphabet, int] = {"ucs2": wide, "ucs2_le": wide, "gsm7": septets, "gsm7_packed": septets}
    if config.default_alphabet.value != "ucs2":
        codings[config.default_alphabet.value] = septets
    return codings


def _named(options: TextOptions) -> TextOptions:
    """Only what differs from what `segment` does anyway: it looks at every option it is given."""
    named: TextOptions = {"style": options["style"]}
    if options["national"] is not None:
        named["national"] = options["national"]
    if options["packed"]:
        named["packed"] = True
    if options["default_alphabet"] != "gsm7":
        named["default_alphabet"] = options["default_alphabet"]
    if options["byte_order"] != "big":
        named["byte_order"] = options["byte_order"]
    return named
