"""`turumba accounts`: the tenants of this installation, for its operator."""

import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands.transaction import in_one_transaction
from app.domain.identity.accounts.lifecycle import AccountStates
from app.domain.identity.accounts.overview import AccountOverview, overview
from app.domain.identity.accounts.repository import list_all_accounts, read_account
from app.domain.identity.accounts.schemas import AccountOut
from app.domain.identity.audit.schemas import ActorOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.models import Account
from app.domain.identity.schemas import Origin
from app.lib.clock import utc_now
from app.lib.ids import new_id

PAGE = 500

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of text; one object a line in lists.")


class AccountLine(msgspec.Struct, frozen=True):
    """An account in the list. `level` is 1 for one without an account above it."""

    id: UUID
    name: str
    parent_id: UUID | None
    level: int
    status: str
    suspended: bool
    closes_at: datetime | None
    created_at: datetime


@click.group()
def accounts() -> None:
    """Tenants of this installation: list and show them, suspend them, let them go on.

    A suspended account can be read and nothing else. It sends nothing, its SMPP accounts cannot bind, and what is
    queued waits until it is resumed. All accounts below it are suspended with it.
    """


@accounts.command("list")
@click.option("--below", type=click.UUID, help="Only this account and those below it.")
@click.option(
    "--status", type=click.Choice(["active", "suspended", "closing"]), help="Only those whose own status this is."
)
@_as_json
def show_list(below: UUID | None, status: str | None, as_json: bool) -> None:
    """All accounts, the oldest first: id, level, status, name.

    A status in brackets is that of an account above.
    """

    async def body(session: AsyncSession) -> None:
        after = None
        while True:
            page = await list_all_accounts(session, below=below, status=status, after=after, most=PAGE)
            for account in page:
                each = _line_of(account)
                click.echo(msgspec.json.encode(each).decode() if as_json else _text(each))
            if len(page) < PAGE:
                return
            after = page[-1].id

    in_one_transaction("accounts", body)


@accounts.command()
@click.argument("account", type=click.UUID)
@_as_json
def show(account: UUID, as_json: bool) -> None:
    """One account: its state and settings, its members, and how much it has."""

    async def body(session: AsyncSession) -> AccountOverview:
        return await overview(session, await _find(session, account))

    shown = in_one_transaction("accounts", body)
    click.echo(msgspec.json.encode(shown).decode() if as_json else _sheet(shown))


@accounts.command()
@click.argument("account", type=click.UUID)
@_as_json
def suspend(account: UUID, as_json: bool) -> None:
    """Suspend ACCOUNT and all accounts below it. Every process knows at once; doing it twice is doing it once."""
    done = in_one_transaction("accounts", lambda session: _move(session, account, AccountStates.suspend))
    click.echo(msgspec.json.encode(done).decode() if as_json else f"{done.name} is suspended.")


@accounts.command()
@click.argument("account", type=click.UUID)
@_as_json
def resume(account: UUID, as_json: bool) -> None:
    """Let ACCOUNT go on, and those below it that nothing else suspends. What waited is sent."""
    done = in_one_transaction("accounts", lambda session: _move(session, account, AccountStates.resume))
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
    elif done.suspended:
        click.echo(f"{done.name} is active, and still suspended by an account above it.")
    else:
        click.echo(f"{done.name} is active.")


async def _move(
    session: AsyncSession,
    account_id: UUID,
    how: Callable[[AccountStates, Account], Awaitable[AccountOut]],
) -> AccountOut:
    operator = ActorOut("system", None, "turumba accounts")
    states = AccountStates(session, AuditTrail(session, None, Origin(), new_id), utc_now, by=operator)
    return await how(states, await _find(session, account_id))


async def _find(session: AsyncSession, account_id: UUID) -> Account:
    account = await read_account(session, account_id)
    if account is None:
        sys.exit(f"There is no account {account_id}.")
    return account


def _line_of(account: Account) -> AccountLine:
    return AccountLine(
        account.id,
        account.name,
        account.parent_id,
        len(account.path),
        account.status,
        account.suspended,
        account.closes_at,
        account.created_at,
    )


def _state(status: str, suspended: bool) -> str:
    return "(suspended)" if suspended and status == "active" else status


def _text(each: AccountLine) -> str:
    return f"{each.id}  {each.level:2}  {_state(each.status, each.suspended):11}  {each.name}"


def _sheet(shown: AccountOverview) -> str:
    account = shown.account
    lines = [
        f"{account.name}",
        f"  id        {account.id}",
        f"  state     {_state(account.status, account.suspended)}",
        f"  above     {' > '.join(f'{each.name} ({each.id})' for each in shown.above) or '-'}",
        f"  below     {shown.below}",
        f"  channels  {shown.channels}",
        f"  keys      {shown.api_keys}",
        f"  made      {account.created_at:%Y-%m-%d %H:%M:%S}",
    ]
    if account.closes_at is not None:
        lines.append(f"  gone at   {account.closes_at:%Y-%m-%d %H:%M:%S}")
    settings = {name: value for name, value in msgspec.to_builtins(account.settings).items() if value is not None}
    lines += [f"  setting   {name}: {msgspec.json.encode(value).decode()}" for name, value in settings.items()]
    lines += [f"  member    {each.email} ({each.role})" for each in shown.members]
    if shown.more_members:
        lines.append(f"  member    … and {shown.more_members} more")
    return "\n".join(lines)
