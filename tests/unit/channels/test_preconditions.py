import pytest
from litestar.testing import RequestFactory

from app.api.preconditions import if_match
from app.api.requests import ApiRequest
from app.api.v1.channels import channel_types


def request(header: str | None) -> ApiRequest:
    plain = RequestFactory().get("/", headers={} if header is None else {"if-match": header})
    return ApiRequest(plain.scope)


@pytest.mark.parametrize("header", [None, "*", " * "])
def test_any_version_will_do(header: str | None) -> None:
    assert if_match(request(header)) is None


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"1"', {"1"}),
        ('"1", "2"', {"1", "2"}),
        ('"1","2"', {"1", "2"}),
        ('W/"1", "2"', {"2"}),
        ('W/"1"', set()),
        ('""', {""}),
        ("1", set()),
        ("", set()),
        ('"1', set()),
        ('"a,b"', {"a,b"}),
        ('"' * 5000, set()),
        ('" ' * 5000, set()),
    ],
)
def test_entity_tags(header: str, versions: set[str]) -> None:
    matched = if_match(request(header))
    assert matched is not None
    assert matched - {""} == versions - {""}


def test_schemas_are_whole() -> None:
    for channel_type in channel_types():
        for schema in (channel_type.config, channel_type.credentials):
            assert schema["type"] == "object"
            assert schema["additionalProperties"] is False
            references = {part.split("'")[0] for part in str(schema).split("#/$defs/")[1:]}
            assert references == set(schema["$defs"])
