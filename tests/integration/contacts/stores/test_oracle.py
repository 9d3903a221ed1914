"""Random filters of random contacts: every store finds what the plain Python of `evaluation` finds, and nothing else.

Texts have few letters, so that conditions hit, and only such as have one small letter for each capital: ASCII, Latin,
Greek, Cyrillic and Ethiopic. Databases and Python disagree about `İ` and the final `ς`, which nobody can search for in
one way. Addresses, names and attributes have the characters that are special in patterns.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.domain.contacts.evaluation import explain, matches
from app.domain.contacts.fields import at, fields_with
from app.domain.contacts.stores.contract import (
    SORTS,
    Activity,
    Address,
    AddressKey,
    AddressType,
    Amendment,
    Contact,
    ContactStatus,
    Window,
)
from app.lib.clock import rfc3339
from app.lib.filters import Expression, FilterField, Kind, Operator, parse_json
from tests.integration.contacts.stores.cases import CHAT, NOW, ONE, PHONE, SMS, TWO, TYPES, Account, Opened
from tests.integration.contacts.stores.conftest import STORES

CONTACTS = 8
FILTERS = 8
THREE = UUID("0199aaaa-0000-7000-8000-0000000000a3")
FIELDS = fields_with(TYPES)

texts = st.sampled_from(["", "a", "A", "aB", "Ab", "éa", "ÉA", "Жω", "жΩ", "አ", "a%", "a_", "\\a", "1.a", " a", "a\n"])
values = st.sampled_from(["a", "A", "aB", "Ж1", "ж", "+25", "+251", "+2519", "1", "%", "_a", "\\"])
sets = st.sets(st.sampled_from(["a", "A", "ab", "Ж", "sms", "%"]), max_size=3).map(sorted)
numbers = st.sampled_from([0, 1, 1.0, -1, 0.1, 1.5, 2**53, -(2**53), 1e-9, 5e-324])
dates = st.sampled_from(["2026-11-25", "2026-11-26", "2026-11-26T11:30:15Z", "2026-11-26T12:30:15Z", "0001-01-01"])
offsets = st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(hours=-1), timedelta(days=1)])
moments = offsets.map(lambda offset: NOW + offset)
opt_outs = st.sets(st.sampled_from(["all", "marketing", "service"]), max_size=2).map(
    lambda topics: tuple(sorted(topics))
)
stored = {"city": texts, "score": numbers, "member": st.booleans(), "born": dates, "likes": sets}
# Of another type than the definition's, as is left when an attribute is defined anew.
anything = st.one_of(*stored.values())


class Drawn(msgspec.Struct):
    """What is drawn of a contact; ids come later."""

    fields: dict[str, Any]
    addresses: list[tuple[AddressType, str, tuple[str, ...]]]
    groups: set[UUID]
    activity: list[tuple[UUID, Any, Any]]


contacts = st.builds(
    Drawn,
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(ContactStatus),
            "updated_at": moments,
            "tags": sets.map(tuple),
            "attributes": st.fixed_dictionaries(
                {}, optional={key: st.one_of(right, anything) for key, right in stored.items()}
            ),
        },
        optional=dict.fromkeys(("first_name", "last_name", "language", "timezone", "notes"), texts),
    ),
    st.lists(st.tuples(st.sampled_from(AddressType), values, opt_outs), max_size=3),
    st.sets(st.sampled_from([ONE, TWO]), max_size=2),
    st.lists(st.tuples(st.sampled_from([SMS, CHAT]), st.none() | moments, st.none() | moments), max_size=2),
)


def operands(field: FilterField) -> st.SearchStrategy[Any]:
    """What a client may write as the value of a condition; of an id, which of the contacts it is."""
    match field.kind:
        case Kind.UUID:
            return st.integers(0, CONTACTS)
        case Kind.IDS:
            return st.sampled_from([str(ONE), str(TWO), str(THREE)])
        case Kind.CHOICE:
            return st.sampled_from(field.choices)
        case Kind.TEXTS:
            return st.sampled_from(["a", "A", "ab", "Ж", "sms", "email:marketing", "telegram:service", "%", ""])
        case Kind.VALUES:
            return values | st.sampled_from(["", "+2", "9", "b", "ж1"])
        case Kind.DATETIME:
            return moments.map(rfc3339) | st.sampled_from(["now", "now-1h", "now+1d", "0001-01-01T00:00:00Z"])
        case Kind.DATE:
            return dates | st.sampled_from(["now", "now-1h"])
        case Kind.NUMBER:
            return numbers
        case Kind.BOOLEAN:
            return st.booleans()
        case _:
            return texts


def condition(name: str, op: Operator) -> st.SearchStrategy[Any]:
    """Any condition on a field with an operator."""
    value = operands(FIELDS[name])
    if op is Operator.EXISTS:
        value = st.booleans()
    elif op in (Operator.IN, Operator.NIN):
        # A database may do with many what it does not with few.
        value = st.lists(value, min_size=1, max_size=3) | st.lists(value, min_size=12, max_size=12)
    return st.fixed_dictionaries({"field": st.just(name), "op": st.just(op.value), "value": value})


def conditions(name: str) -> list[st.SearchStrategy[Any]]:
    """Conditions on a field, with each operator that it has."""
    return [condition(name, op) for op in sorted(FIELDS[name].kind.operators)]


crowds = st.lists(contacts, min_size=CONTACTS, max_size=CONTACTS)
filters = st.recursive(
    st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.one_of(conditions(name))),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)
"""Documents as clients write them, in which an id is the position of a contact."""


def read(document: Any, ids: list[UUID]) -> Expression:
    """The filter, with the ids of the contacts."""

    def name(value: Any) -> Any:
        return [name(each) for each in value] if isinstance(value, list) else str(ids[value])

    def named(node: Any) -> Any:
        if isinstance(node, list):
            return [named(part) for part in node]
        if "field" not in node:
            return {key: named(part) for key, part in node.items()}
        is_id = node["field"] == "id" and node["op"] != "exists"
        return node | {"value": name(node["value"])} if is_id else node

    return at(parse_json(named(document), FIELDS), TYPES, NOW)


async def put(account: Account, crowd: list[Drawn]) -> list[Contact]:
    """Store what was drawn; the contacts as they must be read."""
    made: list[Contact] = []
    taken: set[AddressKey] = set()
    for number, drawn in enumerate(crowd):
        addresses = []
        for kind, value, topics in drawn.addresses:
            if AddressKey(kind, value) not in taken:
                taken.add(AddressKey(kind, value))
                addresses.append(Address(kind, value, topics))
        made.append(account.contact(*addresses, **drawn.fields, created_at=NOW + timedelta(minutes=30 * (number - 3))))
    assert await account.store.insert(made) == frozenset()
    for group in (ONE, TWO):
        ids = [contact.id for contact, drawn in zip(made, crowd, strict=True) if group in drawn.groups]
        assert await account.store.amend(ids, Amendment(join_groups=(group,)), NOW) == len(ids)
    await account.store.record_activity(
        [
            Activity(contact.id, channel, PHONE, inbound, outbound)
            for contact, drawn in zip(made, crowd, strict=True)
            for channel, inbound, outbound in drawn.activity
        ]
    )
    return [
        msgspec.structs.replace(
            contact,
            groups=tuple(sorted(drawn.groups)),
            last_inbound_at=max((moment for _, moment, _ in drawn.activity if moment), default=None),
            last_outbound_at=max((moment for _, _, moment in drawn.activity if moment), default=None),
        )
        for contact, drawn in zip(made, crowd, strict=True)
    ]


async def check(opened: Opened, crowd: list[Drawn], documents: list[Any], sort: str, descending: bool) -> None:
    """Store the contacts, ask for those that match each of the documents, and compare."""
    account = opened.account()
    expected = await put(account, crowd)
    ids = [contact.id for contact in expected]
    ordered = sorted(expected, key=lambda each: (getattr(each, sort), each.id), reverse=descending)
    unknown = opened.account().id
    async with opened.database.reading(account.id) as session:
        store = opened.stores.of(session, account.id)
        for document in documents:
            expression = read(document, [*ids, unknown])
            found = [contact for contact in expected if matches(expression, contact)]
            got = await store.ids(expression, None, 100)
            wrong = [explain(expression, each) for each in expected if (each in found) != (each.id in got)]
            assert not wrong, msgspec.json.encode(wrong).decode()
            assert got == [contact.id for contact in found]
        # They differ in what they give, not in what they find.
        assert await store.count(expression) == len(found), document
        assert await store.page(Window(expression, 100, sort, descending)) == [
            each for each in ordered if each in found
        ]
        assert [each.id for each in await store.recipients(expression, None, 100)] == [each.id for each in found]
        assert await store.page(Window(None, 100, sort, descending)) == ordered
    assert await account.store.purge(100) == len(expected)


def drawing(examples: int) -> settings:
    """The same examples each time, and no worry about how long a store takes.

    What fails is explained, and not made smaller: that would take longer than a test may.
    """
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


@pytest.mark.parametrize("opened", STORES, indirect=True, scope="session")
@pytest.mark.parametrize("field", sorted(FIELDS))
@drawing(5)
@given(data=st.data(), crowd=crowds, sort=st.sampled_from(SORTS), descending=st.booleans())
async def test_every_operator_of_a_field(
    opened: Opened, field: str, data: st.DataObject, crowd: list[Drawn], sort: str, descending: bool
) -> None:
    documents = [data.draw(one) for one in conditions(field) for _ in range(3)]
    await check(opened, crowd, documents, sort, descending)


@pytest.mark.parametrize("opened", STORES, indirect=True, scope="session")
@drawing(30)
@given(
    crowd=crowds,
    documents=st.lists(filters, min_size=FILTERS, max_size=FILTERS),
    sort=st.sampled_from(SORTS),
    descending=st.booleans(),
)
async def test_filters_of_any_form(
    opened: Opened, crowd: list[Drawn], documents: list[Any], sort: str, descending: bool
) -> None:
    await check(opened, crowd, documents, sort, descending)
