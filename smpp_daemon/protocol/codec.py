"""PDU values ↔ octets: submit_sm, deliver_sm and their responses by hand, the rest driven by `LAYOUTS`."""

from struct import Struct
from typing import Any, Literal, NamedTuple

from smpp_daemon.protocol.constants import HEADER_LENGTH, RESPONSE_BIT, BindMode, CommandId
from smpp_daemon.protocol.errors import PduDecodeError, PduEncodeError
from smpp_daemon.protocol.pdu import (
    PDU_TYPES,
    BindRequest,
    BindResponse,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    SmeAddress,
    SubmitSm,
    SubmitSmResp,
    UnsuccessSme,
    command_of,
)
from smpp_daemon.protocol.status import RINVCMDID, RINVCMDLEN, RINVDESTFLAG, RINVMSGLEN
from smpp_daemon.protocol.tlv import Tlvs, decode_tlvs, encode_tlvs

HEADER = Struct("!IIII")
"""command_length, command_id, command_status, sequence_number."""

pack_header = HEADER.pack

OCTET = tuple(bytes((value,)) for value in range(256))
"""One octet for each value: cheaper than packing."""

Kind = Literal["text", "octet", "message", "destinations", "unsuccessful", "tlvs"]


class Field(NamedTuple):
    """One field of a layout; `limit` is the longest text on the wire, its NUL included."""

    name: str
    kind: Kind
    limit: int = 0


def _address(prefix: str, name: str) -> tuple[Field, Field, Field]:
    return Field(f"{prefix}_ton", "octet"), Field(f"{prefix}_npi", "octet"), Field(name, "text", 21)


_SERVICE = Field("service_type", "text", 6)
_SOURCE = _address("source_addr", "source_addr")
_DESTINATION = _address("dest_addr", "destination_addr")
_MESSAGE_ID = Field("message_id", "text", 65)
_TIMES = (Field("schedule_delivery_time", "text", 17), Field("validity_period", "text", 17))
_TLVS = Field("tlvs", "tlvs")

# system_id, password and system_type have no limit here: operators hand out longer ones than §4.1 allows and truncating
# them would lock the account out, so the channel decides what it accepts.
_BIND = (
    Field("system_id", "text"),
    Field("password", "text"),
    Field("system_type", "text"),
    Field("interface_version", "octet"),
    Field("addr_ton", "octet"),
    Field("addr_npi", "octet"),
    Field("address_range", "text", 41),
    _TLVS,
)
_BIND_RESP = (Field("system_id", "text"), _TLVS)

LAYOUTS: dict[CommandId, tuple[Field, ...]] = {
    CommandId.BIND_RECEIVER: _BIND,
    CommandId.BIND_TRANSMITTER: _BIND,
    CommandId.BIND_TRANSCEIVER: _BIND,
    CommandId.BIND_RECEIVER_RESP: _BIND_RESP,
    CommandId.BIND_TRANSMITTER_RESP: _BIND_RESP,
    CommandId.BIND_TRANSCEIVER_RESP: _BIND_RESP,
    CommandId.OUTBIND: (Field("system_id", "text"), Field("password", "text")),
    CommandId.UNBIND: (),
    CommandId.UNBIND_RESP: (),
    CommandId.GENERIC_NACK: (),
    CommandId.ENQUIRE_LINK: (),
    CommandId.ENQUIRE_LINK_RESP: (),
    CommandId.DATA_SM: (
        _SERVICE,
        *_SOURCE,
        *_DESTINATION,
        Field("esm_class", "octet"),
        Field("registered_delivery", "octet"),
        Field("data_coding", "octet"),
        _TLVS,
    ),
    CommandId.DATA_SM_RESP: (_MESSAGE_ID, _TLVS),
    CommandId.SUBMIT_MULTI: (
        _SERVICE,
        *_SOURCE,
        Field("destinations", "destinations"),
        Field("esm_class", "octet"),
        Field("protocol_id", "octet"),
        Field("priority_flag", "octet"),
        *_TIMES,
        Field("registered_delivery", "octet"),
        Field("replace_if_present_flag", "octet"),
        Field("data_coding", "octet"),
        Field("sm_default_msg_id", "octet"),
        Field("short_message", "message"),
        _TLVS,
    ),
    CommandId.SUBMIT_MULTI_RESP: (_MESSAGE_ID, Field("unsuccessful", "unsuccessful"), _TLVS),
    CommandId.QUERY_SM: (_MESSAGE_ID, *_SOURCE, _TLVS),
    CommandId.QUERY_SM_RESP: (
        _MESSAGE_ID,
        Field("final_date", "text", 17),
        Field("message_state", "octet"),
        Field("error_code", "octet"),
        _TLVS,
    ),
    CommandId.CANCEL_SM: (_SERVICE, _MESSAGE_ID, *_SOURCE, *_DESTINATION, _TLVS),
    CommandId.CANCEL_SM_RESP: (_TLVS,),
    CommandId.REPLACE_SM: (
        _MESSAGE_ID,
        *_SOURCE,
        *_TIMES,
        Field("registered_delivery", "octet"),
        Field("sm_default_msg_id", "octet"),
        Field("short_message", "message"),
        _TLVS,
    ),
    CommandId.REPLACE_SM_RESP: (_TLVS,),
    CommandId.ALERT_NOTIFICATION: (*_SOURCE, *_address("esme_addr", "esme_addr"), _TLVS),
}
"""Mandatory parameters in wire order (SMPP 3.4 §4), then the optional ones, for every PDU not written by hand."""


class Decoded(NamedTuple):
    """A whole PDU. `stray` counts octets behind the body that could not be read: harmless, but worth a metric."""

    command: CommandId
    status: int
    sequence: int
    pdu: Pdu
    stray: int


def encode(pdu: Pdu, sequence: int, status: int = 0) -> bytes:
    """A PDU with its header. Raises `PduEncodeError` when a field does not fit SMPP 3.4."""
    body = encode_body(pdu)
    return pack_header(HEADER_LENGTH + len(body), command_of(pdu), status, sequence) + body


def encode_body(pdu: Pdu) -> bytes:
    """Everything behind the header. Raises `PduEncodeError`."""
    if isinstance(pdu, SubmitSm | DeliverSm):
        return _encode_message(pdu)
    if isinstance(pdu, SubmitSmResp | DeliverSmResp):
        return encode_text(pdu.message_id, 65) + encode_tlvs(pdu.tlvs)
    parts = [_encode_field(getattr(pdu, field.name), field) for field in LAYOUTS[command_of(pdu)]]
    return b"".join(parts)


def encode_text(value: str, limit: int = 0) -> bytes:
    """A C-Octet String of at most `limit` octets with its NUL (0: any). Raises `PduEncodeError`."""
    try:
        octets = value.encode("latin-1")
    except UnicodeEncodeError:
        raise PduEncodeError(f"{value!r} has characters that SMPP text cannot carry") from None
    if 0 in octets:
        raise PduEncodeError(f"{value!r} contains a NUL")
    if limit and len(octets) >= limit:
        raise PduEncodeError(f"{value!r} is longer than {limit - 1} octets")
    return octets + b"\0"


def _octet(value: int) -> bytes:
    if not 0 <= value <= 255:
        raise PduEncodeError(f"{value} does not fit in one octet")
    return OCTET[value]


def _encode_message(pdu: SubmitSm | DeliverSm) -> bytes:
    message = pdu.short_message
    if len(message) > 255:
        raise PduEncodeError(f"short_message of {len(message)} octets; beyond 254 it travels in message_payload")
    try:
        return b"".join(
            (
                encode_text(pdu.service_type, 6),
                bytes((pdu.source_addr_ton, pdu.source_addr_npi)),
                encode_text(pdu.source_addr, 21),
                bytes((pdu.dest_addr_ton, pdu.dest_addr_npi)),
                encode_text(pdu.destination_addr, 21),
                bytes((pdu.esm_class, pdu.protocol_id, pdu.priority_flag)),
                encode_text(pdu.schedule_delivery_time, 17),
                encode_text(pdu.validity_period, 17),
                bytes(
                    (
                        pdu.registered_delivery,
                        pdu.replace_if_present_flag,
                        pdu.data_coding,
                        pdu.sm_default_msg_id,
                        len(message),
                    )
                ),
                message,
                encode_tlvs(pdu.tlvs) if pdu.tlvs else b"",
            )
        )
    except ValueError as error:
        raise PduEncodeError(f"a number does not fit in one octet: {error}") from None


def _encode_field(value: Any, field: Field) -> bytes:
    match field.kind:
        case "text":
            return encode_text(value, field.limit)
        case "octet":
            return _octet(value)
        case "message":
            return _octet(len(value)) + bytes(value)
        case "tlvs":
            return encode_tlvs(value)
        case "destinations":
            return _encode_destinations(value)
        case "unsuccessful":
            parts = [_octet(len(value))]
            for sme in value:
                parts += [_octet(sme.ton), _octet(sme.npi), encode_text(sme.address, 21)]
                parts.append(sme.error_status.to_bytes(4, "big"))
            return b"".join(parts)


def _encode_destinations(destinations: tuple[SmeAddress | str, ...]) -> bytes:
    if len(destinations) > 254:
        raise PduEncodeError(f"{len(destinations)} destinations; submit_multi takes 254 (SMPP 3.4 §5.2.24)")
    parts = [_octet(len(destinations))]
    for destination in destinations:
        if isinstance(destination, str):
            parts += [b"\2", encode_text(destination, 21)]
        else:
            parts += [b"\1", _octet(destination.ton), _octet(destination.npi), encode_text(destination.address, 21)]
    return b"".join(parts)


def decode(frame: bytes) -> Decoded:
    """One whole PDU. Raises `PduDecodeError`, which says what to answer."""
    if len(frame) < HEADER_LENGTH:
        raise PduDecodeError("shorter than a header", command=0, sequence=0, status=RINVCMDLEN)
    length, command, status, sequence = HEADER.unpack_from(frame)
    if length != len(frame):
        raise PduDecodeError("command_length is not the frame's", command=command, sequence=sequence, status=RINVCMDLEN)
    pdu, stray = decode_body(command, sequence, frame[HEADER_LENGTH:])
    return Decoded(CommandId(command), status, sequence, pdu, stray)


def decode_body(command: int, sequence: int, body: bytes) -> tuple[Pdu, int]:
    """The value of a PDU, and the number of unreadable octets behind it.

    Responses may end anywhere (peers leave out what they do not need in errors): missing fields get their defaults. A
    request that ends inside a mandatory field raises `PduDecodeError` with RINVCMDLEN, or RINVMSGLEN when sm_length
    promises more than there is, or RINVDESTFLAG when a destination is neither an address nor a list; an unknown
    command raises it with RINVCMDID.
    """
    if command == CommandId.DELIVER_SM:
        return _decode_message(DeliverSm, command, sequence, body)
    if command == CommandId.SUBMIT_SM:
        return _decode_message(SubmitSm, command, sequence, body)
    if command in (CommandId.SUBMIT_SM_RESP, CommandId.DELIVER_SM_RESP):
        message_id, tlvs, stray = decode_message_id(body)
        if command == CommandId.SUBMIT_SM_RESP:
            return SubmitSmResp(message_id, tlvs), stray
        return DeliverSmResp(message_id, tlvs), stray
    return _decode_by_layout(command, sequence, body)


def decode_message_id(body: bytes) -> tuple[str, Tlvs, int]:
    """Body of submit_sm_resp and its like: nothing, one NUL, an id with or without its NUL, an id and TLVs."""
    nul = body.find(0)
    if nul < 0:
        return str(body, "latin-1"), (), 0
    if nul + 1 == len(body):
        return str(body[:nul], "latin-1"), (), 0
    tlvs, stray = decode_tlvs(body, nul + 1)
    return str(body[:nul], "latin-1"), tlvs, stray


def _decode_message(
    kind: type[SubmitSm] | type[DeliverSm], command: int, sequence: int, body: bytes
) -> tuple[SubmitSm | DeliverSm, int]:
    try:
        service = body.index(0)
        source = body.index(0, service + 3)
        destination = body.index(0, source + 3)
        schedule = body.index(0, destination + 4)
        validity = body.index(0, schedule + 1)
        start = validity + 6
        end = start + body[validity + 5]
    except (ValueError, IndexError):
        raise PduDecodeError(
            "ends inside a mandatory field", command=command, sequence=sequence, status=RINVCMDLEN
        ) from None
    size = len(body)
    if end > size:
        raise PduDecodeError(
            f"sm_length is {end - start}, {size - start} octets are left",
            command=command,
            sequence=sequence,
            status=RINVMSGLEN,
        )
    tlvs: Tlvs = ()
    stray = 0
    if end < size:
        tlvs, stray = decode_tlvs(body, end)
    return (
        kind(
            str(body[:service], "latin-1"),
            body[service + 1],
            body[service + 2],
            str(body[service + 3 : source], "latin-1"),
            body[source + 1],
            body[source + 2],
            str(body[source + 3 : destination], "latin-1"),
            body[destination + 1],
            body[destination + 2],
            body[destination + 3],
            str(body[destination + 4 : schedule], "latin-1"),
            str(body[schedule + 1 : validity], "latin-1"),
            body[validity + 1],
            body[validity + 2],
            body[validity + 3],
            body[validity + 4],
            body[start:end],
            tlvs,
        ),
        stray,
    )


class _FieldError(Exception):
    """A mandatory field cannot be read; `status` is what to answer."""

    def __init__(self, status: int, reason: str = "ends inside") -> None:
        self.status = status
        self.reason = reason


class _Reader:
    """Takes mandatory fields off a body, one after the other."""

    __slots__ = ("body", "position")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.position = 0

    def octets(self, count: int, status: int = RINVCMDLEN) -> bytes:
        end = self.position + count
        if end > len(self.body):
            raise _FieldError(status)
        value = self.body[self.position : end]
        self.position = end
        return value

    def octet(self) -> int:
        return self.octets(1)[0]

    def text(self) -> str:
        end = self.body.find(0, self.position)
        if end < 0:
            raise _FieldError(RINVCMDLEN)
        value = str(self.body[self.position : end], "latin-1")
        self.position = end + 1
        return value

    def destinations(self) -> tuple[SmeAddress | str, ...]:
        found: list[SmeAddress | str] = []
        for _ in range(self.octet()):
            match self.octet():
                case 1:
                    found.append(SmeAddress(self.octet(), self.octet(), self.text()))
                case 2:
                    found.append(self.text())
                case flag:
                    raise _FieldError(RINVDESTFLAG, f"dest_flag {flag} in")
        return tuple(found)

    def unsuccessful(self) -> tuple[UnsuccessSme, ...]:
        return tuple(
            UnsuccessSme(self.octet(), self.octet(), self.text(), int.from_bytes(self.octets(4), "big"))
            for _ in range(self.octet())
        )

    def field(self, kind: Kind) -> object:
        match kind:
            case "text":
                return self.text()
            case "octet":
                return self.octet()
            case "message":
                return self.octets(self.octet(), RINVMSGLEN)
            case "destinations":
                return self.destinations()
            case "unsuccessful":
                return self.unsuccessful()
            case "tlvs":
                raise AssertionError("TLVs are read behind the mandatory fields")


def _decode_by_layout(command: int, sequence: int, body: bytes) -> tuple[Pdu, int]:
    layout = LAYOUTS.get(command)  # type: ignore[call-overload]
    if layout is None:
        raise PduDecodeError("unknown command", command=command, sequence=sequence, status=RINVCMDID)
    reader = _Reader(body)
    values: dict[str, Any] = {}
    try:
        for field in layout:
            if field.kind != "tlvs":
                values[field.name] = reader.field(field.kind)
    except _FieldError as error:
        if not command & RESPONSE_BIT:
            raise PduDecodeError(
                f"{error.reason} {field.name}", command=command, sequence=sequence, status=error.status
            ) from None
        rest = body[reader.position :]
        if field.kind == "text" and rest:
            # A response whose last text lacks its NUL.
            values[field.name] = str(rest, "latin-1")
        reader.position = len(body)
    stray = len(body) - reader.position
    if layout and layout[-1].kind == "tlvs":
        values["tlvs"], stray = decode_tlvs(body, reader.position)
    kind: Any = PDU_TYPES[CommandId(command)]
    if kind in (BindRequest, BindResponse):
        values["mode"] = BindMode(command & ~RESPONSE_BIT)
    return kind(**values), stray


class SubmitTemplate:
    """Everything of a submit_sm that stays the same from one recipient to the next, encoded once.

    A channel keeps one per (sender, flags, data_coding, validity). `pattern` gives the constant fields, its
    `destination_addr` and `short_message` are ignored, its TLVs end every body. Raises `PduEncodeError`.
    """

    __slots__ = ("_head", "_middle", "_tlvs")

    def __init__(self, pattern: SubmitSm) -> None:
        self._head = b"".join(
            (
                encode_text(pattern.service_type, 6),
                _octet(pattern.source_addr_ton),
                _octet(pattern.source_addr_npi),
                encode_text(pattern.source_addr, 21),
                _octet(pattern.dest_addr_ton),
                _octet(pattern.dest_addr_npi),
            )
        )
        self._middle = b"".join(
            (
                b"\0",
                _octet(pattern.esm_class),
                _octet(pattern.protocol_id),
                _octet(pattern.priority_flag),
                encode_text(pattern.schedule_delivery_time, 17),
                encode_text(pattern.validity_period, 17),
                _octet(pattern.registered_delivery),
                _octet(pattern.replace_if_present_flag),
                _octet(pattern.data_coding),
                _octet(pattern.sm_default_msg_id),
            )
        )
        self._tlvs = encode_tlvs(pattern.tlvs)

    def body(self, destination: bytes, short_message: bytes, tlvs: bytes = b"") -> bytes:
        """Body of one submit_sm: 20 octets of `destination` and 255 of `short_message` (UDH included) at most.

        `tlvs` are more of them, encoded (sar_*, message_payload; the latter wants an empty `short_message`, §5.3.2.32).
        Raises `PduEncodeError`.
        """
        size = len(short_message)
        if size > 255 or len(destination) > 20 or 0 in destination:
            raise PduEncodeError(f"destination {destination!r} or {size} octets of message do not fit")
        return b"".join((self._head, destination, self._middle, OCTET[size], short_message, self._tlvs, tlvs))
