"""The verb `reload`: what the database holds against what runs here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.lib.crypto import CryptoError
from connectors.smpp.config import SmppConfig, SmppCredentials
from smpp_daemon.account import OperatorAccount
from smpp_daemon.bind_settings import bind_settings
from smpp_daemon.reports import MASK, ChannelChange, FieldChange
from smpp_daemon.verbs.finding import read

_SECRETS = frozenset({"password", "client_certificate", "client_key"})


class ReloadArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`diff`: only say what differs."""

    diff: bool = False


class Reloading:
    """`look` makes the daemon compare with the database at once."""

    def __init__(
        self,
        accounts: Callable[[], Sequence[OperatorAccount]],
        directory: ChannelDirectory,
        look: Callable[[], None],
    ) -> None:
        self._accounts = accounts
        self._directory = directory
        self._look = look

    async def reload(self, arguments: Mapping[str, Any]) -> list[ChannelChange]:
        """What differs, channel by channel; without `diff` it is taken over. Raises `Unavailable`."""
        given = read(arguments, ReloadArguments)
        records = {record.id: record for record in await self._directory.of_type("smpp")}
        running = {account.id: account for account in self._accounts()}
        changes = [await self._compare(account, records.get(account.id)) for account in running.values()]
        changes += [
            ChannelChange(str(record.id), record.name, "stopped" if record.paused else "elsewhere", [])
            for record in records.values()
            if record.id not in running
        ]
        if not given.diff:
            # Whatever was remembered of a channel is read again, and the supervisor does what has to be done.
            self._directory.forget(None)
            self._look()
        return sorted(changes, key=lambda change: (change.name, change.channel_id))

    async def _compare(self, account: OperatorAccount, record: ChannelRecord | None) -> ChannelChange:
        if record is None or record.paused:
            return ChannelChange(str(account.id), account.record.name, "stop", [])
        assert isinstance(record.config, SmppConfig)
        try:
            credentials = await self._directory.credentials(record)
        except CryptoError:
            unreadable = FieldChange("credentials", "readable", "cannot be opened; store them again")
            return ChannelChange(str(account.id), record.name, "none", [unreadable])
        assert isinstance(credentials, SmppCredentials)
        changes = _differences(_flat(account.record, account.config), _flat(record, record.config))
        changes += _credential_differences(account.credentials, credentials)
        wanted = bind_settings(record.config, credentials, str(record.id))
        rebinds = [
            keeper.index
            for keeper in account.keepers
            if keeper.index not in wanted or not keeper.fits(wanted[keeper.index])
        ]
        action = "rebind" if rebinds else "in place" if changes else "none"
        return ChannelChange(str(account.id), record.name, action, changes, rebinds)


def _flat(record: ChannelRecord, config: SmppConfig) -> dict[str, Any]:
    settings: dict[str, Any] = msgspec.to_builtins(config)
    return {"name": record.name, "rate_per_second": record.rate_per_second, "burst": record.burst} | settings


def _differences(running: dict[str, Any], stored: dict[str, Any]) -> list[FieldChange]:
    return [FieldChange(name, running[name], stored[name]) for name in stored if running.get(name) != stored[name]]


def _credential_differences(running: SmppCredentials, stored: SmppCredentials) -> list[FieldChange]:
    changes: list[FieldChange] = []
    for name in running.__struct_fields__:
        before, after = getattr(running, name), getattr(stored, name)
        if before != after:
            secret = name in _SECRETS
            changes.append(FieldChange(name, _masked(before) if secret else before, _other(after) if secret else after))
    return changes


def _masked(value: str | None) -> str | None:
    return None if value is None else MASK


def _other(value: str | None) -> str | None:
    return None if value is None else f"{MASK} (another one)"
