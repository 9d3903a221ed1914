from typing import Any

import pytest

from app.domain.channels.merge_patch import MAX_DEPTH, merge_patch
from app.lib.errors import InvalidValue


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # RFC 7396, appendix A, the cases in which both are objects.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": None}, {}),
    ],
)
def test_merge(target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    before = (repr(target), repr(patch))
    assert merge_patch(target, patch, "/config") == result
    assert (repr(target), repr(patch)) == before, "the arguments must not change"


def _nested(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


def test_the_deepest_allowed() -> None:
    assert merge_patch({}, _nested(MAX_DEPTH), "/config") == _nested(MAX_DEPTH)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 900])
def test_too_deep_is_an_answer_and_no_recursion_error(levels: int) -> None:
    with pytest.raises(InvalidValue) as refused:
        merge_patch({}, _nested(levels), "/config")
    assert refused.value.errors[0].pointer == "/config"
    assert refused.value.errors[0].code == "too_deep"
