"""submit_multi: equal texts to many recipients in one PDU (SMPP 3.4 §4.5), for channels that want it.

The operator answers with one id for all of them, so that receipts are told apart by the recipient, and with a list of
the recipients it refuses. Everything else sees ordinary messages: what comes back is taken apart again here.
"""

from collections.abc import Iterable, Sequence

import msgspec

from smpp_daemon.protocol.codec import decode_body
from smpp_daemon.protocol.constants import CommandId
from smpp_daemon.protocol.events import RequestAnswered, RequestExpired, SubmitAnswered, SubmitExpired, Unanswered
from smpp_daemon.protocol.pdu import SmeAddress, SubmitMulti, SubmitMultiResp, SubmitSm
from smpp_daemon.transport import Connection

RUNKNOWNERR = 0xFF
_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)


class Many:
    """The token of a submit_multi: the tokens of its messages by their destination, as it is written."""

    __slots__ = ("tokens",)

    def __init__(self, tokens: dict[str, object]) -> None:
        self.tokens = tokens

    def answered(self, event: RequestAnswered) -> list[SubmitAnswered]:
        """The answer of each message. Without a body, or as generic_nack, the status is everybody's."""
        pdu = event.pdu if isinstance(event.pdu, SubmitMultiResp) else SubmitMultiResp()
        # Being on the list is a refusal, whatever its status says.
        refused = {each.address: each.error_status or RUNKNOWNERR for each in pdu.unsuccessful}
        return [
            SubmitAnswered(token, event.status or refused.get(to, 0), pdu.message_id, event.latency)
            for to, token in self.tokens.items()
        ]

    def expired(self, event: RequestExpired) -> list[SubmitExpired]:
        """The end of the deadline of each message."""
        return [SubmitExpired(token, event.sequence) for token in self.tokens.values()]


def submit_together(
    connection: Connection, bodies: Sequence[bytes], tokens: Sequence[object], most: int, now: float
) -> None:
    """Writes submit_sm of which neighbours that differ in nothing but the recipient share a submit_multi.

    At most `most` of them; parts of long texts and single ones go as they are. The window must have room for all.
    """
    place = 0
    while place < len(bodies):
        together = _alike(bodies, tokens, place, most)
        end = place + len(together)
        if len(together) == 1:
            connection.submit(bodies[place:end], tokens[place:end])
        else:
            destinations = [pdu.destination_addr for pdu in together]
            many = Many(dict(zip(destinations, tokens[place:end], strict=True)))
            connection.session.request(_joined(together), many, now)
        place = end
    connection.flush()


def apart(unanswered: Iterable[Unanswered]) -> list[Unanswered]:
    """Requests that a lost connection leaves, those of a submit_multi one by one."""
    found: list[Unanswered] = []
    for request in unanswered:
        if isinstance(request.token, Many):
            found += [
                msgspec.structs.replace(request, token=token, response=_SUBMIT_SM_RESP)
                for token in request.token.tokens.values()
            ]
        else:
            found.append(request)
    return found


def _alike(bodies: Sequence[bytes], tokens: Sequence[object], place: int, most: int) -> list[SubmitSm]:
    """The messages from `place` on that can go together."""
    first = _decoded(bodies[place])
    together = [first]
    if isinstance(tokens[place], tuple):
        return together
    pattern = _without_destination(first)
    destinations = {first.destination_addr}
    for body, token in zip(bodies[place + 1 : place + most], tokens[place + 1 : place + most], strict=True):
        if isinstance(token, tuple):
            break
        pdu = _decoded(body)
        if _without_destination(pdu) != pattern or pdu.destination_addr in destinations:
            break
        destinations.add(pdu.destination_addr)
        together.append(pdu)
    return together


def _decoded(body: bytes) -> SubmitSm:
    pdu, _ = decode_body(CommandId.SUBMIT_SM, 0, body)
    assert isinstance(pdu, SubmitSm)
    return pdu


def _without_destination(pdu: SubmitSm) -> SubmitSm:
    return msgspec.structs.replace(pdu, dest_addr_ton=0, dest_addr_npi=0, destination_addr="")


def _joined(together: list[SubmitSm]) -> SubmitMulti:
    first = together[0]
    return SubmitMulti(
        first.service_type,
        first.source_addr_ton,
        first.source_addr_npi,
        first.source_addr,
        tuple(SmeAddress(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) for pdu in together),
        first.esm_class,
        first.protocol_id,
        first.priority_flag,
        first.schedule_delivery_time,
        first.validity_period,
        first.registered_delivery,
        first.replace_if_present_flag,
        first.data_coding,
        first.sm_default_msg_id,
        first.short_message,
        first.tlvs,
    )
