"""A script made ready: names resolved, distributions compiled, and known which of its features are on at all."""

from collections.abc import Collection, Mapping
from random import Random
from typing import NamedTuple

import msgspec

from smpp_daemon.protocol.status import ROK, parse_status
from smpp_daemon.simulator.chances import Chances
from smpp_daemon.simulator.receipts import FORM
from smpp_daemon.simulator.script import AnswerKind, Receipts, ReceiptState, RefusalBody, Rule, Script, status_chances
from smpp_daemon.simulator.spread import Draw, compile_latency

_BESIDE_MESSAGES = (
    "bind_status",
    "seed",
    "late_by",
    "refusal_body",
    "receipts",
    "traffic",
    "binds",
    "drop",
    "unbind",
    "half_open",
    "garbage",
    "coalesce_bind",
)
"""What a script may change without any message being decided by itself."""


class Decision(NamedTuple):
    """What happens to one message. `delay`: seconds before its answer; `receipt`: `stat` or `none`."""

    status: int
    answer: AnswerKind
    delay: float
    receipt: str
    error: str
    refusal_body: RefusalBody
    receipt_delay: float | None


class Behaviour(msgspec.Struct, frozen=True):
    """A rule with its names resolved and the script's values where it has none of its own."""

    status: int
    statuses: Chances[int]
    answer: AnswerKind
    answers: Chances[AnswerKind]
    response_delay: Draw
    late_by: Draw
    receipt: str | None
    states: Chances[ReceiptState]
    error: str | None
    errors: Mapping[ReceiptState, str]
    receipt_delay: Draw | None
    refusal_body: RefusalBody

    def decide(self, random: Random) -> Decision:
        """One draw of everything that is left to chance."""
        status = self.status or self.statuses.draw(random) or ROK
        answer = self.answers.draw(random) or self.answer
        delay = self.late_by(random) if answer == "late" else self.response_delay(random)
        receipt = self.receipt or self.states.draw(random) or "DELIVRD"
        error = self.error
        if error is None:
            error = self.errors.get(receipt, "000")  # type: ignore[call-overload]
        receipt_delay = None if self.receipt_delay is None else self.receipt_delay(random)
        return Decision(status, answer, delay, receipt, error, self.refusal_body, receipt_delay)


class CompiledScript:
    """A script ready for look-ups. Raises ValueError for a delay or a probability that is none.

    `plain`: every message is accepted and answered at once, so that nothing needs to be decided one by one.
    """

    __slots__ = ("_by_suffix", "_default", "_lengths", "bind_status", "plain", "script")

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bind_status = parse_status(str(script.bind_status))
        self._default = _behaviour(Rule(suffix=""), script)
        self._by_suffix = {rule.suffix: _behaviour(rule, script) for rule in script.rules}
        self._lengths = sorted({len(rule.suffix) for rule in script.rules}, reverse=True)
        self.plain = _same(script, Script(), _BESIDE_MESSAGES) and _same(script.receipts, Receipts(), FORM)

    def behaviour(self, destination: str) -> Behaviour:
        """What happens to messages to `destination`."""
        for length in self._lengths:
            found = self._by_suffix.get(destination[len(destination) - length :] if length else "")
            if found is not None:
                return found
        return self._default


def _same(given: msgspec.Struct, default: msgspec.Struct, apart_from: Collection[str]) -> bool:
    names = set(given.__struct_fields__).difference(apart_from)
    return all(getattr(given, name) == getattr(default, name) for name in names)


def _behaviour(rule: Rule, script: Script) -> Behaviour:
    delay = script.response_delay if rule.response_delay is None else rule.response_delay
    receipts = script.receipts
    receipt_delay = receipts.delay if rule.receipt_delay is None else rule.receipt_delay
    # A rule that fixes an outcome is not overruled by the script's probabilities.
    fixed = parse_status(str(rule.status)) != ROK
    return Behaviour(
        status=parse_status(str(rule.status)),
        statuses=status_chances(rule.statuses or ({} if fixed else script.statuses)),
        answer=rule.answer,
        answers=Chances(rule.answers or ({} if rule.answer != "always" else script.answers), "answers"),
        response_delay=compile_latency(delay),
        late_by=compile_latency(script.late_by),
        receipt=rule.receipt,
        states=Chances(rule.states or receipts.states, "states"),
        error=rule.error,
        errors=receipts.errors,
        receipt_delay=None if receipt_delay is None else compile_latency(receipt_delay),
        refusal_body=rule.refusal_body or script.refusal_body,
    )
