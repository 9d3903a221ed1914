"""What no honest client sends: no body, header or query makes an answer that the document does not have."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from app.api.openapi import Operation
from app.lib.db import Database
from tests.conftest import register
from tests.contract.makers import Tenant
from tests.contract.test_every_route import Requests

Example = dict[str, Any]

STRINGS = {
    "NUL": '"a\\u0000b"',
    "lone surrogate": '"a\\ud800b"',
    "line breaks": '"a\\r\\nb\\u2028"',
    "empty": '""',
    "long": json.dumps("é" * 20_000),
    "bidirectional": '"\\u202e\\u2066abc"',
    "decomposed": '"' + "e\\u0301" * 100 + '"',
}
NUMBERS = {"huge": "1" + "0" * 400, "infinite": "1e999", "minus": "-1", "64 bits and more": str(2**64)}
SHAPES = {"array": "[]", "object": "{}", "nested": "[" * 400 + "]" * 400, "null": "null", "true": "true"}
VALUES = STRINGS | NUMBERS | SHAPES

BODIES = {
    "nothing": b"",
    "NUL": b"\x00",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "array": b"[]",
    "text": b'"text"',
    "cut off": b'{"name": "a',
    "NaN": b'{"name": NaN}',
    "deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "form": b"name=a&name=b",
}
HEADERS = {
    "x-account-id": [b"\xff\xfe", b"", b"00000000-0000-0000-0000-000000000000", b"{}", b"a" * 2000],
    "x-request-id": [b"\xff\xfe", b"", b"a" * 2000, b"a\tb"],
    "if-match": [b"\xff\xfe", b"", b'"', b'W/"1"', b'"1", "2"' * 200, b"*"],
    "if-none-match": [b"\xff\xfe", b"", b'"', b"*"],
    "idempotency-key": [b"\xff\xfe", b"", b"a" * 2000, b"a b"],
    "content-type": [b"\xff\xfe", b"", b"text/plain", b"application/json; charset=utf-16", b"multipart/form-data"],
    "accept": [b"\xff\xfe", b"text/html", b"*/*;q=x"],
    "user-agent": [b"\xff\xfe\x01", b"", b"a" * 4000],
    "x-forwarded-for": [b"\xff\xfe", b"127.0.0.1", b"::1, unknown", b","],
}
QUERIES = ["%00", "%ff=%fe", "limit=%00", "a[b][c]=1", "sort=%ed%a0%80", "&&&=", "cursor=%00", "cursor=AAAA", "limit=١"]


@pytest.fixture(scope="module")
async def tenant(described: httpx.AsyncClient, database: Database) -> AsyncIterator[Tenant]:
    yield Tenant(described, database, await register(described))


async def path_of(tenant: Tenant, operation: Operation) -> str:
    return operation.path.format(**{name: await tenant.make(name) for name in operation.identifiers})


def refused(answer: httpx.Response) -> bool:
    """Whether an answer lays the blame on the client, or found nothing wrong."""
    return answer.status_code < 500


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a body."""
    if way:
        yield way
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*way, key))


def with_value(body: Any, way: tuple[Any, ...], raw: str) -> bytes:
    """`body` as JSON with `raw` in one place."""
    copy = json.loads(json.dumps(body))
    inner = copy
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = "\x01here\x01"
    return json.dumps(copy).replace('"\\u0001here\\u0001"', raw).encode()


@pytest.mark.timeout(600)
async def test_no_value_of_a_field_is_a_surprise(tenant: Tenant, found: list[Operation], document: Example) -> None:
    requests, wrong = Requests(document), []
    for each in found:
        for example in requests.examples(each):
            body = await tenant.filled(example)
            for way in places(body):
                for name, raw in VALUES.items():
                    answer = await tenant.client.request(
                        each.method,
                        # Nothing is there: what is in the body is looked at, and nothing is used up.
                        each.path.format(**dict.fromkeys(each.identifiers, "019ab0c2-0000-7000-8000-000000000000")),
                        content=with_value(body, way, raw),
                        headers=tenant.headers | {"Content-Type": "application/json"},
                    )
                    if not refused(answer):
                        wrong.append(f"{each.id} {way} {name}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_no_body_is_a_surprise(tenant: Tenant, found: list[Operation]) -> None:
    wrong = []
    for each in found:
        if each.body is None:
            continue
        path = await path_of(tenant, each)
        for name, body in BODIES.items():
            headers = tenant.headers | {"Content-Type": "application/json"}
            answer = await tenant.client.request(each.method, path, content=body, headers=headers)
            if not 400 <= answer.status_code < 500:
                wrong.append(f"{each.id} {name}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_no_header_is_a_surprise(tenant: Tenant, found: list[Operation], document: Example) -> None:
    requests, wrong = Requests(document), []
    # Headers are read in the same places for all operations of a kind.
    kinds = {
        (each.method, each.body is None, each.public, each.honours_if_match, each.listing is None): each
        for each in found
    }
    for each in kinds.values():
        path = each.path.format(**dict.fromkeys(each.identifiers, "019ab0c2-0000-7000-8000-000000000000"))
        body = json.dumps(next(iter(requests.examples(each)), {})).encode()
        for name, values in HEADERS.items():
            for value in values:
                headers = [(b"authorization", tenant.headers["Authorization"].encode()), (name.encode(), value)]
                answer = await tenant.client.request(each.method, path, content=body, headers=headers)
                if not refused(answer):
                    wrong.append(f"{each.id} {name} {value!r}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_no_query_is_a_surprise(tenant: Tenant, found: list[Operation]) -> None:
    wrong = []
    for each in found:
        if each.method != "GET" or each.public:
            continue
        path = await path_of(tenant, each)
        for query in QUERIES:
            answer = await tenant.client.get(f"{path}?{query}", headers=tenant.headers)
            expected = 400 if each.reads_query else 200
            if answer.status_code != expected:
                wrong.append(f"{each.id} {query}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)
