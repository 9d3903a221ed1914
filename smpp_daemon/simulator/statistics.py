"""What the simulator counts, and its line of text."""

import msgspec


class Statistics(msgspec.Struct, gc=False):
    """Counters since the start; `sessions`, `owed` and `waiting` are what there is now.

    `owed`: receipts not acknowledged. `waiting`: deliver_sm of mobile-originated messages not acknowledged. `dropped`:
    bound sessions that ended without unbind. `unanswered`: messages that were accepted and never answered properly.
    `messages_*`: deliver_sm of mobile-originated messages; `receipts_*`: of all copies of receipts.
    """

    connections: int = 0
    sessions: int = 0
    binds: int = 0
    binds_refused: int = 0
    accepted: int = 0
    refused: int = 0
    receipts_sent: int = 0
    receipts_acknowledged: int = 0
    receipts_refused: int = 0
    owed: int = 0
    violations: int = 0
    throttled: int = 0
    queue_full: int = 0
    unanswered: int = 0
    dropped: int = 0
    unbound: int = 0
    messages_sent: int = 0
    messages_acknowledged: int = 0
    messages_refused: int = 0
    waiting: int = 0
    cancelled: int = 0
    replaced: int = 0


def line(statistics: Statistics, before: Statistics, seconds: float) -> str:
    """One line for people: totals, and rates since `before`, `seconds` ago."""
    accepted = (statistics.accepted - before.accepted) / seconds
    acknowledged = (statistics.receipts_acknowledged - before.receipts_acknowledged) / seconds
    return (
        f"sessions {statistics.sessions}  accepted {statistics.accepted} ({accepted:.0f}/s)"
        f"  refused {statistics.refused} (throttled {statistics.throttled}, full {statistics.queue_full})"
        f"  unanswered {statistics.unanswered}"
        f"  receipts {statistics.receipts_acknowledged} ({acknowledged:.0f}/s)  owed {statistics.owed}"
        f"  messages {statistics.messages_acknowledged} waiting {statistics.waiting}"
        f"  binds {statistics.binds} refused {statistics.binds_refused}"
        f"  unbound {statistics.unbound} dropped {statistics.dropped}  violations {statistics.violations}"
    )
