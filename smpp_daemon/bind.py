"""One bind of an account: connects, binds, waits for the end, and tries again at a pace that fits the reason."""

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import msgspec

from app.lib.logging import get_logger
from app.lib.tasks import end_tasks
from connectors.smpp.config import SmppHost
from smpp_daemon import metrics
from smpp_daemon.bind_health import BindEvent, BindHealth, BindState, History, moment
from smpp_daemon.bind_pace import BindPace
from smpp_daemon.bind_settings import MODE_NAMES, UNBIND_SECONDS, BindSettings
from smpp_daemon.caution import Caution
from smpp_daemon.protocol.events import BindFailed, Bound, EnquireLatency, Event, PeerUnbound
from smpp_daemon.retry import NEEDS_SOMEBODY, Cause, Delays, Ending, in_words, refusal, same_trouble, wait_for
from smpp_daemon.route import Route
from smpp_daemon.tls import (
    TlsClient,
    TlsClients,
    TlsError,
    days_left,
    expiry_warning,
    failure_in_words,
    look_at,
    read_certificate,
)
from smpp_daemon.trace import Tap
from smpp_daemon.transport import Connection, Owner

log = get_logger(__name__)

CONNECT_SECONDS = 10.0
PROBE_SECONDS = 5.0
LONG_LIVED_SECONDS = 10.0
"""A bind that held for so long was a success: the next reconnect starts with the shortest wait."""


class Links(msgspec.Struct, frozen=True):
    """What all binds of a process share. `wall` gives seconds since 1970, `jitter` 0 to 1."""

    pace: BindPace
    delays: Delays = Delays()
    tls: TlsClients = msgspec.field(default_factory=TlsClients)
    wall: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random


class BindKeeper:
    """Keeps one bind up until it is stopped. `owner` gets every event of the connections it makes."""

    def __init__(
        self,
        index: int,
        settings: BindSettings,
        caution: Caution,
        owner: Owner,
        changed: Callable[[], None],
        links: Links,
    ) -> None:
        self.index = index
        self.connection: Connection | None = None
        self.state = BindState.STOPPED
        self.last_error: str | None = None
        self.stale = False
        self.paused = False
        self._tap: Tap | None = None
        self._settings = settings
        self._caution = caution
        self._route = Route(settings.hosts, settings.number)
        self._owner = owner
        self._changed = changed
        self._links = links
        self._history = History()
        self._since = links.wall()
        self._bound_at: float | None = None
        self._retry_at: float | None = None
        self._peer = ""
        self._enquire_rtt: float | None = None
        self._certificate_ends: datetime | None = None
        self._tls: TlsClient | None = None
        self._bound = False
        self._was_bound = False
        self._ending: Ending | None = None
        self._tries = 0
        self._trouble: Cause | None = None
        self._ended = asyncio.Event()
        self._decided = asyncio.Event()
        self._settled = asyncio.Event()
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # -- what others see ------------------------------------------------------------------------------------------

    @property
    def reconnects(self) -> int:
        """How often it was lost since it exists."""
        return self._history.reconnects

    @property
    def events(self) -> list[BindEvent]:
        """Its last states with their reasons, oldest first."""
        return self._history.events

    def health(self) -> BindHealth:
        """What people see."""
        now = self._links.wall()
        connection = self.connection
        own_ends = self._tls.own_ends if self._tls is not None else None
        theirs, ours = days_left(self._certificate_ends, now), days_left(own_ends, now)
        warnings = (expiry_warning("The operator's", theirs), expiry_warning("Our client", ours))
        return BindHealth(
            id=self.index,
            host=self._where(),
            mode=MODE_NAMES[self._settings.session.mode],
            state=self.state,
            since=moment(self._since),
            window={"used": connection.in_flight if connection else 0, "size": self._settings.session.window},
            last_error=self.last_error,
            tls=self._settings.tls is not None,
            away=self._route.away and self.state is BindState.BOUND,
            retry_at=None if self._retry_at is None else moment(self._retry_at),
            tries=self._tries,
            bound_at=None if self._bound_at is None else moment(self._bound_at),
            peer=self._peer,
            reconnects_24h=self._history.reconnects_since_a_day(now),
            enquire_rtt_ms=None if self._enquire_rtt is None else round(self._enquire_rtt * 1000, 1),
            certificate_days=theirs,
            client_certificate_days=ours,
            warning=" ".join(filter(None, warnings)) or None,
        )

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin (again)."""
        self._settled.clear()
        self._task = asyncio.create_task(self._run(), name=f"bind-{self._settings.session.name}-{self.index}")

    async def stop(self, drain_seconds: float = 0.0) -> None:
        """Wait for answers, at most so long, unbind if bound, at most `UNBIND_SECONDS`, and end."""
        if self._task is not None:
            await end_tasks(self._task)
            self._task = None
        connection = self.connection
        if connection is not None and connection.connected:
            await self._leave(connection, drain_seconds)
        self.connection = None
        self._set(BindState.STOPPED, "stopped")

    def renew(self, settings: BindSettings, caution: Caution) -> None:
        """Take other settings while stopped; what failed with the old ones says nothing about them."""
        self._settings = settings
        self._caution = caution
        self._route = Route(settings.hosts, settings.number)
        self.stale = False
        self.last_error = None
        self._tls = None
        self._certificate_ends = None
        self._tries, self._trouble = 0, None

    def listen_in(self, tap: Tap | None) -> None:
        """Have every PDU told to a tap, on this connection and the next ones; None ends that."""
        self._tap = tap
        if self.connection is not None:
            self._connect_tap(self.connection)

    def try_now(self) -> None:
        """End the wait for the next try."""
        self._again.set()

    async def settled(self, seconds: float) -> None:
        """Wait until it is bound or its first try since `start` failed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    def fits(self, settings: BindSettings) -> bool:
        """Whether these settings need no new session: the same peer, the same login, and a host that is still named."""
        return (
            not self.stale
            and self._settings.same_session(settings)
            and (self._settings.hosts == settings.hosts or (self._bound and settings.home == self._route.host))
        )

    def adjust(self, settings: BindSettings) -> None:
        """Take what changes in place, at once: windows, timers, hosts for the next time."""
        session = settings.session
        if self._settings.hosts != settings.hosts:
            self._route = Route(settings.hosts, settings.number)
        self._settings = settings
        if self.connection is not None:
            self.connection.set_window(session.window)
            self.connection.set_timers(session.timers)

    # -- told by the owner ----------------------------------------------------------------------------------------

    def observe(self, event: Event) -> None:
        """What an event means for the bind: `Bound`, `BindFailed`, `PeerUnbound` and `EnquireLatency` count."""
        if isinstance(event, Bound):
            self._has_bound(event)
        elif isinstance(event, BindFailed):
            self._ending = refusal(event.status)
            if self._ending.cause is Cause.CREDENTIALS:
                self._caution.refusals += 1
                wait = wait_for(Cause.CREDENTIALS, self._caution.refusals, self._links.delays, self._links.jitter)
                self._caution.refused(asyncio.get_running_loop().time() + wait)
        elif isinstance(event, PeerUnbound):
            self._ending = Ending(Cause.UNBOUND, "the operator sent unbind")
        elif isinstance(event, EnquireLatency):
            self._enquire_rtt = event.latency
            metrics.enquire_link_seconds.observe(event.latency)

    def ended(self) -> None:
        """The connection is over."""
        if self._bound:
            self._bound = False
            self._caution.lost()
        self._decided.set()
        self._ended.set()

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._ended.clear()
            self._decided.clear()
            self._ending = None
            self._was_bound = False
            self._set(BindState.CONNECTING)
            ending, lasted = await self._once(loop)
            self.connection = None
            if lasted is not None:
                metrics.reconnects.inc()
                self._history.lost(self._links.wall())
                if lasted >= LONG_LIVED_SECONDS:
                    self._tries, self._trouble = 0, None
                    self._route.lasted()
            if ending is None:
                self._route.go_home()
                continue
            await self._rest(self._failed(ending, loop.time()))

    async def _once(self, loop: asyncio.AbstractEventLoop) -> tuple[Ending | None, float | None]:
        """One connection. Returns why it ended, None when it goes back to its own host, and how long it was bound."""
        has_turn = await self._caution.enter()
        try:
            await self._links.pace.turn(self._route.host)
            connection = Connection(self._settings.session, self._owner, loop)
            self.connection = connection
            self._connect_tap(connection)
            failed = await self._connect(connection, loop)
            if failed is not None:
                return failed, None
            if self.state is BindState.CONNECTING:
                self._set(BindState.BINDING)
            await self._decided.wait()
        finally:
            if has_turn:
                self._caution.leave()
        if not self._was_bound:
            await self._ended.wait()
            return self._ending or Ending(Cause.LINK, self._lost_before_bound(connection)), None
        since = loop.time()
        returning = await self._until_over(connection)
        if returning:
            return None, None
        return self._ending or Ending(Cause.LINK, connection.reason), loop.time() - since

    def _connect_tap(self, connection: Connection) -> None:
        session = connection.session
        connection.tap = None
        if self._tap is not None:
            held_back = session.link.held_back
            connection.tap = self._tap.link(self.index, self._where(), session.config.max_pdu, held_back)

    async def _connect(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> Ending | None:
        host, where = self._route.host, self._where()
        tls = self._settings.tls
        name = (tls.server_name if tls is not None else None) or host.host
        try:
            if tls is not None:
                # Kept, so that the context lives for as long as anything here uses it.
                self._tls = await self._links.tls.get(tls)
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(
                    lambda: connection,
                    host.host,
                    host.port,
                    ssl=self._tls.context if self._tls is not None else None,
                    server_hostname=name if self._tls is not None else None,
                )
        except TlsError as error:
            return Ending(Cause.CERTIFICATE, str(error))
        except TimeoutError:
            connection.abort("timeout")
            return Ending(Cause.LINK, f"{where} does not answer within {CONNECT_SECONDS:.0f} s")
        except ssl.SSLCertVerificationError as error:
            seen = await look_at(host, name)
            return Ending(Cause.CERTIFICATE, f"TLS with {where} failed: {failure_in_words(error, seen)}")
        except ssl.SSLError as error:
            return Ending(Cause.LINK, f"TLS with {where} failed: {failure_in_words(error, None)}")
        except OSError as error:
            return Ending(Cause.LINK, f"cannot connect to {where}: {error.strerror or str(error) or 'reset'}")
        except ValueError as error:
            return Ending(Cause.LINK, f"{where} is not an address to connect to: {error}")
        return None

    async def _until_over(self, connection: Connection) -> bool:
        """Wait for the end of a bound session; True when it was ended to go back to the bind's own host."""
        while True:
            try:
                async with asyncio.timeout(self._route.seconds_away(self._links.delays, self._links.jitter)):
                    await self._ended.wait()
                    return False
            except TimeoutError:
                if not self._route.away:
                    continue
            # Counts as a miss until the bind has lasted there: a host that only answers must not cost a bind each time.
            self._route.home_is_down()
            if await _answers(self._route.home):
                log.info("going back", name=self._name, bind=self.index, host=_address(self._route.home))
                await self._leave(connection, self._settings.session.timers.response)
                return True

    async def _leave(self, connection: Connection, drain_seconds: float) -> None:
        """Ends a connection as politely as its state allows; `ended` has been called when this returns."""
        drained = connection.drain()
        if connection.bound:
            self._set(BindState.UNBINDING, "answers are waited for" if connection.in_flight else "unbinding")
            with suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await drained.wait()
        if connection.bound:
            connection.unbind()
        if connection.unbinding and not await self._over_within(UNBIND_SECONDS + 0.5):
            log.info("unbind was not answered", name=self._name, bind=self.index)
        if connection.connected:
            connection.abort("the bind was stopped")
            await self._over_within(UNBIND_SECONDS)

    async def _over_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return self._ended.is_set()

    def _has_bound(self, event: Bound) -> None:
        self._bound = self._was_bound = True
        self._caution.bound()
        self._peer = event.system_id
        self._bound_at = self._links.wall()
        self.last_error = self._retry_at = None
        certificate = read_certificate(self.connection.certificate if self.connection is not None else None)
        self._certificate_ends = certificate.ends if certificate is not None else None
        metrics.bind_attempts.labels("bound").inc()
        self._set(BindState.BOUND, f"bound by {event.system_id or 'the operator'}")
        self._decided.set()
        self._settled.set()
        log.info("bound", name=self._settings.session.name, bind=self.index, host=self._where(), peer=event.system_id)

    def _failed(self, ending: Ending, now: float) -> float:
        """Notes a failure and moves on; the seconds to wait."""
        self._tries = self._tries + 1 if same_trouble(self._trouble, ending.cause) else 1
        self._trouble = ending.cause
        cause, tries = ending.cause, self._tries
        if cause is Cause.CERTIFICATE and tries < len(self._route):
            # The next host may be in order: a round is quick, only the next round is slow.
            cause = Cause.LINK
        wait = wait_for(cause, tries, self._links.delays, self._links.jitter)
        if cause is Cause.CREDENTIALS:
            # All binds of the account wait for each other.
            tries, wait = self._caution.refusals, max(0.0, self._caution.not_before - now)
        self.last_error = in_words(ending, wait, tries)
        self._retry_at = self._links.wall() + wait
        metrics.bind_attempts.labels(ending.cause.value).inc()
        if tries & (tries - 1) == 0:
            # Every try of a long outage would fill the log: the 1st, 2nd, 4th, 8th … say enough.
            log.warning(
                "not bound",
                name=self._name,
                bind=self.index,
                host=self._where(),
                reason=ending.reason,
                tries=tries,
                retry_in=round(wait, 1),
            )
        self._set(BindState.ERROR if ending.cause in NEEDS_SOMEBODY else BindState.WAITING, self.last_error)
        self._settled.set()
        self._route.failed()
        return wait

    async def _rest(self, seconds: float) -> None:
        self._again.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._again.wait()
        self._retry_at = None

    def _lost_before_bound(self, connection: Connection) -> str:
        tls = self._settings.tls
        if tls is None or tls.client_certificate is not None:
            return connection.reason
        return f"{connection.reason} before it answered the bind; it may ask for a client certificate"

    def _set(self, state: BindState, reason: str | None = None) -> None:
        """Comes into a state; without a reason it is a step on the way that nobody wants to read of later."""
        if state is not self.state:
            self.state = state
            self._since = self._links.wall()
            if reason is not None:
                self._history.record(self._since, state, self._where(), reason)
        self._changed()

    @property
    def _name(self) -> str:
        return self._settings.session.name

    def _where(self) -> str:
        return _address(self._route.host)


def _address(host: SmppHost) -> str:
    return f"[{host.host}]:{host.port}" if ":" in host.host else f"{host.host}:{host.port}"


async def _answers(host: SmppHost) -> bool:
    """Whether a TCP connection comes about; nothing is said on it."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host.host, host.port)
    except (OSError, TimeoutError, ValueError):
        return False
    transport.close()
    return True
