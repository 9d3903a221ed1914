"""command_status: names, classes and advice (SMPP 3.4 §5.1.3; codes above 0xFF are SMPP 5.0 §4.7.6)."""

from enum import StrEnum

import msgspec


class StatusClass(StrEnum):
    """What a status means for the sender.

    `permanent`: this message can never pass. `transient`: try again later, a few times. `throttle`: slow the whole bind
    down, the message goes first afterwards. `bind_fatal`: credentials or rights; retrying fast locks accounts out.
    `session`: the bind is not what we believe; rebind. `protocol`: we wrote nonsense; fail the message and alarm.
    """

    OK = "ok"
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    THROTTLE = "throttle"
    BIND_FATAL = "bind_fatal"
    SESSION = "session"
    PROTOCOL = "protocol"


class Status(msgspec.Struct, frozen=True, gc=False):
    """One command_status in words."""

    code: int
    name: str
    status_class: StatusClass
    advice: str


_P, _T, _H = StatusClass.PERMANENT, StatusClass.TRANSIENT, StatusClass.THROTTLE
_B, _S, _X = StatusClass.BIND_FATAL, StatusClass.SESSION, StatusClass.PROTOCOL

_TABLE: tuple[tuple[int, str, StatusClass, str], ...] = (
    (0x00, "ROK", StatusClass.OK, "Accepted."),
    (0x01, "RINVMSGLEN", _P, "The operator finds the message too long or its length wrong."),
    (0x02, "RINVCMDLEN", _X, "The operator could not read the length of our request; report it if it repeats."),
    (0x03, "RINVCMDID", _X, "The operator does not know this command; check what the account may use."),
    (0x04, "RINVBNDSTS", _S, "The bind does not allow this command; it is bound again."),
    (0x05, "RALYBND", _S, "The operator still holds an old session; wait until its own timer drops it."),
    (0x06, "RINVPRTFLG", _X, "The operator refuses the priority flag; set another one for the channel."),
    (0x07, "RINVREGDLVFLG", _X, "The operator refuses the receipt flag; set another one for the channel."),
    (0x08, "RSYSERR", _T, "The operator has an internal error; it is tried again."),
    (0x0A, "RINVSRCADR", _P, "The sender address is not allowed; register it with the operator or change it."),
    (0x0B, "RINVDSTADR", _P, "The recipient's number is not valid for this operator."),
    (0x0C, "RINVMSGID", _P, "The operator does not know this message id."),
    (0x0D, "RBINDFAIL", _T, "The bind failed: often credit, a limit or a hidden password problem; ask the operator."),
    (0x0E, "RINVPASWD", _B, "The password is wrong."),
    (0x0F, "RINVSYSID", _B, "The system_id is unknown or not allowed from this address."),
    (0x11, "RCANCELFAIL", _P, "The message could not be cancelled."),
    (0x13, "RREPLACEFAIL", _P, "The message could not be replaced."),
    (0x14, "RMSGQFUL", _H, "The operator's queue for us is full; sending pauses."),
    (0x15, "RINVSERTYP", _P, "The service_type is not allowed; correct it in the channel."),
    (0x33, "RINVNUMDESTS", _P, "The number of destinations is not allowed."),
    (0x34, "RINVDLNAME", _P, "The distribution list is unknown."),
    (0x40, "RINVDESTFLAG", _P, "The destination flag is not valid."),
    (0x42, "RINVSUBREP", _P, "Replacing by submit is not allowed."),
    (0x43, "RINVESMCLASS", _P, "The operator refuses this kind of message (esm_class)."),
    (0x44, "RCNTSUBDL", _P, "The operator cannot submit to this distribution list."),
    (0x45, "RSUBMITFAIL", _T, "The operator could not take the message; some answer so when the window is too large."),
    (0x48, "RINVSRCTON", _P, "The sender's type of number is refused; correct source_ton in the channel."),
    (0x49, "RINVSRCNPI", _P, "The sender's numbering plan is refused; correct source_npi in the channel."),
    (0x50, "RINVDSTTON", _P, "The recipient's type of number is refused; correct dest_ton in the channel."),
    (0x51, "RINVDSTNPI", _P, "The recipient's numbering plan is refused; correct dest_npi in the channel."),
    (0x53, "RINVSYSTYP", _B, "The system_type is wrong; correct it in the channel."),
    (0x54, "RINVREPFLAG", _P, "The replace flag is not valid."),
    (0x55, "RINVNUMMSGS", _P, "The number of messages is not valid."),
    (0x58, "RTHROTTLED", _H, "We send faster than the operator allows; sending pauses and the rate goes down."),
    (0x61, "RINVSCHED", _P, "The delivery time is refused; compare the clocks."),
    (0x62, "RINVEXPIRY", _P, "The validity period is refused; choose another one."),
    (0x63, "RINVDFTMSGID", _P, "The predefined message is unknown."),
    (0x64, "RX_T_APPN", _T, "The receiving side cannot take it now; it is tried again."),
    (0x65, "RX_P_APPN", _P, "The receiving side refuses it for good."),
    (0x66, "RX_R_APPN", _P, "The receiving side rejected the message."),
    (0x67, "RQUERYFAIL", _P, "The operator could not answer the query."),
    (0xC0, "RINVOPTPARSTREAM", _P, "The operator cannot read the optional parameters; check those of the channel."),
    (0xC1, "ROPTPARNOTALLWD", _P, "An optional parameter is not allowed; check those of the channel."),
    (0xC2, "RINVPARLEN", _P, "An optional parameter has a wrong length; check those of the channel."),
    (0xC3, "RMISSINGOPTPARAM", _P, "The operator wants an optional parameter that is not sent; check the channel."),
    (0xC4, "RINVOPTPARAMVAL", _P, "An optional parameter has a value that is refused; check those of the channel."),
    (0xFE, "RDELIVERYFAILURE", _P, "The operator could not deliver the message."),
    (0xFF, "RUNKNOWNERR", _T, "The operator reports an unknown error; it is tried again."),
    (0x100, "RSERTYPUNAUTH", _P, "The account may not use this service_type."),
    (0x101, "RPROHIBITED", _P, "The account may not do this."),
    (0x102, "RSERTYPUNAVAIL", _T, "The service_type is out of service now; it is tried again."),
    (0x103, "RSERTYPDENIED", _P, "The service_type is denied."),
    (0x104, "RINVDCS", _P, "The operator refuses the character encoding (data_coding)."),
    (0x105, "RINVSRCADDRSUBUNIT", _P, "The source address subunit is not valid."),
    (0x106, "RINVDSTADDRSUBUNIT", _P, "The destination address subunit is not valid."),
    (0x107, "RINVBCASTFREQINT", _P, "The broadcast frequency is not valid."),
    (0x108, "RINVBCASTALIAS_NAME", _P, "The broadcast alias is not valid."),
    (0x109, "RINVBCASTAREAFMT", _P, "The broadcast area format is not valid."),
    (0x10A, "RINVNUMBCAST_AREAS", _P, "The number of broadcast areas is not valid."),
    (0x10B, "RINVBCASTCNTTYPE", _P, "The broadcast content type is not valid."),
    (0x10C, "RINVBCASTMSGCLASS", _P, "The broadcast message class is not valid."),
    (0x10D, "RBCASTFAIL", _P, "The broadcast failed."),
    (0x10E, "RBCASTQUERYFAIL", _P, "The broadcast query failed."),
    (0x10F, "RBCASTCANCELFAIL", _P, "The broadcast could not be cancelled."),
    (0x110, "RINVBCAST_REP", _P, "The broadcast repetition is not valid."),
    (0x111, "RINVBCASTSRVGRP", _P, "The broadcast service group is not valid."),
    (0x112, "RINVBCASTCHANIND", _P, "The broadcast channel indicator is not valid."),
)

STATUSES: dict[int, Status] = {code: Status(code, name, kind, advice) for code, name, kind, advice in _TABLE}
"""Every command_status that has a name, by code."""

_BY_NAME = {status.name: status.code for status in STATUSES.values()}

ROK = 0x00
RINVMSGLEN = 0x01
RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVBNDSTS = 0x04
RALYBND = 0x05
RSYSERR = 0x08
RINVSRCADR = 0x0A
RINVDSTADR = 0x0B
RBINDFAIL = 0x0D
RINVPASWD = 0x0E
RINVSYSID = 0x0F
RMSGQFUL = 0x14
RINVDESTFLAG = 0x40
RSUBMITFAIL = 0x45
RTHROTTLED = 0x58
RX_T_APPN = 0x64


def describe(code: int) -> Status:
    """Any 32-bit command_status in words. Vendor codes (0x400-0x4FF and whatever else is seen) count as permanent."""
    known = STATUSES.get(code)
    if known is not None:
        return known
    return Status(code, f"0x{code:08X}", _P, "A code of this operator's own; ask the operator what it means.")


def parse_status(text: str) -> int:
    """`RINVPASWD`, `ESME_RINVPASWD`, `14` or `0x0E` → the code. Raises ValueError naming the text."""
    name = text.strip().upper().removeprefix("ESME_")
    if name in _BY_NAME:
        return _BY_NAME[name]
    try:
        code = int(name, 0)
    except ValueError:
        raise ValueError(f"{text!r} is neither a command_status name nor a number") from None
    if not 0 <= code <= 0xFFFFFFFF:
        raise ValueError(f"command_status {text!r} does not fit in 32 bits")
    return code
