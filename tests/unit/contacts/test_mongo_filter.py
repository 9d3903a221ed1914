"""The parts of MongoDB queries that no database has to be asked about."""

import re
from typing import Any

import pytest

from app.domain.contacts.fields import fold
from app.domain.contacts.stores.mongo_filter import NOTHING, compile_query
from app.lib.errors import InvalidValue
from app.lib.filters import All, AnyOf, Condition, Not, Operator


def pattern(text: str, op: Operator = Operator.CONTAINS, field: str = "notes") -> Any:
    """The pattern of a text, as Python reads it: alike in what is used of it."""
    asked = compile_query(Condition(field, op, text))
    (query,) = asked.values()
    assert query["$options"] == "s"
    return re.compile(query["$regex"], re.DOTALL)


def test_a_character_is_found_by_those_that_fold_to_it() -> None:
    cased = [each for each in map(chr, range(0x30000)) if each.lower() != each or each.upper() != each]
    assert len(cased) > 2000
    by_fold: dict[str, set[str]] = {}
    for each in cased:
        by_fold.setdefault(fold(each), set()).add(each)
    everything = "".join(cased)
    for folded, alike in by_fold.items():
        if len(folded) == 1:
            assert set(pattern(folded).findall(everything)) >= alike
            assert {fold(each) for each in pattern(folded).findall(everything)} == {folded}


@pytest.mark.parametrize(
    "text", [r"a.b*c+?^$", r"\d(x)[y]{2}|#&~-", "line\nbreak", " tab\t", "(?i)x", r"\Qx\E", "$where", "%_", "😀", ""]
)
def test_a_text_stands_for_itself(text: str) -> None:
    assert pattern(text).search(f"before{text}after")
    assert pattern(text, Operator.STARTSWITH).search(f"{text}after")
    if text:
        assert not pattern(text).search("beforeafter")
        assert not pattern(text, Operator.STARTSWITH).search(f"before{text}")


def test_an_address_is_looked_for_within_its_type() -> None:
    beginning = pattern("+25.", Operator.STARTSWITH, "phone")
    # What the server can make a range of its index of.
    assert beginning.pattern == r"^phone:\+25\."
    assert pattern("1", Operator.CONTAINS, "phone").search("phone:+251")
    assert not pattern("phone", Operator.CONTAINS, "phone").search("phone:+251")
    assert not pattern("1", Operator.CONTAINS, "phone").search("whatsapp:+251")


def test_a_text_that_no_server_would_take_is_refused() -> None:
    assert pattern("ä" * 1000).search("Ä" * 1001)
    with pytest.raises(InvalidValue) as refused:
        compile_query(Not(Condition("notes", Operator.CONTAINS, "ä" * 2000)))
    assert refused.value.errors[0].code == "too_long"


def test_of_nothing() -> None:
    assert compile_query(All(())) == {}
    assert compile_query(AnyOf(())) == NOTHING
    assert compile_query(Not(All(()))) == {"$nor": [{}]}
