"""Component schemas, made from the structs by msgspec: the document demands exactly what the decoder demands."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from app.api import examples, identity_examples
from app.api.openapi.naming import public_name

Schema = dict[str, Any]
TEMPLATE = "#/components/schemas/{name}"


class Schemas:
    """The schema of each type, and the components they refer to."""

    def __init__(
        self, types: Iterable[Any], replaced: Mapping[tuple[str, str], Schema], clearable: Mapping[Any, Collection[str]]
    ):
        """`replaced` are schemas of fields, by (component, field), that types cannot express.

        `clearable` are the fields of a patch that null clears. The decoder reads null for every field, so that the
        refusal can say in words that the others cannot be cleared.
        """
        members = list(dict.fromkeys(member for kind in types for member in members_of(kind)))
        structs = list(_structs(inspect.multi_type_info(members)))
        members = list(dict.fromkeys((*members, *(struct.cls for struct in structs))))
        schemas, components = msgspec.json.schema_components(members, ref_template=TEMPLATE)
        self._schemas = dict(zip(members, (_renamed(schema) for schema in schemas), strict=True))
        self.components: dict[str, Schema] = {}
        for name, component in sorted(components.items(), key=lambda item: public_name(item[0])):
            public = public_name(name)
            if public in self.components:
                raise ValueError(f"two structs are called {public}: give one of them a name in app.api.openapi.naming")
            self.components[public] = _tidied(_renamed(component))
        for struct in structs:
            properties = self.components[self._name(struct.cls)]["properties"]
            for each in struct.fields:
                _say_times(properties[each.encode_name], each.type)
        for (name, field), schema in replaced.items():
            self.components.get(name, {}).get("properties", {}).get(field, {}).update(schema)
        for kind, fields in clearable.items():
            properties = self.components[self._name(kind)]["properties"]
            for field in properties.keys() - set(fields):
                properties[field] = _without_null(properties[field])
        for name, shown in (examples.EXAMPLES | identity_examples.EXAMPLES).items():
            if name in self.components:
                self.components[name]["examples"] = shown
        self._page_examples()

    def of(self, kind: Any) -> Schema:
        """The schema of a type, usually a reference."""
        parts = [self._schemas[member] for member in members_of(kind)]
        return parts[0] if len(parts) == 1 else {"anyOf": parts}

    def _name(self, kind: Any) -> str:
        reference: str = self._schemas[kind]["$ref"]
        return reference.rpartition("/")[2]

    def _page_examples(self) -> None:
        for component in self.components.values():
            properties = component.get("properties", {})
            if {"items", "next_cursor"} <= properties.keys() and "examples" not in component:
                item = properties["items"]["items"].get("$ref", "").rpartition("/")[2]
                shown = self.components.get(item, {}).get("examples", [])
                component["examples"] = [{"items": shown[:1], "next_cursor": None}]


def members_of(kind: Any) -> list[Any]:
    """The members of a union of structs, which msgspec cannot tell apart when reading and need not when writing."""
    if get_origin(kind) in (Union, UnionType):
        return [member for member in get_args(kind) if member is not NoneType]
    return [kind]


def _renamed(schema: Any) -> Any:
    if isinstance(schema, dict):
        renamed = {
            key: TEMPLATE.format(name=public_name(value.rpartition("/")[2])) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
        }
        if "enum" in renamed and "type" not in renamed and all(isinstance(value, str) for value in renamed["enum"]):
            renamed["type"] = "string"
        return renamed
    return [_renamed(each) for each in schema] if isinstance(schema, list) else schema


def _structs(types: Iterable[inspect.Type]) -> Iterator[inspect.StructType]:
    """Every struct that the types reach, once."""
    waiting, seen = list(types), set()
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, inspect.StructType):
            if kind.cls in seen:
                continue
            seen.add(kind.cls)
            yield kind
            waiting += (field.type for field in kind.fields)
        for name in ("type", "item_type", "key_type", "value_type"):
            if isinstance(inner := getattr(kind, name, None), inspect.Type):
                waiting.append(inner)
        for name in ("types", "item_types"):
            waiting += getattr(kind, name, ())


def _say_times(schema: Schema, kind: inspect.Type) -> None:
    """Name the format of times, which msgspec does only for those that must have a zone."""
    match kind:
        case inspect.DateTimeType():
            schema["format"] = "date-time"
        case inspect.Metadata(type=inner):
            _say_times(schema, inner)
        case inspect.UnionType(types=members) if any(isinstance(each, inspect.DateTimeType) for each in members):
            for part in schema.get("anyOf", [schema]):
                if part.get("type") == "string":
                    part["format"] = "date-time"


def _tidied(schema: Schema) -> Schema:
    # The name of the component says the same.
    schema.pop("title", None)
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"])
    return schema


def _without_null(schema: Schema) -> Schema:
    kept = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if not kept:
        return schema
    return {**rest, **kept[0]} if len(kept) == 1 else {**rest, "anyOf": kept}
