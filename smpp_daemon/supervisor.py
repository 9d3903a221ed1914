"""Which accounts run here: follows the channels, their leases, and every change an owner makes."""

import asyncio
from uuid import UUID

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.channels.states import ChannelStatus
from app.lib.crypto import CryptoError
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.tasks import end_tasks
from connectors.smpp.config import SmppCredentials
from smpp_daemon.account import OperatorAccount, Shared
from smpp_daemon.health_reports import HealthReports
from smpp_daemon.lease import Leases
from smpp_daemon.sharing import Balance, Sharing, share

log = get_logger(__name__)

STOPPED = {"detail": "No SMPP daemon holds this channel now.", "binds": []}


class Running:
    """An account that runs, and what is being done about it."""

    def __init__(self, account: OperatorAccount) -> None:
        self.account = account
        self.version = account.record.version
        self.stopping: asyncio.Task[None] | None = None
        self.updating: asyncio.Task[None] | None = None


class Supervisor:
    """`run` until cancelled, then `stop`."""

    def __init__(
        self,
        directory: ChannelDirectory,
        leases: Leases,
        shared: Shared,
        *,
        poll_seconds: float,
        drain_seconds: float,
        sharing: Sharing,
    ) -> None:
        self._directory = directory
        self._leases = leases
        self._shared = shared
        self._poll_seconds = poll_seconds
        self._drain_seconds = drain_seconds
        self._running: dict[UUID, Running] = {}
        self._look = asyncio.Event()
        self._balance = Balance(sharing)
        self._reports = HealthReports(directory, self._steady)

    @property
    def accounts(self) -> list[OperatorAccount]:
        """The accounts of this process."""
        return [running.account for running in self._running.values()]

    def look(self) -> None:
        """Something may have changed."""
        self._look.set()

    def leases_lost(self) -> None:
        """Nothing is sent until each account has its lease again."""
        for running in self._running.values():
            running.account.hold(True)
        self._look.set()

    async def run(self) -> None:
        """Follow the channels."""
        reporting = asyncio.create_task(self._reports.run(), name="health")
        unsubscribe = self._directory.subscribe(lambda _: self._look.set())
        try:
            while True:
                self._look.clear()
                try:
                    await self._reconcile()
                except Unavailable as error:
                    log.warning("cannot follow the channels", reason=error.detail)
                except Exception:
                    log.exception("following the channels failed")
                try:
                    async with asyncio.timeout(self._poll_seconds):
                        await self._look.wait()
                except TimeoutError:
                    continue
        finally:
            unsubscribe()
            await end_tasks(reporting)

    async def stop(self) -> None:
        """End every account, all at once; other daemons take each one as soon as it is ended."""
        await self._leases.leave()
        await asyncio.gather(*(self._end(running) for running in list(self._running.values())))

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        records = await self._directory.of_type("smpp")
        wanted = {record.id: record for record in records if not record.paused}
        for channel_id, running in list(self._running.items()):
            if channel_id not in wanted:
                self._end_soon(running, "paused or deleted")
        for record in wanted.values():
            known = self._running.get(record.id)
            if known is not None and known.stopping is None:
                await self._keep(known, record)
        await self._take_share([record for record in wanted.values() if record.id not in self._running], len(wanted))
        self._give_surplus()

    async def _take_share(self, missing: list[ChannelRecord], channels: int) -> None:
        """Begin with what nobody serves, up to this daemon's part of all channels."""
        now = asyncio.get_running_loop().time()
        peers = self._leases.peers
        room = share(channels, 1 + len(peers.others)) - len(self._running)
        for record in missing:
            if room <= 0 or not self._leases.settled:
                return
            if self._leases.taken(record.id) or not self._balance.may_take(record.id, peers, now):
                continue
            if await self._begin(record):
                room -= 1

    def _give_surplus(self) -> None:
        """Let another daemon have a channel when it has fewer: one at a time, drained as at the end."""
        now = asyncio.get_running_loop().time()
        if any(running.stopping is not None for running in self._running.values()):
            return
        if self._balance.waits(self._leases.taken, now):
            return
        # What an operator paused or drained here would go on elsewhere.
        free = [running for running in self._running.values() if running.account.control.sends]
        if free and self._balance.has_too_many(len(self._leases), self._leases.peers, now):
            least = min(free, key=lambda running: running.account.in_memory)
            self._balance.giving(least.account.id, now)
            self._end_soon(least, "another daemon has fewer channels")

    async def _begin(self, record: ChannelRecord) -> bool:
        if not await self._leases.acquire(record.id):
            return False
        credentials = await self._credentials(record)
        if credentials is None:
            await self._leases.release(record.id)
            return False
        account = OperatorAccount(record, credentials, self._shared, self._reports.soon)
        self._running[record.id] = Running(account)
        log.info("account starts", channel_id=str(record.id))
        account.start()
        return True

    def _steady(self) -> list[OperatorAccount]:
        return [running.account for running in self._running.values() if running.stopping is None]

    async def _keep(self, running: Running, record: ChannelRecord) -> None:
        account = running.account
        if not self._leases.holds(record.id):
            if not self._leases.connected:
                return
            if not await self._leases.acquire(record.id):
                if self._leases.connected:
                    self._end_soon(running, "another daemon has the lease")
                return
        account.hold(False)
        if running.version == record.version or (running.updating is not None and not running.updating.done()):
            return
        # Sessions that end take their time: the other accounts must not wait for that.
        running.updating = asyncio.create_task(self._update(running, record), name=f"update-{record.id}")

    async def _update(self, running: Running, record: ChannelRecord) -> None:
        try:
            await self._take_over(running, record)
        except Unavailable as error:
            log.warning("change not taken over yet", channel_id=str(record.id), reason=error.detail)
        except Exception:
            log.exception("change not taken over", channel_id=str(record.id))
        self._look.set()

    async def _take_over(self, running: Running, record: ChannelRecord) -> None:
        credentials = await self._credentials(record)
        if credentials is None:
            return
        running.version = record.version
        await running.account.update(record, credentials)
        # A change makes the channel "connecting" in the database: what is true is said again.
        self._reports.again(record.id)

    async def _credentials(self, record: ChannelRecord) -> SmppCredentials | None:
        try:
            credentials = await self._directory.credentials(record)
        except CryptoError as error:
            log.error("credentials cannot be opened", channel_id=str(record.id), reason=str(error))
            detail = "The stored credentials cannot be opened; store them again."
            await self._directory.report(record.id, ChannelStatus.ERROR, {"detail": detail, "binds": []})
            return None
        assert isinstance(credentials, SmppCredentials)
        return credentials

    def _end_soon(self, running: Running, reason: str) -> None:
        if running.stopping is None:
            log.info("account ends", channel_id=str(running.account.id), reason=reason)
            running.stopping = asyncio.create_task(self._end(running), name=f"end-{running.account.id}")

    async def _end(self, running: Running) -> None:
        if running.stopping is not None and running.stopping is not asyncio.current_task():
            await asyncio.gather(running.stopping, return_exceptions=True)
            return
        account = running.account
        if running.updating is not None:
            await end_tasks(running.updating)
        try:
            await account.stop(self._drain_seconds)
        except Exception:
            log.exception("account did not end cleanly", channel_id=str(account.id))
        if self._leases.holds(account.id):
            try:
                await self._directory.report(account.id, ChannelStatus.CONNECTING, STOPPED)
            except Unavailable as error:
                log.warning("health not reported", channel_id=str(account.id), reason=error.detail)
        await self._leases.release(account.id)
        self._running.pop(account.id, None)
        self._reports.forget(account.id)
        self._look.set()
