"""What smppd answers on its admin socket, as values. smppctl reads them too, so nothing heavy is imported here.

Fields are only ever added. Moments are RFC 3339 in UTC, ages are seconds, latencies are milliseconds; what is not known
(yet) is null.
"""

from typing import Any

import msgspec

from smpp_daemon.bind_health import BindEvent, BindHealth

MASK = "***"
"""In place of a secret, whatever its length."""


class RateStatus(msgspec.Struct, frozen=True):
    """PDUs a second: now (over the last seconds), the limit of the moment, the configured one; None is unlimited."""

    now: float
    limit: float | None
    configured: float | None


class QueueStatus(msgspec.Struct, frozen=True):
    """The account's queues in RabbitMQ at `at`: deliveries ready in each lane, and consumers of both together.

    A delivery is a batch of up to 500 messages.
    """

    at: str
    high: int
    bulk: int
    consumers: int


class AccountStatus(msgspec.Struct, frozen=True):
    """One account. Latencies are milliseconds of the last thousand answers, None before the first one.

    `queued` are messages in memory, `oldest_seconds` is how long ago the oldest of them was put into its queue, `queue`
    what RabbitMQ still holds. Counters count since the account began to run here; `…_per_minute` are the last 60
    seconds, `unknown_10_minutes` and `unknown_hour` the last ten and sixty minutes. `hold` is what an operator told the
    account (`paused`, `draining`, `drained` or nothing) and `held_since` when; `paused_binds` are binds that send
    nothing for the same reason. `overrides` are `rate`, `burst` and `window` set by hand. `receipt_lag_…_ms` are of a
    sample of the messages. `unbound_seconds` is for how long none of its binds was up, None while one is.
    """

    channel_id: str
    account_id: str
    name: str
    system_id: str
    state: str
    detail: str
    binds: list[BindHealth]
    rate: RateStatus
    response_p50_ms: float | None
    response_p99_ms: float | None
    queued: int
    in_flight: int
    unpublished: int
    submitted: int
    accepted: int
    refused: int
    unknown: int
    late: int
    throttled: int
    receipts: int
    inbound: int
    reconnects: int
    hold: str = ""
    held_since: str = ""
    paused_binds: list[int] = []
    overrides: dict[str, float] = {}
    oldest_seconds: float | None = None
    queue: QueueStatus | None = None
    throttled_per_minute: int = 0
    receipts_per_minute: int = 0
    inbound_per_minute: int = 0
    unknown_10_minutes: int = 0
    unknown_hour: int = 0
    unbound_seconds: float | None = None
    receipt_lag_p50_ms: float | None = None
    receipt_lag_p99_ms: float | None = None


class DaemonStatus(msgspec.Struct, frozen=True):
    """`at` and `started_at` are RFC 3339; `database` and `rabbitmq` say whether each is connected.

    `others` is how many other daemons share the channels.
    """

    at: str
    started_at: str
    database: bool
    rabbitmq: bool
    accounts: list[AccountStatus]
    pid: int = 0
    host: str = ""
    others: int = 0


class BindHistory(msgspec.Struct, frozen=True):
    """The last states of one bind with their reasons, oldest first."""

    id: int
    events: list[BindEvent]


class AccountReport(msgspec.Struct, frozen=True):
    """Everything about one account. `settings` is the running configuration without secrets.

    `orphans` counts receipts that match no message, None while the database does not say.
    """

    at: str
    status: AccountStatus
    history: list[BindHistory]
    settings: dict[str, Any]
    orphans: int | None = None


class StatusCount(msgspec.Struct, frozen=True):
    """One command_status. `total` counts since the account began to run here, `last_hour` is exact to ten seconds.

    `advice` says in words what it means, `example` is the recipient of the last message that got it.
    """

    status: int
    name: str
    status_class: str
    advice: str
    total: int
    last_hour: int
    last_seen: str
    example: str


class AccountErrors(msgspec.Struct, frozen=True):
    """Answers to submit_sm of one account: those accepted, and every other command_status, frequent ones first."""

    channel_id: str
    name: str
    accepted: int
    accepted_hour: int
    unknown: int
    unknown_hour: int
    statuses: list[StatusCount]


class TracedPdu(msgspec.Struct, frozen=True):
    """One PDU. `direction` is `out` (ours) or `in`; `at` is RFC 3339 with milliseconds.

    `fields` are those of the standard, passwords masked; `text` is the decoded user data. `hex` is the whole PDU,
    header included, encoded anew with the mask where it holds a password. `latency_ms` is a response's time since its
    request. `dropped` counts PDUs before this one that were lost because the reader was too slow.
    """

    at: str
    channel_id: str
    account: str
    bind: int
    host: str
    direction: str
    command: str
    sequence: int
    status: int
    status_name: str
    fields: dict[str, Any]
    text: str | None
    hex: str
    latency_ms: float | None = None
    dropped: int = 0


class Found(msgspec.Struct, frozen=True):
    """An account that a word may mean."""

    channel_id: str
    name: str
    system_id: str


class Done(msgspec.Struct, frozen=True):
    """What a verb did, in words, and the account afterwards."""

    channel_id: str
    name: str
    detail: str
    status: AccountStatus


class FieldChange(msgspec.Struct, frozen=True):
    """One setting, running and stored, as JSON; secrets only say whether they differ."""

    field: str
    running: Any
    stored: Any


class ChannelChange(msgspec.Struct, frozen=True):
    """One channel. `action`: `none`, `start`, `stop`, `in place`, `rebind`, or `elsewhere` (another daemon has it).

    `rebinds` are the binds that need a new session.
    """

    channel_id: str
    name: str
    action: str
    changes: list[FieldChange]
    rebinds: list[int] = []


class ProbePart(msgspec.Struct, frozen=True):
    """One submit_sm of a test message; `status` is None when it was not answered."""

    number: int
    status: int | None
    status_name: str
    advice: str
    message_id: str
    latency_ms: float | None


class ProbeResult(msgspec.Struct, frozen=True):
    """A test message. `receipt` is the text of its receipt and `receipt_ms` how long it took, None without one."""

    channel_id: str
    name: str
    to: str
    parts: list[ProbePart]
    receipt: str | None = None
    receipt_state: str | None = None
    receipt_ms: float | None = None


class OperatorSaid(msgspec.Struct, frozen=True):
    """The operator's answer to query_sm or cancel_sm; `status` is None when none came in time.

    `state`, `final_date` and `error_code` are of query_sm alone (SMPP 3.4 §4.8.2).
    """

    channel_id: str
    name: str
    message_id: str
    status: int | None
    status_name: str
    advice: str
    latency_ms: float | None
    state: str | None
    final_date: str | None
    error_code: int | None


class OrphanReceipt(msgspec.Struct, frozen=True):
    """A receipt that matches no message: when it came, what it says, and its text."""

    id: str
    channel_id: str
    name: str
    parked_at: str
    received_at: str
    message_id: str
    status: str
    recipient: str | None
    state: str | None
    error: str | None
    raw: str | None


class Replay(msgspec.Struct, frozen=True):
    """How many orphans of an account found their message now, and how many still have none."""

    channel_id: str
    name: str
    matched: int
    unmatched: int
