"""How the simulated operator behaves, by the last digits of the recipient."""

from pathlib import Path
from typing import Literal

import msgspec

from smpp_daemon.protocol.constants import MessageState
from smpp_daemon.protocol.status import parse_status

STATES: dict[str, MessageState] = {
    "ENROUTE": MessageState.ENROUTE,
    "DELIVRD": MessageState.DELIVERED,
    "EXPIRED": MessageState.EXPIRED,
    "DELETED": MessageState.DELETED,
    "UNDELIV": MessageState.UNDELIVERABLE,
    "ACCEPTD": MessageState.ACCEPTED,
    "UNKNOWN": MessageState.UNKNOWN,
    "REJECTD": MessageState.REJECTED,
}
"""`stat` of a receipt (SMPP 3.4 appendix B) and the message_state TLV that goes with it."""

ReceiptState = Literal["ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD", "none"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to messages whose recipient ends in `suffix`; the longest suffix wins.

    `status`: command_status of the answer, a name or a number; only ROK accepts the message. `answer: never` accepts it
    and stays silent. `response_delay`: seconds before the answer, instead of the script's. `receipt`: `stat` of the
    receipt, or `none`; `error`: its `err`.
    """

    suffix: str
    status: str | int = "ROK"
    answer: Literal["always", "never"] = "always"
    response_delay: float | None = None
    receipt: ReceiptState = "DELIVRD"
    error: str = "000"


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`bind_status` answers every bind; `response_delay` (seconds) goes before every answer to submit_sm."""

    bind_status: str | int = "ROK"
    response_delay: float = 0.0
    rules: list[Rule] = []


class Behaviour(msgspec.Struct, frozen=True, gc=False):
    """A rule with its codes resolved."""

    status: int
    never_answer: bool
    response_delay: float
    receipt: str
    error: str


class CompiledScript:
    """A script ready for look-ups. Raises ValueError for a status that has no such name or a negative delay."""

    __slots__ = ("_by_suffix", "_default", "_lengths", "bind_status")

    def __init__(self, script: Script) -> None:
        self.bind_status = parse_status(str(script.bind_status))
        self._default = _behaviour(Rule(suffix=""), script)
        self._by_suffix = {rule.suffix: _behaviour(rule, script) for rule in script.rules}
        self._lengths = sorted({len(rule.suffix) for rule in script.rules}, reverse=True)

    def behaviour(self, destination: str) -> Behaviour:
        """What happens to a message to `destination`."""
        for length in self._lengths:
            found = self._by_suffix.get(destination[len(destination) - length :] if length else "")
            if found is not None:
                return found
        return self._default


def _behaviour(rule: Rule, script: Script) -> Behaviour:
    delay = script.response_delay if rule.response_delay is None else rule.response_delay
    if delay < 0:
        raise ValueError(f"a response delay of {delay} seconds is not possible")
    return Behaviour(parse_status(str(rule.status)), rule.answer == "never", delay, rule.receipt, rule.error)


def read_script(path: Path) -> Script:
    """A script from YAML. Raises ValueError that names the file and what is wrong in it."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Script)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
