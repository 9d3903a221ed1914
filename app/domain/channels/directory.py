"""What senders see of the channels: read often, so remembered for seconds and forgotten on every announced change."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.credentials import unseal
from app.domain.channels.events import CHANNEL_CHANGED, all_were_announced
from app.domain.channels.models import Channel
from app.domain.channels.states import REPORTABLE, ChannelStatus
from app.domain.events.channels import link_events
from app.domain.events.service import record_events
from app.domain.identity.accounts.settings import sending_defaults
from app.domain.identity.models import Account
from app.lib.crypto import CryptoError, Envelope
from app.lib.db import Database, Scope
from app.lib.ids import NewId, new_id
from app.lib.listen import listen
from app.lib.logging import get_logger
from connectors import registry

log = get_logger(__name__)

CACHE_SECONDS = 3.0
MAX_CACHED = 10_000


class UnreadableChannelError(Exception):
    """A stored channel does not fit its connector: a release was rolled back, or the row was edited by hand."""


class ChannelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as senders use it.

    `config` is an instance of the connector's config struct and `default_from` its field of that name, or else that of
    the account. A recipient without a plus is a number of `default_country`; None refuses it. `rate_per_second` counts
    segments for SMS and messages elsewhere, None is unlimited. `version` changes whenever the owner changed anything
    about the channel. `suspended` is what its account is. A deleted channel still has a record, so that what was queued
    for it can be told why it fails.
    """

    id: UUID
    account_id: UUID
    type: str
    name: str
    config: msgspec.Struct
    default_from: str | None
    rate_per_second: float | None
    burst: int | None
    status: ChannelStatus
    deleted: bool
    version: datetime
    default_country: str | None
    suspended: bool

    @property
    def paused(self) -> bool:
        """Whether nothing is to be sent for now: the owner's wish, or the account is suspended."""
        return self.status is ChannelStatus.PAUSED or self.suspended


class ChannelOwner(msgspec.Struct, frozen=True):
    """What of its account decides about a channel: whether nothing is sent, the country of its numbers, its sender."""

    suspended: bool
    country: str | None
    sender: str | None


def record_of(channel: Channel, owner: ChannelOwner) -> ChannelRecord:
    """A row → its record; raises `UnreadableChannelError`."""
    connector = registry.get(channel.type)
    if connector is None:
        raise UnreadableChannelError(f"channel {channel.id} has the unknown type {channel.type!r}")
    try:
        config = msgspec.convert(channel.config, connector.config_type)
    except msgspec.ValidationError as error:
        raise UnreadableChannelError(f"channel {channel.id}: {error}") from error
    rate = channel.rate or {}
    return ChannelRecord(
        id=channel.id,
        account_id=channel.account_id,
        type=channel.type,
        name=channel.name,
        config=config,
        default_from=getattr(config, "default_from", None) or owner.sender,
        rate_per_second=float(rate["per_second"]) if rate else None,
        burst=rate.get("burst"),
        status=ChannelStatus(channel.status),
        deleted=channel.deleted_at is not None,
        version=channel.updated_at,
        default_country=owner.country,
        suspended=owner.suspended,
    )


def _owner(suspended: bool, settings: dict[str, Any]) -> ChannelOwner:
    defaults = sending_defaults(settings)
    return ChannelOwner(suspended, defaults.country, defaults.sender)


ChangeCallback = Callable[[UUID | None], None]
"""Called in the event loop with the id of a channel that changed, or None when any of them may have."""


class ChannelDirectory:
    """Reads channels for one process. Run `listen()` as a task; without it a change is seen after `cache_seconds`."""

    def __init__(
        self,
        database: Database,
        envelope: Envelope,
        *,
        cache_seconds: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        new_id: NewId = new_id,
    ) -> None:
        self._new_id = new_id
        self._database = database
        self._envelope = envelope
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._cached: dict[UUID, tuple[float, ChannelRecord]] = {}
        self._loading: dict[tuple[UUID, UUID], asyncio.Task[ChannelRecord | None]] = {}
        self._subscribers: set[ChangeCallback] = set()
        # So that whoever changes the defaults of an account sends with them by the next request.
        database.when_committed(self._committed)

    async def get(self, account_id: UUID, channel_id: UUID) -> ChannelRecord | None:
        """A channel of the account, deleted ones too; None when there is none.

        Remembered for `cache_seconds`, and read once however many ask at the same time. Raises `Unavailable` and
        `UnreadableChannelError`.
        """
        cached = self._cached.get(channel_id)
        if cached is not None and cached[0] > self._monotonic() and cached[1].account_id == account_id:
            return cached[1]
        key = (account_id, channel_id)
        loading = self._loading.get(key)
        if loading is None:
            loading = asyncio.create_task(self._load(account_id, channel_id))
            self._loading[key] = loading
            loading.add_done_callback(lambda task: self._loaded(key, task))
        # Whoever gives up must not take the others' answer away.
        return await asyncio.shield(loading)

    async def of_type(self, channel_type: str) -> list[ChannelRecord]:
        """The living channels of one type, of every account: what a daemon has to serve. Fresh, not remembered.

        One that cannot be read is logged and left out, because the others must go on. Raises `Unavailable`.
        """
        return await self._read(select(Channel).where(Channel.type == channel_type, Channel.deleted_at.is_(None)))

    async def find(self, channel_id: UUID) -> ChannelRecord | None:
        """A channel of whatever account, for the installation's own operator; None when there is none."""
        found = await self._read(select(Channel).where(Channel.id == channel_id))
        return found[0] if found else None

    async def recently_deleted(self) -> list[ChannelRecord]:
        """Channels deleted within a week: messages may still be queued for them, and must be told so."""
        return await self._read(select(Channel).where(Channel.deleted_at > func.now() - timedelta(days=7)))

    async def _read(self, statement: Select[tuple[Channel]]) -> list[ChannelRecord]:
        async with self._database.reading() as session:
            rows = (await session.execute(_with_tenant(statement.order_by(Channel.id)))).all()
        records = []
        for channel, suspended, settings in rows:
            try:
                records.append(record_of(channel, _owner(suspended, settings)))
            except UnreadableChannelError as error:
                log.error("channel left out", channel_id=str(channel.id), reason=str(error))
        return records

    async def credentials(self, record: ChannelRecord) -> msgspec.Struct:
        """The credentials of a channel, opened now; the caller drops them as soon as it can.

        An instance of the connector's credentials struct. Raises `CryptoError`, also when the channel was deleted.
        """
        connector = registry.get(record.type)
        statement = (
            Scope(record.account_id).select(Channel).where(Channel.id == record.id, Channel.deleted_at.is_(None))
        )
        async with self._database.reading(record.account_id) as session:
            channel = (await session.execute(statement)).scalar_one_or_none()
        if connector is None or channel is None:
            raise CryptoError("the channel has no credentials any more")
        return unseal(self._envelope, channel.id, channel.credentials, connector.credentials_type)

    async def report(
        self, channel_id: UUID, status: ChannelStatus, health: dict[str, Any], seen: datetime | None = None
    ) -> bool:
        """Store what the sender sees, and the events that tell it; returns whether anything changed.

        `status` is connecting, active or error, and never replaces a pause; health is kept for paused channels too. A
        deleted channel is left alone. `seen` is the version of the channel that the sender works with: what its owner
        has decided since is not overwritten, or the wish for another try could be lost. `health` is JSON; `detail` in
        it is shown to people, `binds` is the list of binds. Raises `Unavailable`.
        """
        if status not in REPORTABLE:
            raise ValueError(f"a sender cannot make a channel {status}")
        async with self._database.unit_of_work() as session:
            # Locked before anything is compared, so that of two reports the later one sees the earlier.
            row = (await session.execute(_REPORTED, {"id": channel_id})).one_or_none()
            if row is None:
                return False
            before = None if row.reported_status is None else ChannelStatus(row.reported_status)
            free = row.status in REPORTABLE and (seen is None or row.updated_at <= seen)
            shown = status if free else ChannelStatus(row.status)
            document = msgspec.json.encode(health)
            if (row.status, before, row.health) == (shown, status, msgspec.json.decode(document)):
                return False
            await session.execute(
                _REPORT,
                {"id": channel_id, "status": shown.value, "reported": status.value, "health": document.decode()},
            )
            told = link_events(row.account_id, channel_id, row.name, before, status, health)
            await record_events(session, told, self._new_id)
            return True

    def subscribe(self, callback: ChangeCallback) -> Callable[[], None]:
        """Have `callback` called on every change while `listen()` runs; returns what ends the subscription.

        Announcements can be missed while the database is away, and None is sent after each reconnection: poll now and
        then all the same.
        """
        self._subscribers.add(callback)
        return lambda: self._subscribers.discard(callback)

    def forget(self, channel_id: UUID | None) -> None:
        """Drop one channel, or with None all of them, and tell the subscribers."""
        if channel_id is None:
            self._cached.clear()
            self._loading.clear()
        else:
            self._cached.pop(channel_id, None)
            # A load that began before the change may have read what was there before it.
            for key in [key for key in self._loading if key[1] == channel_id]:
                del self._loading[key]
        for callback in tuple(self._subscribers):
            callback(channel_id)

    async def listen(self) -> None:
        """Follow the announcements until cancelled, through every loss of the database."""
        await listen(self._database, CHANNEL_CHANGED, self._notified)

    def _notified(self, payload: str | None) -> None:
        try:
            self.forget(UUID(payload) if payload is not None else None)
        except ValueError:
            self.forget(None)

    async def _load(self, account_id: UUID, channel_id: UUID) -> ChannelRecord | None:
        statement = Scope(account_id).select(Channel).where(Channel.id == channel_id)
        async with self._database.reading(account_id) as session:
            row = (await session.execute(_with_tenant(statement))).one_or_none()
        return None if row is None else record_of(row[0], _owner(row[1], row[2]))

    def _committed(self, session: AsyncSession) -> None:
        if all_were_announced(session):
            self.forget(None)

    def _loaded(self, key: tuple[UUID, UUID], task: "asyncio.Task[ChannelRecord | None]") -> None:
        current = self._loading.get(key) is task
        if current:
            del self._loading[key]
        # Reading the exception also keeps asyncio quiet about a load that everybody gave up on.
        if task.cancelled() or task.exception() is not None:
            return
        record = task.result()
        if record is not None and current:
            while len(self._cached) >= MAX_CACHED:
                del self._cached[next(iter(self._cached))]
            self._cached[record.id] = (self._monotonic() + self._cache_seconds, record)


def _with_tenant(statement: Select[tuple[Channel]]) -> Select[tuple[Channel, bool, dict[str, Any]]]:
    joined = statement.join(Account, Account.id == Channel.account_id)
    return joined.add_columns(Account.suspended, Account.settings)


_REPORTED = text(
    """
    SELECT account_id, name, status, health, reported_status, updated_at
    FROM channels WHERE id = :id AND deleted_at IS NULL FOR NO KEY UPDATE
    """
)

_REPORT = text(
    """
    UPDATE channels SET status = :status, reported_status = :reported, health = CAST(:health AS jsonb) WHERE id = :id
    """
)
