"""The simulated SMSC: who may bind, what happens to a message, and which session gets its receipt."""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from smpp_daemon.protocol.events import SubmitReceived
from smpp_daemon.protocol.pdu import BindRequest
from smpp_daemon.protocol.session import SmscConfig
from smpp_daemon.protocol.status import RINVPASWD, RINVSYSID, RMSGQFUL, ROK, RTHROTTLED
from smpp_daemon.protocol.throttle import Throttle
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.simulator.connection import Connection
from smpp_daemon.simulator.journal import Accepted, Acknowledged, Journal, open_journal
from smpp_daemon.simulator.receipts import Mailbox, owes_receipt, receipt_body
from smpp_daemon.simulator.script import Behaviour, CompiledScript, Script

RETRY_SECONDS = 5.0
STOP_SECONDS = 3.0


class SimulatorSettings(msgspec.Struct, frozen=True):
    """`port` 0 takes a free one; any credentials pass while `system_id` and `password` are None.

    `receipt_delay`: seconds from the acceptance to the receipt, None for no receipts at all. `throttle_above`:
    submit_sm a second, over all sessions, beyond which the answer is RTHROTTLED. `receipt_window`: deliver_sm without
    an answer on one session. `pending_limit`: receipts owed before further messages get RMSGQFUL. `keep`: how many of
    the last accepted messages `Simulator.recent` holds. `first_number`: where message ids start; None derives it from
    the clock, so that a simulator without a journal repeats no id.
    """

    host: str = "127.0.0.1"
    port: int = 0
    system_id: str | None = None
    password: str | None = None
    receipt_delay: float | None = 0.0
    journal: Path | None = None
    ids: Literal["hex", "decimal"] = "hex"
    refuse_binds: int = ROK
    throttle_above: float | None = None
    receipt_window: int = 100
    pending_limit: int = 500_000
    keep: int = 10_000
    first_number: int | None = None
    timers: TimerSettings = TimerSettings(response=30.0)
    script: Script = Script()


class Statistics(msgspec.Struct, gc=False):
    """Counters since the start; `sessions` and `owed` are what there is now (`owed`: receipts not acknowledged)."""

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


class Simulator:
    """One listening SMSC on the running loop: `async with Simulator(settings) as simulator: simulator.port`.

    Leaving the block unbinds every session. A receipt goes to any session of the same system_id that is bound for
    receiving; what is not acknowledged goes to the next one, and with a journal also after a kill and a restart.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.statistics = Statistics()
        self.recent: deque[Accepted] = deque(maxlen=self.settings.keep)
        self.port = 0
        self.session_config = SmscConfig(
            name="smsc-sim", system_id="smsc-sim", window=self.settings.receipt_window, timers=self.settings.timers
        )
        self._script = CompiledScript(self.settings.script)
        self._journal: Journal | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._receivers: dict[str, list[Connection]] = {}
        self._mailboxes: dict[str, Mailbox] = {}
        self._delayed: list[tuple[float, int, Connection, int, int, str]] = []
        self._order = 0
        self._number = 0
        self._throttle: Throttle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._empty = asyncio.Event()

    @property
    def accepted(self) -> int:
        """Messages accepted since the start."""
        return self.statistics.accepted

    async def start(self) -> None:
        """Reads the journal, then listens. Raises OSError when the port is taken, ValueError for a broken journal."""
        settings = self.settings
        loop = asyncio.get_running_loop()
        now = loop.time()
        if settings.throttle_above is not None:
            self._throttle = Throttle(settings.throttle_above, max(1.0, settings.throttle_above / 10), now)
        self._number = int(time.time() * 1000) << 8 if settings.first_number is None else settings.first_number - 1
        if settings.journal is not None:
            self._journal, recovered = open_journal(settings.journal)
            self._number = max(self._number, recovered.highest)
            for message in recovered.owed:
                self._owe(message, now)
        self._server = await loop.create_server(self._connect, settings.host, settings.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening, unbinds every session, waits at most `STOP_SECONDS` for their answers, closes everything."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.unbind()
        if self._connections:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), STOP_SECONDS)
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
                await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def drop_connections(self) -> int:
        """Cuts every connection as a network does, without unbind; how many those were."""
        dropped = len(self._connections)
        for connection in list(self._connections):
            connection.abort()
        return dropped

    # -- called by the connections --------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """A TCP connection came."""
        self._connections.add(connection)
        self.statistics.connections += 1

    def closed(self, connection: Connection, unanswered: Sequence[Accepted]) -> None:
        """It went; its unanswered receipts go to another session at once."""
        self._connections.discard(connection)
        if connection.system_id is not None:
            self.statistics.sessions -= 1
            receivers = self._receivers.get(connection.system_id, [])
            if connection in receivers:
                receivers.remove(connection)
            if not receivers:
                self._receivers.pop(connection.system_id, None)
        self.take_back(unanswered)
        if not self._connections:
            self._empty.set()

    def check_bind(self, request: BindRequest) -> int:
        """The command_status that answers a bind."""
        settings = self.settings
        status = settings.refuse_binds or self._script.bind_status
        if status == ROK and settings.system_id is not None and request.system_id != settings.system_id:
            status = RINVSYSID
        if status == ROK and settings.password is not None and request.password != settings.password:
            status = RINVPASWD
        if status == ROK:
            self.statistics.binds += 1
        else:
            self.statistics.binds_refused += 1
        return status

    def bound(self, connection: Connection, system_id: str, receives: bool) -> None:
        """A session is bound; from now on it may get receipts."""
        self.statistics.sessions += 1
        if receives:
            self._receivers.setdefault(system_id, []).append(connection)

    def submitted(self, connection: Connection, system_id: str, events: Sequence[SubmitReceived], now: float) -> None:
        """Decides on messages that came together: the accepted ones are in the journal before any answer is made."""
        answers: list[tuple[int, int, str, Behaviour]] = []
        accepted: list[Accepted] = []
        owed = self.statistics.owed
        at = time.time()
        for event in events:
            behaviour = self._script.behaviour(event.pdu.destination_addr)
            status = behaviour.status
            if self._throttle is not None and not self._throttle.take(1, now):
                status = RTHROTTLED
            elif owed + len(accepted) >= self.settings.pending_limit:
                status = RMSGQFUL
            message_id = ""
            if status == ROK:
                message = self._accept(event, system_id, behaviour, at)
                message_id = message.id
                accepted.append(message)
            answers.append((event.sequence, status, message_id, behaviour))
        if accepted:
            if self._journal is not None:
                self._journal.append(accepted)
            self.recent.extend(accepted)
            self.statistics.accepted += len(accepted)
        self.statistics.refused += len(answers) - len(accepted)
        for sequence, status, message_id, behaviour in answers:
            if behaviour.never_answer and status == ROK:
                connection.session.abandon(sequence)
            elif behaviour.response_delay:
                self._order += 1
                due = now + behaviour.response_delay
                heapq.heappush(self._delayed, (due, self._order, connection, sequence, status, message_id))
                self._arm(due)
            else:
                connection.session.answer_submit(sequence, status, message_id)
        delay = self.settings.receipt_delay or 0.0
        for message in accepted:
            if message.receipt is not None:
                self._owe(message, now + delay)

    def acknowledged(self, messages: Sequence[Accepted]) -> None:
        """The ESME took these receipts."""
        self.statistics.receipts_acknowledged += len(messages)
        self.statistics.owed -= len(messages)
        if self._journal is not None:
            at = time.time()
            self._journal.append([Acknowledged(message.id, at) for message in messages])

    def take_back(self, messages: Sequence[Accepted], delay: float = 0.0) -> None:
        """These receipts were sent and not acknowledged: they are tried again after `delay` seconds."""
        if not messages:
            return
        due = asyncio.get_running_loop().time() + delay
        for message in messages:
            self._mailbox(message.system_id).put(message, due)
        self._arm(due)

    def pump(self, system_id: str, now: float) -> None:
        """Sends the receipts that are due to the sessions that have room."""
        mailbox = self._mailboxes.get(system_id)
        receivers = self._receivers.get(system_id)
        if mailbox is None or not receivers:
            return
        done_at = time.time()
        for connection in list(receivers):
            due = mailbox.take_due(now, connection.room)
            if due:
                connection.deliver([receipt_body(message, done_at) for message in due], due, now)
                self.statistics.receipts_sent += len(due)
        if not mailbox:
            del self._mailboxes[system_id]
            return
        # Sessions rotate so that several binds share the load; a full one is pumped again by its own answers.
        receivers.append(receivers.pop(0))
        next_due = mailbox.next_due()
        if next_due is not None and next_due > now:
            self._arm(next_due)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _connect(self) -> Connection:
        return Connection(self)

    def _accept(self, event: SubmitReceived, system_id: str, behaviour: Behaviour, at: float) -> Accepted:
        self._number += 1
        pdu = event.pdu
        stat: str | None = None
        if self.settings.receipt_delay is not None and behaviour.receipt != "none":
            stat = behaviour.receipt if owes_receipt(pdu.registered_delivery, behaviour.receipt) else None
        return Accepted(
            f"{self._number:x}" if self.settings.ids == "hex" else str(self._number),
            self._number,
            at,
            system_id,
            event.sequence,
            pdu.source_addr_ton,
            pdu.source_addr_npi,
            pdu.source_addr,
            pdu.dest_addr_ton,
            pdu.dest_addr_npi,
            pdu.destination_addr,
            pdu.esm_class,
            pdu.data_coding,
            pdu.registered_delivery,
            pdu.content.hex(),
            stat,
            behaviour.error,
        )

    def _mailbox(self, system_id: str) -> Mailbox:
        return self._mailboxes.setdefault(system_id, Mailbox())

    def _owe(self, message: Accepted, due: float) -> None:
        self.statistics.owed += 1
        self._mailbox(message.system_id).put(message, due)
        self._arm(due)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        touched: set[Connection] = set()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, connection, sequence, status, message_id = heapq.heappop(self._delayed)
            if connection in self._connections:
                connection.session.answer_submit(sequence, status, message_id)
                touched.add(connection)
        for connection in touched:
            connection.flush()
        if self._delayed:
            self._arm(self._delayed[0][0])
        for system_id in list(self._mailboxes):
            self.pump(system_id, now)
