"""One TCP (or TLS) connection of an application: the asyncio shell around an `SmscSession`.

Nothing awaits in the way of the octets: submits of one read are handed over together, and answered when they are
stored.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias, cast

from app.domain.smpp_accounts.directory import SmppAccountRecord
from app.lib.logging import get_logger
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.errors import LocalProtocolError
from smpp_daemon.protocol.events import (
    BindRequested,
    DeliverAnswered,
    Event,
    LateAnswer,
    PeerUnbound,
    ProtocolViolation,
    RequestExpired,
    RequestReceived,
    SessionFailed,
    SubmitReceived,
    Unbound,
)
from smpp_daemon.protocol.pdu import (
    BindRequest,
    CancelSm,
    DataSm,
    DataSmResp,
    QuerySm,
    ReplaceSmResp,
    SubmitMulti,
    SubmitMultiResp,
)
from smpp_daemon.protocol.session import SmscConfig, SmscSession
from smpp_daemon.protocol.states import BOUND, FINISHED
from smpp_daemon.protocol.status import ROK, RTHROTTLED, describe
from smpp_daemon.server import metrics
from smpp_daemon.server.account import ServedAccount
from smpp_daemon.server.desk import Answer, Desk
from smpp_daemon.server.mailbox import Piece
from smpp_daemon.server.reading import Submit
from smpp_daemon.server.refusals import RREPLACEFAIL, RefusedError
from smpp_daemon.server.status import ServedBind
from smpp_daemon.sockets import tune

log = get_logger(__name__)

DRAIN_SECONDS = 30.0
"""How long a peer may refuse to read before the connection is given up."""

CLOSE_SECONDS = 2.0
"""How long the last octets may take."""

HIGH_WATER = 256 * 1024
"""Octets in our own write buffer above which nothing more is read from the peer or sent to it."""

Request: TypeAlias = tuple[int, Submit]
"""sequence_number and PDU."""


class Host(Protocol):
    """What the connections of one server share."""

    desk: Desk

    def opened(self, connection: "ServedConnection") -> bool:
        """A peer connected; False when there are too many already."""

    async def admit(self, connection: "ServedConnection", request: BindRequest) -> ServedAccount:
        """Check a bind and count it in. Raises `RefusedError`."""

    def moved(self) -> None:
        """A connection that takes nothing more has answered something, or was answered."""

    def closed(self, connection: "ServedConnection") -> None:
        """The connection is over."""


class ServedConnection(asyncio.Protocol):
    """`account` is None until bound, `address` is the peer's IP address."""

    def __init__(self, host: Host, config: SmscConfig, tls: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.session = SmscSession(config, loop.time())
        self.account: ServedAccount | None = None
        self.admitted: SmppAccountRecord | None = None
        self.mode: BindMode | None = None
        self.address = ""
        self.peer = ""
        self.since: datetime | None = None
        self.submitted = self.refused = self.throttled = self.delivered = 0
        self._host = host
        self._tls = tls
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._drain_timer: asyncio.TimerHandle | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._paused = False
        self._closing = False
        self._over = False
        self._draining = False
        self._reason = ""

    # -- for the server -------------------------------------------------------------------------------------------

    @property
    def bound(self) -> bool:
        """Whether messages can pass in some direction."""
        return not self._closing and self.session.state in BOUND

    @property
    def idle(self) -> bool:
        """Whether nothing waits for an answer in either direction."""
        return not self._working and not len(self.session.link.window)

    @property
    def room(self) -> int:
        """How many deliver_sm it takes now: none while the peer does not read."""
        if self._paused or self._draining or self._closing or self.session.state not in BOUND:
            return 0
        return self.session.room

    @property
    def interface_version(self) -> int | None:
        """What the application said in its bind."""
        return self.session.interface_version

    def deliver(self, bodies: list[bytes], pieces: list[Piece]) -> int:
        """Sends deliver_sm, as many as there is room for; how many those were."""
        if not bodies or not self.room:
            return 0
        sent = self.session.deliver_many(bodies, pieces, self._loop.time())
        self._flush()
        return sent

    def still_fits(self, record: SmppAccountRecord) -> bool:
        """Whether what this bind was admitted with is still right."""
        admitted = self.admitted
        return admitted is not None and (admitted.password_hash, admitted.system_id) == (
            record.password_hash,
            record.system_id,
        )

    def set_window(self, window: int) -> None:
        """Takes another window at once."""
        self.session.link.window.limit = window

    def drain(self) -> None:
        """Takes nothing more; what is being stored is still answered."""
        self._draining = True

    def end(self, reason: str) -> None:
        """Unbinds; the answer closes the connection."""
        self._reason = self._reason or reason
        self.drain()
        if not self.bound:
            self._close()
            return
        try:
            self.session.unbind(self._loop.time())
        except LocalProtocolError:
            self._close()
            return
        self._flush()

    def abort(self) -> None:
        """Cuts the connection without a word."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def status(self) -> ServedBind | None:
        """What an operator sees of this bind; None before it is one."""
        if self.account is None or self.mode is None or self.since is None:
            return None
        window = self.session.link.window
        return ServedBind(
            system_id=self.account.record.system_id,
            account_id=str(self.account.record.account_id),
            mode=self.mode.name.lower(),
            peer=self.peer,
            tls=self._tls,
            since=self.since.isoformat(timespec="seconds").replace("+00:00", "Z"),
            unanswered_submits=self.session.link.inbound,
            unanswered_deliveries=len(window),
            window=window.limit,
            submitted=self.submitted,
            refused=self.refused,
            throttled=self.throttled,
            delivered=self.delivered,
        )

    # -- called by the event loop ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the wait for a bind."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = stream = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.peer = f"{peer[0]}:{peer[1]}" if peer else "unknown"
        stream.set_write_buffer_limits(high=HIGH_WATER)
        tune(transport.get_extra_info("socket"))
        if not self._host.opened(self):
            self.abort()
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        """The hot path: octets → events → whatever they lead to → octets."""
        now = self._loop.time()
        self._handle(self.session.receive(data, now), now)

    def pause_writing(self) -> None:
        """The peer does not read: nothing is sent to it, nothing that would need an answer is read, not for ever."""
        self._paused = True
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()
        self._arm_drain(DRAIN_SECONDS)

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._paused = False
        if self._closing:
            return
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        if self._transport is not None:
            self._transport.resume_reading()
        if self.account is not None:
            self.account.mailbox.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever wanted it. What is being stored is stored; the peer was not told and will ask or resend."""
        self._over = self._closing = True
        for timer in (self._timer, self._drain_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._drain_timer = None
        unanswered = self.session.close(self._reason or "connection lost")
        if self.account is not None:
            self.account.mailbox.remove(self, [cast("Piece", each.token) for each in unanswered])
        self._host.closed(self)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _handle(self, events: list[Event], now: float) -> None:
        submits: list[Request] = []
        answered = over = False
        for event in events:
            if isinstance(event, SubmitReceived):
                submits.append((event.sequence, event.pdu))
            elif isinstance(event, DeliverAnswered):
                answered = True
                self._answered(event.token, event.status)
            elif isinstance(event, RequestReceived):
                if isinstance(event.pdu, DataSm):
                    submits.append((event.sequence, event.pdu))
                else:
                    self._request(event, now)
            elif isinstance(event, RequestExpired):
                answered = True
                if self.account is not None:
                    self.account.mailbox.postponed(self, cast("Piece", event.token))
            elif isinstance(event, LateAnswer):
                answered = True
                self._answered(event.token, event.status)
            elif isinstance(event, BindRequested):
                self._work(self._bind(event))
            elif isinstance(event, ProtocolViolation):
                metrics.violations.inc()
            elif isinstance(event, PeerUnbound | Unbound | SessionFailed):
                over = True
        if submits:
            self._submit(submits, now)
        if answered and self.account is not None:
            self.account.mailbox.pump()
        self._flush()
        if self._draining:
            self._host.moved()
        if over or self.session.state in FINISHED:
            self._close()

    def _answered(self, token: object, status: int) -> None:
        if status == ROK:
            self.delivered += 1
        if self.account is not None:
            self.account.mailbox.answered(self, cast("Piece", token), status)

    def _submit(self, submits: list[Request], now: float) -> None:
        account = self.account
        if account is None or self._draining:
            self._throttle(submits)
            return
        # What was read just now counts as unanswered already.
        over = self.session.link.inbound - account.record.settings.inbound_limit
        if over > 0:
            self._throttle(submits[-over:])
            submits = submits[:-over]
        granted = account.take(len(submits), now) if submits else 0
        if granted < len(submits):
            self._throttle(submits[granted:])
            submits = submits[:granted]
        if submits:
            self._work(self._store(account, submits))

    def _throttle(self, submits: Sequence[Request]) -> None:
        self.throttled += len(submits)
        for sequence, pdu in submits:
            self._answer_submit(sequence, pdu, Answer(RTHROTTLED))

    async def _store(self, account: ServedAccount, submits: list[Request]) -> None:
        answers = await self._host.desk.submit(account.record, [pdu for _, pdu in submits])
        for (sequence, pdu), answer in zip(submits, answers, strict=True):
            self._answer_submit(sequence, pdu, answer)
            if answer.status == ROK:
                self.submitted += 1
            else:
                self.refused += 1
        metrics.submitted.inc(sum(answer.status == ROK for answer in answers))
        self._flush()

    def _answer_submit(self, sequence: int, pdu: Submit, answer: Answer) -> None:
        if answer.status:
            metrics.refused.labels(describe(answer.status).name).inc()
        if isinstance(pdu, DataSm):
            self.session.answer(sequence, answer.status, DataSmResp(answer.message_id))
        else:
            self.session.answer_submit(sequence, answer.status, answer.message_id)

    def _request(self, event: RequestReceived, now: float) -> None:
        account = self.account
        if account is None:
            self.session.abandon(event.sequence)
        elif isinstance(event.pdu, SubmitMulti):
            self._submit_multi(account, event.sequence, event.pdu, now)
        elif isinstance(event.pdu, QuerySm):
            self._work(self._reply(event.sequence, self._host.desk.query(account.record, event.pdu)))
        elif isinstance(event.pdu, CancelSm):
            self._work(self._reply(event.sequence, self._host.desk.cancel(account.record, event.pdu)))
        else:
            # What was accepted may be with the operator already.
            self.session.answer(event.sequence, RREPLACEFAIL, ReplaceSmResp())

    def _submit_multi(self, account: ServedAccount, sequence: int, pdu: SubmitMulti, now: float) -> None:
        wanted = len(pdu.destinations)
        granted = 0 if self._draining else account.take(wanted, now)
        if granted < wanted:
            account.give_back(granted)
            self.throttled += 1
            self.session.answer(sequence, RTHROTTLED, SubmitMultiResp())
            return
        self._work(self._reply(sequence, self._host.desk.submit_multi(account.record, pdu)))

    async def _reply(self, sequence: int, doing: Coroutine[Any, Any, tuple[int, Any]]) -> None:
        status, response = await doing
        if status:
            metrics.refused.labels(describe(status).name).inc()
        self.session.answer(sequence, status, response)
        self._flush()

    async def _bind(self, event: BindRequested) -> None:
        request = event.request
        try:
            account = await self._host.admit(self, request)
            status = ROK
        except RefusedError as refusal:
            account, status = None, refusal.status
        metrics.bind_requests.labels(describe(status).name).inc()
        if self._over:
            return
        now = self._loop.time()
        self.session.answer_bind(event.sequence, status, now)
        if account is not None and self.bound:
            self.account = account
            self.mode = request.mode
            self.since = datetime.now(UTC)
            self.set_window(account.record.settings.window)
        self._flush()
        if status:
            self._close()
        elif account is not None and self.bound and request.mode is not BindMode.TRANSMITTER:
            account.mailbox.add(self)

    def _work(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._working.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A request that is never answered would hold the peer's window for ever.
            log.error("a request of an application failed", peer=self.peer, exc_info=error)
            self.abort()
        if self._draining:
            self._host.moved()

    def _flush(self) -> None:
        """Writes everything the session has for the peer, and sets the timer for what is due next."""
        if self._transport is None or self._over:
            return
        data = self.session.take_output()
        if data and not self._transport.is_closing():
            self._transport.write(data)
        due = self.session.next_deadline()
        if due is not None and (self._timer is None or due < self._armed_at):
            if self._timer is not None:
                self._timer.cancel()
            self._armed_at = due
            # The clock of the loop has milliseconds: a tick that comes one too early would only come again.
            self._timer = self._loop.call_at(due + 0.001, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._handle(self.session.tick(now), now)

    def _close(self) -> None:
        """Writes what is left to write and closes; aborts when that takes too long."""
        if self._closing:
            return
        self._flush()
        self._closing = True
        if self._transport is not None:
            self._transport.close()
            self._arm_drain(CLOSE_SECONDS)

    def _arm_drain(self, seconds: float) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self._drain_timer = self._loop.call_later(seconds, self.abort)
