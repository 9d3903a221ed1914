"""`turumba orphans`: receipts that belong to no message, for an operator of this platform."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands.transaction import in_one_transaction
from app.domain.messages.orphans import (
    MOST,
    Orphan,
    Position,
    Replayed,
    forget_orphans,
    list_orphans,
    replay_orphans,
)
from app.lib.ids import new_id

T = TypeVar("T")


@click.group()
def orphans() -> None:
    """Receipts that match no message: list them, look them up again, forget them."""


@orphans.command("list")
@click.option("--channel", type=click.UUID, help="Only those of one channel.")
@click.option("--account", type=click.UUID, help="Only those of one account.")
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many to show.")
@click.option("--parked", is_flag=True, help="Also those that may still find their message within minutes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(channel: UUID | None, account: UUID | None, most: int, parked: bool, as_json: bool) -> None:
    """The newest first."""

    async def body(session: AsyncSession) -> list[Orphan]:
        return await list_orphans(session, channel_id=channel, account_id=account, parked_too=parked, most=most)

    for each in in_one_transaction("orphans", body):
        click.echo(msgspec.json.encode(each).decode() if as_json else _line(each))


@orphans.command()
@click.argument("ids", type=click.UUID, nargs=-1)
@click.option("--channel", type=click.UUID, help="All orphans of a channel.")
def replay(ids: Sequence[UUID], channel: UUID | None) -> None:
    """Look receipts up again: those that find their message now are applied, the others stay."""
    replayed = in_one_transaction("orphans", lambda session: _each_set(session, ids, channel, _replay))
    matched = sum(each.matched for each in replayed)
    click.echo(f"{matched} found their message, {sum(each.unmatched for each in replayed)} did not.")


@orphans.command()
@click.argument("ids", type=click.UUID, nargs=-1)
@click.option("--channel", type=click.UUID, help="All orphans of a channel.")
def forget(ids: Sequence[UUID], channel: UUID | None) -> None:
    """Remove receipts for good."""
    forgotten = in_one_transaction("orphans", lambda session: _each_set(session, ids, channel, forget_orphans))
    click.echo(f"{sum(forgotten)} receipts are forgotten.")


async def _replay(session: AsyncSession, ids: Sequence[UUID]) -> Replayed:
    return await replay_orphans(session, ids, new_id)


async def _each_set(
    session: AsyncSession,
    ids: Sequence[UUID],
    channel: UUID | None,
    work: Callable[[AsyncSession, Sequence[UUID]], Awaitable[T]],
) -> list[T]:
    """Does `work` with the receipts that are named and with those of a channel, in sets."""
    done = [await work(session, ids[start : start + MOST]) for start in range(0, len(ids), MOST)]
    after = None
    while channel is not None:
        page = await list_orphans(session, channel_id=channel, after=after, most=MOST)
        if not page:
            break
        after = Position(page[-1].parked_at, page[-1].id)
        done.append(await work(session, [each.id for each in page]))
    return done


def _line(each: Orphan) -> str:
    said = " ".join(word for word in (each.provider_status or each.status, each.provider_code) if word)
    return (
        f"{each.id}  {each.parked_at:%Y-%m-%d %H:%M:%S}  {each.channel_id}  {each.provider_message_id or '-'}  "
        f"{each.recipient or '-'}  {said}  {each.raw or ''}".rstrip()
    )
