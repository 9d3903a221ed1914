"""The way in: which messages are accepted, what their answer is, and which receipts they cause."""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from smpp_daemon.protocol.constants import CommandId, Tag
from smpp_daemon.protocol.events import SubmitReceived
from smpp_daemon.protocol.pdu import DataSm, SmeAddress, SubmitMulti, SubmitSm, UnsuccessSme
from smpp_daemon.protocol.status import RMSGQFUL, ROK, RTHROTTLED, parse_status
from smpp_daemon.protocol.tlv import find_tlv
from smpp_daemon.simulator.accounts import Accounts
from smpp_daemon.simulator.answers import Answer, Malformations, multi_body, nack_status, response_body
from smpp_daemon.simulator.behaviour import CompiledScript, Decision
from smpp_daemon.simulator.bucket import Bucket
from smpp_daemon.simulator.chances import happens
from smpp_daemon.simulator.identifiers import IdFormat
from smpp_daemon.simulator.journal import Accepted, Refused
from smpp_daemon.simulator.post import Post
from smpp_daemon.simulator.receipts import Copy, Delivery, owes_receipt
from smpp_daemon.simulator.records import Records
from smpp_daemon.simulator.settings import SimulatorSettings
from smpp_daemon.simulator.spread import compile_latency
from smpp_daemon.simulator.statistics import Statistics

if TYPE_CHECKING:
    from smpp_daemon.simulator.connection import Connection

_SUBMIT_SM = int(CommandId.SUBMIT_SM)
_RINVDLNAME = parse_status("RINVDLNAME")

_COMMAND_NAMES = {SubmitSm: "submit_sm", DataSm: "data_sm", SubmitMulti: "submit_multi"}
_ALSO_FOR_REFUSALS = ("generic_nack", "twice", "late")

Carrier: TypeAlias = SubmitSm | DataSm | SubmitMulti


class _Verdict(NamedTuple):
    """One message decided: `message` is None when it is refused."""

    decision: Decision
    message: Accepted | None


class Intake:
    """Decides on messages. Every accepted one is in `records` before its answer is made.

    `keep` gets the accepted messages that came together.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        accounts: Accounts,
        post: Post,
        records: Records,
        statistics: Statistics,
        random: Random,
        keep: Callable[[Sequence[Accepted]], None],
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._post = post
        self._records = records
        self._statistics = statistics
        self._random = random
        self._keep = keep
        self._number = 0
        self._write_id: Callable[[int], str] = str

    def follow(self, script: CompiledScript, now: float) -> None:
        """Decides by `script` from now on. Raises ValueError for a rate that is none."""
        settings, source = self._settings, script.script
        self._script = script
        self._throttle: Bucket | None = None
        self._throttled_status = RTHROTTLED
        if source.throttle is not None:
            rate = source.throttle.rate
            self._throttle = Bucket(rate, source.throttle.burst or max(1.0, rate / 10), now)
            self._throttled_status = parse_status(str(source.throttle.status))
        elif settings.throttle_above is not None:
            self._throttle = Bucket(settings.throttle_above, max(1.0, settings.throttle_above / 10), now)
        ids = source.ids or IdFormat(settings.ids)
        self._write_id = "{:x}".format if ids == IdFormat() else str if ids == IdFormat("decimal") else ids.write
        self._malformations = Malformations(source.malformed)
        self._hold_back = compile_latency(source.receipts.held_back_by)
        self._full_above = source.queue_full_above
        self._plain = script.plain and self._throttle is None

    def start_from(self, number: int) -> None:
        """The next message gets a higher number than this."""
        self._number = max(self._number, number)

    def next_numbers(self, count: int) -> int:
        """The first of so many numbers in a row."""
        self._number += count
        return self._number - count + 1

    def submitted(self, connection: "Connection", system_id: str, events: Sequence[SubmitReceived], now: float) -> None:
        """Decides on submit_sm that came together."""
        settings, statistics = self._settings, self._statistics
        at = time.time()
        if not self._plain or statistics.owed + len(events) > settings.pending_limit:
            for event in events:
                self._submit_one(connection, system_id, event, at, now)
            return
        receipts = settings.receipt_delay is not None
        answer, write_id = connection.session.answer_submit, self._write_id
        accepted: list[Accepted] = []
        for event in events:
            pdu = event.pdu
            stat = "DELIVRD" if receipts and owes_receipt(pdu.registered_delivery, "DELIVRD") else None
            self._number = number = self._number + 1
            message = _accepted(
                number,
                write_id(number),
                at,
                system_id,
                event.sequence,
                pdu,
                pdu.content,
                pdu.dest_addr_ton,
                pdu.dest_addr_npi,
                pdu.destination_addr,
                stat,
            )
            accepted.append(message)
            answer(event.sequence, ROK, message.id)
        self._records.extend(accepted)
        self._keep(accepted)
        statistics.accepted += len(accepted)
        if receipts:
            due = now + (settings.receipt_delay or 0.0)
            for message in accepted:
                if message.receipt is not None:
                    self._post.owe(message, due)

    def data_sm(self, connection: "Connection", system_id: str, sequence: int, pdu: DataSm, now: float) -> None:
        """data_sm is decided upon like submit_sm (§4.7.1)."""
        at = time.time()
        verdict = self._decide(pdu, _destination(pdu), system_id, sequence, at, now)
        self._answer(connection, CommandId.DATA_SM, sequence, verdict, now)

    def submit_multi(
        self, connection: "Connection", system_id: str, sequence: int, pdu: SubmitMulti, now: float
    ) -> None:
        """Each destination is decided by itself; those refused are listed in the response (§4.5.2)."""
        at = time.time()
        unsuccessful: list[UnsuccessSme] = []
        taken: list[_Verdict] = []
        message_id = self._write_id(self._number + 1)
        for destination in pdu.destinations:
            if isinstance(destination, str):
                unsuccessful.append(UnsuccessSme(0, 0, destination, _RINVDLNAME))
                continue
            verdict = self._decide(pdu, destination, system_id, sequence, at, now, message_id)
            if verdict.message is None:
                status = verdict.decision.status
                unsuccessful.append(UnsuccessSme(destination.ton, destination.npi, destination.address, status))
            else:
                taken.append(verdict)
        if not taken:
            status = unsuccessful[0].error_status if unsuccessful else parse_status("RINVNUMDESTS")
            connection.session.link.answer(sequence, status)
            return
        decision = taken[0].decision
        body = multi_body(message_id, tuple(unsuccessful), decision.answer)
        answer = Answer(connection, CommandId.SUBMIT_MULTI, sequence, ROK, body, decision.answer)
        self._give(answer, decision.delay, now)
        for verdict in taken:
            self._owe(verdict, connection, now)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _submit_one(
        self, connection: "Connection", system_id: str, event: SubmitReceived, at: float, now: float
    ) -> None:
        verdict = self._decide(event.pdu, _destination(event.pdu), system_id, event.sequence, at, now)
        self._answer(connection, _SUBMIT_SM, event.sequence, verdict, now)

    def _decide(
        self,
        pdu: Carrier,
        destination: SmeAddress,
        system_id: str,
        sequence: int,
        at: float,
        now: float,
        message_id: str | None = None,
    ) -> _Verdict:
        decision = self._script.behaviour(destination.address).decide(self._random)
        status = self._congestion(now) or decision.status
        if decision.answer == "generic_nack":
            status = nack_status(status)
        command, content = _COMMAND_NAMES[type(pdu)], _content(pdu)
        if status != ROK:
            self._statistics.refused += 1
            answer = decision.answer if decision.answer in _ALSO_FOR_REFUSALS else "always"
            source, address = pdu.source_addr, destination.address
            self._records.add(
                Refused(at, system_id, sequence, source, address, content.hex(), status, answer=answer, command=command)
            )
            return _Verdict(decision._replace(status=status, answer=answer), None)
        stat: str | None = None
        if self._settings.receipt_delay is not None and decision.receipt != "none":
            stat = decision.receipt if owes_receipt(pdu.registered_delivery, decision.receipt) else None
        number = self.next_numbers(1)
        message = _accepted(
            number,
            self._write_id(number) if message_id is None else message_id,
            at,
            system_id,
            sequence,
            pdu,
            content,
            destination.ton,
            destination.npi,
            destination.address,
            stat,
            decision.error,
            decision.answer,
            command,
        )
        self._records.add(message)
        self._keep((message,))
        self._statistics.accepted += 1
        if decision.answer in ("never", "unknown_sequence"):
            self._statistics.unanswered += 1
        return _Verdict(decision, message)

    def _congestion(self, now: float) -> int:
        statistics = self._statistics
        if self._throttle is not None and not self._throttle.take(now):
            statistics.throttled += 1
            return self._throttled_status
        full = statistics.owed >= self._settings.pending_limit
        if self._full_above is not None:
            full = full or statistics.owed + len(self._post.answers) >= self._full_above
        if full or happens(self._script.script.queue_full, self._random):
            statistics.queue_full += 1
            return RMSGQFUL
        return ROK

    def _answer(self, connection: "Connection", command: int, sequence: int, verdict: _Verdict, now: float) -> None:
        decision, message = verdict
        if message is not None:
            body = response_body(ROK, message.id, decision.answer, "none")
        else:
            stray_id = self._write_id(self.next_numbers(1)) if decision.refusal_body == "id" else ""
            body = response_body(decision.status, stray_id, decision.answer, decision.refusal_body)
        if message is not None and self._malformations:
            body = self._malformations.response(body, self._random)
        answer = Answer(connection, command, sequence, decision.status, body, decision.answer)
        chance = self._script.script.receipts.before_response
        owed = message is not None and message.receipt is not None and decision.answer != "never"
        if message is not None and owed and happens(chance, self._random):
            # Without a session that could take the receipt, the answer would wait for ever.
            if self._accounts.receivers(message.system_id):
                self._post.hold(message, answer, decision.delay)
                verdict = _Verdict(decision._replace(receipt_delay=0.0), message)
            else:
                self._give(answer, decision.delay, now)
            self._owe(verdict, connection, now)
            return
        self._give(answer, decision.delay, now)
        self._owe(verdict, connection, now)

    def _give(self, answer: Answer, delay: float, now: float) -> None:
        if delay and answer.kind != "never":
            self._post.answer_at(answer, now + delay)
        else:
            answer.give()

    def _owe(self, verdict: _Verdict, connection: "Connection", now: float) -> None:
        decision, message = verdict
        if message is None or message.receipt is None:
            return
        receipts, random, post = self._script.script.receipts, self._random, self._post
        delay = self._settings.receipt_delay if decision.receipt_delay is None else decision.receipt_delay
        due = now + (delay or 0.0)
        avoid = connection.number if happens(receipts.other_bind, random) else 0
        data_sm = happens(receipts.data_sm, random)
        intermediate = Delivery(message, Copy.INTERMEDIATE, data_sm, avoid)
        wants_intermediate = message.receipt not in ("ENROUTE", "ACCEPTD")
        if wants_intermediate and happens(receipts.intermediate, random):
            post.put(intermediate, now)
        if happens(receipts.held_back, random):
            due += self._hold_back(random)
        self._statistics.owed += 1
        post.put(Delivery(message, Copy.FINAL, data_sm, avoid), due)
        if happens(receipts.duplicate, random):
            post.put(Delivery(message, Copy.DUPLICATE, data_sm, avoid), due)
        if wants_intermediate and happens(receipts.intermediate_after, random):
            post.put(intermediate, due)


def _accepted(
    number: int,
    message_id: str,
    at: float,
    system_id: str,
    sequence: int,
    pdu: Carrier,
    content: bytes,
    ton: int,
    npi: int,
    destination: str,
    receipt: str | None,
    error: str = "000",
    answer: str = "always",
    command: str = "submit_sm",
) -> Accepted:
    return Accepted(
        message_id,
        number,
        at,
        system_id,
        sequence,
        pdu.source_addr_ton,
        pdu.source_addr_npi,
        pdu.source_addr,
        ton,
        npi,
        destination,
        pdu.esm_class,
        pdu.data_coding,
        pdu.registered_delivery,
        content.hex(),
        receipt,
        error,
        answer,
        command,
    )


def _destination(pdu: SubmitSm | DataSm) -> SmeAddress:
    return SmeAddress(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr)


def _content(pdu: Carrier) -> bytes:
    if isinstance(pdu, SubmitMulti):
        return pdu.short_message or find_tlv(pdu.tlvs, Tag.MESSAGE_PAYLOAD) or b""
    return pdu.content
