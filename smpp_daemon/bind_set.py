"""The binds of one account: as many as the channel wants, changed one after the other so that messages go on."""

import asyncio
from collections.abc import Callable

from app.lib.logging import get_logger
from app.lib.tasks import end_tasks
from connectors.smpp.config import SmppConfig, SmppCredentials
from smpp_daemon.bind import BindKeeper, Links
from smpp_daemon.bind_health import BindState
from smpp_daemon.bind_settings import BindSettings, bind_settings
from smpp_daemon.caution import Caution
from smpp_daemon.trace import Tap
from smpp_daemon.transport import Owner

log = get_logger(__name__)

SETTLE_SECONDS = 30.0
"""How long a changed bind may take to come up before the next one is changed all the same."""


class BindSet:
    """`keepers` is always the same list. `apply` says what is wanted; what that takes happens by itself."""

    def __init__(self, name: str, owner: Owner, changed: Callable[[], None], links: Links) -> None:
        self.keepers: list[BindKeeper] = []
        self._name = name
        self._owner = owner
        self._changed = changed
        self._links = links
        self._wanted: dict[int, BindSettings] = {}
        self._caution = Caution()
        self._changing: asyncio.Task[None] | None = None
        self._held = False
        self._tap: Tap | None = None

    @property
    def changing(self) -> bool:
        """Whether binds are being ended or made anew because of a change."""
        return self._changing is not None and not self._changing.done()

    def apply(self, config: SmppConfig, credentials: SmppCredentials) -> None:
        """Take a channel's settings: windows and timers at once, new binds at once, the rest one after the other."""
        self._wanted = bind_settings(config, credentials, self._name)
        known = {keeper.index: keeper for keeper in self.keepers}
        if any(not keeper.fits(self._wanted[index]) for index, keeper in known.items() if index in self._wanted):
            # What was refused before says nothing about the new settings, and what was accepted neither.
            self._caution = Caution()
        if self._held:
            return
        for index, keeper in known.items():
            if index in self._wanted and keeper.fits(self._wanted[index]):
                keeper.adjust(self._wanted[index])
        self._add_missing()
        self._change_soon()

    def try_now(self) -> None:
        """Let every bind that waits for its next try begin it."""
        if self._held:
            return
        self._caution.allow()
        for keeper in self.keepers:
            keeper.try_now()

    def rebind(self, index: int | None = None) -> None:
        """Bind anew with the same settings, one bind after the other, or only the one with this index."""
        if self._held:
            return
        for keeper in self.keepers:
            if index is None or keeper.index == index:
                keeper.stale = True
        self._change_soon()

    async def hold(self, seconds: float) -> None:
        """Wait for answers, at most so long, unbind, and stay unbound until `release`."""
        self._held = True
        await self.freeze()
        await asyncio.gather(*(keeper.stop(seconds) for keeper in self.keepers))

    def release(self) -> None:
        """Bind again after `hold`, as the channel wants it now."""
        if not self._held:
            return
        self._held = False
        self._caution = Caution()
        for keeper in self._surplus():
            self.keepers.remove(keeper)
        for keeper in self.keepers:
            keeper.renew(self._wanted[keeper.index], self._caution)
            keeper.start()
        self._add_missing()

    def listen_in(self, tap: Tap | None) -> None:
        """Have every PDU of every bind told to a tap; None ends that."""
        self._tap = tap
        for keeper in self.keepers:
            keeper.listen_in(tap)

    async def freeze(self) -> None:
        """Change nothing more."""
        if self._changing is not None:
            await end_tasks(self._changing)
            self._changing = None

    async def stop(self) -> None:
        """Unbind and end them all, without waiting for answers."""
        await self.freeze()
        await asyncio.gather(*(keeper.stop() for keeper in self.keepers))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _add_missing(self) -> None:
        known = {keeper.index for keeper in self.keepers}
        for index, settings in self._wanted.items():
            if index not in known:
                keeper = BindKeeper(index, settings, self._caution, self._owner, self._changed, self._links)
                keeper.listen_in(self._tap)
                self.keepers.append(keeper)
                keeper.start()
        self.keepers.sort(key=lambda keeper: keeper.index)

    def _surplus(self) -> list[BindKeeper]:
        return [keeper for keeper in self.keepers if keeper.index not in self._wanted]

    def _unfit(self) -> list[BindKeeper]:
        return [
            keeper
            for keeper in self.keepers
            if keeper.index in self._wanted and not keeper.fits(self._wanted[keeper.index])
        ]

    def _change_soon(self) -> None:
        if not self.changing and (self._surplus() or self._unfit()):
            self._changing = asyncio.create_task(self._change(), name=f"change-{self._name}")

    async def _change(self) -> None:
        try:
            while True:
                if surplus := self._surplus():
                    log.info("fewer binds", name=self._name, binds=[keeper.index for keeper in surplus])
                    await asyncio.gather(*(keeper.stop(_patience(keeper)) for keeper in surplus))
                    for keeper in surplus:
                        self.keepers.remove(keeper)
                    # One of them may be wanted again by now.
                    self._add_missing()
                elif unfit := self._unfit():
                    await self._change_one(min(unfit, key=_harm))
                else:
                    return
        except Exception:
            log.exception("binds were not changed", name=self._name)

    async def _change_one(self, keeper: BindKeeper) -> None:
        log.info("binding again with new settings", name=self._name, bind=keeper.index)
        # What was written is answered on the session it was written to, or never.
        await keeper.stop(_patience(keeper))
        if keeper.index not in self._wanted:
            return
        keeper.renew(self._wanted[keeper.index], self._caution)
        keeper.start()
        await keeper.settled(SETTLE_SECONDS)


def _patience(keeper: BindKeeper) -> float:
    """Seconds to wait for the answers to what was written."""
    connection = keeper.connection
    return 0.0 if connection is None else connection.session.config.timers.response


def _harm(keeper: BindKeeper) -> tuple[bool, int]:
    """Those that are not bound first: changing them takes nothing away."""
    return keeper.state is BindState.BOUND, keeper.index
