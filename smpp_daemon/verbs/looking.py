"""The verbs that only look: `status`, `find`, `show`, `errors`, `server`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from app.lib.errors import Unavailable
from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import BadRequestError
from smpp_daemon.queue_depth import QueueDepths
from smpp_daemon.reports import AccountErrors, AccountReport, AccountStatus, DaemonStatus, Found
from smpp_daemon.server.status import ServerStatus
from smpp_daemon.status import account_errors, account_report, account_status, daemon_status
from smpp_daemon.verbs.finding import described, find, matching, read

ORPHANS_SECONDS = 10.0
"""How long a count of orphans is good enough for somebody who watches."""


class Surroundings(Protocol):
    """What the daemon says about itself."""

    @property
    def database(self) -> bool:
        """Whether PostgreSQL is connected."""

    @property
    def rabbitmq(self) -> bool:
        """Whether RabbitMQ is connected."""

    @property
    def others(self) -> int:
        """How many other daemons share the channels."""


class OneAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`account` is an id, the start of one, a name or a system_id."""

    account: str


class SomeAccounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All accounts unless one is named."""

    account: str | None = None


class Looking:
    """`accounts` are those of this process; `count_orphans` asks the database, `server` is None when it is off."""

    def __init__(
        self,
        accounts: Callable[[], Sequence[OperatorAccount]],
        surroundings: Surroundings,
        depths: QueueDepths,
        count_orphans: Callable[[OperatorAccount], Any],
        server: Callable[[], ServerStatus | None],
        wall: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._surroundings = surroundings
        self._depths = depths
        self._count_orphans = count_orphans
        self._server = server
        self._wall = wall
        self._started_at = datetime.fromtimestamp(wall(), UTC)
        self._orphans: dict[str, tuple[float, int | None]] = {}

    async def status(self, _: Mapping[str, Any]) -> DaemonStatus:
        """The whole process."""
        accounts = self._accounts()
        queues = await self._depths.of(account.id for account in accounts)
        now, wall = asyncio.get_running_loop().time(), self._wall()
        return daemon_status(
            [account_status(account, now, wall, queues.get(account.id)) for account in accounts],
            at=datetime.fromtimestamp(wall, UTC),
            started_at=self._started_at,
            database=self._surroundings.database,
            rabbitmq=self._surroundings.rabbitmq,
            others=self._surroundings.others,
        )

    async def find(self, arguments: Mapping[str, Any]) -> list[Found]:
        """The accounts here that a word may mean; all of them without a word."""
        word = read(arguments, SomeAccounts).account
        accounts = self._accounts()
        return described(accounts if word is None else matching(accounts, word))

    async def show(self, arguments: Mapping[str, Any]) -> AccountReport:
        """Everything about one account."""
        account = find(self._accounts(), read(arguments, OneAccount).account)
        orphans = await self._orphans_of(account)
        return account_report(await self.account(account), account, self._wall(), orphans)

    async def account(self, account: OperatorAccount) -> AccountStatus:
        """One account as it is now."""
        queues = await self._depths.of((account.id,))
        return account_status(account, asyncio.get_running_loop().time(), self._wall(), queues.get(account.id))

    async def errors(self, arguments: Mapping[str, Any]) -> list[AccountErrors]:
        """What operators answered, account by account."""
        word = read(arguments, SomeAccounts).account
        accounts = self._accounts() if word is None else [find(self._accounts(), word)]
        ordered = sorted(accounts, key=lambda account: (account.record.name, account.id))
        return [account_errors(account, self._wall()) for account in ordered]

    async def server(self, _: Mapping[str, Any]) -> ServerStatus:
        """The binds of applications to us."""
        status = self._server()
        if status is None:
            raise BadRequestError(
                "This daemon takes no binds: TURUMBA_SMPPD_LISTEN and TURUMBA_SMPPD_LISTEN_TLS are not set.", "not_now"
            )
        return status

    async def _orphans_of(self, account: OperatorAccount) -> int | None:
        key, now = str(account.id), self._wall()
        asked_at, count = self._orphans.get(key, (0.0, None))
        if now - asked_at >= ORPHANS_SECONDS:
            try:
                count = await self._count_orphans(account)
            except Unavailable:
                count = None
            self._orphans[key] = (now, count)
        return count
