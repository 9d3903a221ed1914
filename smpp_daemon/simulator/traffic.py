"""Mobile-originated traffic at a rate, for whoever is bound to take it."""

import asyncio
import itertools
from collections.abc import Callable

from smpp_daemon.simulator.accounts import Accounts
from smpp_daemon.simulator.originated import Message, messages_of
from smpp_daemon.simulator.script import Traffic
from smpp_daemon.simulator.statistics import Statistics

TICK_SECONDS = 0.01
WAITING_LIMIT = 10_000


class Generator:
    """Asks `send` for one message after the other. Nothing is made while nobody is bound, or while 10,000 wait.

    `send` gets the message, the system_id and the script it comes from.
    """

    __slots__ = ("_accounts", "_due", "_left", "_messages", "_send", "_statistics", "_timer", "_traffic", "_turn")

    def __init__(
        self,
        traffic: Traffic,
        accounts: Accounts,
        statistics: Statistics,
        send: Callable[[Message, str, Traffic], None],
    ) -> None:
        self._traffic = traffic
        self._accounts = accounts
        self._statistics = statistics
        self._send = send
        self._messages = messages_of(traffic)
        self._left = traffic.count
        self._turn = itertools.count()
        loop = asyncio.get_running_loop()
        self._due = loop.time()
        self._timer: asyncio.Handle = loop.call_soon(self._tick)

    def stop(self) -> None:
        """No more messages."""
        self._timer.cancel()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        interval = 1 / self._traffic.rate
        while self._due <= now and self._left != 0:
            system_id = self._account()
            if system_id is None or self._statistics.waiting >= WAITING_LIMIT:
                # What nobody could have taken is not made up for later.
                self._due = now + TICK_SECONDS
                break
            self._due += interval
            if self._left is not None:
                self._left -= 1
            self._send(next(self._messages), system_id, self._traffic)
        if self._left != 0:
            self._timer = loop.call_at(max(self._due, now + TICK_SECONDS), self._tick)

    def _account(self) -> str | None:
        receiving = self._accounts.receiving()
        if self._traffic.system_id is not None:
            return self._traffic.system_id if self._traffic.system_id in receiving else None
        return receiving[next(self._turn) % len(receiving)] if receiving else None
