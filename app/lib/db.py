"""PostgreSQL: one engine, the unit of work, and the one door to tenant data."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
from advanced_alchemy.base import AdvancedDeclarativeBase, CommonTableAttributes
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import ColumnElement, Delete, Select, Update, delete, event, func, select, text, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from app.lib.errors import Unavailable


class Record(CommonTableAttributes, AdvancedDeclarativeBase):
    """Base of all mapped tables; the constraint naming convention comes from advanced-alchemy's metadata."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTimeUTC(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class AccountRecord(Record):
    """Base of the tables whose rows belong to one account. Read and change them through `Scope` only."""

    __abstract__ = True

    account_id: Mapped[UUID] = mapped_column(index=True)


R = TypeVar("R", bound=AccountRecord)


class Scope:
    """The one door to tenant data: every statement on an `AccountRecord` starts here, tied to one account."""

    def __init__(self, account_id: UUID) -> None:
        self.account_id = account_id

    def __repr__(self) -> str:
        return f"<Scope {self.account_id}>"

    def select(self, model: type[R]) -> Select[tuple[R]]:
        """Rows of `model` that belong to the account."""
        return select(model).where(self.owns(model))

    def update(self, model: type[R]) -> Update:
        """An UPDATE that cannot touch another account's rows."""
        return update(model).where(self.owns(model))

    def delete(self, model: type[R]) -> Delete:
        """A DELETE that cannot touch another account's rows."""
        return delete(model).where(self.owns(model))

    def owns(self, model: type[R]) -> ColumnElement[bool]:
        """The condition itself, for statements of another form."""
        return model.account_id == self.account_id


API_ROLE = "turumba_api"
"""The PostgreSQL role under row-level security, which the API works as."""

_NAME_ACCOUNTS = text(
    "SELECT set_config('turumba.accounts', :accounts, true), set_config('turumba.identity', :identity, true)"
)


PING_AFTER_SECONDS = 30.0
"""A connection that has rested so long is asked whether it lives: what lies between may have forgotten it."""


def _note_when(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["rests_since"] = time.monotonic()


def _is_closed(connection: DBAPIConnection) -> bool:
    return bool(connection.driver_connection.is_closed())


def _check_alive(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
    """After a restart of the server every pooled connection is dead: no request should be the one to notice.

    The socket says so at once; SQLAlchemy's own ping would cost every unit of work three round trips.
    """
    if _is_closed(connection):
        raise DisconnectionError
    now = time.monotonic()
    if now - record.info.get("rests_since", now) > PING_AFTER_SECONDS:
        try:
            cast("Any", connection).ping()
        except connection.dbapi.Error as error:
            raise DisconnectionError from error


class Database:
    """The engine of this process. `close()` when the process ends.

    With a `role` the process works as that role, for which row-level security shows only the rows of accounts that the
    transaction names: `unit_of_work(account_id)`. That is the second lock behind `Scope`; without a role (every process
    but the API) naming accounts changes nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        process: str,
        pool_size: int = 8,
        connect_timeout: float = 5.0,
        statement_timeout: float = 30.0,
        role: str | None = None,
    ) -> None:
        self._dsn = url
        self._process = process
        self._connect_timeout = connect_timeout
        self._role = role
        self._when_committed: list[Callable[[AsyncSession], None]] = []
        self.engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1).replace("postgres://", "postgresql+asyncpg://", 1),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=connect_timeout,
            connect_args={
                "timeout": connect_timeout,
                "command_timeout": statement_timeout,
                "server_settings": {
                    "application_name": f"turumba-{process}",
                    # A unit of work that hangs must not keep its locks for ever.
                    "idle_in_transaction_session_timeout": "60000",
                    # Batches are of many sizes: a generic plan chosen for one of them is poor for the others.
                    "plan_cache_mode": "force_custom_plan",
                    "jit": "off",
                    **({"role": role} if role is not None else {}),
                },
            },
        )
        event.listen(self.engine.sync_engine, "checkin", _note_when)
        event.listen(self.engine.sync_engine, "checkout", _check_alive)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)

    @asynccontextmanager
    async def unit_of_work(self, *accounts: UUID, identity: bool = False) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that commits when the block ends well, for the data of `accounts`.

        `identity` opens the tables of identity, of every account: for whatever says who somebody is. The commit's own
        failure is raised here, to whoever must answer for it. Raises `Unavailable` when the database cannot be reached
        or refuses for now; nothing was stored then, unless the connection broke during the commit.
        """
        with unavailable_errors():
            async with self._sessions() as session, session.begin():
                await self._name(session, accounts, identity)
                yield session
        for callback in self._when_committed:
            callback(session)

    @asynccontextmanager
    async def reading(self, *accounts: UUID, identity: bool = False) -> AsyncIterator[AsyncSession]:
        """A session for reads only: what it changes is rolled back. Otherwise like `unit_of_work`."""
        with unavailable_errors():
            async with self._sessions() as session:
                await self._name(session, accounts, identity)
                yield session

    def when_committed(self, callback: Callable[[AsyncSession], None]) -> None:
        """Have `callback` called with the session of every unit of work that has committed."""
        self._when_committed.append(callback)

    async def _name(self, session: AsyncSession, accounts: Iterable[UUID], identity: bool) -> None:
        if self._role is not None:
            named = {"accounts": ",".join(map(str, accounts)), "identity": "on" if identity else ""}
            await session.execute(_NAME_ACCOUNTS, named)

    async def connect_raw(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection outside the pool, for LISTEN and advisory locks; the caller closes it."""
        return await asyncpg.connect(
            self._dsn,
            timeout=self._connect_timeout,
            server_settings={"application_name": f"turumba-{self._process}-session"},
        )

    async def ping(self) -> None:
        """Raises `Unavailable` unless the database answers."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a bare asyncpg connection raises when its server goes away.

The last one comes when a statement begins between the server's farewell and the end of the connection: the farewell of
an idle connection leaves asyncpg in a state in which it begins nothing.
"""


def constraint_of(error: IntegrityError) -> str | None:
    """The name of the constraint that refused, whatever the driver's wording."""
    cause = error.orig.__cause__ if error.orig is not None else None
    name = getattr(cause, "constraint_name", None)
    return name if isinstance(name, str) else None


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE behind an error of SQLAlchemy or asyncpg."""
    seen: BaseException | None = error
    while seen is not None:
        state = getattr(seen, "sqlstate", None)
        if isinstance(state, str):
            return state
        seen = getattr(seen, "orig", None) or seen.__cause__
    return None


# Classes of SQLSTATE that pass by themselves: connection trouble, shutdown, resources, serialisation and deadlock.
_PASSING_STATES = ("08", "53", "57P", "40001", "40P01", "55P03", "25P03")


def is_unavailable(error: BaseException) -> bool:
    """Whether the database could not be reached or refused for a reason that passes."""
    state = sqlstate_of(error)
    if state is not None:
        return state.startswith(_PASSING_STATES)
    if isinstance(error, (*CONNECTION_ERRORS, PoolTimeoutError)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or is_unavailable(error.orig or Exception())
    # asyncpg reports a server that goes away as an internal error without a state, wrapped by SQLAlchemy's adapter.
    return type(error).__name__ == "InterfaceError" or (error.__cause__ is not None and is_unavailable(error.__cause__))


class unavailable_errors:  # noqa: N801 - a context manager used like a function
    """Turns a passing failure of the database into `Unavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: Any) -> None:
        # What is unavailable already says what: it need not be this database.
        if isinstance(error, Exception) and not isinstance(error, Unavailable) and is_unavailable(error):
            raise Unavailable("The database is not reachable; try again shortly.", retry_after=2.0) from error
