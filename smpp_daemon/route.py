"""Which of an operator's hosts a bind connects to: its own, the next one when that fails, and its own again later."""

from collections.abc import Callable, Sequence

from connectors.smpp.config import SmppHost
from smpp_daemon.retry import Delays


class Route:
    """Bind number `number` has the host of that number for its own, so the binds of an account are spread over all."""

    def __init__(self, hosts: Sequence[SmppHost], number: int) -> None:
        self._hosts = tuple(hosts)
        self._home = number % len(self._hosts)
        self._at = self._home
        self._misses = 0

    @property
    def host(self) -> SmppHost:
        """Where to connect (next)."""
        return self._hosts[self._at]

    @property
    def home(self) -> SmppHost:
        """Its own host."""
        return self._hosts[self._home]

    @property
    def away(self) -> bool:
        """Whether it is elsewhere."""
        return self._at != self._home

    def __len__(self) -> int:
        return len(self._hosts)

    def failed(self) -> None:
        """The host did not serve: on to the next one."""
        self._at = (self._at + 1) % len(self._hosts)

    def go_home(self) -> None:
        """Try its own host next."""
        self._at = self._home

    def lasted(self) -> None:
        """A session on the current host was long: if that is its own, it serves again."""
        if not self.away:
            self._misses = 0

    def home_is_down(self) -> None:
        """Its own host was asked and is not back, or was and did not last: ask less often."""
        self._misses += 1

    def seconds_away(self, delays: Delays, jitter: Callable[[], float]) -> float | None:
        """How long to stay before asking its own host; None at home. `jitter` gives 0 to 1."""
        if not self.away:
            return None
        wait = min(delays.returning_most, delays.returning * 2.0 ** min(self._misses, 16))
        return wait * (0.75 + jitter() / 2)
