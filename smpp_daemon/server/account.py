"""One SMPP account that is bound here: its binds, their common rate, and what its receivers get."""

import asyncio
import math
from typing import TYPE_CHECKING
from uuid import UUID

from app.domain.smpp_accounts.directory import SmppAccountRecord
from app.domain.smpp_accounts.networks import is_allowed
from app.lib.broker import Publisher
from app.lib.ids import NewId
from smpp_daemon.bridge import BrokerLink
from smpp_daemon.protocol.throttle import LATENESS, Throttle
from smpp_daemon.server.mailbox import Mailbox
from smpp_daemon.server.queues import QueueDeclarer

if TYPE_CHECKING:
    from smpp_daemon.server.connection import ServedConnection


class ServedAccount:
    """Lives as long as there is a bind.

    The rate is shared by the binds of this process. `throttle` is that of the binds before, if there were any: binding
    again earns nobody another burst.
    """

    def __init__(
        self,
        record: SmppAccountRecord,
        link: BrokerLink,
        publisher: Publisher,
        queues: QueueDeclarer,
        new_id: NewId,
        throttle: Throttle | None,
        now: float,
    ) -> None:
        self.record = record
        self.connections: set[ServedConnection] = set()
        self.throttle = _throttle(record, throttle, now)
        self.mailbox = Mailbox(link, publisher, queues, record.id, lambda: self.record.settings, new_id)
        self._delivering = asyncio.create_task(self.mailbox.run(), name=f"smpp-mailbox-{record.id}")

    @property
    def id(self) -> UUID:
        """The account's id."""
        return self.record.id

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` PDUs the rate allows now."""
        return wanted if self.throttle is None else self.throttle.take(wanted, now)

    def give_back(self, count: int) -> None:
        """PDUs that were allowed and then not used."""
        if self.throttle is not None:
            self.throttle.give_back(count)

    def update(self, record: SmppAccountRecord | None, now: float) -> None:
        """Take over what the owner changed: limits in place; binds that would not be accepted any more end."""
        if record is None or not record.enabled:
            for connection in tuple(self.connections):
                connection.end("the account was disabled")
            return
        self.record = record
        self.throttle = _throttle(record, self.throttle, now)
        for connection in tuple(self.connections):
            if not connection.still_fits(record):
                connection.end("the credentials changed")
            elif not is_allowed(connection.address, record.networks):
                connection.end("the address is not allowed any more")
            else:
                connection.set_window(record.settings.window)
        self.mailbox.pump()

    async def stop(self) -> None:
        """Hand back to the queue what was not taken."""
        self.mailbox.stop()
        await asyncio.wait((self._delivering,))


def _throttle(record: SmppAccountRecord, before: Throttle | None, now: float) -> Throttle | None:
    rate = record.settings.rate_per_second
    if rate is None:
        return None
    # A throttle keeps a little of its burst back for PDUs of ours that arrive late; here it judges those that arrived.
    burst = (record.settings.burst or max(1, math.ceil(rate))) + rate * LATENESS
    if before is None:
        return Throttle(rate, burst, now)
    if (before.rate, before.burst) != (rate, burst):
        before.set_rate(rate, burst, now)
    return before
