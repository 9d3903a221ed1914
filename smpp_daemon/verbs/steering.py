"""The verbs that make an account do something: `pause`, `resume`, `drain`, `rebind`, `set`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.lib.logging import get_logger
from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import BadRequestError
from smpp_daemon.bind import BindKeeper
from smpp_daemon.bind_health import moment
from smpp_daemon.control import Hold
from smpp_daemon.pace import limits
from smpp_daemon.reports import Done
from smpp_daemon.verbs.finding import find, read
from smpp_daemon.verbs.looking import Looking

log = get_logger(__name__)

DRAIN_SECONDS = 30.0
MAX_WINDOW = 1000
MAX_RATE = 100_000.0
LOOK_SECONDS = 0.05


class AccountOrBind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole account, or one bind of it by its id."""

    account: str
    bind: int | None = None


class DrainArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seconds` is how long answers are waited for."""

    account: str
    seconds: Annotated[float, Meta(ge=0, le=600)] = DRAIN_SECONDS


class SetArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rate` in PDUs a second with its `burst`, or `window`; `reset` takes back what was set."""

    account: str
    rate: Annotated[float, Meta(gt=0, le=MAX_RATE)] | None = None
    burst: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    window: Annotated[int, Meta(ge=1, le=MAX_WINDOW)] | None = None
    reset: bool = False


class Steering:
    """`accounts` are those of this process."""

    def __init__(
        self, accounts: Callable[[], Sequence[OperatorAccount]], looking: Looking, wall: Callable[[], float]
    ) -> None:
        self._accounts = accounts
        self._looking = looking
        self._wall = wall

    async def pause(self, arguments: Mapping[str, Any]) -> Done:
        """Send nothing more; the binds stay, and what comes in is taken."""
        given = read(arguments, AccountOrBind)
        account = find(self._accounts(), given.account)
        if given.bind is not None:
            keeper = _bind(account, given.bind)
            keeper.paused = True
            account.reconsider()
            return await self._done(account, f"Bind {keeper.index} sends nothing now.")
        if account.control.hold in (Hold.DRAINING, Hold.DRAINED):
            raise BadRequestError("The account is drained: it sends nothing anyway.", "not_now")
        account.control.set_hold(Hold.PAUSED, moment(self._wall()))
        account.reconsider()
        return await self._done(account, "Nothing is sent now; messages wait in RabbitMQ.")

    async def resume(self, arguments: Mapping[str, Any]) -> Done:
        """End a pause or a drain."""
        given = read(arguments, AccountOrBind)
        account = find(self._accounts(), given.account)
        if given.bind is not None:
            keeper = _bind(account, given.bind)
            keeper.paused = False
            account.reconsider()
            return await self._done(account, f"Bind {keeper.index} sends again.")
        if account.control.hold is Hold.DRAINING:
            raise BadRequestError("The account is being drained; try again when that is done.", "not_now")
        for keeper in account.keepers:
            keeper.paused = False
        account.control.set_hold(Hold.NONE, "")
        account.binds.release()
        account.reconsider()
        return await self._done(account, "It sends again.")

    async def drain(self, arguments: Mapping[str, Any]) -> Done:
        """Send nothing more, wait for what is on its way, hand back the rest, unbind, and stay so."""
        given = read(arguments, DrainArguments)
        account = find(self._accounts(), given.account)
        if account.control.hold is Hold.DRAINING:
            raise BadRequestError("It is being drained already.", "not_now")
        account.control.set_hold(Hold.DRAINING, moment(self._wall()))
        account.reconsider()
        left = await _emptied(account, given.seconds)
        try:
            await account.binds.hold(0.0)
        finally:
            account.control.set_hold(Hold.DRAINED, account.control.since)
            account.reconsider()
        told = f"{left} messages were not answered in time and are unknown." if left else "Everything was answered."
        return await self._done(account, f"Unbound. {told} `smppctl resume` binds again.")

    async def rebind(self, arguments: Mapping[str, Any]) -> Done:
        """Bind anew, one bind after the other; a bind that waits for its next try makes it now."""
        given = read(arguments, AccountOrBind)
        account = find(self._accounts(), given.account)
        if account.control.hold in (Hold.DRAINING, Hold.DRAINED):
            raise BadRequestError("The account is drained; `smppctl resume` binds it again.", "not_now")
        if given.bind is not None:
            _bind(account, given.bind)
        account.binds.rebind(given.bind)
        which = "All binds are" if given.bind is None else f"Bind {given.bind} is"
        return await self._done(account, f"{which} bound again, each after the answers it waits for.")

    async def set(self, arguments: Mapping[str, Any]) -> Done:
        """Other limits until the channel is changed or the account ends here."""
        given = read(arguments, SetArguments)
        account = find(self._accounts(), given.account)
        control, record = account.control, account.record
        if given.reset:
            control.forget_overrides()
            told = "The channel's own limits count again."
        elif given.window is not None:
            control.window = given.window
            told = f"The window is {given.window} for each bind"
        elif given.rate is not None:
            control.rate, control.burst = given.rate, given.burst
            told = f"The rate is {given.rate:g} a second"
        else:
            raise BadRequestError("Nothing to set: give a rate or a window.")
        rate = record.rate_per_second if control.rate is None else control.rate
        burst = record.burst if control.rate is None else control.burst
        account.throttle.set_rate(*limits(rate, burst), asyncio.get_running_loop().time())
        window = account.config.window if control.window is None else control.window
        account.binds.apply(msgspec.structs.replace(account.config, window=window), account.credentials)
        account.reconsider()
        if not given.reset:
            told += ", until the channel is changed or the account ends here."
        return await self._done(account, told)

    async def _done(self, account: OperatorAccount, detail: str) -> Done:
        log.info("operator", channel_id=str(account.id), detail=detail)
        return Done(str(account.id), account.record.name, detail, await self._looking.account(account))


def _bind(account: OperatorAccount, index: int) -> BindKeeper:
    for keeper in account.keepers:
        if keeper.index == index:
            return keeper
    there = ", ".join(str(keeper.index) for keeper in account.keepers) or "none"
    raise BadRequestError(f"{account.record.name} has no bind {index}; there are: {there}.")


async def _emptied(account: OperatorAccount, seconds: float) -> int:
    """Waits until nothing is on its way and everything else is handed back; how many are still unanswered."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if not (account.in_flight or account.in_memory or account.unpublished):
                    break
                # Several things have to come to rest, and none of them tells.
                await asyncio.sleep(LOOK_SECONDS)
    return account.in_flight
