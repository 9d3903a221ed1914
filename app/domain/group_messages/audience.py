"""Who is meant: an audience as the expression that a store of contacts walks."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain.contacts.stores.contract import AddressType
from app.domain.group_messages.schemas import Audience, AudiencePart
from app.lib.filters import All, AnyOf, Condition, Expression, Not, Operator


def audience_expression(
    audience: Audience, segments: Mapping[UUID, Expression], reached_by: AddressType
) -> Expression | None:
    """The contacts of the audience; None when it names no contacts, only addresses.

    `segments` has every segment that is named, its moments resolved. An excluded address excludes whoever has it as an
    address of the type `reached_by`.
    """
    included = _any_of(_parts(audience, segments))
    if included is None:
        return None
    excluded = _parts(audience.exclude, segments)
    if audience.exclude.addresses:
        excluded.append(Condition(reached_by.value, Operator.IN, list(audience.exclude.addresses)))
    without = _any_of(excluded)
    return included if without is None else All((included, Not(without)))


def _parts(part: AudiencePart, segments: Mapping[UUID, Expression]) -> list[Expression]:
    parts: list[Expression] = []
    if part.group_ids:
        parts.append(Condition("groups", Operator.IN, list(part.group_ids)))
    if part.tags:
        parts.append(Condition("tags", Operator.IN, list(part.tags)))
    if part.contact_ids:
        parts.append(Condition("id", Operator.IN, list(part.contact_ids)))
    parts += [segments[each] for each in part.segment_ids]
    return parts


def _any_of(parts: Sequence[Expression]) -> Expression | None:
    # One part stands alone: a database finds a better way for it than for an `or` of one.
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
