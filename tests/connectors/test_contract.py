"""What holds for every connector there is."""

from typing import Any

import msgspec
import pytest

from connectors import contract, registry
from connectors.contract import Connector, ErrorClass, SendError

CONNECTORS = registry.connectors()


def test_types_are_unique_and_found() -> None:
    types = [connector.type for connector in CONNECTORS]
    assert len(set(types)) == len(types)
    assert [registry.get(each) for each in types] == list(CONNECTORS)
    assert registry.get("carrier-pigeon") is None


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.type)
class TestEveryConnector:
    def test_structs_are_strict(self, connector: Connector) -> None:
        for kind in (connector.config_type, connector.credentials_type):
            assert kind.__struct_config__.forbid_unknown_fields
            assert kind.__struct_config__.frozen

    def test_schemas_describe_every_field(self, connector: Connector) -> None:
        for kind in (connector.config_type, connector.credentials_type):
            document = msgspec.json.schema(kind)
            for definition in document["$defs"].values():
                for name, field in definition.get("properties", {}).items():
                    assert "description" in str(field), f"{kind.__name__}.{name} is not described"

    def test_credentials_are_hidden_in_every_rendering(self, connector: Connector) -> None:
        credentials = connector.credentials_type
        values: dict[str, Any] = {
            field.name: f"s3cret-{field.name}"
            for field in msgspec.structs.fields(credentials)
            if field.type is not bool
        }
        value = credentials(**values)
        for text in (repr(value), str(value), f"{value}", f"{value!r}", repr([value]), repr({"credentials": value})):
            assert "s3cret" not in text

    def test_who_sends_follows_from_send(self, connector: Connector) -> None:
        assert connector.sent_by == ("smppd" if connector.send is None else "worker")


def _errors() -> list[type[SendError]]:
    return SendError.__subclasses__()


def test_every_public_class_has_exactly_one_error() -> None:
    assert sorted(error.kind for error in _errors()) == sorted(ErrorClass)


def test_only_an_unknown_outcome_is_not_known_and_it_is_never_retried() -> None:
    unknown = [error for error in _errors() if not error.outcome_known]
    assert unknown == [contract.OutcomeUnknownError]
    assert not contract.OutcomeUnknownError.retryable
    assert {error.kind for error in _errors() if error.retryable} == {ErrorClass.THROTTLED, ErrorClass.TRANSIENT}


def test_an_error_carries_its_words() -> None:
    error = contract.ThrottledError("throttled", "Slower.", provider_code="429", retry_after=2.5, advice="Wait.")
    assert str(error) == "throttled: Slower."
    assert (error.provider_code, error.retry_after, error.advice) == ("429", 2.5, "Wait.")
