"""Claims messages in small sets just ahead of their sending, so that each is handed over at most once."""

import asyncio
from collections import deque
from collections.abc import Callable
from uuid import UUID

from app.domain.messages.events import Lane
from app.domain.messages.handover import Claim, ClaimInDoubt, Doubt, Handover
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.service import backoff
from smpp_daemon.backlog import Item

log = get_logger(__name__)

MAX_SET = 500
AHEAD_SECONDS = 0.25
"""A set is what can go out in so much time: what is claimed when this process is killed becomes `unknown`."""

AT_ONCE = 2
"""Claims under way together: one is being prepared here while PostgreSQL works on the other."""


def set_size(rate: float, windows: int, last_second: int) -> int:
    """How many messages to claim at once.

    `rate` is PDUs a second that are allowed, `windows` unanswered requests in all binds, `last_second` what really
    went: a link that answers slowly sends far below its rate, and one that just began tells nothing yet.
    """
    likely = min(rate * AHEAD_SECONDS, max(windows, 2 * last_second * AHEAD_SECONDS))
    return max(1, min(MAX_SET, round(likely)))


def ahead(size: int) -> int:
    """How many messages of a lane may be claimed and not written: one set, three where a set is milliseconds' worth."""
    return size if size < MAX_SET else 3 * MAX_SET


def worth_claiming(size: int, room: int, waiting: int) -> int:
    """How many messages of a lane to claim now, of so many `waiting`, when there is `room` for so many.

    Every claim is a transaction: half a set is waited for, unless all that wait fit.
    """
    most = max(0, min(size, room, waiting))
    return most if most >= min(waiting, (size + 1) // 2) else 0


class Claimer:
    """Claims the next set while the current one is being written; verdicts are taken in the order of the sets.

    `next_set` gives the messages to claim, none while nothing may be claimed; `accept` takes them with the verdicts,
    `put_back` when it was stopped before there were any.
    """

    def __init__(
        self,
        handover: Handover,
        account_id: UUID,
        channel_id: UUID,
        next_set: Callable[[], list[Item]],
        accept: Callable[[list[Item], list[Claim]], None],
        put_back: Callable[[list[Item]], None],
    ) -> None:
        self._handover = handover
        self._account_id = account_id
        self._channel_id = channel_id
        self._next_set = next_set
        self._accept = accept
        self._put_back = put_back
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._enough = asyncio.Event()
        self._claiming = {Lane.HIGH: 0, Lane.BULK: 0}

    def claiming(self, lane: Lane) -> int:
        """Messages of a lane whose claim is under way."""
        return self._claiming[lane]

    def wake(self) -> None:
        """There may be something to claim."""
        self._some.set()

    async def quiet(self) -> None:
        """Wait until no claim is under way; one that cannot reach the database gives up."""
        self._enough.set()
        try:
            await self._idle.wait()
        finally:
            self._enough.clear()

    async def run(self) -> None:
        """Claim until cancelled."""
        under_way: deque[tuple[list[Item], asyncio.Task[list[Claim] | None]]] = deque()
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                self._begin(under_way)
                while under_way:
                    items, task = under_way[0]
                    claims = await task
                    under_way.popleft()
                    self._count(items, -1)
                    if claims is None:
                        # Later sets are behind it and go back to the front first.
                        await self._put_all_back(items, under_way)
                    else:
                        self._accept(items, claims)
                    self._begin(under_way)
                self._idle.set()
        finally:
            for _, task in under_way:
                task.cancel()
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)

    def _begin(self, under_way: "deque[tuple[list[Item], asyncio.Task[list[Claim] | None]]]") -> None:
        while len(under_way) < AT_ONCE and (items := self._next_set()):
            self._idle.clear()
            self._count(items, 1)
            under_way.append((items, asyncio.create_task(self._claim(items), name="claim")))

    def _count(self, items: list[Item], sign: int) -> None:
        high = sum(item.batch.lane is Lane.HIGH for item in items)
        self._claiming[Lane.HIGH] += sign * high
        self._claiming[Lane.BULK] += sign * (len(items) - high)

    async def _put_all_back(
        self, items: list[Item], under_way: "deque[tuple[list[Item], asyncio.Task[list[Claim] | None]]]"
    ) -> None:
        later = list(under_way)
        under_way.clear()
        for following, task in reversed(later):
            claims = await task
            self._count(following, -1)
            if claims is None:
                self._put_back(following)
            else:
                self._accept(following, claims)
        self._put_back(items)

    async def release(self, items: list[Item], seconds: float) -> list[Item]:
        """Undo the claims of messages that surely never left; returns those for which it could not be done in time."""
        left = items
        failures = 0
        try:
            async with asyncio.timeout(seconds):
                while left:
                    some = left[:MAX_SET]
                    try:
                        await self._handover.release(self._account_id, [item.message for item in some])
                    except Unavailable:
                        failures += 1
                        await asyncio.sleep(backoff(failures, most=2.0))
                    else:
                        left = left[MAX_SET:]
        except TimeoutError:
            log.warning("claims could not be released", messages=len(left))
        return left

    async def _claim(self, items: list[Item]) -> list[Claim] | None:
        messages = [item.message for item in items]
        failures = 0
        doubt: Doubt | None = None
        while True:
            try:
                return await self._handover.claim(self._account_id, self._channel_id, messages, doubt)
            except Unavailable as error:
                if isinstance(error, ClaimInDoubt):
                    doubt = error.doubt
                failures += 1
                log.warning("cannot claim", reason=error.detail, messages=len(messages))
            except Exception:
                # A defect must not end the account's only claimer; whether it passes shows the next try.
                failures += 4
                log.exception("claim failed", messages=len(messages))
            try:
                async with asyncio.timeout(backoff(failures, most=5.0)):
                    await self._enough.wait()
            except TimeoutError:
                continue
            return None
