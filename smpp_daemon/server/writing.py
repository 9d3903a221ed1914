"""Receipts and messages of contacts → the deliver_sm PDUs that an application gets."""

import re
from datetime import UTC, datetime

import msgspec

from app.domain.smpp_accounts.events import SmppInbound, SmppReceipt
from app.domain.smpp_accounts.schemas import BindSettings
from connectors.sms_text.encoding import data_coding
from connectors.sms_text.segments import segment
from smpp_daemon.protocol.codec import encode_body
from smpp_daemon.protocol.constants import INTERFACE_VERSION_34, EsmClass, MessageState, Tag
from smpp_daemon.protocol.pdu import DeliverSm
from smpp_daemon.server.addresses import pdu_address

_STATES: dict[str, tuple[str, MessageState]] = {
    "scheduled": ("SCHEDLD", MessageState.ENROUTE),
    "queued": ("ENROUTE", MessageState.ENROUTE),
    "sent": ("ENROUTE", MessageState.ENROUTE),
    "delivered": ("DELIVRD", MessageState.DELIVERED),
    "read": ("DELIVRD", MessageState.DELIVERED),
    "failed": ("UNDELIV", MessageState.UNDELIVERABLE),
    "expired": ("EXPIRED", MessageState.EXPIRED),
    "canceled": ("DELETED", MessageState.DELETED),
    "unknown": ("UNKNOWN", MessageState.UNKNOWN),
}
_INTERMEDIATE = frozenset({"sent", "unknown"})
_MAX_TEXT = 20
_GSM_NETWORK = 3
_NUMBER = re.compile(r"^[0-9]{1,5}$")


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One deliver_sm, encoded: for peers that know optional parameters, and for older ones (§2.11)."""

    body: bytes
    plain_body: bytes

    def for_version(self, interface_version: int | None) -> bytes:
        """What a peer gets that said so in its bind."""
        return self.body if (interface_version or 0) >= INTERFACE_VERSION_34 else self.plain_body


def state_of(status: str) -> MessageState:
    """message_state of a message status (SMPP 3.4 §5.2.28)."""
    return _STATES[status][1]


def receipt_pdu(receipt: SmppReceipt) -> Outgoing:
    """A receipt in the text of appendix B and in optional parameters."""
    stat, state = _STATES[receipt.status]
    identifier = receipt.message_id.hex()
    error = receipt.code if receipt.code is not None and _NUMBER.match(receipt.code) else None
    text = (
        f"id:{identifier} sub:001 dlvrd:{'001' if stat == 'DELIVRD' else '000'}"
        f" submit date:{_date(receipt.submitted_at)} done date:{_date(receipt.done_at)} stat:{stat}"
        f" err:{(error or '000')[-3:].zfill(3)} text:{_plain(receipt.text)}"
    )
    source, destination = pdu_address(receipt.to), pdu_address(receipt.sender)
    tlvs: tuple[tuple[int, bytes], ...] = (
        (Tag.RECEIPTED_MESSAGE_ID, identifier.encode() + b"\0"),
        (Tag.MESSAGE_STATE, bytes((state,))),
    )
    if error is not None and int(error) <= 0xFFFF:
        tlvs += ((Tag.NETWORK_ERROR_CODE, bytes((_GSM_NETWORK,)) + int(error).to_bytes(2, "big")),)
    pdu = DeliverSm(
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        source_addr=source.address,
        dest_addr_ton=destination.ton,
        dest_addr_npi=destination.npi,
        destination_addr=destination.address,
        esm_class=EsmClass.INTERMEDIATE_NOTIFICATION if receipt.status in _INTERMEDIATE else EsmClass.DELIVERY_RECEIPT,
        short_message=text.encode("ascii"),
    )
    return Outgoing(encode_body(msgspec.structs.replace(pdu, tlvs=tlvs)), encode_body(pdu))


def inbound_pdus(message: SmppInbound, settings: BindSettings, reference: int) -> list[Outgoing]:
    """A message from a contact, in as many parts as it takes. `reference` (0..255) tells its parts from others'.

    Parts and not message_payload: every client can join them, few read optional parameters.
    """
    cut = segment(message.text, reference=reference, style="udh8", default_alphabet=settings.default_alphabet)
    coding = data_coding(cut.alphabet, default=settings.default_alphabet)
    source, destination = pdu_address(message.sender), pdu_address(message.to)
    made = []
    for part in cut.segments:
        body = encode_body(
            DeliverSm(
                source_addr_ton=source.ton,
                source_addr_npi=source.npi,
                source_addr=source.address,
                dest_addr_ton=destination.ton,
                dest_addr_npi=destination.npi,
                destination_addr=destination.address,
                esm_class=EsmClass.UDHI if part.udh else 0,
                data_coding=coding,
                short_message=part.udh + part.user_data,
            )
        )
        made.append(Outgoing(body, body))
    return made


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%y%m%d%H%M}"


def _plain(text: str) -> str:
    return "".join(each if " " <= each <= "~" else "?" for each in text[:_MAX_TEXT])
