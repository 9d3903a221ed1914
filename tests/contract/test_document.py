"""The OpenAPI document: valid, complete, with examples that hold."""

import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from litestar import Litestar
from litestar.routes import HTTPRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api.examples import EXAMPLES
from app.api.identity_examples import EXAMPLES as IDENTITY_EXAMPLES
from app.api.openapi import Operation, build_document, operations
from app.api.openapi.problems import problem_codes
from app.settings import Settings
from tests.contract.described import Described


@pytest.fixture(scope="module", params=["app_without_cognito", "app_with_cognito"])
def app(request: pytest.FixtureRequest) -> Litestar:
    chosen: Litestar = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="module")
def document(app: Litestar, settings: Settings) -> dict[str, Any]:
    return build_document(app, settings.public_url)


@pytest.fixture(scope="module")
def found(app: Litestar) -> list[Operation]:
    return list(operations(app))


METHODS = ("get", "post", "put", "patch", "delete")


def walk(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every operation with its name for people."""
    return [
        (f"{method.upper()} {path}", item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


async def test_it_is_served(client: httpx.AsyncClient, app_without_cognito: Litestar, settings: Settings) -> None:
    answer = await client.get("/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == build_document(app_without_cognito, settings.public_url)


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", name), f"{name}: a class of a client has this name"


def test_every_route_is_there(app: Litestar, document: dict[str, Any]) -> None:
    routes = {
        f"{method} {route.path_format}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.resolve_include_in_schema()
        for method in handler.http_methods - {"OPTIONS"}
    }
    assert {name for name, _ in walk(document)} == routes


def test_every_operation_is_described(document: dict[str, Any], found: list[Operation]) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    wrong, ids = [], []
    for name, operation in walk(document):
        ids.append(operation["operationId"])
        if not re.fullmatch(r"([A-Z][a-z0-9]+){1,6}", operation["operationId"]):
            wrong.append(f"{name}: operation_id {operation['operationId']!r} is not in PascalCase")
        wrong += [f"{name}: no {part}" for part in ("summary", "description") if not operation[part]]
        if not operation["tags"] or not set(operation["tags"]) <= tags:
            wrong.append(f"{name}: tag without a description in app.api.openapi.document: {operation['tags']}")
    assert not wrong, "\n".join(wrong)
    assert len(ids) == len(set(ids)) == len(found)


def test_every_operation_lists_every_status(document: dict[str, Any], found: list[Operation]) -> None:
    wrong = []
    for each in found:
        described = document["paths"][each.path][each.method.lower()]["responses"]
        expected = {each.status, 414, 415, 431, 503, *problem_codes(each)}
        if not each.options.get("unlimited"):
            expected.add(429)
        if not each.public:
            expected |= {400, 401, 403}
        if each.identifiers:
            expected.add(404)
        if each.body is not None:
            expected |= {400, 413, 415, 422}
        missing = {str(status) for status in expected} - described.keys()
        if missing:
            wrong.append(f"{each.id}: {sorted(missing)}")
        for status, answer in described.items():
            answer = Described(document).resolve(answer)
            if int(status) >= 400 and "application/problem+json" not in answer["content"]:
                assert int(status) in each.options["answers"], f"{each.id} {status} is no problem document"
            assert "X-Request-Id" in answer["headers"]
            if status in ("429", "503") and int(status) not in each.options.get("answers", {}):
                assert "Retry-After" in answer["headers"]
            if status == "201":
                assert "Location" in answer["headers"]
    assert not wrong, "\n".join(wrong)


def test_public_routes_and_only_they_need_no_token(document: dict[str, Any], found: list[Operation]) -> None:
    for each in found:
        described = document["paths"][each.path][each.method.lower()]
        assert (described["security"] == []) == each.public, each.id
        names = {Described(document).resolve(parameter)["name"] for parameter in described["parameters"]}
        assert ("X-Account-Id" in names) == (not each.public)
        assert ("Idempotency-Key" in names) == (each.method == "POST")
        assert set(each.identifiers) <= names


def test_bodies_and_answers_have_examples_that_hold(document: dict[str, Any]) -> None:
    described = Described(document)
    known = document["components"]["schemas"]
    wrong = []
    for name, schema in known.items():
        for example in schema.get("examples", ()):
            wrong += [f"{name}: {error}" for error in described.errors(schema, example)]
    for name, operation in walk(document):
        main = min(status for status in operation["responses"] if status.startswith("2"))
        bodies = [operation.get("requestBody", {}), operation["responses"][main]]
        for body in bodies:
            for media in body.get("content", {}).values():
                for schema in media["schema"].get("anyOf", [media["schema"]]):
                    if "$ref" in schema and not described.resolve(schema).get("examples"):
                        wrong.append(f"{name}: {schema['$ref']} has no example in app/api/examples.py")
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_no_example_is_left_over(app_without_cognito: Litestar, app_with_cognito: Litestar, settings: Settings) -> None:
    documents = [build_document(each, settings.public_url) for each in (app_without_cognito, app_with_cognito)]
    known = {name for each in documents for name in each["components"]["schemas"]}
    assert (EXAMPLES | IDENTITY_EXAMPLES).keys() <= known


def test_bodies_refuse_what_they_do_not_know(document: dict[str, Any]) -> None:
    described = Described(document)
    open_ones = [
        name
        for name, operation in walk(document)
        if "requestBody" in operation
        for media in operation["requestBody"]["content"].values()
        for schema in media["schema"].get("anyOf", [media["schema"]])
        if described.resolve(schema).get("additionalProperties") is not False
    ]
    assert not open_ones, "without forbid_unknown_fields=True a misspelt field is silently ignored"


@pytest.mark.parametrize("wanted", ["description", "schema"])
def test_every_parameter_is_described(document: dict[str, Any], wanted: str) -> None:
    described = Described(document)
    for name, operation in walk(document):
        parameters = [described.resolve(parameter) for parameter in operation["parameters"]]
        assert all(parameter.get(wanted) for parameter in parameters), name
        places = [(parameter["in"], parameter["name"]) for parameter in parameters]
        assert len(places) == len(set(places)), name


def test_links_lead_to_operations(document: dict[str, Any]) -> None:
    ids = {operation["operationId"] for _, operation in walk(document)}
    links = [
        link
        for _, operation in walk(document)
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert links
    assert {link["operationId"] for link in links} <= ids
