"""How a command of an operator works on the database: in one transaction, with one line when that cannot be."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from app.lib.db import Database
from app.lib.errors import AppError
from app.settings import settings_for

T = TypeVar("T")


def in_one_transaction(process: str, body: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """What `body` returns; ends the program with what was wrong. `process` names it to PostgreSQL and in the logs."""
    settings = settings_for(process)

    async def run() -> T:
        database = Database(settings.database.url, process=process, pool_size=1)
        try:
            async with database.unit_of_work() as session:
                return await body(session)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except AppError as error:
        sys.exit(f"Not done: {error.detail}")
