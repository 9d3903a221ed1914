"""Holding answers against the document."""

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FORMATS = FormatChecker(formats=("uuid",))
DOCUMENT = "urn:turumba"
_PARAMETER = re.compile(r"\{[^}]+\}")


class Described:
    """What the document says about requests and answers."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        resource = Resource.from_contents(document, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource(DOCUMENT, resource)
        # A path without parameters wins over one with: /v1/users/me over /v1/users/{user_id}.
        self._paths = sorted(
            ((re.compile(_PARAMETER.sub("[^/]+", path)), path) for path in document["paths"]),
            key=lambda pair: pair[1].count("{"),
        )

    def errors(self, schema: dict[str, Any], value: Any) -> list[str]:
        """What keeps `value` from being what `schema` (of the document) demands."""
        absolute = _absolute(schema)
        validator = Draft202012Validator(absolute, registry=self._registry, format_checker=FORMATS)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def resolve(self, value: dict[str, Any]) -> dict[str, Any]:
        """What a reference inside the document leads to."""
        while "$ref" in value:
            target: Any = self.document
            for step in value["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            value = target
        return value

    def operation_of(self, method: str, path: str) -> dict[str, Any] | None:
        """The description of a request's operation, None when there is none."""
        for pattern, template in self._paths:
            if pattern.fullmatch(path):
                operation: dict[str, Any] | None = self.document["paths"][template].get(method.lower())
                return operation
        return None

    async def check(self, answer: httpx.Response) -> None:
        """An `AssertionError` when the answer is not as described; answers of unknown routes are not looked at."""
        request = answer.request
        operation = self.operation_of(request.method, request.url.path)
        if operation is None:
            return
        await answer.aread()
        where = f"{request.method} {request.url.path} → {answer.status_code} {answer.text[:300]}"
        described = operation["responses"].get(str(answer.status_code))
        assert described is not None, f"{where}: the document does not have this status"
        described = self.resolve(described)
        for name, header in described.get("headers", {}).items():
            header = self.resolve(header)
            if name not in answer.headers:
                assert not header.get("required"), f"{where}: {name} is missing"
        for name in ("ETag", "Location", "Retry-After", "Idempotency-Replayed"):
            known = name in described.get("headers", {}) or name == "Idempotency-Replayed"
            assert known or name not in answer.headers, f"{where}: the document does not have {name}"
        content = described.get("content")
        if content is None:
            assert not answer.content, f"{where}: the document knows no content"
            return
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        assert media_type in content, f"{where}: the document does not have {media_type}"
        if not content[media_type]["schema"]:
            # A file for people, of which the document knows only the kind.
            return
        errors = self.errors(content[media_type]["schema"], answer.json())
        assert not errors, f"{where}: {errors}"


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: DOCUMENT + value if key == "$ref" and value.startswith("#") else _absolute(value)
            for key, value in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema
