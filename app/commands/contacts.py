"""`turumba contacts`: where this installation keeps contacts, for its operator."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import click
import msgspec

from app.domain.contacts import migration
from app.domain.contacts.migration import Position, Verdict
from app.domain.contacts.stores.contract import ContactStore
from app.domain.contacts.stores.opening import is_mongo
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.domain.identity.accounts.repository import list_all_accounts
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.settings import Settings, settings_for

T = TypeVar("T")

PAGE = 500
_SECONDS_BETWEEN_LINES = 2.0
_OF_THE_SETTINGS = {"postgresql": "TURUMBA_DATABASE_URL", "contacts": "TURUMBA_CONTACTS_URL"}


class Checkpoint(msgspec.Struct, frozen=True):
    """What the file of a copying holds: between which databases, without passwords, and how far."""

    source: str
    target: str
    position: Position


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of progress: `read` contacts of the source so far, of which `written` were new or different.

    `step` is copying, comparing or done; with the last one comes the verdict.
    """

    step: str
    read: int = 0
    written: int = 0
    removed: int = 0
    verdict: Verdict | None = None


@click.group()
def contacts() -> None:
    """Contacts of this installation: make their database ready, and copy them from one database to another."""


@contacts.command()
@click.option("--shard", is_flag=True, help="Also spread them over the shards of a cluster, by account.")
def prepare(shard: bool) -> None:
    """Make the collection and its indexes in the MongoDB of TURUMBA_CONTACTS_URL, however long that takes.

    For each deployment, before the processes start. Harmless when everything is there, and when contacts are in
    PostgreSQL, where `turumba migrate` makes what they need.
    """
    settings = settings_for("contacts")
    url = settings.contacts.url
    if not is_mongo(url):
        click.echo("Contacts are in PostgreSQL: `turumba migrate` has made everything ready.")
        return
    from app.domain.contacts.stores.mongo_database import MongoDatabase, NotSharded

    async def body() -> None:
        database = MongoDatabase(url)
        try:
            await (database.shard() if shard else database.prepare())
        finally:
            await database.close()

    try:
        _run(body())
    except NotSharded:
        sys.exit("Everything is there, but this is no sharded cluster: name its router (mongos) in the URL.")
    click.echo("Contacts can be stored" + (", spread over the shards by account." if shard else "."))


@contacts.command()
@click.option("--from", "source", required=True, metavar="URL", help="Where the contacts are.")
@click.option("--to", "target", required=True, metavar="URL", help="Where they shall be.")
@click.option("--resume", is_flag=True, help="Go on, or bring a copy up to date. The target may have contacts.")
@click.option("--mirror", is_flag=True, help="With --resume: delete what the target has and the source has not.")
@click.option("--compare", "whole", is_flag=True, help="At the end compare whole contacts, not their ids alone.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("turumba-contacts-migration.json"),
    show_default=True,
    help="The file that remembers how far it got; removed at the end.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def migrate(source: str, target: str, resume: bool, mirror: bool, whole: bool, state: Path, as_json: bool) -> None:
    """Copy all contacts with their groups, opt states and activity from one database to another.

    URL is postgresql://…, mongodb://…, or, to keep passwords out of the command line, `postgresql` for
    TURUMBA_DATABASE_URL and `contacts` for TURUMBA_CONTACTS_URL. Accounts, and the names of groups, segments and
    attributes, are in TURUMBA_DATABASE_URL and stay there.

    What changes in the source meanwhile is not all seen: stop what writes contacts, or copy while it runs, stop it,
    and run this again with --resume --mirror, which writes only what differs. It ends with 0 when both sides have the
    same contacts, else with 1.
    """
    settings = settings_for("contacts")
    source, target = _url(source, settings), _url(target, settings)
    if _shown(source) == _shown(target):
        sys.exit("Both are the same database.")
    if mirror and not resume:
        sys.exit("--mirror deletes in the target; it goes with --resume.")
    found = _checkpoint(state)
    if found is not None and not resume:
        sys.exit(f"{state} is of a copying that was not finished: --resume goes on with it. Or remove the file.")
    if found is not None and (found.source, found.target) != (_shown(source), _shown(target)):
        sys.exit(f"{state} is of another copying: from {found.source} to {found.target}. Name another --state.")
    report = _Report(as_json)

    def keep(position: Position) -> None:
        _write(state, Checkpoint(_shown(source), _shown(target), position))
        report.now_and_then(Line("copying", position.read, position.written))

    async def body() -> Verdict:
        async with _database(settings.database.url) as main, _door(source) as here, _door(target) as there:
            accounts = await _accounts(main)
            if not resume and await migration.occupied(there, accounts):
                sys.exit("The target has contacts already. --resume brings them to what the source has.")
            removed = await migration.remove_extra(here, there, accounts) if mirror else 0
            start = found.position if found is not None else Position()
            end = await migration.copy(here, there, accounts, start, keep, utc_now)

            def passed(number: int) -> None:
                report.now_and_then(Line("comparing", number))

            verdict = await migration.compare(here, there, accounts, whole=whole, passed=passed)
            report.now(Line("done", end.read, end.written, removed, verdict))
            return verdict

    verdict = _run(body())
    if not verdict.alike:
        sys.exit(1)
    state.unlink(missing_ok=True)


class _Report:
    """Writes lines of progress, not too many."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._due = 0.0

    def now_and_then(self, line: Line) -> None:
        if time.monotonic() >= self._due:
            self.now(line)

    def now(self, line: Line) -> None:
        click.echo(msgspec.json.encode(line).decode() if self._as_json else _text(line))
        self._due = time.monotonic() + _SECONDS_BETWEEN_LINES


def _text(line: Line) -> str:
    verdict = line.verdict
    if verdict is None:
        return f"{line.step}: {line.read} contacts" + (f", {line.written} written" if line.written else "")
    said = [
        f"{line.read} contacts read, {line.written} written, {line.removed} removed.",
        f"The source has {verdict.source}, the target {verdict.target}.",
    ]
    if verdict.alike:
        return " ".join([*said, "They are the same."])
    said.append(f"{verdict.missing} are missing, {verdict.extra} are extra, {verdict.different} are different:")
    return "\n".join(
        [" ".join(said), *(f"  {each.account_id}  {each.contact_id}  {each.what}" for each in verdict.shown)]
    )


def _run(body: Coroutine[Any, Any, T]) -> T:
    from pymongo.errors import PyMongoError

    try:
        return asyncio.run(body)
    except Unavailable as error:
        sys.exit(f"Not finished: {error} Its cause: {error.__cause__}. Run it again; what was done stays done.")
    except PyMongoError as error:
        sys.exit(f"Not finished, MongoDB cannot be used so: {error}")


def _url(given: str, settings: Settings) -> str:
    known = {"postgresql": settings.database.url, "contacts": settings.contacts.url}
    url = known.get(given, given)
    if not url:
        sys.exit(f"{_OF_THE_SETTINGS[given]} is not set.")
    if not (is_mongo(url) or url.startswith(("postgresql://", "postgres://"))):
        sys.exit("A URL begins with postgresql:// or mongodb://, or is one of: postgresql, contacts.")
    return url


def _shown(url: str) -> str:
    """The database without who logs in and how."""
    parts = urlsplit(url)
    scheme = "postgresql" if parts.scheme == "postgres" else parts.scheme
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _checkpoint(state: Path) -> Checkpoint | None:
    try:
        return msgspec.json.decode(state.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        sys.exit(f"{state} cannot be read ({error}). Name another --state.")


def _write(state: Path, checkpoint: Checkpoint) -> None:
    fresh = state.with_name(f"{state.name}.new")
    fresh.write_bytes(msgspec.json.encode(checkpoint))
    fresh.replace(state)


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    database = Database(url, process="contacts", pool_size=1, statement_timeout=600)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _door(url: str) -> AsyncIterator[migration.Door]:
    """How to come to the store of an account in the database of the URL."""
    if is_mongo(url):
        from app.domain.contacts.stores.mongo import MongoContactStore
        from app.domain.contacts.stores.mongo_database import MongoDatabase

        mongo = MongoDatabase(url)

        @asynccontextmanager
        async def in_mongo(account_id: UUID) -> AsyncIterator[ContactStore]:
            yield MongoContactStore(mongo, account_id, utc_now)

        try:
            await mongo.prepare()
            yield in_mongo
        finally:
            await mongo.close()
        return
    stores = PostgresContactStores()
    async with _database(url) as database:

        @asynccontextmanager
        async def in_postgres(account_id: UUID) -> AsyncIterator[ContactStore]:
            async with database.unit_of_work(account_id) as session:
                yield stores.of(session, account_id)

        yield in_postgres


async def _accounts(database: Database) -> list[UUID]:
    """All accounts, in order: also those that are closing."""
    ids: list[UUID] = []
    async with database.reading(identity=True) as session:
        while True:
            page = await list_all_accounts(session, below=None, status=None, after=ids[-1] if ids else None, most=PAGE)
            ids += [account.id for account in page]
            if len(page) < PAGE:
                return ids
