"""Permissions are data: which actions exist on which resources, and the roles every installation starts with."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from app.lib.errors import Forbidden

Permissions = Mapping[str, Sequence[str]]
"""Resource → actions, e.g. `{"messages": ["read", "send"]}`: how roles are stored and shown."""

CATALOGUE: dict[str, tuple[str, ...]] = {
    "accounts": ("read", "create", "update", "delete"),
    # To act in every account below this one, with the role held here.
    "sub_accounts": ("access",),
    "users": ("read", "update", "delete"),
    "roles": ("read", "create", "update", "delete"),
    "invitations": ("read", "create", "delete"),
    "api_keys": ("read", "create", "delete"),
    "audit_log": ("read",),
    "contacts": ("read", "create", "update", "delete"),
    "segments": ("read", "create", "update", "delete"),
    "jobs": ("read", "cancel"),
    "channels": ("read", "create", "update", "delete"),
    "smpp_accounts": ("read", "create", "update", "delete"),
    "templates": ("read", "create", "update", "delete"),
    "messages": ("read", "send", "cancel"),
    "group_messages": ("read", "create", "update", "delete", "send", "approve"),
    "scheduled_messages": ("read", "create", "update", "delete"),
    "webhooks": ("read", "create", "update", "delete"),
    "events": ("read",),
    "analytics": ("read",),
}

NAMES = frozenset(f"{resource}:{action}" for resource, actions in CATALOGUE.items() for action in actions)
"""Every permission as `resource:action`."""


class SystemRole(msgspec.Struct, frozen=True):
    """A role that exists in every account and that nobody can change."""

    id: UUID
    name: str
    permissions: dict[str, tuple[str, ...]]


def _all_but(*left_out: str) -> dict[str, tuple[str, ...]]:
    kept = {
        resource: tuple(action for action in actions if f"{resource}:{action}" not in left_out)
        for resource, actions in CATALOGUE.items()
    }
    return {resource: actions for resource, actions in kept.items() if actions}


def _whole(*resources: str) -> dict[str, tuple[str, ...]]:
    return {resource: CATALOGUE[resource] for resource in resources}


def _reading(*resources: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(resources, ("read",))


OWNER = SystemRole(UUID("00000000-0000-7000-8000-000000000001"), "owner", _all_but())
ADMIN = SystemRole(UUID("00000000-0000-7000-8000-000000000002"), "admin", _all_but("accounts:delete"))
OPERATOR = SystemRole(
    UUID("00000000-0000-7000-8000-000000000003"),
    "operator",
    _whole("contacts", "segments", "jobs", "templates", "messages", "scheduled_messages")
    # Whoever sends does not agree to it as well.
    | {"group_messages": ("read", "create", "update", "delete", "send")}
    | _reading("accounts", "users", "roles", "channels", "smpp_accounts", "events", "analytics"),
)
VIEWER = SystemRole(
    UUID("00000000-0000-7000-8000-000000000004"),
    "viewer",
    _reading(
        *("accounts", "users", "roles", "contacts", "segments", "jobs", "channels", "smpp_accounts", "templates"),
        *("messages", "group_messages", "scheduled_messages", "events", "analytics"),
    ),
)
SYSTEM_ROLES = (OWNER, ADMIN, OPERATOR, VIEWER)


def flatten(permissions: Permissions) -> frozenset[str]:
    """`{"messages": ["read"]}` → `{"messages:read"}`. What the catalogue does not know is left out."""
    return frozenset(f"{resource}:{action}" for resource, actions in permissions.items() for action in actions) & NAMES


def grants(permissions: Permissions, permission: str) -> bool:
    """Whether `permission` (`resource:action`) is among them; raises `ValueError` when there is no such permission."""
    return check_name(permission) in flatten(permissions)


def check_name(permission: str) -> str:
    """`permission` itself; raises `ValueError` when the catalogue does not have it: a misspelling must not hide."""
    if permission not in NAMES:
        raise ValueError(f"no such permission: {permission}")
    return permission


def reading_only(permissions: frozenset[str]) -> frozenset[str]:
    """What is left of them in a suspended account."""
    return frozenset(permission for permission in permissions if permission.endswith(":read"))


def lacking(permission: str, suspended: bool = False) -> Forbidden:
    """The answer to a caller whose role does not have `permission`, or whose account is suspended."""
    if suspended and not permission.endswith(":read"):
        return Forbidden("This account is suspended: it can be read, not changed.", code="account_suspended")
    return Forbidden(f"Your role in this account lacks the permission {permission}.", code="missing_permission")
