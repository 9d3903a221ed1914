"""Every statement on the tables of identity. Nothing here commits."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, Membership, Role, User
from app.lib.db import constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

ACCOUNTS = Listing(
    id_column=Account.__table__.c.id,
    fields={
        "id": FilterField(Kind.UUID),
        "name": FilterField(Kind.TEXT),
        "parent_id": FilterField(Kind.UUID),
        "status": FilterField(Kind.CHOICE, ("active", "suspended")),
        "created_at": FilterField(Kind.DATETIME),
        "updated_at": FilterField(Kind.DATETIME),
    },
    columns={
        name: Account.__table__.c[name] for name in ("id", "name", "parent_id", "status", "created_at", "updated_at")
    },
    sorts={"created_at": Sort(None, str), "name": Sort(Account.__table__.c.name, str)},
)


async def find_user_by_email(session: AsyncSession, email: str) -> User | None:
    """The user with this normalised address."""
    return (await session.execute(select(User).where(User.email == email))).scalar_one_or_none()


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The user with this id."""
    return await session.get(User, user_id)


async def add_registration(session: AsyncSession, user: User, account: Account, membership: Membership) -> None:
    """Store a new user with their account; raises `Conflict` (`email_taken`)."""
    # Without relationships between the classes, the order of a single flush is not the order of the foreign keys.
    session.add(account)
    await session.flush()
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        if constraint_of(error) == "uq_users_email":
            raise Conflict("There is already a user with this e-mail address.", code="email_taken") from error
        raise
    session.add(membership)
    await session.flush()


async def add_account(session: AsyncSession, account: Account, membership: Membership) -> None:
    """Store a new account with its first member."""
    session.add(account)
    await session.flush()
    session.add(membership)
    await session.flush()


async def rename_user(session: AsyncSession, user_id: UUID, full_name: str) -> User | None:
    """Change the name; returns the user as stored, or None when there is none."""
    statement = update(User).where(User.id == user_id).values(full_name=full_name).returning(User)
    result = await session.execute(statement, execution_options={"populate_existing": True})
    return result.scalar_one_or_none()


async def rename_account(session: AsyncSession, account_id: UUID, name: str) -> Account | None:
    """Change the name; returns the account as stored, or None when there is none."""
    statement = update(Account).where(Account.id == account_id).values(name=name).returning(Account)
    result = await session.execute(statement, execution_options={"populate_existing": True})
    return result.scalar_one_or_none()


async def replace_password_hash(session: AsyncSession, user_id: UUID, old: str, new: str) -> None:
    """Store the same password's hash under other parameters, unless the password was changed meanwhile."""
    await session.execute(update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new))


def _memberships(user_id: UUID) -> Select[tuple[Account, Role]]:
    return (
        select(Account, Role)
        .join(Membership, Membership.account_id == Account.id)
        .join(Role, Role.id == Membership.role_id)
        .where(Membership.user_id == user_id)
    )


async def get_membership(session: AsyncSession, user_id: UUID, account_id: UUID) -> tuple[Account, Role] | None:
    """The account and the user's role there, or None when the user is not a member."""
    row = (await session.execute(_memberships(user_id).where(Account.id == account_id))).one_or_none()
    return None if row is None else (row[0], row[1])


async def default_membership(session: AsyncSession, user_id: UUID) -> tuple[Account, Role] | None:
    """The account used when none is asked for: the user's default while it is active, else the oldest active one."""
    statement = (
        _memberships(user_id)
        .join(User, User.id == Membership.user_id)
        .order_by(
            (Account.status == "active").desc(),
            Account.id.is_not_distinct_from(User.default_account_id).desc(),
            Membership.id,
        )
        .limit(1)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def list_memberships(session: AsyncSession, user_id: UUID) -> list[tuple[Account, Role]]:
    """Every account of the user with the role there, in the order of joining."""
    rows = await session.execute(_memberships(user_id).order_by(Membership.id))
    return [(account, role) for account, role in rows]


async def list_accounts(session: AsyncSession, user_id: UUID, query: ListQuery) -> Page[Account]:
    """One page of the accounts the user is a member of."""
    statement = select(Account).where(
        Account.id.in_(select(Membership.account_id).where(Membership.user_id == user_id))
    )
    return await fetch_page(session, statement, ACCOUNTS, query)


async def lock_refresh_family(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """The family of a token, locked until the transaction ends: a rotation that runs beside a revocation of the
    same family would otherwise leave a token behind that the revocation did not see. None for an unknown token.
    """
    family: UUID | None = await session.scalar(
        text("SELECT family_id FROM refresh_tokens WHERE token_hash = :hash"), {"hash": token_hash}
    )
    if family is not None:
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('refresh_family:' || CAST(:family AS text), 0))"),
            {"family": str(family)},
        )
    return family


async def use_refresh_token(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """Use the token up; returns its user, or None when it was used, revoked, expired or never issued."""
    user_id: UUID | None = await session.scalar(
        text(
            "UPDATE refresh_tokens SET used_at = now(), updated_at = now() WHERE token_hash = :hash"
            " AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now() RETURNING user_id"
        ),
        {"hash": token_hash},
    )
    return user_id


async def was_refresh_token_used(session: AsyncSession, token_hash: bytes) -> bool:
    """Whether the token was already exchanged for another one."""
    used = await session.scalar(
        text("SELECT used_at IS NOT NULL FROM refresh_tokens WHERE token_hash = :hash"), {"hash": token_hash}
    )
    return bool(used)


async def revoke_refresh_family(session: AsyncSession, family_id: UUID) -> None:
    """End every token of the family; call `lock_refresh_family` first."""
    await session.execute(
        text(
            "UPDATE refresh_tokens SET revoked_at = now(), updated_at = now()"
            " WHERE family_id = :family AND revoked_at IS NULL"
        ),
        {"family": family_id},
    )


async def insert_refresh_token(
    session: AsyncSession, token_id: UUID, user_id: UUID, family_id: UUID, token_hash: bytes, seconds: int
) -> None:
    """Store a token that lives `seconds` from now, by the database's clock; forget the user's expired ones."""
    await session.execute(
        text("DELETE FROM refresh_tokens WHERE user_id = :user AND expires_at < now()"), {"user": user_id}
    )
    await session.execute(
        text(
            "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, expires_at)"
            " VALUES (:id, :user, :family, :hash, now() + make_interval(secs => :seconds))"
        ),
        {"id": token_id, "user": user_id, "family": family_id, "hash": token_hash, "seconds": float(seconds)},
    )


class StoredKey(msgspec.Struct, frozen=True):
    """A signing key as stored: `private_key` is sealed."""

    kid: str
    private_key: bytes
    public_jwk: dict[str, Any]
    retired: bool

    def __repr__(self) -> str:
        return f"<StoredKey {self.kid}>"


async def lock_signing_keys(session: AsyncSession) -> None:
    """Let one process at a time make or retire keys, until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('signing_keys', 0))"))


async def has_signing_key(session: AsyncSession) -> bool:
    """Whether a key signs now."""
    return bool(await session.scalar(text("SELECT EXISTS (SELECT FROM signing_keys WHERE retired_at IS NULL)")))


async def retire_signing_keys(session: AsyncSession) -> None:
    """No stored key signs any more."""
    await session.execute(
        text("UPDATE signing_keys SET retired_at = now(), updated_at = now() WHERE retired_at IS NULL")
    )


async def insert_signing_key(session: AsyncSession, kid: str, sealed: bytes, jwk: dict[str, Any]) -> None:
    """Store a new key, which signs from now on."""
    await session.execute(
        text("INSERT INTO signing_keys (id, private_key, public_jwk) VALUES (:kid, :sealed, CAST(:jwk AS jsonb))"),
        {"kid": kid, "sealed": sealed, "jwk": msgspec.json.encode(jwk).decode()},
    )


async def list_signing_keys(session: AsyncSession, keep_retired_seconds: float) -> list[StoredKey]:
    """The signing key and those retired less than `keep_retired_seconds` ago, newest first."""
    rows = await session.execute(
        text(
            "SELECT id, private_key, CAST(public_jwk AS text), retired_at IS NOT NULL FROM signing_keys"
            " WHERE retired_at IS NULL OR retired_at > now() - make_interval(secs => :keep)"
            " ORDER BY created_at DESC, id"
        ),
        {"keep": keep_retired_seconds},
    )
    return [StoredKey(kid, sealed, msgspec.json.decode(jwk), retired) for kid, sealed, jwk, retired in rows]
