import pytest

from app.api.guards import requires
from app.domain.identity.permissions import (
    ADMIN,
    CATALOGUE,
    NAMES,
    OPERATOR,
    OWNER,
    SYSTEM_ROLES,
    VIEWER,
    flatten,
    grants,
)


def test_the_owner_may_everything_and_each_role_less_than_the_one_before() -> None:
    owner, admin, operator, viewer = (flatten(role.permissions) for role in (OWNER, ADMIN, OPERATOR, VIEWER))
    assert owner == NAMES
    assert admin < owner
    assert operator < admin
    assert viewer < admin


def test_viewers_only_read_and_see_no_secrets_or_history() -> None:
    assert all(name.endswith(":read") for name in flatten(VIEWER.permissions))
    assert not {"api_keys:read", "audit_log:read", "webhooks:read"} & flatten(VIEWER.permissions)


def test_roles_hold_only_what_the_catalogue_has() -> None:
    for role in SYSTEM_ROLES:
        for resource, actions in role.permissions.items():
            assert set(actions) <= set(CATALOGUE[resource]), (role.name, resource)


@pytest.mark.parametrize(
    ("permissions", "permission", "expected"),
    [
        ({"messages": ["read", "send"]}, "messages:send", True),
        ({"messages": ["read"]}, "messages:send", False),
        ({}, "messages:read", False),
        ({"messages": []}, "messages:read", False),
        ({"messages": ["fly"]}, "messages:read", False),
    ],
)
def test_grants(permissions: dict[str, list[str]], permission: str, expected: bool) -> None:
    assert grants(permissions, permission) is expected


def test_a_permission_that_does_not_exist_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValueError, match="messages:fly"):
        grants({"messages": ["fly"]}, "messages:fly")
    with pytest.raises(ValueError, match="message:send"):
        requires("message:send")


def test_what_the_catalogue_does_not_know_is_not_granted() -> None:
    assert flatten({"messages": ["read", "fly"], "moon": ["read"]}) == {"messages:read"}
