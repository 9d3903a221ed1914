"""The rule that keeps anybody from rising by their own hand: nobody gives, or changes, more than they have."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Role
from app.domain.identity.permissions import CATALOGUE, OWNER, Permissions, flatten
from app.domain.identity.roles.repository import hold_role
from app.domain.identity.schemas import Caller
from app.lib.errors import FieldError, Forbidden, InvalidValue

EXCEEDS = "exceeds_your_own"


def check_permissions(
    given: Mapping[str, Sequence[str]], errors: list[FieldError], pointer: str = "/permissions"
) -> dict[str, list[str]]:
    """Permissions as they are stored: each action once, in the order of the catalogue; adds errors for unknown ones."""
    for resource, actions in given.items():
        at = f"{pointer}/{_escaped(resource)}"
        known = CATALOGUE.get(resource)
        if known is None:
            errors.append(FieldError(at, "not_allowed", f"There is no such resource. Resources: {_list(CATALOGUE)}."))
            continue
        for index, action in enumerate(actions):
            if action not in known:
                detail = f"There is no such action on {resource}. Actions: {_list(known)}."
                errors.append(FieldError(f"{at}/{index}", "not_allowed", detail))
    kept = {
        resource: [action for action in known if action in given.get(resource, ())]
        for resource, known in CATALOGUE.items()
    }
    return {resource: actions for resource, actions in kept.items() if actions}


def missing(caller: Caller, permissions: Permissions) -> list[str]:
    """Which of the permissions the caller does not have in the active account."""
    return sorted(flatten(permissions) - caller.permissions)


def check_within_own(caller: Caller, given: Mapping[str, Sequence[str]], pointer: str = "/permissions") -> None:
    """Raises `InvalidValue` (`exceeds_your_own`) with a pointer to each action that the caller lacks."""
    lacked = set(missing(caller, given))
    raise_if_any(
        [
            FieldError(f"{pointer}/{resource}/{index}", EXCEEDS, _you_lack(f"{resource}:{action}"))
            for resource, actions in given.items()
            for index, action in enumerate(actions)
            if f"{resource}:{action}" in lacked
        ]
    )


def check_role_within_own(caller: Caller, role: Role, pointer: str) -> None:
    """Raises `InvalidValue` (`exceeds_your_own`) with an error at `pointer` for each permission the caller lacks."""
    raise_if_any([FieldError(pointer, EXCEEDS, _you_lack(name)) for name in missing(caller, role.permissions)])


def raise_if_any(errors: list[FieldError]) -> None:
    """Raises `InvalidValue` (`exceeds_your_own`) unless there are no errors."""
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise InvalidValue(errors[0].detail + more, code=EXCEEDS, errors=errors)


def check_owner_rule(caller: Caller, role: Role) -> None:
    """Raises `Forbidden` (`owner_required`) when the role is that of owners, which only they give and take.

    A role with the same permissions is not enough, and neither is an API key: whoever owns an account is a decision of
    the people who do.
    """
    if role.id == OWNER.id and (caller.user_id is None or caller.role_name != OWNER.name):
        raise Forbidden("Only an owner of the account makes or unmakes an owner.", code="owner_required")


async def role_to_give(session: AsyncSession, caller: Caller, *, role: str | None, role_id: UUID | None) -> Role:
    """The role named by exactly one of `role` and `role_id`, which will not be deleted before the transaction ends.

    Raises `InvalidValue` when there is none of that name or id in the active account, when both or neither are given,
    and when it allows more than the caller has.
    """
    if role is not None and role_id is not None:
        raise InvalidValue.at("/role_id", "not_both", "Name the role by `role` or by `role_id`, not by both.")
    if role is None and role_id is None:
        raise InvalidValue.at("/role", "missing_field", "Name a role, by `role` or by `role_id`.")
    pointer = "/role" if role is not None else "/role_id"
    wanted = role if role is not None else role_id
    found = None if wanted is None or "\0" in str(wanted) else await hold_role(session, caller.account_id, wanted)
    if found is None:
        raise InvalidValue.at(pointer, "not_found", "There is no such role in this account.")
    check_role_within_own(caller, found, pointer)
    return found


def _you_lack(permission: str) -> str:
    return f"You do not have {permission} in this account, so you cannot give or change it."


def _list(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names)


def _escaped(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1")
