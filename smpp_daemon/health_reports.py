"""Tells the database, the metrics and the log how the accounts of this process are."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from app.domain.channels.directory import ChannelDirectory
from app.domain.channels.states import ChannelStatus
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from smpp_daemon import gauges, metrics
from smpp_daemon.account import OperatorAccount
from smpp_daemon.bind_health import BindHealth, BindState

log = get_logger(__name__)

REPORT_SECONDS = 5.0
"""How often counters that change all the time are reported; a change of state is reported at once."""


class _Told:
    """What was last told of an account."""

    def __init__(self) -> None:
        self.reported: tuple[str, dict[str, Any]] | None = None
        self.outline: object = None
        self.warnings: dict[int, str] = {}


class HealthReports:
    """`run` until cancelled; `accounts` gives those to report."""

    def __init__(self, directory: ChannelDirectory, accounts: Callable[[], Sequence[OperatorAccount]]) -> None:
        self._directory = directory
        self._accounts = accounts
        self._some = asyncio.Event()
        self._told: dict[UUID, _Told] = {}

    def soon(self) -> None:
        """Some state has changed."""
        self._some.set()

    def again(self, channel_id: UUID) -> None:
        """What the database has of a channel may have been overwritten."""
        told = self._told.get(channel_id)
        if told is not None:
            told.reported = None
        self._some.set()

    def forget(self, channel_id: UUID) -> None:
        """The account does not run here any more."""
        self._told.pop(channel_id, None)

    async def run(self) -> None:
        """Report changes at once and counters now and then."""
        while True:
            try:
                async with asyncio.timeout(REPORT_SECONDS):
                    await self._some.wait()
                counters_too = False
            except TimeoutError:
                counters_too = True
            self._some.clear()
            accounts = self._accounts()
            measure(accounts)
            gauges.measure(accounts, asyncio.get_running_loop().time(), time.time())
            for account in accounts:
                await self._report(account, counters_too)

    async def _report(self, account: OperatorAccount, counters_too: bool) -> None:
        told = self._told.setdefault(account.id, _Told())
        binds = [keeper.health() for keeper in account.keepers]
        warn(str(account.id), binds, told.warnings)
        state, health = account.state.value, account.health()
        outline = (state, health["detail"], [(bind.host, bind.state) for bind in binds])
        if told.reported == (state, health) or (
            not counters_too and told.reported is not None and outline == told.outline
        ):
            return
        try:
            await self._directory.report(account.id, ChannelStatus(state), health, account.record.version)
        except Unavailable as error:
            log.warning("health not reported", channel_id=str(account.id), reason=error.detail)
            return
        told.reported, told.outline = (state, health), outline


def warn(channel_id: str, binds: Sequence[BindHealth], told: dict[int, str]) -> None:
    """Log what will fail soon, once for each bind and each day: the words change with the days that are left."""
    for bind in binds:
        if bind.warning is not None and told.get(bind.id) != bind.warning:
            told[bind.id] = bind.warning
            log.warning("certificate ends", channel_id=channel_id, bind=bind.id, host=bind.host, detail=bind.warning)


def measure(accounts: Sequence[OperatorAccount]) -> None:
    """Set the gauges."""
    states = dict.fromkeys(BindState, 0)
    used = in_memory = unpublished = 0
    operators: list[int] = []
    own: list[int] = []
    for account in accounts:
        for keeper in account.keepers:
            health = keeper.health()
            states[health.state] += 1
            if health.certificate_days is not None:
                operators.append(health.certificate_days)
            if health.client_certificate_days is not None:
                own.append(health.client_certificate_days)
        used += account.in_flight
        in_memory += account.in_memory
        unpublished += account.unpublished
    for state, count in states.items():
        metrics.binds.labels(state.value).set(count)
    for whose, days in (("operator", operators), ("own", own)):
        # Without any certificate nothing ends: the series stays out of the way of an alarm on small numbers.
        metrics.certificate_days.labels(whose).set(min(days, default=float("inf")))
    metrics.window_used.set(used)
    metrics.in_memory.set(in_memory)
    metrics.unpublished.set(unpublished)
