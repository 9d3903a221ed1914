"""How many requests somebody may send, counted over all API processes.

The buckets are rows in PostgreSQL. A process takes tokens from them in advance, more for whoever sends more, so that
nearly every request is decided without waiting; what it does not use within a second goes back. No more is handed out
than the buckets gave, except when the database cannot be asked: then everybody is let in, because the request itself
will be answered by 503 if it needs the database, and nobody should be refused for a count that we lost.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from functools import lru_cache

from app.domain.identity.schemas import Caller
from app.domain.limits.allowances import Allowance
from app.domain.limits.leases import Lease
from app.domain.limits.repository import Asked, purge_full, take_tokens
from app.domain.limits.schemas import Standing
from app.lib.db import Database, is_unavailable
from app.lib.logging import get_logger
from app.lib.tasks import end_tasks
from app.settings import LimitSettings

log = get_logger(__name__)

DEADLINE_SECONDS = 0.5
"""How long a request may be held up by the question whether it may be answered."""

MAX_SUBJECTS = 10_000
MOST_AT_ONCE = 100
SWEEP_SECONDS = 0.5
PURGE_SECONDS = 300.0
PROBE_SECONDS = 1.0
"""How often a database that was away is asked again."""


class RateLimiter:
    """The allowances of one process. `database` should be its own small pool: no request may be in its way.

    Run `tidy()` as a task, and `stop()` in the end.
    """

    def __init__(
        self, database: Database, settings: LimitSettings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._credential = Allowance.of(settings.credential_per_minute, settings.burst_seconds)
        self._account = Allowance.of(settings.account_per_minute, settings.burst_seconds)
        self._address = Allowance.of(settings.address_per_minute, settings.burst_seconds)
        self._monotonic = monotonic
        self._leases: dict[str, Lease] = {}
        self._holding: dict[str, Lease] = {}
        self._to_ask: list[Lease] = []
        self._asking: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        self._probe_at = 0.0

    async def admit_caller(self, caller: Caller) -> Standing | None:
        """Count one request of a caller, on their credential and on their account; None when nothing limits them.

        The request is refused, and counted nowhere, when the standing has a `retry_after`.
        """
        leases = []
        if self._credential is not None:
            leases.append(self._lease(caller.credential, self._credential))
        if self._account is not None:
            leases.append(self._lease(f"account:{caller.account_id}", self._account))
        return await self._admit(leases)

    async def admit_address(self, address: str | None) -> Standing | None:
        """Count one request of somebody who showed no valid credential, on their address; otherwise like a caller's."""
        if self._address is None:
            return None
        return await self._admit([self._lease(address_subject(address), self._address)])

    async def tidy(self) -> None:
        """Give back what is not used, and delete rows that say nothing any more; until cancelled."""
        purge_at = self._monotonic() + PURGE_SECONDS
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._monotonic()
            for subject, lease in list(self._holding.items()):
                if not lease.tokens:
                    del self._holding[subject]
                elif lease.expired(now):
                    self._ask(lease)
            if now >= purge_at:
                purge_at = now + PURGE_SECONDS
                await self._purge()

    async def stop(self) -> None:
        """Stop asking; whoever still waits is let in."""
        await end_tasks(self._asking)
        for lease in [*self._leases.values(), *self._to_ask]:
            lease.let_in()

    async def _admit(self, leases: list[Lease]) -> Standing | None:
        now = self._monotonic()
        if self._is_away():
            if leases and now >= self._probe_at:
                self._ask(leases[0])
            return None
        for lease in leases:
            # Nothing is taken from one bucket for a request that another one refuses.
            if lease.refuses(now) and not lease.holds(now):
                return lease.standing(now, refused=True)
        missing = [lease for lease in leases if not self._take_held(lease, now)]
        if missing:
            taken = [lease for lease in leases if lease not in missing]
            refusing = await self._wait(missing, taken)
            now = self._monotonic()
            if refusing is not None:
                return refusing.standing(now, refused=True)
            if self._is_away():
                return None
        return min((lease.standing(now) for lease in leases), key=lambda standing: standing.remaining, default=None)

    def _take_held(self, lease: Lease, now: float) -> bool:
        if not lease.take(now):
            return False
        if lease.runs_low() and not lease.refuses(now):
            self._ask(lease)
        return True

    async def _wait(self, leases: list[Lease], taken: list[Lease]) -> Lease | None:
        """Wait for a token of each; returns one that refuses. Then, or when cancelled, what is in `taken` goes back."""
        waiting: list[tuple[Lease, asyncio.Future[bool]]] = []
        try:
            for lease in leases:
                if waiting and not lease.has_plenty():
                    # What is scarce is not taken for a request that may be refused by another bucket.
                    refusing = await _first_refusal(waiting)
                    if refusing is not None:
                        break
                waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
                lease.waiting.append(waiter)
                waiting.append((lease, waiter))
                self._ask(lease)
            else:
                refusing = await _first_refusal(waiting)
        except asyncio.CancelledError:
            self._put_back(waiting, taken)
            raise
        if refusing is not None:
            self._put_back(waiting, taken)
        return refusing

    def _put_back(self, waiting: "list[tuple[Lease, asyncio.Future[bool]]]", taken: list[Lease]) -> None:
        # A waiter that is cancelled in time is not served any more.
        served = [
            lease for lease, waiter in waiting if not waiter.cancel() and not waiter.cancelled() and waiter.result()
        ]
        for lease in [*taken, *served]:
            lease.tokens += 1
            self._holding[lease.subject] = lease

    def _lease(self, subject: str, allowance: Allowance) -> Lease:
        lease = self._leases.get(subject)
        if lease is None:
            if len(self._leases) >= MAX_SUBJECTS:
                # The one that was asked longest ago. Its requests that wait are still answered.
                forgotten = self._leases.pop(next(iter(self._leases)))
                self._holding.pop(forgotten.subject, None)
            lease = self._leases[subject] = Lease(subject, allowance)
        return lease

    def _ask(self, lease: Lease) -> None:
        if not lease.asking:
            lease.asking = True
            self._to_ask.append(lease)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="rate-limits")

    async def _ask_all(self) -> None:
        """One statement after the other, each for everything that came up while the one before was running."""
        while self._to_ask:
            batch: dict[str, Lease] = {}
            pending, self._to_ask = self._to_ask, []
            for lease in pending:
                if len(batch) < MOST_AT_ONCE and lease.subject not in batch:
                    batch[lease.subject] = lease
                else:
                    self._to_ask.append(lease)
            now = self._monotonic()
            asked = [lease.ask(now) for lease in batch.values()]
            wanted = [each for each in asked if each.wanted or each.returned]
            balances: dict[str, float] = {}
            try:
                # While the database is away, asking for nothing finds out whether it is back.
                if wanted or self._is_away():
                    balances = await self._take(wanted)
            except Exception as error:
                self._lost(error)
            else:
                self._found()
            self._settle(batch, asked, balances)

    async def _take(self, asked: list[Asked]) -> dict[str, float]:
        async with asyncio.timeout(DEADLINE_SECONDS), self._engine.connect() as connection:
            return await take_tokens(connection, asked)

    def _settle(self, batch: dict[str, Lease], asked: list[Asked], balances: dict[str, float]) -> None:
        now = self._monotonic()
        for each in asked:
            lease = batch[each.subject]
            lease.asking = False
            balance = balances.get(each.subject)
            if balance is not None:
                lease.settle(each, balance, now)
            elif self._is_away():
                lease.let_in()
            if lease.waiting:
                self._ask(lease)
            if self._leases.get(each.subject) is lease:
                # To the end of the line of those that are forgotten when there are too many.
                self._leases[each.subject] = self._leases.pop(each.subject)
                if lease.tokens:
                    self._holding[each.subject] = lease

    def _is_away(self) -> bool:
        return self._away_since is not None

    def _lost(self, error: Exception) -> None:
        now = self._monotonic()
        self._probe_at = now + PROBE_SECONDS
        if self._away_since is None:
            self._away_since = now
            if is_unavailable(error):
                log.warning("requests are not limited: the database cannot be asked", reason=repr(error))
            else:
                log.error("requests are not limited", exc_info=error)

    def _found(self) -> None:
        if self._away_since is not None:
            log.warning("requests are limited again", seconds=round(self._monotonic() - self._away_since, 1))
            self._away_since = None

    async def _purge(self) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS * 10), self._engine.connect() as connection:
                await purge_full(connection)
        except Exception as error:
            log.warning("full allowances are not deleted", reason=repr(error))


async def _first_refusal(waiting: "list[tuple[Lease, asyncio.Future[bool]]]") -> Lease | None:
    for lease, waiter in waiting:
        if not await waiter:
            return lease
    return None


@lru_cache(maxsize=MAX_SUBJECTS)
def address_subject(address: str | None) -> str:
    """What requests from an address are counted by: of IPv6 the /64 network, which is what one customer is given."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "address:unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"address:{ipaddress.ip_network((int(parsed) >> 64 << 64, 64))}"
        parsed = parsed.ipv4_mapped
    return f"address:{parsed}"
