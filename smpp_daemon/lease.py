"""Which daemon serves a channel: PostgreSQL session advisory locks on one connection of its own.

A channel's lease is an exclusive lock with the channel's number. Besides, every living daemon holds one shared lock
that all of them have in common: those who hold it are the daemons there are, and their other locks are what each of
them serves. PostgreSQL itself frees the locks of a process that died.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import asyncpg

from app.lib.db import CONNECTION_ERRORS, Database
from app.lib.logging import get_logger
from app.lib.service import backoff
from smpp_daemon.sharing import Peers, Sharing

log = get_logger(__name__)

REJOIN_SECONDS = 3.0
"""After a lost connection: the other daemons lost theirs too, and take back first what they are serving."""

STATEMENT_SECONDS = 3.0

MEMBERS = (0x736D7070, 1)
"""The two numbers of the lock that all daemons share ("smpp")."""

# A host that vanished without a word keeps its locks until PostgreSQL notices: by its defaults that takes two hours.
# This side notices first (`Sharing.survey` + `STATEMENT_SECONDS`) and stops sending before another daemon can begin.
_NOTICE_DEATH = """
    SELECT set_config('tcp_keepalives_idle', '4', false), set_config('tcp_keepalives_interval', '2', false),
           set_config('tcp_keepalives_count', '2', false), set_config('tcp_user_timeout', '8000', false)
"""

_SURVEY = """
    SELECT pid, mode = 'ShareLock' AS member, (classid::bigint << 32) | objid::bigint AS key
    FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ((mode = 'ShareLock' AND objsubid = 2 AND classid = $1 AND objid = $2)
           OR (mode = 'ExclusiveLock' AND objsubid = 1))
"""


def lease_key(channel_id: UUID) -> int:
    """A channel's advisory lock number, in the range of bigint."""
    return int.from_bytes(hashlib.blake2b(b"smppd" + channel_id.bytes, digest_size=8).digest(), "big", signed=True)


class Leases:
    """The leases of this process. They live and die with the connection: `lost` is called when it goes. `ready` is
    called when there is a new one, on which nothing is leased yet, and whenever the daemons or their leases change.
    """

    def __init__(
        self,
        database: Database,
        *,
        ready: Callable[[], None],
        lost: Callable[[], None],
        sharing: Sharing,
    ) -> None:
        self.peers = Peers()
        self._database = database
        self._ready = ready
        self._lost = lost
        self._survey_seconds = sharing.survey
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._settled_at = 0.0
        self._held: set[UUID] = set()
        # A connection of asyncpg does one thing at a time.
        self._using = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, channel_id: UUID) -> bool:
        """Whether the lease is ours for certain, as far as this side can know."""
        return channel_id in self._held

    @property
    def settled(self) -> bool:
        """Whether leases that are free can be taken by anybody: not just after PostgreSQL came back."""
        return asyncio.get_running_loop().time() >= self._settled_at

    def taken(self, channel_id: UUID) -> bool:
        """Whether another daemon had the lease when they were last looked at."""
        return lease_key(channel_id) in self.peers.taken

    @property
    def connected(self) -> bool:
        """Whether leases can be taken now."""
        return self._connection is not None and not self._connection.is_closed()

    async def acquire(self, channel_id: UUID) -> bool:
        """Take the lease of a channel if nobody has it; False as well while the database is away."""
        if channel_id in self._held:
            return True
        if not await self._lock("pg_try_advisory_lock", channel_id):
            return False
        self._held.add(channel_id)
        return True

    async def release(self, channel_id: UUID) -> None:
        """Give a lease up."""
        if channel_id in self._held:
            self._held.discard(channel_id)
            await self._lock("pg_advisory_unlock", channel_id)

    async def leave(self) -> None:
        """Stop counting as one of the daemons: the others may take what is given up from now on."""
        with suppress(*CONNECTION_ERRORS):
            async with self._using:
                if self._connection is not None:
                    await self._connection.fetchval(
                        "SELECT pg_advisory_unlock_shared($1, $2)", *MEMBERS, timeout=STATEMENT_SECONDS
                    )

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        failures = 0
        while True:
            try:
                connection = await self._database.connect_raw()
                gone = asyncio.Event()
                connection.add_termination_listener(lambda _, gone=gone: gone.set())
                await self._join(connection)
                failures = 0
                self._ready()
                await self._until_lost(connection, gone)
            except CONNECTION_ERRORS as error:
                log.warning("leases are not possible", reason=str(error) or type(error).__name__)
            self._drop()
            failures += 1
            await asyncio.sleep(backoff(failures, most=3.0))

    async def close(self) -> None:
        """Give everything up."""
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            with suppress(*CONNECTION_ERRORS):
                await connection.close(timeout=STATEMENT_SECONDS)

    async def _join(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        try:
            await connection.fetchrow(_NOTICE_DEATH, timeout=STATEMENT_SECONDS)
            await connection.fetchval("SELECT pg_advisory_lock_shared($1, $2)", *MEMBERS, timeout=STATEMENT_SECONDS)
            await self._survey(connection)
        except BaseException:
            connection.terminate()
            raise
        # Not before: whoever asks for a lease meanwhile would find it busy, and end it.
        self._connection = connection

    async def _until_lost(self, connection: "asyncpg.Connection[asyncpg.Record]", gone: asyncio.Event) -> None:
        while not gone.is_set():
            try:
                async with asyncio.timeout(self._survey_seconds):
                    await gone.wait()
            except TimeoutError:
                if await self._survey(connection):
                    self._ready()

    async def _survey(self, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
        """Look who is there and who serves what; whether that has changed."""
        async with self._using:
            rows = await connection.fetch(_SURVEY, *MEMBERS, timeout=STATEMENT_SECONDS)
        loop = asyncio.get_running_loop()
        seen = Peers.of(
            [(row["pid"], row["member"], row["key"]) for row in rows], connection.get_server_pid(), loop.time()
        )
        changed = (seen.others, seen.taken) != (self.peers.others, self.peers.taken)
        if seen.others.keys() == self.peers.others.keys():
            seen = seen.since_before(self.peers)
        else:
            log.info("other daemons", count=len(seen.others))
        self.peers = seen
        return changed

    async def _lock(self, function: str, channel_id: UUID) -> bool:
        async with self._using:
            connection = self._connection
            if connection is None or connection.is_closed():
                return False
            try:
                return bool(
                    await connection.fetchval(
                        f"SELECT {function}($1)", lease_key(channel_id), timeout=STATEMENT_SECONDS
                    )
                )
            except CONNECTION_ERRORS as error:
                log.warning("lease failed", channel_id=str(channel_id), reason=str(error) or type(error).__name__)
                # Whether the lock was taken is not known; with its connection it is certainly gone.
                connection.terminate()
                return False

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if self._held:
            log.warning("leases lost", channels=len(self._held))
        self._held.clear()
        self._settled_at = asyncio.get_running_loop().time() + REJOIN_SECONDS
        self._lost()
        if connection is not None:
            connection.terminate()
