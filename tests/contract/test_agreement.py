"""The document and the code agree on what no schema says: filters and sorts, versions, nulls, codes of errors."""

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from app.api.openapi import Operation, operations
from app.api.openapi.problems import problem_codes
from app.lib import errors
from app.lib.db import Database
from app.lib.filters import Kind, Operator
from tests.conftest import register
from tests.contract.described import Described
from tests.contract.makers import Tenant
from tests.contract.test_every_route import Requests

Example = dict[str, Any]
ROOT = Path(__file__).parents[2]

SAMPLES = {
    Kind.TEXT: "a",
    Kind.UUID: "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01",
    Kind.DATETIME: "2026-11-24T10:00:00Z",
    Kind.INTEGER: "7",
    Kind.BOOLEAN: "true",
    Kind.NUMBER: "7.5",
    Kind.DATE: "2026-11-24",
    Kind.TEXTS: "a",
    Kind.VALUES: "a",
    Kind.IDS: "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01",
}


@pytest.fixture(scope="module")
async def tenant(described: httpx.AsyncClient, database: Database) -> AsyncIterator[Tenant]:
    yield Tenant(described, database, await register(described))


async def path_of(tenant: Tenant, operation: Operation) -> str:
    return operation.path.format(**{name: await tenant.make(name) for name in operation.identifiers})


async def test_lists_know_the_filters_and_sorts_of_the_document(tenant: Tenant, found: list[Operation]) -> None:
    wrong = []

    async def ask(path: str, **query: str) -> httpx.Response:
        return await tenant.client.get(path, params=query, headers=tenant.headers)

    for each in found:
        if each.public or each.method != "GET":
            continue
        path = await path_of(tenant, each)
        surprised = await ask(path, surprise="1")
        refused = surprised.status_code == 400 and surprised.json()["code"] == "unknown_filter"
        if refused != each.reads_query:
            wrong.append(f"{each.id}: say opt={{'listing': …}} where list_query is called, and nowhere else")
        if each.listing is None:
            continue
        queries = [{"sort": f"{sign}{name}"} for name in each.listing.sorts for sign in ("", "-")]
        queries += [{"include": "total"}, {"limit": "1"}]
        for name, field in each.listing.fields.items():
            sample = field.choices[0] if field.choices else SAMPLES[field.kind]
            for operator in field.kind.operators:
                parameter = name if operator is Operator.EQ else f"{name}[{operator.value}]"
                queries.append({parameter: "true" if operator is Operator.EXISTS else sample})
        for query in queries:
            answer = await ask(path, **query)
            if answer.status_code != 200 or ("total" in answer.json()) != ("include" in query):
                wrong.append(f"{each.id} with {query}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)


async def test_options_name_every_method_of_a_path(tenant: Tenant, document: Example) -> None:
    wrong = []
    for path, item in document["paths"].items():
        expected = {method.upper() for method in item} | {"OPTIONS"} | ({"HEAD"} if "get" in item else set())
        concrete = re.sub(r"\{[^}]+\}", SAMPLES[Kind.UUID], path)
        for method in ("OPTIONS", "PUT"):
            answer = await tenant.client.request(method, concrete, headers=tenant.headers)
            allowed = {name.strip() for name in answer.headers["allow"].split(",")}
            if allowed != expected or answer.status_code != (204 if method == "OPTIONS" else 405):
                wrong.append(f"{method} {path}: {answer.status_code} {allowed}")
    assert not wrong, "\n".join(wrong)


async def test_another_version_is_412_where_the_document_says_so(
    tenant: Tenant, found: list[Operation], document: Example
) -> None:
    requests, wrong = Requests(document), []
    for each in found:
        if not each.honours_if_match:
            continue
        ids = {name: await tenant.make(name) for name in each.identifiers}
        body = next(iter([await tenant.filled(example) for example in requests.examples(each)]), None)
        headers = tenant.headers | {"If-Match": '"1"'}
        answer = await requests.send(tenant.client, each, ids, body, headers)
        # A system role, the last owner: refused for a better reason.
        if answer.status_code != 412:
            wrong.append(f"{each.id}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_null_is_refused_where_the_document_says_so(
    tenant: Tenant, found: list[Operation], document: Example
) -> None:
    described, wrong = Described(document), []
    for each in found:
        if each.method != "PATCH":
            continue
        content = document["paths"][each.path]["patch"]["requestBody"]["content"]["application/json"]
        for name, field in described.resolve(content["schema"])["properties"].items():
            clearable = {"type": "null"} in field.get("anyOf", ())
            path = await path_of(tenant, each)
            answer = await tenant.client.patch(path, json={name: None}, headers=tenant.headers)
            if (answer.status_code == 200) != clearable or answer.status_code not in (200, 422):
                wrong.append(f"{each.id} {name}: {answer.status_code} {answer.text}")
            elif not clearable and answer.json()["errors"][0]["code"] != "not_nullable":
                wrong.append(f"{each.id} {name}: {answer.text}")
    assert not wrong, "\n".join(wrong)


def raised_codes() -> set[tuple[int, str]]:
    """The status and the code of every error that the source raises with a code of its own."""
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.AppError)
    }
    return {
        (kinds[node.func.id].status, str(keyword.value.value))
        for folder in ("app/api", "app/domain")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }


def test_every_code_of_an_error_is_in_the_document(app_without_cognito: Litestar, app_with_cognito: Litestar) -> None:
    both = (*operations(app_without_cognito), *operations(app_with_cognito))
    documented = {(status, code) for each in both for status, codes in problem_codes(each).items() for code in codes}
    missing = sorted(raised_codes() - documented)
    assert not missing, f"say them in the docstring or in opt={{'problems': …}} of the routes: {missing}"
