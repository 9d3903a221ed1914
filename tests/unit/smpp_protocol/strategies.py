"""PDUs with arbitrary fields and optional parameters, made from the layouts of the codec."""

from typing import Any

from hypothesis import strategies as st

from smpp_daemon.protocol.codec import LAYOUTS
from smpp_daemon.protocol.constants import RESPONSE_BIT, BindMode, CommandId, Tag
from smpp_daemon.protocol.pdu import PDU_TYPES, BindRequest, BindResponse, Pdu, SmeAddress, UnsuccessSme

OCTETS = st.integers(0, 255)
NUMBERS = st.integers(0, 2**32 - 1)


def texts(limit: int) -> st.SearchStrategy[str]:
    """C-Octet Strings of at most `limit` octets with their NUL; 0 is any."""
    characters = st.characters(min_codepoint=1, max_codepoint=255)
    return st.text(alphabet=characters, max_size=(limit or 65) - 1)


TLVS = st.lists(
    st.tuples(st.one_of(st.sampled_from(Tag).map(int), st.integers(0, 0xFFFF)), st.binary(max_size=20)), max_size=5
).map(tuple)
SMES = st.builds(SmeAddress, OCTETS, OCTETS, texts(21))

MESSAGE_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "service_type": texts(6),
    "source_addr": texts(21),
    "destination_addr": texts(21),
    "schedule_delivery_time": texts(17),
    "validity_period": texts(17),
    "short_message": st.binary(max_size=255),
    "tlvs": TLVS,
    **dict.fromkeys(
        (
            "source_addr_ton",
            "source_addr_npi",
            "dest_addr_ton",
            "dest_addr_npi",
            "esm_class",
            "protocol_id",
            "priority_flag",
            "registered_delivery",
            "replace_if_present_flag",
            "data_coding",
            "sm_default_msg_id",
        ),
        OCTETS,
    ),
}
_BY_HAND = {
    CommandId.SUBMIT_SM: MESSAGE_FIELDS,
    CommandId.DELIVER_SM: MESSAGE_FIELDS,
    CommandId.SUBMIT_SM_RESP: {"message_id": texts(65), "tlvs": TLVS},
    CommandId.DELIVER_SM_RESP: {"message_id": texts(65), "tlvs": TLVS},
}


def _field(kind: str, limit: int) -> st.SearchStrategy[Any]:
    match kind:
        case "text":
            return texts(limit)
        case "octet":
            return OCTETS
        case "message":
            return st.binary(max_size=255)
        case "destinations":
            return st.lists(st.one_of(texts(21), SMES), max_size=5).map(tuple)
        case "unsuccessful":
            return st.lists(st.builds(UnsuccessSme, OCTETS, OCTETS, texts(21), NUMBERS), max_size=4).map(tuple)
        case _:
            return TLVS


def pdus(command: CommandId) -> st.SearchStrategy[Pdu]:
    """Values of one command with every field arbitrary."""
    kind = PDU_TYPES[command]
    fields = _BY_HAND.get(command) or {field.name: _field(field.kind, field.limit) for field in LAYOUTS[command]}
    if kind in (BindRequest, BindResponse):
        fields = {"mode": st.just(BindMode(command & ~RESPONSE_BIT)), **fields}
    return st.builds(kind, **fields)


PDUS = st.sampled_from(CommandId).flatmap(pdus)
