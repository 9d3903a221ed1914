"""Makes guessing passwords slow without making anybody else wait."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

BASE_SECONDS = 0.25
MOST_SECONDS = 5.0
FORGET_SECONDS = 300.0
MAX_WAITING = 20
MAX_REMEMBERED = 10_000


class TooManyGuessesError(Exception):
    """So many attempts wait already that another one would only wait for nothing."""


class Turn:
    """One attempt; `failed` says that it was wrong, which makes the next one from there wait longer."""

    def __init__(self) -> None:
        self.wrong = False

    def failed(self) -> None:
        """The password or the name was wrong."""
        self.wrong = True


class _Record:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.failures = 0
        self.failed_at = 0.0
        self.waiting = 0


class Guesses:
    """Attempts to bind, by the peer's address and what it tries to be.

    One attempt at a time for each pair; after failures the next answer waits, doubling up to `MOST_SECONDS`. Another
    system_id behind the same address is another pair, so a client with a stale password does not delay its neighbours;
    unknown system_ids are one pair together. IPv6 counts by /64.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._records: dict[tuple[str, str | None], _Record] = {}

    @asynccontextmanager
    async def turn(self, address: str, known: str | None) -> AsyncIterator[Turn]:
        """Wait for the turn of one attempt. `known` is the system_id if there is such an account.

        Raises `TooManyGuessesError`. The wait for a wrong attempt is inside: its answer is given after it.
        """
        key = (neighbourhood(address), known)
        record = self._records.get(key)
        if record is None:
            self._make_room()
            record = self._records[key] = _Record()
        if record.waiting >= MAX_WAITING:
            raise TooManyGuessesError
        record.waiting += 1
        try:
            async with record.lock:
                if self._monotonic() - record.failed_at > FORGET_SECONDS:
                    record.failures = 0
                turn = Turn()
                yield turn
                if turn.wrong:
                    record.failures += 1
                    record.failed_at = self._monotonic()
                    await asyncio.sleep(min(MOST_SECONDS, BASE_SECONDS * 2.0 ** min(record.failures - 1, 10)))
                else:
                    record.failures = 0
        finally:
            record.waiting -= 1
            if not record.waiting and not record.failures:
                self._records.pop(key, None)

    def _make_room(self) -> None:
        if len(self._records) < MAX_REMEMBERED:
            return
        for key in [key for key, record in self._records.items() if not record.waiting][: MAX_REMEMBERED // 10]:
            del self._records[key]


def neighbourhood(address: str) -> str:
    """The address, or for IPv6 its /64, since whoever has one address there has all of them."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
