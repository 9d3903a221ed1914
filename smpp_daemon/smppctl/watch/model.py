"""What somebody who watches sees and does, without a terminal: keys and answers go in, wishes come out."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from smpp_daemon.reports import AccountReport, AccountStatus, DaemonStatus
from smpp_daemon.smppctl.watch.keys import Key


class View(StrEnum):
    """What fills the screen."""

    LIST = "list"
    DETAILS = "details"
    HELP = "help"


class Mode(StrEnum):
    """What keys mean: commands, the text of the filter, or yes and no."""

    COMMANDS = "commands"
    FILTER = "filter"
    CONFIRM = "confirm"


class Row(NamedTuple):
    """One account, and the daemon that has it."""

    path: Path
    account: AccountStatus


class Seen(msgspec.Struct, frozen=True):
    """What one round of asking brought: each daemon's state, or in words why there is none."""

    daemons: dict[Path, DaemonStatus]
    failures: dict[Path, str]
    report: AccountReport | None = None


class Wish(msgspec.Struct, frozen=True):
    """Something a daemon shall do."""

    path: Path
    verb: str
    channel_id: str
    name: str


PAGE = 10
MESSAGE_ROUNDS = 5
"""How many looks a message stays."""


class Model:
    """Changed by `key`, `take` and `told` only."""

    def __init__(self) -> None:
        self.seen = Seen({}, {})
        self.fresh = False
        self.view = View.LIST
        self.mode = Mode.COMMANDS
        self.filter = ""
        self.selected: str | None = None
        self.scroll = 0
        self.message = ""
        self.wish: Wish | None = None
        self.over = False
        self._before = ""
        self._message_rounds = 0

    @property
    def rows(self) -> list[Row]:
        """The accounts that pass the filter, by name."""
        wanted = self.filter.casefold()
        rows = [
            Row(path, account)
            for path, daemon in self.seen.daemons.items()
            for account in daemon.accounts
            if not wanted or wanted in f"{account.name} {account.system_id} {account.channel_id}".casefold()
        ]
        return sorted(rows, key=lambda row: (row.account.name, row.account.channel_id))

    @property
    def current(self) -> Row | None:
        """The selected account; the first one when the selected is gone."""
        rows = self.rows
        return next((row for row in rows if row.account.channel_id == self.selected), rows[0] if rows else None)

    def take(self, seen: Seen) -> None:
        """Another round of asking is over."""
        self.seen = seen
        self.fresh = True
        self._message_rounds -= 1
        if self._message_rounds <= 0 and self.mode is Mode.COMMANDS:
            self.message = ""

    def told(self, message: str) -> None:
        """What came of a wish."""
        self.message = message
        self._message_rounds = MESSAGE_ROUNDS

    def key(self, key: str) -> Wish | None:
        """One key; the wish that it completes."""
        if self.mode is Mode.FILTER:
            self._edit(key)
            return None
        if self.mode is Mode.CONFIRM:
            self.mode = Mode.COMMANDS
            wish, self.wish = self.wish, None
            if key in ("y", "Y"):
                return wish
            self.told("Nothing was done.")
            return None
        self.message = ""
        self._command(key)
        return None

    def _command(self, key: str) -> None:
        if key in ("q", Key.INTERRUPT):
            self.over = True
        elif key in ("?", "h"):
            self.view = View.LIST if self.view is View.HELP else View.HELP
        elif key in (Key.ESCAPE, Key.BACKSPACE):
            if self.view is View.LIST:
                self.filter = ""
            self.view = View.LIST
        elif key in (Key.ENTER, "s"):
            self.scroll = 0
            self.view = View.DETAILS if self.view is View.LIST and self.current is not None else View.LIST
        elif key == "/":
            self.view, self.mode, self._before = View.LIST, Mode.FILTER, self.filter
        elif key == "p":
            self._ask_to_pause()
        elif key in _STEPS:
            self._move(_STEPS[key])

    def _move(self, step: int) -> None:
        if self.view is View.DETAILS:
            self.scroll = max(0, self.scroll + step)
            return
        rows = self.rows
        current = self.current
        if current is None:
            return
        place = rows.index(current) + step
        self.selected = rows[max(0, min(len(rows) - 1, place))].account.channel_id

    def _ask_to_pause(self) -> None:
        row = self.current
        if row is None:
            return
        verb = "resume" if row.account.hold else "pause"
        self.wish = Wish(row.path, verb, row.account.channel_id, row.account.name)
        self.mode = Mode.CONFIRM

    def _edit(self, key: str) -> None:
        if key == Key.ENTER:
            self.mode = Mode.COMMANDS
        elif key in (Key.ESCAPE, Key.INTERRUPT):
            self.mode, self.filter = Mode.COMMANDS, self._before
        elif key == Key.BACKSPACE:
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter += key


_STEPS = {
    "j": 1,
    Key.DOWN: 1,
    "k": -1,
    Key.UP: -1,
    Key.PAGE_DOWN: PAGE,
    Key.PAGE_UP: -PAGE,
    "g": -(10**6),
    Key.HOME: -(10**6),
    "G": 10**6,
    Key.END: 10**6,
}
