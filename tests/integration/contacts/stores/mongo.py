"""Contacts in MongoDB for the suite: on the server that is named, on a `mongod` of our own, or on its stand-in.

`TURUMBA_TEST_MONGODB_URL` or `MONGODB_URL` name a server; a database of its own is made there and dropped.
"""

import os
import secrets
from urllib.parse import urlsplit, urlunsplit

from app.domain.contacts.stores.mongo import MongoContactStores
from app.domain.contacts.stores.mongo_database import MongoDatabase
from deploy.local.installation import default_root
from deploy.local.mongo import Mongo

VARIABLES = ("TURUMBA_TEST_MONGODB_URL", "MONGODB_URL")


class ServedContactStores(MongoContactStores):
    """Stores in a database of their own, which `close` drops, with the server when that is ours."""

    def __init__(self, url: str, server: Mongo | None) -> None:
        super().__init__(MongoDatabase(url))
        self.url = url
        self._server = server

    async def close(self) -> None:
        """Drop the database, and stop the server that was started for it."""
        try:
            if self._server is None:
                await self.database.client.drop_database(self.database.name)
            await super().close()
        finally:
            if self._server is not None:
                await self._server.stop()


async def mongo_stores() -> ServedContactStores:
    """Stores on an empty database. Raises `LocalError` when there is no server to be had."""
    given = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if given is not None:
        return ServedContactStores(database_url(given), None)
    server = Mongo(default_root())
    await server.start()
    return ServedContactStores(database_url(server.url), server)


def database_url(server: str) -> str:
    """The URL of a new database on the server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/turumba_test_{secrets.token_hex(4)}"))
