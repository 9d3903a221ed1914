"""Asks the daemons once a second, away from the screen: one that hangs must not make the keys hang."""

import queue
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from smpp_daemon.reports import AccountReport, DaemonStatus, Done
from smpp_daemon.smppctl.client import Daemons, RefusedError, UnreachableError, ask_for
from smpp_daemon.smppctl.watch.model import Row, Seen, Wish


class Feed:
    """A thread. `wake` can be read from whenever something is in `brought`; what `wanted` returns is shown in full."""

    def __init__(self, daemons: Daemons, seconds: float, wanted: Callable[[], Row | None]) -> None:
        self.brought: queue.Queue[Seen | str] = queue.Queue()
        self.wake, self._waker = socket.socketpair()
        self._daemons = daemons
        self._seconds = seconds
        self._wanted = wanted
        self._wishes: queue.Queue[Wish | None] = queue.Queue()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="watch-feed", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. A question that is on its way ends by itself."""
        self._over = True
        self._wishes.put(None)

    def do(self, wish: Wish | None) -> None:
        """Have a daemon do something, then ask again; None only asks at once."""
        self._wishes.put(wish)

    def _run(self) -> None:
        while not self._over:
            self._tell(self._ask())
            try:
                wish = self._wishes.get(timeout=self._seconds)
            except queue.Empty:
                continue
            if wish is not None:
                self._tell(_done(wish))

    def _tell(self, what: Seen | str) -> None:
        self.brought.put(what)
        self._waker.send(b"\0")

    def _ask(self) -> Seen:
        daemons: dict[Path, DaemonStatus] = {}
        failures: dict[Path, str] = {}
        sockets = self._daemons.sockets
        for path in sockets:
            try:
                daemons[path] = ask_for(path, "status", DaemonStatus)
            except (UnreachableError, RefusedError) as error:
                failures[path] = str(error)
        if not sockets:
            failures[Path()] = "There is no socket in that directory: no smppd runs here."
        return Seen(daemons, failures, self._report())

    def _report(self) -> AccountReport | None:
        row = self._wanted()
        if row is None:
            return None
        try:
            return ask_for(row.path, "show", AccountReport, {"account": row.account.channel_id})
        except (UnreachableError, RefusedError):
            return None


def _done(wish: Wish) -> str:
    try:
        return ask_for(wish.path, wish.verb, Done, {"account": wish.channel_id}).detail
    except (UnreachableError, RefusedError) as error:
        return str(error).partition("\n")[0]
