"""Making, changing and ending SMPP accounts. Nothing here commits: the unit of work does."""

import unicodedata
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

import msgspec
import phonenumbers
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelDirectory
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.passwords import Passwords
from app.domain.smpp_accounts.events import announce_change
from app.domain.smpp_accounts.models import SmppAccount
from app.domain.smpp_accounts.networks import check_networks
from app.domain.smpp_accounts.repository import SmppAccountRepository
from app.domain.smpp_accounts.schemas import (
    BindSettings,
    SmppAccountCreate,
    SmppAccountMade,
    SmppAccountOut,
    SmppAccountPatch,
)
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at, check_version

_SETTINGS = BindSettings.__struct_fields__


def smpp_account_out(account: SmppAccount) -> SmppAccountOut:
    """The row as clients see it."""
    return SmppAccountOut(**_fields(account))


def _fields(account: SmppAccount) -> dict[str, Any]:
    settings = msgspec.convert(account.settings, BindSettings)
    return {
        "id": account.id,
        "account_id": account.account_id,
        "name": account.name,
        "system_id": account.system_id,
        "channel_id": account.channel_id,
        "enabled": account.enabled,
        "last_bound_at": account.last_bound_at,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
        **msgspec.structs.asdict(settings),
    }


def _document(settings: BindSettings) -> dict[str, Any]:
    # Through JSON, because it is compared with what the database gives back.
    stored: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return stored


class SmppAccountService:
    """The SMPP accounts of one account, inside one unit of work.

    Methods raise `NotFound` for one of another account as for none, `InvalidValue` with pointers into the body, and
    `PreconditionFailed` when `if_match` holds versions and none of them is the stored one. `make_password` makes the
    passwords that callers leave out.
    """

    def __init__(
        self,
        session: AsyncSession,
        account_id: UUID,
        *,
        channels: ChannelDirectory,
        passwords: Passwords,
        make_password: Callable[[], str],
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._account_id = account_id
        self._accounts = SmppAccountRepository(session, Scope(account_id))
        self._channels = channels
        self._passwords = passwords
        self._make_password = make_password
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[SmppAccountOut]:
        """One page of them."""
        page = await self._accounts.page(query)
        return Page([smpp_account_out(each) for each in page.items], page.next_cursor, page.total)

    async def get(self, smpp_account_id: UUID) -> SmppAccountOut:
        """One of them."""
        return smpp_account_out(await self._find(smpp_account_id))

    async def create(self, data: SmppAccountCreate) -> SmppAccountMade:
        """A new one; the answer has a generated password. Raises `Conflict` when name or system_id is taken."""
        errors: list[FieldError] = []
        await self._check_channel(data.channel_id, errors)
        settings = _checked(BindSettings(**{name: getattr(data, name) for name in _SETTINGS}), errors)
        if errors:
            raise InvalidValue.of(errors)
        password = data.password or self._make_password()
        now = self._clock()
        account = SmppAccount(
            id=self._new_id(),
            account_id=self._account_id,
            channel_id=data.channel_id,
            name=unicodedata.normalize("NFC", data.name),
            system_id=data.system_id,
            password_hash=await self._passwords.hash(password),
            enabled=data.enabled,
            settings=_document(settings),
            last_bound_at=None,
            created_at=now,
            updated_at=now,
        )
        await self._accounts.add(account)
        await announce_change(self._session, account.id)
        await self._record("created", account.id, after=smpp_account_out(account))
        return SmppAccountMade(**_fields(account), password=password if data.password is None else UNSET)

    async def patch(
        self, smpp_account_id: UUID, data: SmppAccountPatch, if_match: Collection[str] | None = None
    ) -> SmppAccountOut:
        """Change what is sent; live binds take it over at once. Raises `Conflict` when name or system_id is taken."""
        account = await self._find(smpp_account_id, for_update=True, if_match=if_match)
        sent = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
        errors: list[FieldError] = []
        if "channel_id" in sent and sent["channel_id"] != account.channel_id:
            await self._check_channel(sent["channel_id"], errors)
        merged = msgspec.structs.asdict(msgspec.convert(account.settings, BindSettings))
        merged |= {name: value for name, value in sent.items() if name in _SETTINGS}
        settings = _checked(BindSettings(**merged), errors)
        if errors:
            raise InvalidValue.of(errors)
        changes: dict[str, Any] = {name: sent[name] for name in ("system_id", "channel_id", "enabled") if name in sent}
        if "name" in sent:
            changes["name"] = unicodedata.normalize("NFC", sent["name"])
        changes["settings"] = _document(settings)
        changes = {name: value for name, value in changes.items() if getattr(account, name) != value}
        if "password" in sent:
            changes["password_hash"] = await self._passwords.hash(sent["password"])
        await self._apply(account, changes, "updated")
        return smpp_account_out(account)

    async def rotate_password(self, smpp_account_id: UUID, if_match: Collection[str] | None = None) -> SmppAccountMade:
        """A new password, shown in the answer only; binds made with the old one end."""
        account = await self._find(smpp_account_id, for_update=True, if_match=if_match)
        password = self._make_password()
        await self._apply(account, {"password_hash": await self._passwords.hash(password)}, "password_rotated")
        return SmppAccountMade(**_fields(account), password=password)

    async def delete(self, smpp_account_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End it: its binds end, its messages stay, its system_id is free again."""
        account = await self._find(smpp_account_id, for_update=True, if_match=if_match)
        before = smpp_account_out(account)
        await self._accounts.remove(account)
        await announce_change(self._session, account.id)
        await self._record("deleted", before.id, before=before)

    async def _check_channel(self, channel_id: UUID, errors: list[FieldError]) -> None:
        channel = await self._channels.get(self._account_id, channel_id)
        if channel is None or channel.deleted:
            errors.append(FieldError("/channel_id", "not_found", "There is no such channel in this account."))

    async def _find(
        self, smpp_account_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> SmppAccount:
        account = await self._accounts.find(smpp_account_id, for_update=for_update)
        if account is None:
            raise NotFound("There is no such SMPP account.")
        check_version(account.updated_at, if_match, "SMPP account")
        return account

    async def _apply(self, account: SmppAccount, changes: dict[str, Any], action: str) -> None:
        if not changes:
            return
        before = smpp_account_out(account)
        for name, value in changes.items():
            setattr(account, name, value)
        account.updated_at = changed_at(self._clock(), account.updated_at)
        await self._accounts.save()
        await announce_change(self._session, account.id)
        masked = ("password",) if "password_hash" in changes else ()
        await self._record(action, account.id, before=before, after=smpp_account_out(account), masked=masked)

    async def _record(
        self,
        action: str,
        smpp_account_id: UUID,
        *,
        before: SmppAccountOut | None = None,
        after: SmppAccountOut | None = None,
        masked: Collection[str] = (),
    ) -> None:
        await self._audit.record(
            self._account_id, action, "smpp_account", smpp_account_id, before=before, after=after, masked=masked
        )


def _checked(settings: BindSettings, errors: list[FieldError]) -> BindSettings:
    networks = check_networks(settings.allowed_networks, errors)
    country = settings.default_country
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        errors.append(FieldError("/default_country", "not_a_country", f"{country!r} has no telephone numbers we know."))
    if settings.burst is not None and settings.rate_per_second is None:
        errors.append(FieldError("/burst", "not_allowed", "A burst needs a rate_per_second."))
    return msgspec.structs.replace(settings, allowed_networks=networks)
