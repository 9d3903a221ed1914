"""The verb `trace`: PDUs as they pass, until its limit, its time or the client's patience is over."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import BadRequestError
from smpp_daemon.reports import TracedPdu
from smpp_daemon.trace import Watch, plain_number
from smpp_daemon.verbs.finding import find, read

MAX_SECONDS = 3600.0
MAX_WATCHES = 20
"""Readers at once: each looks at every PDU of its accounts."""


class TraceArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `number`, an `account`, or both; `seconds` and `limit` (PDUs) end it."""

    number: str | None = None
    account: str | None = None
    seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 600.0
    limit: Annotated[int, Meta(ge=1)] | None = None


class Tracing:
    """`accounts` are those of this process."""

    def __init__(self, accounts: Callable[[], Sequence[OperatorAccount]]) -> None:
        self._accounts = accounts
        self._watching = 0

    async def trace(self, arguments: Mapping[str, Any]) -> AsyncGenerator[TracedPdu | None, None]:
        """PDUs, one after the other. Raises `BadRequestError`."""
        given = read(arguments, TraceArguments)
        if given.number is None and given.account is None:
            raise BadRequestError("Name a number, or an account with --account.")
        if self._watching >= MAX_WATCHES:
            raise BadRequestError(f"{MAX_WATCHES} traces run already; end one of them.", "not_now")
        accounts = list(self._accounts()) if given.account is None else [find(self._accounts(), given.account)]
        watch = Watch(None if given.number is None else plain_number(given.number))
        self._watching += 1
        for account in accounts:
            _add(account, watch)
        left = given.limit
        try:
            yield None
            async with asyncio.timeout(given.seconds):
                while left is None or left > 0:
                    yield await watch.next()
                    if left is not None:
                        left -= 1
        except TimeoutError:
            return
        finally:
            self._watching -= 1
            for account in accounts:
                _remove(account, watch)


def _add(account: OperatorAccount, watch: Watch) -> None:
    account.tap.watches.append(watch)
    if len(account.tap.watches) == 1:
        account.binds.listen_in(account.tap)


def _remove(account: OperatorAccount, watch: Watch) -> None:
    account.tap.watches.remove(watch)
    if not account.tap.watches:
        account.binds.listen_in(None)
