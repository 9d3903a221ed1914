"""Making, changing and ending channels. Nothing here commits: the unit of work does."""

import unicodedata
from collections.abc import Collection
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.credentials import seal, unseal
from app.domain.channels.events import announce_change
from app.domain.channels.merge_patch import merge_patch
from app.domain.channels.models import Channel
from app.domain.channels.repository import ChannelRepository
from app.domain.channels.schemas import ChannelCreate, ChannelOut, ChannelPatch, ChannelTestOut, Rate
from app.domain.channels.states import ChannelStatus, after_change, after_resume, ready_status
from app.domain.identity.audit.service import AuditTrail
from app.lib.clock import Clock
from app.lib.crypto import CryptoError, Envelope
from app.lib.db import Scope
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.problems import field_error
from app.lib.versions import changed_at, check_version
from connectors import registry
from connectors.contract import Connector

S = TypeVar("S", bound=msgspec.Struct)


def channel_out(channel: Channel) -> ChannelOut:
    """The row as clients see it."""
    return ChannelOut(
        id=channel.id,
        account_id=channel.account_id,
        name=channel.name,
        type=channel.type,
        config=channel.config,
        rate=None if channel.rate is None else msgspec.convert(channel.rate, Rate),
        status=ChannelStatus(channel.status),
        health=channel.health,
        created_at=channel.created_at,
        updated_at=channel.updated_at,
    )


def _check(value: dict[str, Any], kind: type[S], pointer: str) -> S | FieldError:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return field_error(error, prefix=pointer)


def _checked(value: dict[str, Any], kind: type[S], pointer: str) -> S:
    result = _check(value, kind, pointer)
    if isinstance(result, FieldError):
        raise InvalidValue.of([result])
    return result


def _document(value: msgspec.Struct) -> dict[str, Any]:
    # Through JSON, because it is compared with what the database gives back: `to_builtins` keeps tuples.
    result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return result


class ChannelService:
    """The channels of one account, inside one unit of work.

    Methods raise `NotFound` for a channel of another account as for none, `InvalidValue` with pointers into the body,
    and `PreconditionFailed` when `if_match` holds versions and none of them is the stored one.
    """

    def __init__(
        self,
        session: AsyncSession,
        account_id: UUID,
        *,
        envelope: Envelope,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._account_id = account_id
        self._channels = ChannelRepository(session, Scope(account_id))
        self._envelope = envelope
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[ChannelOut]:
        """One page of the account's channels."""
        page = await self._channels.page(query)
        return Page([channel_out(channel) for channel in page.items], page.next_cursor, page.total)

    async def get(self, channel_id: UUID) -> ChannelOut:
        """One channel."""
        return channel_out(await self._find(channel_id))

    async def create(self, data: ChannelCreate) -> ChannelOut:
        """A new channel, ready to send or to connect. Raises `Conflict` when the name is taken."""
        connector = registry.get(data.type)
        if connector is None:
            known = ", ".join(sorted(each.type for each in registry.connectors()))
            raise InvalidValue.at("/type", "not_allowed", f"Channel types: {known}.")
        config = _check(data.config, connector.config_type, "/config")
        credentials = _check(data.credentials, connector.credentials_type, "/credentials")
        if isinstance(config, FieldError) or isinstance(credentials, FieldError):
            raise InvalidValue.of([each for each in (config, credentials) if isinstance(each, FieldError)])
        now, channel_id = self._clock(), self._new_id()
        channel = Channel(
            id=channel_id,
            account_id=self._account_id,
            name=unicodedata.normalize("NFC", data.name),
            type=connector.type,
            config=_document(config),
            credentials=seal(self._envelope, channel_id, credentials),
            rate=None if data.rate is None else _document(data.rate),
            status=ready_status(connector.sent_by).value,
            health={},
            created_at=now,
            updated_at=now,
            deleted_at=None,
        )
        await self._channels.add(channel)
        await announce_change(self._session, channel_id)
        made = channel_out(channel)
        await self._record("created", channel_id, after=made)
        return made

    async def patch(self, channel_id: UUID, data: ChannelPatch, if_match: Collection[str] | None = None) -> ChannelOut:
        """Change what is sent. Raises `Conflict` when the name is taken. A change of nothing keeps the version."""
        channel = await self._find(channel_id, for_update=True, if_match=if_match)
        connector = _connector_of(channel)
        changes: dict[str, Any] = {}
        if isinstance(data.name, str):
            changes["name"] = unicodedata.normalize("NFC", data.name)
        if data.rate is None:
            changes["rate"] = None
        elif data.rate is not UNSET:
            changes["rate"] = _document(_checked(merge_patch(channel.rate or {}, data.rate, "/rate"), Rate, "/rate"))
        if isinstance(data.config, dict):
            merged = merge_patch(channel.config, data.config, "/config")
            changes["config"] = _document(_checked(merged, connector.config_type, "/config"))
        changes = {name: value for name, value in changes.items() if getattr(channel, name) != value}
        if isinstance(data.credentials, dict):
            credentials = _checked(data.credentials, connector.credentials_type, "/credentials")
            changes["credentials"] = seal(self._envelope, channel_id, credentials)
        if "config" in changes or "credentials" in changes:
            changes["status"] = after_change(ChannelStatus(channel.status), connector.sent_by).value
        return await self._apply(channel, changes, "updated")

    async def delete(self, channel_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End the channel. Its messages keep naming it; its credentials are forgotten at once."""
        channel = await self._find(channel_id, for_update=True, if_match=if_match)
        await self._apply(channel, {"deleted_at": self._clock(), "credentials": None}, "deleted")

    async def pause(self, channel_id: UUID) -> ChannelOut:
        """Stop sending; what is accepted meanwhile waits. Pausing twice is pausing once."""
        return await self._move(await self._find(channel_id, for_update=True), ChannelStatus.PAUSED, "paused")

    async def resume(self, channel_id: UUID) -> ChannelOut:
        """Send again."""
        channel = await self._find(channel_id, for_update=True)
        status = after_resume(ChannelStatus(channel.status), _connector_of(channel).sent_by)
        return await self._move(channel, status, "resumed")

    async def connect(self, channel_id: UUID) -> ChannelOut:
        """Ask the sender to try again now. Raises `Conflict` for a paused channel."""
        channel = await self._find(channel_id, for_update=True)
        if channel.status == ChannelStatus.PAUSED:
            raise Conflict("The channel is paused; resume it first.", code="channel_paused")
        # Announced even from `connecting` to `connecting`: the wish is a new attempt, not the word.
        return await self._apply(channel, {"status": ready_status(_connector_of(channel).sent_by).value}, "reconnected")

    async def test(self, channel_id: UUID) -> ChannelTestOut:
        """Whether the channel could send now, as far as can be known without sending."""
        channel = await self._find(channel_id)
        connector = _connector_of(channel)
        status = ChannelStatus(channel.status)
        try:
            unseal(self._envelope, channel.id, channel.credentials, connector.credentials_type)
            msgspec.convert(channel.config, connector.config_type)
        except (CryptoError, msgspec.ValidationError):
            detail = "The stored configuration cannot be read; send config and credentials again."
            return ChannelTestOut(ok=False, detail=detail, status=status)
        if status is ChannelStatus.PAUSED:
            return ChannelTestOut(ok=False, detail="The channel is paused.", status=status)
        if connector.sent_by == "smppd" and status is not ChannelStatus.ACTIVE:
            reason = channel.health.get("detail")
            detail = f"No bind is up: {reason}" if isinstance(reason, str) and reason else "No bind is up yet."
            return ChannelTestOut(ok=False, detail=detail, status=status)
        return ChannelTestOut(ok=True, detail="The channel is ready.", status=status)

    async def binds(self, channel_id: UUID) -> list[dict[str, Any]]:
        """The state of each bind as the SMPP daemon last reported it; none for other types."""
        reported = (await self._find(channel_id)).health.get("binds")
        return [bind for bind in reported if isinstance(bind, dict)] if isinstance(reported, list) else []

    async def _find(
        self, channel_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> Channel:
        channel = await self._channels.find(channel_id, for_update=for_update)
        if channel is None:
            raise NotFound("There is no such channel.")
        check_version(channel.updated_at, if_match, "channel")
        return channel

    async def _move(self, channel: Channel, status: ChannelStatus, action: str) -> ChannelOut:
        return await self._apply(channel, {} if channel.status == status else {"status": status.value}, action)

    async def _apply(self, channel: Channel, changes: dict[str, Any], action: str) -> ChannelOut:
        if changes:
            before = channel_out(channel)
            for name, value in changes.items():
                setattr(channel, name, value)
                channel.updated_at = changed_at(self._clock(), channel.updated_at)
            await self._channels.save()
            await announce_change(self._session, channel.id)
            after = None if action == "deleted" else channel_out(channel)
            masked = ("credentials",) if "credentials" in changes else ()
            await self._record(action, channel.id, before=before, after=after, masked=masked)
        return channel_out(channel)

    async def _record(
        self,
        action: str,
        channel_id: UUID,
        *,
        before: ChannelOut | None = None,
        after: ChannelOut | None = None,
        masked: Collection[str] = (),
    ) -> None:
        # What its sender reports is nobody's deed.
        before, after = (None if each is None else msgspec.structs.replace(each, health={}) for each in (before, after))
        await self._audit.record(
            self._account_id, action, "channel", channel_id, before=before, after=after, masked=masked
        )


def _connector_of(channel: Channel) -> Connector:
    connector = registry.get(channel.type)
    if connector is None:
        raise Conflict(f"Channels of type {channel.type!r} are not available in this installation.", code="no_type")
    return connector
