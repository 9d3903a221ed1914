"""What travels as an array, and what travels once."""

from app.lib.sets import column, shared


def test_a_column_of_nothing_but_none_needs_no_array() -> None:
    assert column([None, None]) is None
    assert column([None, "a"]) == [None, "a"]


def test_what_all_have_in_common_travels_once() -> None:
    assert shared(["a", "a"]) == (None, "a")
    assert shared(["a", "b"]) == (["a", "b"], None)
    assert shared([None, None]) == (None, None)
    assert shared(["a", None]) == (["a", None], None)
    assert shared([None, "a"]) == ([None, "a"], None)
