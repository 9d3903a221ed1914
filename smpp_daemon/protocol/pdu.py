"""The PDUs of SMPP 3.4 as values. Field names are those of the specification (§4); all integers are one octet.

Text is decoded as Latin-1, so every octet a peer sends survives a round trip; `short_message` stays bytes because its
alphabet depends on data_coding. query_sm, cancel_sm, replace_sm and their responses have no optional parameters in 3.4;
those of a 5.0 peer are kept.
"""

from typing import TypeAlias

import msgspec

from smpp_daemon.protocol.constants import BindMode, CommandId, Tag
from smpp_daemon.protocol.tlv import Tlvs, find_tlv


class BindRequest(msgspec.Struct, frozen=True):
    """bind_receiver, bind_transmitter or bind_transceiver (§4.1)."""

    mode: BindMode
    system_id: str = ""
    password: str = ""
    system_type: str = ""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    tlvs: Tlvs = ()

    def __repr__(self) -> str:
        # The password must not reach a log through a repr.
        return f"BindRequest({self.mode.name}, system_id={self.system_id!r}, system_type={self.system_type!r})"


class BindResponse(msgspec.Struct, frozen=True):
    """bind_*_resp (§4.1.2); `system_id` is the SMSC's, empty when a refusal has no body."""

    mode: BindMode
    system_id: str = ""
    tlvs: Tlvs = ()


class Outbind(msgspec.Struct, frozen=True):
    """outbind: the SMSC asks to be bound to (§4.1.7)."""

    system_id: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Outbind(system_id={self.system_id!r})"


class Unbind(msgspec.Struct, frozen=True):
    """unbind (§4.2)."""


class UnbindResp(msgspec.Struct, frozen=True):
    """unbind_resp (§4.2.2)."""


class GenericNack(msgspec.Struct, frozen=True):
    """generic_nack (§4.3)."""


class EnquireLink(msgspec.Struct, frozen=True):
    """enquire_link (§4.11)."""


class EnquireLinkResp(msgspec.Struct, frozen=True):
    """enquire_link_resp (§4.11.2)."""


class SubmitSm(msgspec.Struct, frozen=True, gc=False):
    """submit_sm (§4.4.1)."""

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()

    @property
    def content(self) -> bytes:
        """The user data wherever it travels: short_message, else the message_payload TLV (§5.3.2.32)."""
        return self.short_message or find_tlv(self.tlvs, Tag.MESSAGE_PAYLOAD) or b""


class DeliverSm(msgspec.Struct, frozen=True, gc=False):
    """deliver_sm (§4.6.1): an inbound message or a receipt."""

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()

    @property
    def content(self) -> bytes:
        """The user data wherever it travels: short_message, else the message_payload TLV (§5.3.2.32)."""
        return self.short_message or find_tlv(self.tlvs, Tag.MESSAGE_PAYLOAD) or b""


class SubmitSmResp(msgspec.Struct, frozen=True, gc=False):
    """submit_sm_resp (§4.4.2)."""

    message_id: str = ""
    tlvs: Tlvs = ()


class DeliverSmResp(msgspec.Struct, frozen=True, gc=False):
    """deliver_sm_resp (§4.6.2); message_id is unused and empty."""

    message_id: str = ""
    tlvs: Tlvs = ()


class DataSm(msgspec.Struct, frozen=True, gc=False):
    """data_sm (§4.7.1), in both directions; the text travels in the message_payload TLV."""

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    tlvs: Tlvs = ()

    @property
    def content(self) -> bytes:
        """The user data: the message_payload TLV (§5.3.2.32)."""
        return find_tlv(self.tlvs, Tag.MESSAGE_PAYLOAD) or b""


class DataSmResp(msgspec.Struct, frozen=True, gc=False):
    """data_sm_resp (§4.7.2)."""

    message_id: str = ""
    tlvs: Tlvs = ()


class SmeAddress(msgspec.Struct, frozen=True, gc=False):
    """One destination of submit_multi with dest_flag 1 (§4.5.1.1)."""

    ton: int = 0
    npi: int = 0
    address: str = ""


class UnsuccessSme(msgspec.Struct, frozen=True, gc=False):
    """One destination that submit_multi_resp refuses, with its own command_status (§4.5.2.1)."""

    ton: int
    npi: int
    address: str
    error_status: int


class SubmitMulti(msgspec.Struct, frozen=True):
    """submit_multi (§4.5.1): at most 254 destinations; a str is the name of a distribution list (dest_flag 2)."""

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    destinations: tuple[SmeAddress | str, ...] = ()
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class SubmitMultiResp(msgspec.Struct, frozen=True):
    """submit_multi_resp (§4.5.2)."""

    message_id: str = ""
    unsuccessful: tuple[UnsuccessSme, ...] = ()
    tlvs: Tlvs = ()


class QuerySm(msgspec.Struct, frozen=True, gc=False):
    """query_sm (§4.8.1)."""

    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    tlvs: Tlvs = ()


class QuerySmResp(msgspec.Struct, frozen=True, gc=False):
    """query_sm_resp (§4.8.2); `message_state` is a `MessageState` value or a vendor's own."""

    message_id: str = ""
    final_date: str = ""
    message_state: int = 0
    error_code: int = 0
    tlvs: Tlvs = ()


class CancelSm(msgspec.Struct, frozen=True, gc=False):
    """cancel_sm (§4.9.1)."""

    service_type: str = ""
    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    tlvs: Tlvs = ()


class CancelSmResp(msgspec.Struct, frozen=True):
    """cancel_sm_resp (§4.9.2)."""

    tlvs: Tlvs = ()


class ReplaceSm(msgspec.Struct, frozen=True, gc=False):
    """replace_sm (§4.10.1)."""

    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class ReplaceSmResp(msgspec.Struct, frozen=True):
    """replace_sm_resp (§4.10.2)."""

    tlvs: Tlvs = ()


class AlertNotification(msgspec.Struct, frozen=True, gc=False):
    """alert_notification (§4.12.1); it has no response."""

    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    esme_addr_ton: int = 0
    esme_addr_npi: int = 0
    esme_addr: str = ""
    tlvs: Tlvs = ()


Pdu: TypeAlias = (
    BindRequest
    | BindResponse
    | Outbind
    | Unbind
    | UnbindResp
    | GenericNack
    | EnquireLink
    | EnquireLinkResp
    | SubmitSm
    | SubmitSmResp
    | DeliverSm
    | DeliverSmResp
    | DataSm
    | DataSmResp
    | SubmitMulti
    | SubmitMultiResp
    | QuerySm
    | QuerySmResp
    | CancelSm
    | CancelSmResp
    | ReplaceSm
    | ReplaceSmResp
    | AlertNotification
)

PDU_TYPES: dict[CommandId, type[Pdu]] = {
    CommandId.BIND_RECEIVER: BindRequest,
    CommandId.BIND_TRANSMITTER: BindRequest,
    CommandId.BIND_TRANSCEIVER: BindRequest,
    CommandId.BIND_RECEIVER_RESP: BindResponse,
    CommandId.BIND_TRANSMITTER_RESP: BindResponse,
    CommandId.BIND_TRANSCEIVER_RESP: BindResponse,
    CommandId.OUTBIND: Outbind,
    CommandId.UNBIND: Unbind,
    CommandId.UNBIND_RESP: UnbindResp,
    CommandId.GENERIC_NACK: GenericNack,
    CommandId.ENQUIRE_LINK: EnquireLink,
    CommandId.ENQUIRE_LINK_RESP: EnquireLinkResp,
    CommandId.SUBMIT_SM: SubmitSm,
    CommandId.SUBMIT_SM_RESP: SubmitSmResp,
    CommandId.DELIVER_SM: DeliverSm,
    CommandId.DELIVER_SM_RESP: DeliverSmResp,
    CommandId.DATA_SM: DataSm,
    CommandId.DATA_SM_RESP: DataSmResp,
    CommandId.SUBMIT_MULTI: SubmitMulti,
    CommandId.SUBMIT_MULTI_RESP: SubmitMultiResp,
    CommandId.QUERY_SM: QuerySm,
    CommandId.QUERY_SM_RESP: QuerySmResp,
    CommandId.CANCEL_SM: CancelSm,
    CommandId.CANCEL_SM_RESP: CancelSmResp,
    CommandId.REPLACE_SM: ReplaceSm,
    CommandId.REPLACE_SM_RESP: ReplaceSmResp,
    CommandId.ALERT_NOTIFICATION: AlertNotification,
}
"""Which value each command_id decodes to."""


def command_of(pdu: Pdu) -> CommandId:
    """command_id of a PDU value."""
    if isinstance(pdu, BindRequest):
        return CommandId(pdu.mode.value)
    if isinstance(pdu, BindResponse):
        return CommandId(pdu.mode.value | 0x80000000)
    return _COMMANDS[type(pdu)]


_COMMANDS: dict[type[Pdu], CommandId] = {
    kind: command for command, kind in PDU_TYPES.items() if kind not in (BindRequest, BindResponse)
}
