"""The script of the simulated operator: what a test or a person may ask of it. `docs/simulator.md` shows every key."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from smpp_daemon.protocol.constants import MessageState
from smpp_daemon.protocol.status import parse_status
from smpp_daemon.simulator.chances import Chances, Probability
from smpp_daemon.simulator.identifiers import IdFormat
from smpp_daemon.simulator.receipt_text import APPENDIX_B, template_of
from smpp_daemon.simulator.spread import Latency, compile_latency

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

AnswerKind = Literal["always", "never", "late", "twice", "unknown_sequence", "generic_nack", "header_only"]
"""What becomes of an answer. `never` accepts the message and stays silent; `unknown_sequence` accepts it and answers a
sequence_number that nobody used; `header_only` accepts it without an id; `generic_nack` refuses it with one."""

RefusalBody = Literal["none", "nul", "id"]
"""Body of an answer that refuses: nothing (§4.4.2), one NUL, or an id as if it had been accepted."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Rate: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


def _check_status(key: str, status: str | int) -> None:
    try:
        parse_status(str(status))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_hex(key: str, text: str) -> None:
    try:
        bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{key}: {text!r} is not hexadecimal") from None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to messages whose recipient ends in `suffix`; the longest suffix wins.

    `status`: command_status of the answer, a name or a number; only ROK accepts the message. `answer` as in
    `AnswerKind`. `response_delay`: before the answer, instead of the script's. `receipt`: `stat` of the receipt, or
    `none`; None leaves it to `states`, then to the script. `error`: its `err`. `statuses`, `answers` and `states` give
    the probability of each outcome that is not the usual one. `receipt_delay`: from acceptance to receipt.
    """

    suffix: str
    status: str | int = "ROK"
    answer: AnswerKind = "always"
    response_delay: Latency | None = None
    receipt: ReceiptState | None = None
    error: str | None = None
    statuses: dict[str | int, Probability] = {}
    answers: dict[AnswerKind, Probability] = {}
    states: dict[ReceiptState, Probability] = {}
    receipt_delay: Latency | None = None
    refusal_body: RefusalBody | None = None

    def __post_init__(self) -> None:
        _check_status("status", self.status)
        _check_outcomes(self)


class Throttle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beyond `rate` submit_sm a second over all sessions the answer is `status`; `burst` of them may come at once.

    `burst` None is a tenth of a second's worth, at least one.
    """

    rate: Rate
    burst: Annotated[float, msgspec.Meta(ge=1)] | None = None
    status: str | int = "RTHROTTLED"

    def __post_init__(self) -> None:
        _check_status("status", self.status)


class Receipts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When receipts go and how they look.

    `delay` counts from the acceptance and wins over the settings' `receipt_delay`. `states`: probability of each `stat`
    other than DELIVRD; `errors`: `err` by `stat`. Probabilities: `before_response` (the receipt is on the wire before
    the answer), `duplicate` (it comes twice), `held_back` (`held_back_by` seconds later than the others, so that it is
    overtaken), `intermediate` (ENROUTE goes first), `intermediate_after` (ENROUTE comes after the final one),
    `other_bind` (never on the session that submitted while the account has another one), `data_sm` (as data_sm).

    `form`: what names the message, its text, the TLVs receipted_message_id and message_state, or both. `text`: a name
    of `receipt_text.VARIANTS` or a template with {id} {sub} {delivered} {submitted} {done} {stat} {err} {text}; the two
    dates take a format, `{done:%y%m%d%H%M%S}`. `spelling`: other words for `stat` in the text. `text_id` and `tlv_id`:
    the id's notation, None for the one of the answer. `payload`: the text travels in message_payload, with a NUL behind
    it when `trailing_nul`. `esm_class`: 0 for operators that do not mark receipts. `network_error_code`: hexadecimal.
    """

    delay: Latency | None = None
    states: dict[ReceiptState, Probability] = {}
    errors: dict[ReceiptState, str] = {}
    before_response: Probability = 0.0
    duplicate: Probability = 0.0
    held_back: Probability = 0.0
    held_back_by: Latency = 0.5
    intermediate: Probability = 0.0
    intermediate_after: Probability = 0.0
    other_bind: Probability = 0.0
    data_sm: Probability = 0.0
    form: Literal["both", "text", "tlv"] = "both"
    text: str = APPENDIX_B
    spelling: dict[ReceiptState, str] = {}
    text_id: IdFormat | None = None
    tlv_id: IdFormat | None = None
    payload: bool = False
    trailing_nul: bool = False
    esm_class: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0x04
    network_error_code: str | None = None

    def __post_init__(self) -> None:
        Chances(self.states, "states")
        compile_latency(self.held_back_by)
        template_of(self.text)
        _check_hex("network_error_code", self.network_error_code or "")


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mobile-originated messages, `rate` a second while a session is bound for receiving, `count` in all (None: ever).

    `texts` and `sources` are taken in turn. `system_id` None means every account that is bound, in turn. `data_coding`
    None takes the default alphabet when the text fits in it, else UCS-2. A text that needs more than one part goes as
    `concatenation` says; `part_length` shortens the parts (characters). `out_of_order` and `duplicate` are
    probabilities, for the parts of a message and for each part.
    """

    rate: Rate
    count: Count | None = None
    system_id: str | None = None
    texts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("Hello",)
    sources: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("251911000001",)
    destination: str = "8080"
    data_coding: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    concatenation: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    part_length: Annotated[int, msgspec.Meta(ge=2)] | None = None
    out_of_order: Probability = 0.0
    duplicate: Probability = 0.0


class Binds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`max_binds` sessions for each system_id; a further bind gets `beyond`.

    `ghost`: so many seconds a session that ended without unbind still counts. Without `max_binds` every bind of that
    system_id is refused meanwhile.
    """

    max_binds: Count | None = None
    beyond: str | int = "RALYBND"
    ghost: Seconds = 0.0

    def __post_init__(self) -> None:
        _check_status("beyond", self.beyond)


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The connection is cut without unbind at its `every`-th submit or `seconds` after its bind, whichever comes first.

    `probability`: the share of sessions that it can befall. `answered`: the submits of the last read are answered
    first; otherwise they are accepted and their answers lost. `refuse_for`: seconds during which new connections are
    cut at once.
    """

    every: Count | None = None
    seconds: Latency | None = None
    probability: Probability = 1.0
    answered: bool = False
    refuse_for: Seconds = 0.0

    def __post_init__(self) -> None:
        _check_occasion(self)


class Unbinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator sends unbind at the `every`-th submit or after `seconds`, as in `Drop`; all submits are answered."""

    every: Count | None = None
    seconds: Latency | None = None
    probability: Probability = 1.0

    def __post_init__(self) -> None:
        _check_occasion(self)


class HalfOpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The session neither reads nor writes any more while TCP stays up, from the `every`-th submit or `seconds` on.

    It lasts `lasts` seconds; then the connection is cut.
    """

    every: Count | None = None
    seconds: Latency | None = None
    probability: Probability = 1.0
    lasts: Seconds = 300.0

    def __post_init__(self) -> None:
        _check_occasion(self)


class Garbage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Octets that are not SMPP, sent when a session has read `after` PDUs.

    `send`: `http`, `amqp`, `random` (64 octets, the first of which make an impossible length) or hexadecimal.
    """

    after: Count
    send: str = "http"

    def __post_init__(self) -> None:
        if self.send not in ("http", "amqp", "random"):
            _check_hex("send", self.send)


class Malformed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities, for each submit_sm_resp that accepts and each deliver_sm.

    `stray_nul` puts a NUL behind the body, `truncated_tlv` the beginning of a TLV, `unknown_tlv` a vendor's TLV.
    `sm_length` (deliver_sm only) announces one octet more of short_message than there is.
    """

    stray_nul: Probability = 0.0
    truncated_tlv: Probability = 0.0
    unknown_tlv: Probability = 0.0
    sm_length: Probability = 0.0

    def __post_init__(self) -> None:
        Chances(msgspec.to_builtins(self), "malformed")


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that may be scripted; what is left out does not happen and costs nothing.

    `seed` makes every draw repeatable. `bind_status` answers every bind; `response_delay` goes before every answer to
    submit_sm. `statuses` and `answers`: probability of each outcome other than ROK and an answer. `late_by`: the delay
    of a `late` answer. `queue_full_above`: messages without an answer or with a receipt owed, beyond which the answer
    is RMSGQFUL; `queue_full`: its probability at any time. `coalesce_bind`: bind_resp and the first deliver_sm leave in
    one segment.
    """

    bind_status: str | int = "ROK"
    response_delay: Latency = 0.0
    rules: list[Rule] = []
    seed: int | None = None
    statuses: dict[str | int, Probability] = {}
    answers: dict[AnswerKind, Probability] = {}
    late_by: Latency = 15.0
    refusal_body: RefusalBody = "none"
    throttle: Throttle | None = None
    queue_full_above: Count | None = None
    queue_full: Probability = 0.0
    ids: IdFormat | None = None
    receipts: Receipts = Receipts()
    traffic: Traffic | None = None
    binds: Binds = Binds()
    drop: Drop | None = None
    unbind: Unbinding | None = None
    half_open: HalfOpen | None = None
    garbage: Garbage | None = None
    malformed: Malformed = Malformed()
    coalesce_bind: bool = False

    def __post_init__(self) -> None:
        _check_status("bind_status", self.bind_status)
        _check_outcomes(self)


def read_script(path: Path) -> Script:
    """A script from YAML. Raises ValueError that names the file and the key that is wrong."""
    try:
        data: Any = msgspec.yaml.decode(path.read_bytes())
        return msgspec.convert({} if data is None else data, Script)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def status_chances(statuses: dict[str | int, float]) -> Chances[int]:
    """`statuses` with their names resolved. Raises ValueError."""
    return Chances({parse_status(str(status)): chance for status, chance in statuses.items()}, "statuses")


def _check_outcomes(subject: Rule | Script) -> None:
    try:
        status_chances(subject.statuses)
    except ValueError as error:
        raise ValueError(f"statuses: {error}") from None
    Chances(subject.answers, "answers")
    if isinstance(subject, Rule):
        Chances(subject.states, "states")
    for latency in (subject.response_delay, subject.receipt_delay if isinstance(subject, Rule) else subject.late_by):
        if latency is not None:
            compile_latency(latency)


def _check_occasion(subject: Drop | Unbinding | HalfOpen) -> None:
    if subject.every is None and subject.seconds is None:
        raise ValueError("`every` (submits) or `seconds` is needed")
    if subject.seconds is not None:
        compile_latency(subject.seconds)
