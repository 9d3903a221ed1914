"""Merging is undone whole, whatever the contacts are like: generated."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.contacts.merging.combining import combine, own_fields, take_back
from app.domain.contacts.stores.contract import Address, AddressType, Contact

AT = datetime(2026, 11, 26, tzinfo=UTC)
GROUPS = [UUID(int=number) for number in range(3)]

_texts = st.sampled_from(["", "a", "b", "a b"])
_tags = st.sets(st.sampled_from("abc")).map(lambda tags: tuple(sorted(tags)))
_groups = st.sets(st.sampled_from(GROUPS)).map(lambda groups: tuple(sorted(groups)))
_attributes = st.dictionaries(st.sampled_from("xyz"), st.sampled_from([1, "1", True, ["a"]]))


@st.composite
def _contacts(draw: st.DrawFn) -> list[Contact]:
    number = draw(st.integers(2, 4))
    # An address belongs to one contact.
    owners = draw(st.lists(st.integers(0, number - 1), max_size=6))
    made: list[Contact] = []
    for index in range(number):
        fields: dict[str, Any] = {
            name: draw(_texts) for name in ("first_name", "last_name", "language", "timezone", "notes")
        }
        addresses = tuple(
            Address(AddressType.PHONE, f"+25191100000{place}") for place, owner in enumerate(owners) if owner == index
        )
        made.append(
            Contact(
                id=UUID(int=index),
                account_id=UUID(int=9),
                addresses=addresses,
                tags=draw(_tags),
                groups=draw(_groups),
                attributes=draw(_attributes),
                created_at=AT,
                updated_at=AT,
                **fields,
            )
        )
    return made


@given(_contacts())
@settings(max_examples=300, deadline=None)
def test_a_merge_is_undone_whole_and_repeated_without_harm(contacts: list[Contact]) -> None:
    kept, *merged = contacts
    combined = combine(kept, merged)
    assert combine(combined, merged) == combined
    assert take_back(combined, kept, merged) == kept
    assert combined.status is kept.status
    for contact in merged:
        assert {each.key for each in contact.addresses} <= {each.key for each in combined.addresses}
        assert set(contact.tags) <= set(combined.tags)
        assert contact.attributes.keys() <= combined.attributes.keys()
    assert combined.addresses[: len(kept.addresses)] == kept.addresses
    # What stripped its contacts of their addresses, and died, comes to the same.
    assert own_fields(take_back(combined, kept, merged)) == own_fields(kept)
