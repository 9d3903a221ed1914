"""Credentials that nobody has seen accepted are tried by one bind at a time: eight wrong tries lock an account."""

import asyncio
from contextlib import suppress


class Caution:
    """Shared by all binds of an account that use the same credentials. Times are seconds of the loop's clock.

    While one of them is bound the credentials are known to pass and nobody waits. Otherwise whoever has the turn tries,
    and after a refusal of the credentials the next turn begins no sooner than `not_before`.
    """

    def __init__(self) -> None:
        self.refusals = 0
        self.not_before = 0.0
        self._bound = 0
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()

    def proven(self) -> bool:
        """Whether a bind is up with these credentials."""
        return self._bound > 0

    async def enter(self) -> bool:
        """Wait for leave to try; True when the caller got the turn and must `leave` it."""
        if self.proven():
            return False
        await self._turn.acquire()
        try:
            await self._wait()
        except BaseException:
            self._turn.release()
            raise
        if self.proven():
            self._turn.release()
            return False
        return True

    def leave(self) -> None:
        """The try has an outcome."""
        self._turn.release()

    def bound(self) -> None:
        """They were accepted."""
        self._bound += 1
        self.refusals = 0
        self.allow()

    def lost(self) -> None:
        """A bind that was up is down."""
        self._bound -= 1

    def refused(self, until: float) -> None:
        """They were not, and must rest until then."""
        self.not_before = until
        self._moved.clear()

    def allow(self) -> None:
        """Somebody asks to try at once."""
        self.not_before = 0.0
        self._moved.set()

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self.not_before - loop.time()) > 0 and not self.proven():
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()
