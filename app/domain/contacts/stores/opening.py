"""Which store of contacts an installation has, by the URL in its settings."""

from app.domain.contacts.stores.contract import ContactStores
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.lib.clock import Clock, utc_now


def is_mongo(url: str) -> bool:
    """Whether the URL is that of a MongoDB."""
    return url.startswith(("mongodb://", "mongodb+srv://"))


def open_contact_stores(url: str, clock: Clock = utc_now) -> ContactStores:
    """Contacts in MongoDB for its URL (`TURUMBA_CONTACTS_URL`), otherwise beside everything else in PostgreSQL.

    Nothing is connected yet. Raises `ValueError` for a URL of MongoDB that cannot be used.
    """
    if not is_mongo(url):
        return PostgresContactStores()
    # Only who has contacts there pays for the libraries.
    from pymongo.errors import PyMongoError

    from app.domain.contacts.stores.mongo import MongoContactStores
    from app.domain.contacts.stores.mongo_database import MongoDatabase

    try:
        return MongoContactStores(MongoDatabase(url), clock)
    except (PyMongoError, ValueError) as error:
        # Its words may hold a part of the URL, and so of the password.
        raise ValueError("The URL of the contacts' MongoDB cannot be used.") from error
