"""submit_sm, data_sm and submit_multi of an application → a message as we accept it, or the status that refuses it.

A text is decoded and travels as text, so that every type of channel can carry it. What is more than text - binary data,
a header of its own, one part of several - passes through as the octets that came, and needs a channel that takes them;
a part still has its text beside it, for people and for channels that have nothing better.
"""

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeAlias

from app.domain.messages.events import Lane, SmsOptions
from app.domain.smpp_accounts.gateway import PLAIN, Submission
from app.domain.smpp_accounts.schemas import BindSettings
from connectors.sms_text import gsm7
from connectors.sms_text.encoding import Alphabet, alphabet_of, decode_user_data
from connectors.sms_text.segments import TextTooLongError, count
from connectors.sms_text.udh import UserDataHeader, split_user_data
from smpp_daemon.protocol.constants import EsmClass, Tag
from smpp_daemon.protocol.pdu import DataSm, SmeAddress, SubmitMulti, SubmitSm
from smpp_daemon.protocol.status import RINVMSGLEN
from smpp_daemon.protocol.times import parse_time
from smpp_daemon.protocol.tlv import Tlvs, find_integer
from smpp_daemon.server.addresses import recipient, sender
from smpp_daemon.server.refusals import (
    RINVDCS,
    RINVDFTMSGID,
    RINVESMCLASS,
    RINVEXPIRY,
    RINVPARLEN,
    RINVPRTFLG,
    RINVREPFLAG,
    RINVSCHED,
    RINVSERTYP,
    ROPTPARNOTALLWD,
    RefusedError,
)

Submit: TypeAlias = SubmitSm | DataSm

MAX_OCTETS = 140
"""Header and data of one short message (3GPP TS 23.040 §9.2.3.24); GSM 7-bit data count 7/8."""

MAX_SEGMENTS = 10
MAX_VALIDITY = 604_800
MAX_TLVS = 16
MAX_TLV_OCTETS = 140
LATIN1 = 0x03
_TYPE_MASK = 0x3C
_SAR = (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)
_TAKEN = frozenset({*_SAR, Tag.MESSAGE_PAYLOAD, Tag.DEST_ADDR_SUBUNIT, Tag.QOS_TIME_TO_LIVE})
"""Optional parameters that are read here; the others go to the operator as they are."""

_DISPLAY = 1
"""dest_addr_subunit of a message for the display only (§5.3.2.1)."""


def read_submission(pdu: Submit, settings: BindSettings, takes_data: bool, now: datetime) -> Submission:
    """A message, or `RefusedError` with the status to answer.

    `settings` are those of the account, `takes_data` is what its channel can do, `now` is where validity begins.
    """
    if isinstance(pdu, SubmitSm):
        _check_flags(pdu)
        priority, protocol_id, validity = pdu.priority_flag, pdu.protocol_id, pdu.validity_period
    else:
        priority = protocol_id = 0
        validity = ""
    if pdu.esm_class & _TYPE_MASK:
        # Acknowledgements and conversation aborts of a handset (§5.2.12) have no meaning from an application.
        raise RefusedError(RINVESMCLASS)
    to = recipient(pdu.dest_addr_ton, pdu.destination_addr, settings.default_country)
    source = sender(pdu.source_addr_ton, pdu.source_addr)
    lane = Lane.HIGH if priority > 1 else Lane(settings.lane)
    text, encoding, segments, options = _read_content(pdu, settings, takes_data)
    if priority or protocol_id or pdu.service_type or pdu.tlvs:
        options = _with_options(options, priority, protocol_id, pdu.service_type, pdu.tlvs)
    return Submission(
        to,
        source,
        text,
        encoding,
        segments,
        options,
        _validity(validity, pdu.tlvs, now) if validity or pdu.tlvs else None,
        lane,
        pdu.registered_delivery,
    )


def each_destination(pdu: SubmitMulti) -> Iterable[tuple[SmeAddress | str, SubmitSm | None]]:
    """The submit_sm for every destination of a submit_multi; None for a distribution list, of which we have none."""
    for destination in pdu.destinations:
        if isinstance(destination, str):
            yield destination, None
            continue
        yield (
            destination,
            SubmitSm(
                pdu.service_type,
                pdu.source_addr_ton,
                pdu.source_addr_npi,
                pdu.source_addr,
                destination.ton,
                destination.npi,
                destination.address,
                pdu.esm_class,
                pdu.protocol_id,
                pdu.priority_flag,
                pdu.schedule_delivery_time,
                pdu.validity_period,
                pdu.registered_delivery,
                pdu.replace_if_present_flag,
                pdu.data_coding,
                pdu.sm_default_msg_id,
                pdu.short_message,
                pdu.tlvs,
            ),
        )


def _check_flags(pdu: SubmitSm) -> None:
    if pdu.schedule_delivery_time:
        raise RefusedError(RINVSCHED)
    if pdu.priority_flag > 3:
        raise RefusedError(RINVPRTFLG)
    if pdu.replace_if_present_flag:
        # Taking it for a new message would show the recipient both.
        raise RefusedError(RINVREPFLAG)
    if pdu.sm_default_msg_id:
        raise RefusedError(RINVDFTMSGID)


def _read_content(pdu: Submit, settings: BindSettings, takes_data: bool) -> tuple[str, str, int, SmsOptions]:
    coding = pdu.data_coding
    if 0x20 <= coding < 0xC0:
        # Compressed or reserved (3GPP TS 23.038 §4).
        raise RefusedError(RINVDCS)
    alphabet = alphabet_of(coding, settings.default_alphabet)
    content = pdu.content
    header: UserDataHeader | None = None
    udh = b""
    if pdu.esm_class & EsmClass.UDHI:
        header, data = split_user_data(content)
        if header is None:
            raise RefusedError(RINVESMCLASS)
        udh, content = content[: len(content) - len(data)], data
    elif pdu.tlvs:
        udh = _sar_header(pdu.tlvs)
    if alphabet == "binary" or udh:
        return _pass_through(content, udh, header, alphabet, coding, takes_data)
    text = _clean(decode_user_data(content, None, alphabet))
    if not text:
        raise RefusedError(RINVMSGLEN)
    try:
        counted = count(text)
    except TextTooLongError:
        raise RefusedError(RINVMSGLEN) from None
    if counted.segments > MAX_SEGMENTS:
        raise RefusedError(RINVMSGLEN)
    return text, counted.encoding, counted.segments, _FLASH if _is_flash(coding, pdu.tlvs) else PLAIN


_FLASH = SmsOptions(flash=True)


def _pass_through(
    content: bytes, udh: bytes, header: UserDataHeader | None, alphabet: Alphabet, coding: int, takes_data: bool
) -> tuple[str, str, int, SmsOptions]:
    text = ""
    if alphabet != "binary":
        text = _clean(decode_user_data(content, header, alphabet))
        if coding == 0 and alphabet != "gsm7":
            # Only the account knows what its client means by 0: the operator must be told in other words.
            content, coding = (gsm7.encode(text), 0) if gsm7.is_gsm7(text) else (content, LATIN1)
    elif not takes_data:
        raise RefusedError(RINVDCS)
    septets = alphabet_of(coding) == "gsm7"
    room = (MAX_OCTETS - len(udh)) * 8 // 7 if septets else MAX_OCTETS - len(udh)
    if len(content) > room or not (content or udh):
        raise RefusedError(RINVMSGLEN)
    if not takes_data and not text:
        raise RefusedError(RINVDCS)
    encoding = "binary" if not text else "ucs2" if alphabet == "ucs2" else "gsm7"
    return text, encoding, 1, SmsOptions(data=content, udh=udh, data_coding=coding)


def _sar_header(tlvs: Tlvs) -> bytes:
    """The concatenation element for sar_* parameters (§5.3.2.22-24); empty when they do not name one part of several.

    With the 8-bit reference, because 153 septets, which is what clients cut texts to, fit behind no longer header.
    """
    reference, total, number = (find_integer(tlvs, tag) for tag in _SAR)
    if reference is None or not total or not number or not 1 <= number <= total <= 255 or total == 1:
        return b""
    return bytes((5, 0, 3, reference & 0xFF, total, number))


def _is_flash(coding: int, tlvs: Tlvs) -> bool:
    # Message class 0 in the general data coding group or in the message class group (3GPP TS 23.038 §4).
    if coding & 0xF0 in (0x10, 0xF0) and not coding & 0x03:
        return True
    return bool(tlvs) and find_integer(tlvs, Tag.DEST_ADDR_SUBUNIT) == _DISPLAY


def _clean(text: str) -> str:
    # Clients send the NUL of their strings along, and no database takes it.
    text = text.replace("\0", "")
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", text)


def _with_options(options: SmsOptions, priority: int, protocol_id: int, service_type: str, tlvs: Tlvs) -> SmsOptions:
    if len(service_type) > 5 or not (service_type.isascii() and service_type.isprintable()):
        raise RefusedError(RINVSERTYP)
    kept = tuple((tag, value) for tag, value in tlvs if tag not in _TAKEN)
    if len(kept) > MAX_TLVS:
        raise RefusedError(ROPTPARNOTALLWD)
    if any(len(value) > MAX_TLV_OCTETS for _, value in kept):
        raise RefusedError(RINVPARLEN)
    return SmsOptions(
        options.data,
        options.udh,
        options.data_coding,
        options.flash,
        priority or None,
        service_type or None,
        protocol_id or None,
        kept,
    )


def _validity(text: str, tlvs: Tlvs, now: datetime) -> int | None:
    """Seconds from `now`, at most a week; None when nothing was said."""
    if not text:
        seconds = find_integer(tlvs, Tag.QOS_TIME_TO_LIVE)
        return None if seconds is None else max(1, min(seconds, MAX_VALIDITY))
    try:
        until = parse_time(text, now.astimezone(UTC))
    except (ValueError, OverflowError):
        raise RefusedError(RINVEXPIRY) from None
    assert until is not None
    seconds = round((until - now).total_seconds())
    if seconds < 1:
        raise RefusedError(RINVEXPIRY)
    return min(seconds, MAX_VALIDITY)
