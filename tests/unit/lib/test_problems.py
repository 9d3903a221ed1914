from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest

from app.lib.errors import InvalidValue, Malformed
from app.lib.problems import decode_error


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    port: Annotated[int, msgspec.Meta(ge=1, le=9)]


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    id: UUID | None = None
    name: Annotated[str, msgspec.Meta(max_length=3, pattern="^[a-z]*$")] = ""
    hosts: list[Inner] = []
    tags: dict[str, int] = {}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"nope": 1}, "/nope", "unknown_field"),
        ({"hosts": [{"port": 1}, {}]}, "/hosts/1/port", "missing_field"),
        ({"hosts": [{"port": "1"}]}, "/hosts/0/port", "wrong_type"),
        ({"hosts": [{"port": 10}]}, "/hosts/0/port", "out_of_range"),
        ({"hosts": [{"port": 1, "x/y": 2}]}, "/hosts/0/x/y", "unknown_field"),
        ({"id": "12"}, "/id", "not_uuid"),
        ({"name": "long"}, "/name", "wrong_length"),
        ({"name": "ABC"}, "/name", "wrong_format"),
        ({"tags": {"a": "b"}}, "/tags/*", "wrong_type"),
        ([], "", "wrong_type"),
    ],
)
def test_validation_errors_have_pointers_and_codes(body: Any, pointer: str, code: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(body), type=Outer)
    problem = decode_error(caught.value)
    assert isinstance(problem, InvalidValue)
    assert [(error.pointer, error.code) for error in problem.errors] == [(pointer, code)]


def test_what_is_not_json_is_malformed() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b"{", type=Outer)
    assert isinstance(decode_error(caught.value), Malformed)
