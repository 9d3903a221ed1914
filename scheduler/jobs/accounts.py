"""Accounts whose owners deleted them and did not restore them in time are removed."""

from uuid import UUID

from app.domain.contacts.stores.contract import ContactStores
from app.domain.identity.accounts.purge import due_accounts, end_links, remove_account, remove_some
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.lib.db import Database
from app.lib.errors import Unavailable
from app.lib.ids import new_id
from app.lib.logging import get_logger

log = get_logger(__name__)

CONTACTS_AT_ONCE = 1_000


async def purge_accounts(database: Database, stores: ContactStores) -> None:
    """Remove what is due; one that cannot be removed does not keep the others. Raises `Unavailable`."""
    async with database.reading() as session:
        due = await due_accounts(session)
    for account_id in due:
        try:
            await _purge(database, stores, account_id)
        except Unavailable:
            raise
        except Exception:
            log.exception("account not purged", account_id=str(account_id))


async def _purge(database: Database, stores: ContactStores, account_id: UUID) -> None:
    async with database.unit_of_work() as session:
        ready = await end_links(session, account_id)
    if not ready:
        return
    rows = 0
    while True:
        async with database.unit_of_work(account_id) as session:
            removed = await stores.of(session, account_id).purge(CONTACTS_AT_ONCE)
        if not removed:
            break
        rows += removed
    while True:
        async with database.unit_of_work() as session:
            removed = await remove_some(session, account_id)
        if not removed:
            break
        rows += removed
    async with database.unit_of_work() as session:
        if await remove_account(session, account_id):
            audit = AuditTrail(session, None, Origin(), new_id)
            await audit.record(account_id, "purged", "account", account_id)
            log.info("account purged", account_id=str(account_id), rows=rows)
