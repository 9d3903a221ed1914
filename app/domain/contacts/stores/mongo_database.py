"""The connection to MongoDB: everything has a time limit, every write is on a majority's disks when it returns."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import beanie
import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from app.domain.contacts.stores.mongo_documents import COLLECTION, SHARD_KEY, contact_document
from app.lib.errors import Unavailable

Document = dict[str, Any]

DATABASE = "turumba"
"""Where contacts are when the URL names no database."""

DUPLICATE_KEY = 11000

_INDEXING_SECONDS = 7 * 86_400.0

_DEFAULTS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "waitQueueTimeoutMS": 5_000,
    # Of a whole operation, with its retries; see `MongoDatabase.operation`.
    "timeoutMS": 20_000,
    "maxPoolSize": 32,
}
"""What the URL may set otherwise; pymongo's own limits are too long, or there are none."""

_REQUIRED: dict[str, Any] = {
    "uuidRepresentation": "standard",
    "tz_aware": True,
    "w": "majority",
    "journal": True,
    "readConcernLevel": "majority",
    "readPreference": "primary",
    "retryWrites": True,
    "retryReads": True,
}
"""What the URL may not: what is acknowledged stays, and what was written is read."""

# Server states and conflicts that pass by themselves: MongoDB's error codes of elections, shutdowns, time limits,
# transient conflicts and lost connections.
_PASSING_CODES = frozenset(
    {6, 7, 24, 50, 64, 89, 91, 112, 134, 189, 202, 262, 317, 9001, 10058, 10107, 11600, 11602, 13435, 13436, 46841}
)


class NotSharded(Exception):
    """The server is no cluster of shards."""


class MongoDatabase:
    """The client of this process; it connects at the first use. `close()` when the process ends.

    Raises `pymongo.errors.InvalidURI` or `ConfigurationError` for a URL that cannot be used.
    """

    def __init__(self, url: str) -> None:
        given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
        defaults = {name: value for name, value in _DEFAULTS.items() if name.lower() not in given}
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(url, appname="turumba", **defaults, **_REQUIRED)
        self._database = self.client.get_default_database(DATABASE)
        self._documents: type[beanie.Document] | None = None
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        """The database's name."""
        return self._database.name

    @property
    def collection(self) -> AsyncCollection[Document]:
        """The contacts as raw documents; only for who has called `documents` before."""
        return self._database[COLLECTION]

    async def documents(self) -> type[beanie.Document]:
        """The contacts through beanie. At the first call the collection and its indexes are made when they are missing.

        Nothing may be written without the unique index; making one on many contacts takes longer than an operation
        may, and is for `prepare`.
        """
        if self._documents is None:
            async with self._opening:
                if self._documents is None:
                    self._documents = await self._open()
        return self._documents

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Around whatever a store asks: a time limit, and `Unavailable` for a passing failure.

        An operation may wait out an election. While no primary is known, nobody waits for longer than it takes to find
        one (`serverSelectionTimeoutMS`, which pymongo does not regard beside `timeoutMS`).
        """
        known = self.client.topology_description.has_writable_server()
        looking = nullcontext() if known else pymongo.timeout(self.client.options.server_selection_timeout)
        with unavailable_errors(), looking:
            yield

    async def prepare(self) -> None:
        """Make the collection and all indexes, however long it takes. Harmless when they are there."""
        await self.ping()
        # For pymongo, None would be the limit of the URL.
        with unavailable_errors(), pymongo.timeout(_INDEXING_SECONDS):
            await self.documents()

    async def shard(self) -> None:
        """Spread the collection over the shards by `account_id`; again is harmless. Raises `NotSharded`."""
        await self.prepare()
        with unavailable_errors():
            admin = self.client.admin
            if (await admin.command("hello")).get("msg") != "isdbgrid":
                raise NotSharded
            await admin.command("enableSharding", self._database.name)
            await admin.command("shardCollection", f"{self._database.name}.{COLLECTION}", key=SHARD_KEY)

    async def ping(self) -> None:
        """Raises `Unavailable` unless a primary answers."""
        with unavailable_errors(), pymongo.timeout(self.client.options.server_selection_timeout):
            await self._database.command("ping")

    async def close(self) -> None:
        """Close the pool."""
        await self.client.close()

    async def _open(self) -> type[beanie.Document]:
        documents = contact_document()
        await beanie.init_beanie(database=self._database, document_models=[documents])
        return documents


def is_unavailable(error: BaseException) -> bool:
    """Whether MongoDB could not be reached, refused for a reason that passes, or could not yet confirm a write."""
    match error:
        case ConnectionFailure() | ExecutionTimeout() | WriteConcernError():
            return True
        case BulkWriteError():
            details = error.details or {}
            codes = {each.get("code") for each in details.get("writeErrors", ())}
            return bool(details.get("writeConcernErrors")) or not codes.isdisjoint(_PASSING_CODES)
        case OperationFailure():
            return error.code in _PASSING_CODES or error.timeout
        case PyMongoError():
            return error.timeout
    return False


class unavailable_errors:  # noqa: N801 - a context manager used like a function
    """Turns a passing failure of MongoDB into `Unavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: Any) -> None:
        if error is not None and is_unavailable(error):
            raise Unavailable(
                "The database of contacts is not reachable; try again shortly.", retry_after=2.0
            ) from error
