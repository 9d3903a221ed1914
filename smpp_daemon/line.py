"""The line of claimed messages of one account: who goes next, on which bind, and what the answers do.

Everything here runs inside callbacks of the event loop: nothing is awaited, no task or future is made for a message.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from app.domain.messages.events import Lane, Outcome, SubmitResult, SubmittedPart
from connectors.smpp.options import OnUnknown
from smpp_daemon import metrics
from smpp_daemon.backlog import BULK_EVERY, NOT_ANSWERED, Item
from smpp_daemon.multi import submit_together
from smpp_daemon.outcomes import STANDARD, conclude, interrupted, is_open
from smpp_daemon.pace import Counters
from smpp_daemon.pool import choose
from smpp_daemon.protocol.constants import CommandId
from smpp_daemon.protocol.events import LateAnswer, SubmitAnswered, SubmitExpired, Unanswered
from smpp_daemon.protocol.status import RMSGQFUL, StatusClass
from smpp_daemon.protocol.throttle import Throttle
from smpp_daemon.transport import Connection

CHUNK = 64
"""PDUs given to one bind before the next one is looked at, so that several binds share the work."""

TOGETHER_SECONDS = 0.01
"""Of a limited channel so much is written together: one by one, each PDU and each answer would cost a packet."""

THROTTLE_PAUSE = 1.0
QUEUE_FULL_PAUSE = 5.0

_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)
_BACK_IN_LINE = frozenset({StatusClass.THROTTLE, StatusClass.SESSION})

Token = Item | tuple[Item, int]
"""What a submit_sm comes back with: the message, and the index of the part when it has several."""


class Line:
    """`connections` are the account's, `blocked` says when nothing may be written whatever they allow.

    `report` gets each result, with the message while its batch still waits for it; `report_sent` those of messages that
    were accepted whole, many at once. Each lane has a line of its own: `high` goes first, and every tenth message is
    from `bulk` while both wait. `multi` above 1 lets so many equal texts share a submit_multi.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        throttle: Throttle,
        counters: Counters,
        *,
        connections: Callable[[], Sequence[Connection]],
        blocked: Callable[[], bool],
        report: Callable[[SubmitResult, Item | None], None],
        report_sent: Callable[[list[SubmitResult], list[Item]], None],
        wall: Callable[[], float],
        on_unknown: OnUnknown,
    ) -> None:
        self.on_unknown = on_unknown
        self.statuses = STANDARD
        self.multi = 0
        self.throttle = throttle
        self._loop = loop
        self._counters = counters
        self._connections = connections
        self._blocked = blocked
        self._report = report
        self._report_sent = report_sent
        self._wall = wall
        self._ready: dict[Lane, deque[Item]] = {Lane.HIGH: deque(), Lane.BULK: deque()}
        self._high, self._bulk = self._ready[Lane.HIGH], self._ready[Lane.BULK]
        self._returned: list[Item] = []
        self._next_order = 0
        self._turn = 0
        self._started: Item | None = None
        self._started_on: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._high) + len(self._bulk) + len(self._returned)

    def waiting(self, lane: Lane) -> int:
        """Claimed messages of a lane that still have to be written."""
        return len(self._ready[lane]) + sum(item.batch.lane is lane for item in self._returned)

    def append(self, item: Item) -> None:
        """A claimed message with its PDUs joins the end of its lane's line; `pump` sends it."""
        item.order = self._next_order
        self._next_order += 1
        item.queued = True
        self._ready[item.batch.lane].append(item)

    # -- sending --------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Writes as much as windows, tokens and sockets allow."""
        if self._returned:
            self._merge_returned()
        while (head := self._head()) is not None and not self._blocked():
            gathers = head.batch.lane is Lane.BULK and not self._high and self._started is None
            if gathers and self._timer is not None:
                # An answer is no reason to write what the next few are to go with.
                return
            wanted = self._wanted(head)
            connection = self._started_on or choose(self._connections(), wanted)
            if connection is None or connection.room < wanted:
                return
            now = self._loop.time()
            granted = self.throttle.take(min(connection.room, max(CHUNK, wanted)), now)
            if granted < wanted:
                self.throttle.give_back(granted)
                together = self._together() if gathers else wanted
                self._wait_until(self.throttle.next_at(now, max(wanted, together)))
                return
            self._write(connection, granted, now)

    def _head(self) -> Item | None:
        """Whose turn it is."""
        if self._started is not None:
            return self._started
        if self._high and not (self._bulk and self._turn % BULK_EVERY == BULK_EVERY - 1):
            return self._high[0]
        return self._bulk[0] if self._bulk else None

    def _wanted(self, item: Item) -> int:
        """How many PDUs of a message must be able to go together: all, unless no window or burst holds them."""
        parts = len(item.unsent)
        if parts == 1:
            return 1
        limit = max((each.session.link.window.limit for each in self._connections() if each.can_send), default=1)
        return max(1, min(parts, limit, int(self.throttle.capacity)))

    def _write(self, connection: Connection, granted: int, now: float) -> None:
        """Takes messages from the heads of the lines while their parts fit into `granted` PDUs."""
        bodies: list[bytes] = []
        tokens: list[Token] = []
        self._started = self._started_on = None
        left = granted
        while left and (item := self._head()) is not None:
            if len(item.bodies) == 1:
                bodies.append(item.bodies[0])
                tokens.append(item)
                item.waiting = 1
                item.unsent.clear()
                left -= 1
            else:
                if left < self._wanted(item):
                    break
                # A text longer than the window goes in pieces, on one bind and with nothing in between.
                going, item.unsent = item.unsent[:left], item.unsent[left:]
                bodies += [item.bodies[index] for index in going]
                tokens += [(item, index) for index in going]
                item.waiting += len(going)
                left -= len(going)
                if item.unsent:
                    self._started, self._started_on = item, connection
                    break
            item.queued = False
            self._ready[item.batch.lane].popleft()
            self._turn += 1
        if left:
            self.throttle.give_back(left)
        if self.multi > 1:
            submit_together(connection, bodies, tokens, self.multi, now)
        else:
            connection.submit(bodies, tokens)
        self._counters.sent(len(bodies), now)
        metrics.submitted.inc(len(bodies))

    def _together(self) -> int:
        """How many tokens `bulk` waits for; a bucket that never fills loses nothing of the rate."""
        waiting = len(self._bulk)
        return min(waiting, int(self.throttle.current_rate * TOGETHER_SECONDS), int(self.throttle.capacity / 2))

    def _wait_until(self, moment: float) -> None:
        # A millisecond more than needed: the loop's clock has no finer grain.
        moment += 0.001
        if self._timer is not None:
            if self._timer.when() <= moment:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._due)

    def _due(self) -> None:
        self._timer = None
        self.pump()

    # -- answers --------------------------------------------------------------------------------------------------

    def answered(self, events: list[SubmitAnswered]) -> bool:
        """Answers that came together; False when the bind is not what we think it is and must be bound again."""
        latencies = [event.latency for event in events]
        self._counters.answered(latencies)
        metrics.response_seconds.observe(latencies)
        at = self._wall()
        results: list[SubmitResult] = []
        items: list[Item] = []
        refused: Counter[str] = Counter()
        sound = True
        for event in events:
            item, index = _part(event.token)
            item.waiting -= 1
            status = event.status
            if status == 0:
                item.answers[index] = (0, event.message_id)
                if len(item.bodies) == 1:
                    # Nearly every message there is: nothing else can become of it any more.
                    item.concluded = True
                    message = item.message
                    parts = [SubmittedPart(1, event.message_id or None)]
                    results.append(SubmitResult(message.id, message.attempt, Outcome.SENT, at, parts))
                    items.append(item)
                    continue
            else:
                kind = self.statuses.describe(status).status_class
                if kind is StatusClass.OK:
                    item.answers[index] = (0, event.message_id)
                else:
                    refused[kind.value] += 1
                    self._counters.refusals.add(status, item.message.to, at)
                    if kind in _BACK_IN_LINE:
                        self._refused_for_now(item, index, status, kind)
                        sound = sound and kind is not StatusClass.SESSION
                    else:
                        item.answers[index] = (status, "")
            if not item.waiting and not item.queued:
                self._settle(item)
        if items:
            self._report_sent(results, items)
            # One of each set is enough to know how late receipts come.
            self._counters.receipt_lag.accepted(results[0].parts[0].provider_message_id, at)
        accepted = len(events) - refused.total()
        metrics.responses.labels("ok").inc(accepted)
        for name, count in refused.items():
            metrics.responses.labels(name).inc(count)
        self._counters.accepted += accepted
        self._counters.refused += len(events) - accepted
        return sound

    def expired(self, event: SubmitExpired) -> None:
        """The deadline of a submit_sm is over."""
        self._lost(event.token)

    def unanswered(self, request: Unanswered) -> None:
        """A connection ended before the answer; what was never written is simply sent again."""
        if request.response != _SUBMIT_SM_RESP:
            return
        if request.written:
            self._lost(request.token)
            return
        item, index = _part(request.token)
        item.waiting -= 1
        item.unsent.append(index)
        if not item.waiting and not item.queued:
            self._settle(item)

    def late(self, event: LateAnswer) -> None:
        """The answer to a part already counted as lost: it settles a message that was reported as unknown."""
        if event.response != _SUBMIT_SM_RESP:
            return
        self._counters.late += 1
        metrics.late.inc()
        item, index = _part(event.token)
        answer = item.answers[index]
        if answer is None or answer[0] != NOT_ANSWERED:
            return
        accepted = self.statuses.describe(event.status).status_class is StatusClass.OK
        item.answers[index] = (0 if accepted else event.status, event.message_id)
        if not item.concluded or is_open(item):
            return
        result = conclude(item, self.on_unknown, self._wall(), late=True, statuses=self.statuses)
        # A message that is being sent again is not failed by the refusal of its first attempt.
        if result.outcome is Outcome.SENT or self.on_unknown is not OnUnknown.RESEND:
            self._report(result, None)

    def lost_connection(self, connection: Connection) -> None:
        """Call after every `unanswered` of it: a text that was half written there goes on elsewhere, or is over."""
        head = self._started
        if head is None or self._started_on is not connection:
            return
        self._started = self._started_on = None
        head.unsent.sort()
        if is_open(head):
            self._ready[head.batch.lane].popleft()
            head.queued = False
            self._finish(head)

    def _refused_for_now(self, item: Item, index: int, status: int, kind: StatusClass) -> None:
        item.unsent.append(index)
        if kind is StatusClass.THROTTLE:
            self._counters.throttled += 1
            metrics.throttled.inc()
            pause = QUEUE_FULL_PAUSE if status == RMSGQFUL else THROTTLE_PAUSE
            self.throttle.on_throttled(self._loop.time(), pause)

    def _lost(self, token: object) -> None:
        item, index = _part(token)
        self._counters.unknown += 1
        metrics.unknown.inc()
        item.waiting -= 1
        item.answers[index] = (NOT_ANSWERED, "")
        if not item.waiting and not item.queued:
            self._settle(item)

    def _settle(self, item: Item) -> None:
        """Nothing of the message is on its way: either some parts have to go (again), or it is over."""
        spoilt = any(answer is not None and answer[0] != 0 for answer in item.answers)
        if item.unsent and not spoilt:
            item.unsent.sort()
            item.queued = True
            self._returned.append(item)
            return
        self._finish(item)

    def _finish(self, item: Item) -> None:
        item.concluded = True
        self._report(conclude(item, self.on_unknown, self._wall(), statuses=self.statuses), item)

    def _merge_returned(self) -> None:
        """Messages that must go again take their old places: the refusals of one window come in any order."""
        returned, self._returned = self._returned, []
        for lane, ready in self._ready.items():
            back = sorted((item for item in returned if item.batch.lane is lane), key=_order)
            if not back:
                continue
            # Nothing may come between the parts of a text that is half written.
            started = ready.popleft() if ready and ready[0] is self._started else None
            last = back[-1].order
            while ready and ready[0].order < last:
                back.append(ready.popleft())
            back.sort(key=_order)
            ready.extendleft(reversed(back))
            if started is not None:
                ready.appendleft(started)

    # -- the end --------------------------------------------------------------------------------------------------

    def withdraw(self) -> list[Item]:
        """Takes every message that was never accepted in any part out of the line; half accepted ones are concluded."""
        self._merge_returned()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._started = self._started_on = None
        unsent: list[Item] = []
        for ready in self._ready.values():
            while ready:
                item = ready.popleft()
                item.queued = False
                if item.waiting:
                    # Half written: its answers conclude it.
                    item.unsent.clear()
                elif item.accepted:
                    item.concluded = True
                    self._report(interrupted(item, self._wall()), item)
                else:
                    unsent.append(item)
        return unsent


def _part(token: Any) -> tuple[Item, int]:
    return token if type(token) is tuple else (token, 0)


def _order(item: Item) -> int:
    return item.order
