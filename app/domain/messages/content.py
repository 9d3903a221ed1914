"""What a short message may ask for beyond its text, as clients write it."""

from binascii import unhexlify
from typing import Annotated

import msgspec
from msgspec import Meta

from app.domain.messages.events import SmsOptions, decode_sms_options
from app.lib.errors import FieldError
from connectors.smpp.parameters import WRITTEN_BY_TEXT

MAX_DATA = 140
"""Octets of one short message, its header included (3GPP TS 23.040 §9.2.3.24)."""

Hex = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2})*$(?!\n)", max_length=2 * MAX_DATA, description="Hexadecimal.")]
Octet = Annotated[int, Meta(ge=0, le=255)]


class Tlv(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An optional parameter of SMPP (3.4 §5.3) for this message alone; `value` is hexadecimal."""

    tag: Annotated[int, Meta(ge=0, le=0xFFFF)]
    value: Hex


class SmsContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of a short message.

    `data` (hexadecimal) is sent instead of a text, with `udh` in front of it and `data_coding`, 4 (8-bit data) when it
    is not named. `flash` shows the text at once without storing it. What is left out is as the channel says.
    """

    data: Hex | None = None
    udh: Hex | None = None
    data_coding: Octet | None = None
    flash: bool = False
    priority: Annotated[int, Meta(ge=0, le=3)] | None = None
    service_type: Annotated[str, Meta(max_length=5, pattern=r"^[ -~]*$(?!\n)")] | None = None
    protocol_id: Octet | None = None
    tlvs: Annotated[tuple[Tlv, ...], Meta(max_length=16)] = ()


def sms_options(content: SmsContent, has_text: bool, errors: list[FieldError]) -> SmsOptions:
    """The options as they travel; what contradicts itself is added to `errors`."""
    data = None if content.data is None else unhexlify(content.data)
    udh = unhexlify(content.udh or "")
    if data is None and (udh or content.data_coding is not None):
        errors.append(FieldError("/content", "not_allowed", "udh and data_coding go with data, not with a text."))
    if data is not None and has_text:
        errors.append(FieldError("/content/data", "not_allowed", "Send either text or content.data."))
    if udh and udh[0] != len(udh) - 1:
        errors.append(FieldError("/content/udh", "invalid_value", "udh must begin with its own length (without it)."))
    if data is not None and len(udh) + len(data) > MAX_DATA:
        errors.append(FieldError("/content/data", "too_long", f"udh and data together may take {MAX_DATA} octets."))
    if content.flash and content.data_coding is not None:
        errors.append(FieldError("/content/flash", "not_allowed", "data_coding already says whether it is shown."))
    errors.extend(
        FieldError(f"/content/tlvs/{index}/tag", "not_allowed", "How the text is cut decides about this parameter.")
        for index, tlv in enumerate(content.tlvs)
        if tlv.tag in WRITTEN_BY_TEXT
    )
    return SmsOptions(
        data,
        udh,
        content.data_coding,
        content.flash,
        content.priority,
        content.service_type,
        content.protocol_id,
        tuple((tlv.tag, unhexlify(tlv.value)) for tlv in content.tlvs),
    )


def content_out(stored: bytes | None) -> SmsContent | None:
    """The stored options as clients see them: what they said themselves, None for nothing."""
    if stored is None:
        return None
    options = decode_sms_options(stored)
    content = SmsContent(
        data=None if options.data is None else options.data.hex(),
        udh=options.udh.hex() or None,
        data_coding=options.data_coding,
        flash=options.flash,
        priority=options.priority,
        service_type=options.service_type,
        protocol_id=options.protocol_id,
        tlvs=tuple(Tlv(tag=tag, value=value.hex()) for tag, value in options.tlvs),
    )
    return None if content == SmsContent() else content
