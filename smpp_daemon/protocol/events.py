"""What a session reports. One `receive` or `tick` returns them in the order in which they happened.

Latencies are seconds on the caller's clock; `token` is the object that the owner gave with the request.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.pdu import (
    AlertNotification,
    BindRequest,
    CancelSm,
    DataSm,
    DeliverSm,
    Outbind,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitMulti,
    SubmitSm,
)
from smpp_daemon.protocol.tlv import Tlvs


class Failure(StrEnum):
    """Why a session cannot go on."""

    BIND_TIMEOUT = "bind_timeout"
    UNBIND_TIMEOUT = "unbind_timeout"
    LINK_DEAD = "link_dead"
    INACTIVE = "inactive"
    GARBAGE = "garbage"


class Bound(msgspec.Struct, frozen=True):
    """The SMSC accepted our bind. `interface_version` is what it says it speaks, None when it does not say."""

    mode: BindMode
    system_id: str
    interface_version: int | None
    latency: float
    tlvs: Tlvs = ()


class BindFailed(msgspec.Struct, frozen=True):
    """The SMSC refused our bind with this command_status; the session is OPEN again.

    `tlvs` may say more, as additional_status_info_text (§5.3.2.11).
    """

    status: int
    latency: float
    tlvs: Tlvs = ()


class SubmitAnswered(msgspec.Struct, frozen=True, gc=False):
    """submit_sm_resp in time. `message_id` is verbatim, empty when the SMSC sent none (as in most refusals)."""

    token: object
    status: int
    message_id: str
    latency: float
    tlvs: Tlvs = ()


class SubmitExpired(msgspec.Struct, frozen=True, gc=False):
    """submit_sm was written and not answered in time: whether the SMSC took it is not known."""

    token: object
    sequence: int


class DeliverAnswered(msgspec.Struct, frozen=True, gc=False):
    """deliver_sm_resp in time (SMSC side)."""

    token: object
    status: int
    latency: float
    tlvs: Tlvs = ()


class RequestAnswered(msgspec.Struct, frozen=True, gc=False):
    """The response to data_sm, query_sm, cancel_sm, replace_sm or submit_multi; `pdu` is None for a generic_nack."""

    token: object
    status: int
    pdu: Pdu | None
    latency: float


class RequestExpired(msgspec.Struct, frozen=True, gc=False):
    """Any other request than submit_sm was not answered in time. `response` is the command_id that was awaited."""

    token: object
    sequence: int
    response: int


class LateAnswer(msgspec.Struct, frozen=True, gc=False):
    """The response to a request already reported as expired. For submit_sm it settles what was unknown."""

    token: object
    response: int
    status: int
    message_id: str
    latency: float
    tlvs: Tlvs = ()


class UnexpectedResponse(msgspec.Struct, frozen=True, gc=False):
    """A response to nothing we remember: a duplicate, a foreign number, or the wrong command for that number."""

    command: int
    sequence: int
    status: int
    message_id: str


class DeliverReceived(msgspec.Struct, frozen=True, gc=False):
    """An inbound message or receipt (ESME side); answer it once it is durable."""

    sequence: int
    pdu: DeliverSm | DataSm


class AlertReceived(msgspec.Struct, frozen=True):
    """alert_notification: a handset can be reached again. It has no response."""

    pdu: AlertNotification


class OutbindReceived(msgspec.Struct, frozen=True):
    """The SMSC asks us to bind as receiver on this connection."""

    pdu: Outbind


class BindRequested(msgspec.Struct, frozen=True):
    """An ESME wants to bind (SMSC side); answer it."""

    sequence: int
    request: BindRequest


class SubmitReceived(msgspec.Struct, frozen=True, gc=False):
    """submit_sm from the ESME (SMSC side); answer it once it is stored."""

    sequence: int
    pdu: SubmitSm


class RequestReceived(msgspec.Struct, frozen=True):
    """Any other request of the ESME (SMSC side); answer it with the matching response PDU."""

    sequence: int
    pdu: DataSm | SubmitMulti | QuerySm | CancelSm | ReplaceSm


class EnquireLatency(msgspec.Struct, frozen=True, gc=False):
    """The peer answered our enquire_link."""

    latency: float


class PeerUnbound(msgspec.Struct, frozen=True):
    """The peer sent unbind; it is answered. Write the output, then close."""


class Unbound(msgspec.Struct, frozen=True):
    """The peer answered our unbind; close."""


class NackReceived(msgspec.Struct, frozen=True, gc=False):
    """generic_nack that belongs to no request of ours: the peer could not read something we wrote."""

    sequence: int
    status: int


class ProtocolViolation(msgspec.Struct, frozen=True):
    """The peer sent a PDU that cannot be used; the link goes on. `answered` is the status it got, None for none."""

    detail: str
    command: int
    sequence: int
    answered: int | None


class SessionFailed(msgspec.Struct, frozen=True):
    """The session is in ERROR and will do nothing more; write the output, then close."""

    failure: Failure
    detail: str


class Unanswered(msgspec.Struct, frozen=True, gc=False):
    """A request that `close` hands back. `written` is False when its octets were never taken: surely unsent."""

    token: object
    sequence: int
    response: int
    sent_at: float
    written: bool


Event: TypeAlias = (
    Bound
    | BindFailed
    | SubmitAnswered
    | SubmitExpired
    | DeliverAnswered
    | RequestAnswered
    | RequestExpired
    | LateAnswer
    | UnexpectedResponse
    | DeliverReceived
    | AlertReceived
    | OutbindReceived
    | BindRequested
    | SubmitReceived
    | RequestReceived
    | EnquireLatency
    | PeerUnbound
    | Unbound
    | NackReceived
    | ProtocolViolation
    | SessionFailed
)
