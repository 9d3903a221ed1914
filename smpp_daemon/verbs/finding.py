"""Which account a word on the command line means."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import BadRequestError
from smpp_daemon.reports import Found

MIN_PREFIX = 4
"""Characters of a channel id that may stand for it."""

A = TypeVar("A", bound=msgspec.Struct)


def matching(accounts: Sequence[OperatorAccount], word: str) -> list[OperatorAccount]:
    """Those that `word` may mean: the channel's id or the start of it, its name, or its system_id.

    An id or a name that fits exactly is what is meant, whatever else begins like it.
    """
    wanted = word.strip().casefold()
    for fits in (
        lambda account: str(account.id) == wanted,
        lambda account: account.record.name.casefold() == wanted,
        lambda account: account.credentials.system_id.casefold() == wanted,
        lambda account: len(wanted) >= MIN_PREFIX and str(account.id).startswith(wanted),
        lambda account: wanted != "" and account.record.name.casefold().startswith(wanted),
    ):
        found = [account for account in accounts if fits(account)]
        if found:
            return found
    return []


def find(accounts: Sequence[OperatorAccount], word: str) -> OperatorAccount:
    """The one account that is meant. Raises `BadRequestError` that names the candidates."""
    found = matching(accounts, word)
    if len(found) == 1:
        return found[0]
    if found:
        raise BadRequestError(
            f"{word!r} may be any of these; name one by its id:\n{listed(described(found))}", "ambiguous_account"
        )
    there = f"There are:\n{listed(described(accounts))}" if accounts else "No account runs here."
    raise BadRequestError(f"No account here is called {word!r}. {there}", "unknown_account")


def described(accounts: Sequence[OperatorAccount]) -> list[Found]:
    """Accounts as a list of names."""
    ordered = sorted(accounts, key=lambda account: (account.record.name, account.id))
    return [Found(str(each.id), each.record.name, each.credentials.system_id) for each in ordered]


def listed(found: Sequence[Found]) -> str:
    """One a line: id, name and system_id."""
    return "\n".join(f"  {each.channel_id}  {each.name}  {each.system_id}" for each in found)


def read(arguments: Mapping[str, Any], kind: type[A]) -> A:
    """A request's arguments as a value. Raises `BadRequestError`."""
    try:
        return msgspec.convert(dict(arguments), kind)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"Wrong arguments: {error}") from None
