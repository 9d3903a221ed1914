"""What an operator of this platform told a running account to do: `smppctl pause`, `drain`, `set`.

It lasts until it is taken back, and no longer than the account runs in this process: a restart, another daemon taking
over, or an owner's pause of the channel ends it. The owner's own pause is in the database and is another thing.
"""

from enum import StrEnum

import msgspec


class Hold(StrEnum):
    """`paused`: binds stay, receipts come in, nothing is sent. `drained`: the binds are ended as well."""

    NONE = ""
    PAUSED = "paused"
    DRAINING = "draining"
    DRAINED = "drained"


_WORDS = {
    Hold.PAUSED: "An operator paused sending at {since}; `smppctl resume` goes on.",
    Hold.DRAINING: "An operator is ending the binds since {since}; `smppctl resume` goes on.",
    Hold.DRAINED: "An operator ended the binds at {since}; `smppctl resume` goes on.",
}


class Control(msgspec.Struct):
    """Of one account. `since` is RFC 3339; `rate`, `burst` and `window` replace the channel's, None leaves them.

    `tests` counts test messages that wait for their turn: while there are any, nothing else is written.
    """

    hold: Hold = Hold.NONE
    since: str = ""
    rate: float | None = None
    burst: int | None = None
    window: int | None = None
    tests: int = 0

    @property
    def sends(self) -> bool:
        """Whether messages may go."""
        return self.hold is Hold.NONE

    @property
    def stops(self) -> bool:
        """Whether nothing may be written now."""
        return self.hold is not Hold.NONE or self.tests > 0

    @property
    def overrides(self) -> dict[str, float]:
        """What was set by hand, by name."""
        named = {"rate": self.rate, "burst": self.burst, "window": self.window}
        return {name: value for name, value in named.items() if value is not None}

    def set_hold(self, hold: Hold, since: str) -> None:
        """Come into a hold, or out of it."""
        self.hold = hold
        self.since = since if hold is not Hold.NONE else ""

    def forget_overrides(self) -> None:
        """The channel's own settings count again."""
        self.rate = self.burst = self.window = None

    def in_words(self) -> str | None:
        """One sentence for people; None without a hold."""
        return _WORDS[self.hold].format(since=self.since) if self.hold is not Hold.NONE else None
