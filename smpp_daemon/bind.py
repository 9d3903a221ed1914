"""One bind of an account: connects, binds, waits for the end, and tries again at a pace that fits the reason."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache

import msgspec

from app.lib.logging import get_logger
from app.lib.service import backoff
from connectors.smpp.config import Bind, SmppConfig, SmppCredentials, SmppHost
from smpp_daemon import metrics
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.events import BindFailed, Bound, Event
from smpp_daemon.protocol.session import EsmeConfig
from smpp_daemon.protocol.status import RALYBND, StatusClass, describe
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.transport import Connection, Owner

log = get_logger(__name__)

CONNECT_SECONDS = 10.0
BIND_SECONDS = 10.0
UNBIND_SECONDS = 2.0
LONG_LIVED_SECONDS = 10.0
"""A bind that held for so long was a success: the next reconnect starts with the shortest wait."""

_MODES = {
    Bind.TRANSCEIVER: BindMode.TRANSCEIVER,
    Bind.TRANSMITTER: BindMode.TRANSMITTER,
    Bind.RECEIVER: BindMode.RECEIVER,
}


class Delays(msgspec.Struct, frozen=True):
    """Seconds between tries: `base` to `most` for lost connections, `refused` to `refused_most` for refused binds.

    `fatal` is for refused credentials, where fast retries lock accounts out; `ghost` begins the wait for an old session
    that the operator has not noticed to be dead (SMSCs drop it after 15 s to 2 min), doubling up to `ghost_most`.
    """

    base: float = 0.2
    most: float = 10.0
    refused: float = 2.0
    refused_most: float = 30.0
    fatal: float = 60.0
    ghost: float = 15.0
    ghost_most: float = 120.0


class BindState(StrEnum):
    """`error` is a refusal of credentials or rights; `waiting` is between two tries for any other reason."""

    CONNECTING = "connecting"
    BINDING = "binding"
    BOUND = "bound"
    WAITING = "waiting"
    ERROR = "error"
    UNBINDING = "unbinding"
    STOPPED = "stopped"


class BindHealth(msgspec.Struct, frozen=True):
    """A bind as people see it. `since` is when it came into this state, RFC 3339."""

    id: int
    host: str
    mode: str
    state: BindState
    since: str
    window: dict[str, int]
    last_error: str | None


def esme_config(config: SmppConfig, credentials: SmppCredentials, name: str) -> EsmeConfig:
    """A channel's settings → a session's."""
    return EsmeConfig(
        name=name,
        system_id=credentials.system_id,
        password=credentials.password,
        mode=_MODES[config.bind],
        system_type=config.system_type,
        window=config.window,
        timers=TimerSettings(
            bind=BIND_SECONDS,
            enquire_link_interval=float(config.enquire_link_seconds),
            enquire_link_timeout=float(config.response_timeout_seconds),
            response=float(config.response_timeout_seconds),
            unbind=UNBIND_SECONDS,
        ),
    )


@cache
def tls_context() -> ssl.SSLContext:
    """The system's trust anchors, with the host's name checked."""
    return ssl.create_default_context()


class BindKeeper:
    """Keeps one bind up until it is stopped. `owner` gets every event of the connections it makes."""

    def __init__(
        self,
        index: int,
        config: SmppConfig,
        credentials: SmppCredentials,
        owner: Owner,
        changed: Callable[[], None],
        *,
        name: str,
        delays: Delays,
    ) -> None:
        self.index = index
        self.connection: Connection | None = None
        self.state = BindState.CONNECTING
        self.last_error: str | None = None
        self.reconnects = 0
        self._config = config
        self._session = esme_config(config, credentials, name)
        self._owner = owner
        self._changed = changed
        self._delays = delays
        self._since = datetime.now(UTC)
        # Binds of one account start on different hosts, and each moves on to the next one when it fails.
        self._turn = index
        self._failures = 0
        self._ended: asyncio.Event = asyncio.Event()
        self._bound = False
        self._stopping = False
        self._refused: int | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def host(self) -> SmppHost:
        """Where it connects (next)."""
        return self._config.hosts[self._turn % len(self._config.hosts)]

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"bind-{self._session.name}-{self.index}")

    async def stop(self) -> None:
        """Unbind if bound, at most `UNBIND_SECONDS`, and end."""
        self._stopping = True
        connection = self.connection
        if connection is not None and connection.bound:
            self._set(BindState.UNBINDING)
            connection.unbind()
            try:
                async with asyncio.timeout(UNBIND_SECONDS + 0.5):
                    await self._ended.wait()
            except TimeoutError:
                log.info("unbind was not answered", name=self._session.name, bind=self.index)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if connection is not None and connection.connected:
            connection.abort("the channel was stopped")
            with suppress(TimeoutError):
                async with asyncio.timeout(UNBIND_SECONDS):
                    await self._ended.wait()
        self._set(BindState.STOPPED)

    def observe(self, event: Event) -> None:
        """The owner passes on what decides about the bind: `Bound` and `BindFailed`."""
        if isinstance(event, Bound):
            self._bound = True
            self.last_error = None
            self._set(BindState.BOUND)
            log.info("bound", name=self._session.name, bind=self.index, host=self._where(), peer=event.system_id)
        elif isinstance(event, BindFailed):
            self._refused = event.status

    def ended(self) -> None:
        """The owner says that the connection is over."""
        self._ended.set()

    def set_window(self, window: int) -> None:
        """Takes another window at once, for the next sessions too."""
        self._session = msgspec.structs.replace(self._session, window=window)
        if self.connection is not None:
            self.connection.set_window(window)

    def health(self) -> BindHealth:
        """What people see."""
        connection = self.connection
        used = connection.in_flight if connection is not None else 0
        return BindHealth(
            self.index,
            self._where(),
            self._config.bind.value,
            self.state,
            self._since.isoformat(timespec="seconds").replace("+00:00", "Z"),
            {"used": used, "size": self._session.window},
            self.last_error,
        )

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._set(BindState.CONNECTING)
            self._bound, self._refused = False, None
            self._ended.clear()
            loop = asyncio.get_running_loop()
            started = loop.time()
            reason = await self._one_connection(loop)
            if self._stopping:
                return
            self.connection = None
            if self._bound:
                self.reconnects += 1
                metrics.reconnects.inc()
            if self._bound and loop.time() - started >= LONG_LIVED_SECONDS:
                self._failures = 0
            wait = self._next_wait(reason)
            log.warning("not bound", name=self._session.name, bind=self.index, host=self._where(), reason=reason)
            self._failures += 1
            self._turn += 1
            await asyncio.sleep(wait)

    async def _one_connection(self, loop: asyncio.AbstractEventLoop) -> str:
        """Connects, binds and waits for the end; returns the reason of it."""
        connection = Connection(self._session, self._owner, loop)
        host = self.host
        self.connection = connection
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(
                    lambda: connection,
                    host.host,
                    host.port,
                    ssl=tls_context() if self._config.tls else None,
                    server_hostname=host.host if self._config.tls else None,
                )
        except TimeoutError:
            connection.abort("timeout")
            return f"{self._where()} does not answer within {CONNECT_SECONDS:.0f} s"
        except ssl.SSLError as error:
            return f"TLS with {self._where()} failed: {error.reason or error}"
        except OSError as error:
            return f"cannot connect to {self._where()}: {error.strerror or error}"
        if self.state is BindState.CONNECTING:
            self._set(BindState.BINDING)
        await self._ended.wait()
        return connection.reason or "the operator closed the connection"

    def _next_wait(self, reason: str) -> float:
        delays = self._delays
        if self._refused is None:
            wait = backoff(self._failures, base=delays.base, most=delays.most)
            self._fail(BindState.WAITING, reason, wait)
            return wait
        status = describe(self._refused)
        words = f"{status.name}: {status.advice}"
        if status.status_class is StatusClass.BIND_FATAL:
            wait = backoff(0, base=delays.fatal, most=delays.fatal)
            self._fail(BindState.ERROR, words, wait)
        elif self._refused == RALYBND:
            wait = backoff(self._failures, base=delays.ghost, most=delays.ghost_most)
            self._fail(BindState.WAITING, words, wait)
        else:
            wait = backoff(self._failures, base=delays.refused, most=delays.refused_most)
            self._fail(BindState.WAITING, words, wait)
        return wait

    def _fail(self, state: BindState, words: str, wait: float) -> None:
        self.last_error = f"{words} Next try in {wait:.0f} s." if wait >= 1 else words
        self._set(state)

    def _set(self, state: BindState) -> None:
        if state is not self.state:
            self.state = state
            self._since = datetime.now(UTC)
        self._changed()

    def _where(self) -> str:
        return f"{self.host.host}:{self.host.port}"
