"""The simulated SMSC: it listens, holds the parts together, and can be told what to do while it runs."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from smpp_daemon.protocol.events import RequestReceived, SubmitReceived
from smpp_daemon.protocol.pdu import AlertNotification, BindRequest, CancelSm, DataSm, QuerySm, SubmitMulti
from smpp_daemon.protocol.session import SmscConfig
from smpp_daemon.protocol.status import RINVPASWD, RINVSYSID, ROK
from smpp_daemon.simulator.accounts import Accounts
from smpp_daemon.simulator.behaviour import CompiledScript
from smpp_daemon.simulator.connection import Connection
from smpp_daemon.simulator.hazards import Hazards, hazardous
from smpp_daemon.simulator.intake import Intake
from smpp_daemon.simulator.journal import Accepted, BindRefused, Bound, Dropped, Originated, Unbound, open_journal
from smpp_daemon.simulator.operations import Operations
from smpp_daemon.simulator.originated import Message, messages_of, order_of, parts_of
from smpp_daemon.simulator.post import Post
from smpp_daemon.simulator.receipts import Delivery
from smpp_daemon.simulator.records import Records
from smpp_daemon.simulator.script import Script, Traffic
from smpp_daemon.simulator.settings import SimulatorSettings
from smpp_daemon.simulator.statistics import Statistics
from smpp_daemon.simulator.traffic import Generator

__all__ = ["Simulator", "SimulatorSettings", "Statistics"]

STOP_SECONDS = 3.0


class Simulator:
    """One listening SMSC on the running loop: `async with Simulator(settings) as simulator: simulator.port`.

    Leaving the block unbinds every session. A receipt goes to any session of the same system_id that is bound for
    receiving; what is not acknowledged goes to the next one, and with a journal also after a kill and a restart.
    Raises ValueError for a script that cannot be followed.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.statistics = Statistics()
        self.recent: deque[Accepted] = deque(maxlen=self.settings.keep)
        self.port = 0
        self.session_config = SmscConfig(
            name="smsc-sim", system_id="smsc-sim", window=self.settings.receipt_window, timers=self.settings.timers
        )
        self.random = Random(self.settings.script.seed)
        self.records = Records()
        self._script = CompiledScript(self.settings.script)
        self.coalesce_bind = self.settings.script.coalesce_bind
        self._accounts = Accounts(self.settings.script.binds)
        self.post = Post(self._accounts, self.records, self.statistics, self.random, self._arm)
        self._intake = Intake(
            self.settings, self._accounts, self.post, self.records, self.statistics, self.random, self.recent.extend
        )
        self._operations = Operations(self.post, self.records, self.statistics, self.recent)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._sessions = 0
        self._groups = 0
        self._generator: Generator | None = None
        self._refuse_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._empty = asyncio.Event()

    @property
    def accepted(self) -> int:
        """Messages accepted since the start."""
        return self.statistics.accepted

    @property
    def script(self) -> Script:
        """What it follows now."""
        return self._script.script

    async def start(self) -> None:
        """Reads the journal, then listens.

        Raises OSError when the port is taken or a TLS file cannot be used, ValueError for a broken journal.
        """
        settings = self.settings
        loop = asyncio.get_running_loop()
        now = loop.time()
        tls = None if settings.tls is None else settings.tls.context()
        self._intake.follow(self._script, now)
        self.post.follow(self._script.script)
        self._intake.start_from(
            int(time.time() * 1000) << 8 if settings.first_number is None else settings.first_number - 1
        )
        if settings.journal is not None:
            journal, recovered = open_journal(settings.journal)
            self.records.open(journal)
            self._intake.start_from(recovered.highest)
            self._groups = recovered.group
            for message in recovered.owed:
                self.post.owe(message, now)
            for part in recovered.originated:
                self.post.originate(part, now)
        self._server = await loop.create_server(self._connect, settings.host, settings.port, backlog=512, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self._start_traffic()

    async def stop(self) -> None:
        """Stops listening, unbinds every session, waits at most `STOP_SECONDS` for their answers, closes everything."""
        if self._generator is not None:
            self._generator.stop()
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
                    connection.abort("stopped")
                await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        self.records.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # -- told while it runs ---------------------------------------------------------------------------------------

    def set_script(self, script: Script) -> None:
        """Follows another script from now on; messages already decided on keep their fate.

        Counts and timers of sessions (`drop` and its like) and the traffic begin anew; a new `seed` too. Raises
        ValueError and follows the old one when the new one is wrong.
        """
        compiled = CompiledScript(script)
        self._intake.follow(compiled, asyncio.get_running_loop().time())
        if script.seed is not None and script.seed != self._script.script.seed:
            self.random.seed(script.seed)
        self._script = compiled
        self.coalesce_bind = script.coalesce_bind
        self._accounts.binds = script.binds
        self.post.follow(script)
        for connection in self._connections:
            connection.set_hazards(self.hazards_of(connection) if connection.system_id is not None else None)
        self._start_traffic()

    def drop_connections(self, system_id: str | None = None) -> int:
        """Cuts every connection (of one system_id) as a network does, without unbind; how many those were."""
        dropped = [one for one in self._connections if system_id in (None, one.system_id)]
        for connection in dropped:
            connection.abort("drop")
        return len(dropped)

    def refuse_connections(self, seconds: float) -> None:
        """Cuts every connection that comes within so many seconds, at once."""
        self._refuse_until = asyncio.get_running_loop().time() + seconds

    def send_message(self, message: Message, system_id: str | None = None) -> list[Originated]:
        """A mobile-originated message for `system_id` (None: the only one that is bound for receiving).

        It waits until a session takes it. Returns its parts. Raises ValueError when the text does not fit, or when it
        is not clear who shall get it.
        """
        if system_id is None:
            receiving = self._accounts.receiving()
            if len(receiving) != 1:
                raise ValueError(f"{len(receiving)} accounts are bound for receiving: say which one")
            system_id = receiving[0]
        parts = self._parts(message, system_id)
        self._originate(parts, [part.part for part in parts] if message.order is None else message.order)
        return parts

    def send_alert(self, alert: AlertNotification, system_id: str) -> bool:
        """alert_notification to one session of `system_id` that receives; False when there is none (§4.12)."""
        receivers = self._accounts.receivers(system_id)
        if not receivers:
            return False
        receivers[0].notify(alert)
        return True

    # -- called by the connections --------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> int:
        """A TCP connection came; its number, from 1. It must be cut at once while connections are refused."""
        self._connections.add(connection)
        self.statistics.connections += 1
        self._sessions += 1
        return self._sessions

    @property
    def refusing(self) -> bool:
        """Whether new connections are cut now."""
        return self._refuse_until > 0 and asyncio.get_running_loop().time() < self._refuse_until

    def closed(self, connection: Connection, unanswered: Sequence[Delivery]) -> None:
        """It went; its unanswered deliveries go to another session at once."""
        self._connections.discard(connection)
        system_id = connection.system_id
        if system_id is not None:
            now = asyncio.get_running_loop().time()
            self.statistics.sessions -= 1
            dropped = connection.unbound_by is None
            self._accounts.remove(connection, system_id, dropped, now)
            if dropped:
                self.statistics.dropped += 1
                self.records.add(Dropped(time.time(), connection.number, system_id, connection.reason))
            else:
                self.statistics.unbound += 1
                self.records.add(Unbound(time.time(), connection.number, system_id, connection.unbound_by or ""))
            self.records.commit()
            self._arm(now)
        self.post.take_back(unanswered)
        if not self._connections:
            self._empty.set()

    def check_bind(self, connection: Connection, request: BindRequest, now: float) -> int:
        """The command_status that answers a bind."""
        settings, system_id = self.settings, request.system_id
        status = settings.refuse_binds or self._script.bind_status
        if status == ROK and settings.system_id is not None and system_id != settings.system_id:
            status = RINVSYSID
        if status == ROK and settings.password is not None and request.password != settings.password:
            status = RINVPASWD
        if status == ROK:
            status = self._accounts.check(system_id, now)
        if status == ROK:
            self.statistics.binds += 1
            self.records.add(Bound(time.time(), connection.number, system_id, request.mode.name.lower()))
        else:
            self.statistics.binds_refused += 1
            self.records.add(BindRefused(time.time(), connection.number, system_id, status))
        return status

    def bound(self, connection: Connection, system_id: str, receives: bool) -> None:
        """A session is bound; from now on it may get receipts."""
        self.statistics.sessions += 1
        self._accounts.add(connection, system_id, receives)
        connection.set_hazards(self.hazards_of(connection))
        if receives and self.coalesce_bind and self.script.traffic is not None:
            self._send_scripted(next(messages_of(self.script.traffic)), system_id, self.script.traffic)

    def hazards_of(self, connection: Connection) -> Hazards | None:
        """What the script has in store for a session."""
        return Hazards(self.script, self.random, connection.strike) if hazardous(self.script) else None

    def submitted(self, connection: Connection, system_id: str, events: Sequence[SubmitReceived], now: float) -> None:
        """submit_sm that came together."""
        self._intake.submitted(connection, system_id, events, now)

    def requested(self, connection: Connection, system_id: str, event: RequestReceived, now: float) -> None:
        """Any other request."""
        pdu, sequence, answer = event.pdu, event.sequence, connection.session.answer
        if isinstance(pdu, DataSm):
            self._intake.data_sm(connection, system_id, sequence, pdu, now)
        elif isinstance(pdu, SubmitMulti):
            self._intake.submit_multi(connection, system_id, sequence, pdu, now)
        elif isinstance(pdu, QuerySm):
            answer(sequence, *self._operations.query(system_id, pdu))
        elif isinstance(pdu, CancelSm):
            answer(sequence, *self._operations.cancel(system_id, pdu, now))
        else:
            answer(sequence, *self._operations.replace(system_id, pdu))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _connect(self) -> Connection:
        return Connection(self)

    def _originate(self, parts: Sequence[Originated], order: Sequence[int]) -> None:
        now = asyncio.get_running_loop().time()
        self.records.extend([part for part in parts if part.part in order])
        self.records.commit()
        seen: set[int] = set()
        for number in order:
            self.post.originate(parts[number - 1], now, duplicate=number in seen)
            seen.add(number)

    def _send_scripted(self, message: Message, system_id: str, traffic: Traffic) -> None:
        parts = self._parts(message, system_id)
        self._originate(parts, order_of(traffic, len(parts), self.random))

    def _parts(self, message: Message, system_id: str) -> list[Originated]:
        parts = parts_of(message, system_id=system_id, number=0, group=self._groups + 1, at=time.time())
        self._groups += 1
        first = self._intake.next_numbers(len(parts))
        return [msgspec.structs.replace(part, number=first + place) for place, part in enumerate(parts)]

    def _start_traffic(self) -> None:
        if self._generator is not None:
            self._generator.stop()
            self._generator = None
        traffic = self.script.traffic
        if traffic is not None:
            self._generator = Generator(traffic, self._accounts, self.statistics, self._send_scripted)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        for connection in self.post.wake(asyncio.get_running_loop().time()):
            connection.flush()
