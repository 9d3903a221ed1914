"""A test message straight through an account's bind: not stored, not queued, not reported to anybody but its sender.

It counts against the account's rate and window like every other message, and everything else of the account waits for
it: otherwise a saturated window would never have room. Its receipts are answered here and go nowhere.
"""

import asyncio
from collections.abc import Callable, Sequence

from app.domain.messages.events import Receipt
from connectors.sms_text.receipts import match_keys, normalise_id
from smpp_daemon.protocol.events import Event, SubmitAnswered
from smpp_daemon.protocol.status import describe
from smpp_daemon.reports import ProbePart
from smpp_daemon.transport import Connection

RECEIPT_SECONDS = 600.0
"""How long receipts of a test message are recognised; later ones are orphans."""

TAIL = 8


class Token:
    """What a submit_sm of a test message comes back with."""

    __slots__ = ("index", "probe")

    def __init__(self, probe: "Probe", index: int) -> None:
        self.probe = probe
        self.index = index


class Probe:
    """One test message of so many parts. Times are seconds of the loop's clock."""

    def __init__(self, parts: int, to: str) -> None:
        self.to = to
        self.parts: list[ProbePart | None] = [None] * parts
        self.tokens = [Token(self, index) for index in range(parts)]
        self.answered = asyncio.Event()
        self.receipt: Receipt | None = None
        self.receipt_at = 0.0
        self.received = asyncio.Event()

    def answer(self, index: int, status: int | None, message_id: str, latency: float | None) -> None:
        """The end of one part; without a status it was never answered."""
        if status is None:
            name, advice = "", "The operator never answered: whether it took the message is not known."
        else:
            known = describe(status)
            name, advice = known.name, known.advice
        milliseconds = None if latency is None else round(latency * 1000, 1)
        self.parts[index] = ProbePart(index + 1, status, name, advice, message_id, milliseconds)
        if all(part is not None for part in self.parts):
            self.answered.set()


class Probes:
    """The test messages of one account that something is still awaited of; `forward` gets what is not theirs after all.

    Receipts may come before the answer, and on another bind: while an answer is awaited, those of the same number wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, forward: Callable[[Receipt, Connection, int], None]) -> None:
        self._loop = loop
        self._forward = forward
        self._by_id: dict[str, Probe] = {}
        self._open: list[Probe] = []
        self._early: list[tuple[Receipt, Connection, int]] = []

    @property
    def unanswered(self) -> bool:
        """Whether the answer to one may come."""
        return bool(self._open)

    def begin(self, parts: int, to: str) -> Probe:
        """A new one; `end` it."""
        probe = Probe(parts, to)
        self._open.append(probe)
        return probe

    def end(self, probe: Probe) -> None:
        """Its sender waits no longer for answers."""
        if probe in self._open:
            self._open.remove(probe)
        self._sort_out()

    def sift(self, events: Sequence[Event]) -> list[Event]:
        """Takes the answers to test messages out of what came together, before a receipt in it is looked at."""
        left: list[Event] = []
        for event in events:
            if isinstance(event, SubmitAnswered) and isinstance(event.token, Token):
                self._answered(event.token, event)
            else:
                left.append(event)
        return left

    def takes(self, receipt: Receipt, connection: Connection, sequence: int) -> bool:
        """Whether a receipt is a test message's, or may be one's; then it is answered here."""
        if not self._open and not self._by_id:
            return False
        probe = self._probe_of(receipt)
        if probe is not None:
            self._received(probe, receipt, connection, sequence)
            return True
        recipient = _tail(receipt.recipient or "")
        if not recipient or all(each.answered.is_set() or _tail(each.to) != recipient for each in self._open):
            return False
        self._early.append((receipt, connection, sequence))
        return True

    def _answered(self, token: Token, event: SubmitAnswered) -> None:
        if event.status == 0 and event.message_id:
            key = normalise_id(event.message_id)
            self._by_id[key] = token.probe
            self._loop.call_later(RECEIPT_SECONDS, self._by_id.pop, key, None)
        token.probe.answer(token.index, event.status, event.message_id, event.latency)
        self._sort_out()

    def _sort_out(self) -> None:
        early, self._early = self._early, []
        for each in early:
            if not self.takes(*each):
                self._forward(*each)

    def _probe_of(self, receipt: Receipt) -> Probe | None:
        keys = match_keys(receipt.provider_message_id)
        return next((self._by_id[key] for key in keys if key in self._by_id), None)

    def _received(self, probe: Probe, receipt: Receipt, connection: Connection, sequence: int) -> None:
        probe.receipt, probe.receipt_at = receipt, self._loop.time()
        probe.received.set()
        if connection.answer_deliver(sequence):
            connection.flush()


def _tail(number: str) -> str:
    """The part of a number that its national and its international form have in common."""
    return "".join(filter(str.isdigit, number))[-TAIL:]
