"""Who is bound under which system_id, and which sessions are ghosts: gone, but still counted by the operator."""

from typing import TYPE_CHECKING

from smpp_daemon.protocol.status import ROK, parse_status
from smpp_daemon.simulator.script import Binds

if TYPE_CHECKING:
    from smpp_daemon.simulator.connection import Connection


class Accounts:
    """Sessions by system_id. Times are seconds of the loop's clock."""

    __slots__ = ("_ghosts", "_receivers", "_sessions", "binds")

    def __init__(self, binds: Binds) -> None:
        self.binds = binds
        self._sessions: dict[str, int] = {}
        self._receivers: dict[str, list[Connection]] = {}
        self._ghosts: dict[str, list[float]] = {}

    def check(self, system_id: str, now: float) -> int:
        """The command_status that the number of sessions gives a further bind."""
        binds = self.binds
        if not binds.ghost:
            # A script that wants no ghosts any more lays those of the last one.
            self._ghosts.clear()
        if binds.max_binds is None and not self._ghosts:
            return ROK
        ghosts = [until for until in self._ghosts.get(system_id, ()) if until > now]
        if ghosts:
            self._ghosts[system_id] = ghosts
        else:
            self._ghosts.pop(system_id, None)
        if binds.max_binds is None:
            return parse_status(str(binds.beyond)) if ghosts else ROK
        taken = self._sessions.get(system_id, 0) + len(ghosts)
        return parse_status(str(binds.beyond)) if taken >= binds.max_binds else ROK

    def add(self, connection: "Connection", system_id: str, receives: bool) -> None:
        """A session is bound; when it `receives`, deliver_sm may go to it."""
        self._sessions[system_id] = self._sessions.get(system_id, 0) + 1
        if receives:
            self._receivers.setdefault(system_id, []).append(connection)

    def remove(self, connection: "Connection", system_id: str, dropped: bool, now: float) -> None:
        """It is over; `dropped` without unbind leaves a ghost if the script wants ghosts."""
        left = self._sessions.get(system_id, 0) - 1
        if left > 0:
            self._sessions[system_id] = left
        else:
            self._sessions.pop(system_id, None)
        receivers = self._receivers.get(system_id, [])
        if connection in receivers:
            receivers.remove(connection)
        if not receivers:
            self._receivers.pop(system_id, None)
        if dropped and self.binds.ghost:
            self._ghosts.setdefault(system_id, []).append(now + self.binds.ghost)

    def receivers(self, system_id: str) -> "list[Connection]":
        """Sessions that take deliver_sm; the list itself, whose order is whose turn it is."""
        return self._receivers.get(system_id, [])

    def receiving(self) -> list[str]:
        """Every system_id with a session that takes deliver_sm."""
        return list(self._receivers)
