"""A second reading of the language, written without regard to speed: character by character, no plan, no shortcuts."""

from typing import Any

BLANKS = " \t"
WORD_ENDS = set("|:{}\"'\n\r \t")


class Wrong(Exception):
    pass


def read(body: str) -> list[Any]:
    """Text as str, placeholders as (NAME, [(filter, [arguments])], source)."""
    nodes: list[Any] = []
    rest = list(body)
    text = ""
    while rest:
        character = rest.pop(0)
        if character in "{}" and rest and rest[0] == character:
            rest.pop(0)
            text += character
        elif character == "}":
            raise Wrong
        elif character == "{":
            inner, source = inside(rest)
            nodes += [text] if text else []
            text = ""
            nodes.append((*inner, "{" + source))
        else:
            text += character
    return nodes + ([text] if text else [])


def inside(rest: list[str]) -> tuple[tuple[str, list[tuple[str, list[str]]]], str]:
    source = ""

    def take() -> str:
        nonlocal source
        if not rest:
            raise Wrong
        source += rest[0]
        return rest.pop(0)

    def blanks() -> None:
        while rest and rest[0] in BLANKS:
            take()

    def word() -> str:
        found = ""
        while rest and rest[0] not in WORD_ENDS:
            found += take()
        if not found:
            raise Wrong
        return found

    def argument() -> str:
        if not rest or rest[0] not in "\"'":
            found = word()
            if found[0] in "“”„‟‘’‚‛«»":
                raise Wrong
            return found
        quote = take()
        found = ""
        while (character := take()) != quote:
            if character == "\\" and rest and rest[0] in "\\\"'":
                character = take()
            found += character
        return found

    blanks()
    name = word()
    if not all(("_" + part).isidentifier() and part for part in name.split(".")):
        raise Wrong
    filters: list[tuple[str, list[str]]] = []
    while True:
        blanks()
        character = take()
        if character == "}":
            return (name.upper(), filters), source
        if character != "|":
            raise Wrong
        blanks()
        filters.append((word().lower(), []))
        blanks()
        while rest and rest[0] == ":":
            take()
            blanks()
            filters[-1][1].append(argument())
            blanks()


def apply(name: str, arguments: list[str], value: str) -> str:
    """The filters that need no library."""
    if name == "upper":
        return value.upper()
    if name == "lower":
        return value.lower()
    if name == "trim":
        return " ".join(value.split())
    if name == "first":
        return value[: int(arguments[0])]
    if name == "last":
        return value[-int(arguments[0]) :]
    raise Wrong


def render(body: str, values: dict[str, str], strategy: str, defaults: dict[str, str]) -> str | tuple[str, str]:
    """The text, or what becomes of the recipient and because of which variable."""
    result = ""
    for node in read(body):
        if isinstance(node, str):
            result += node
            continue
        name, filters, source = node
        value = values.get(name, "")
        for filter_name, arguments in filters:
            if filter_name == "default":
                value = value if value.strip() else arguments[0]
            elif value.strip():
                value = apply(filter_name, arguments, value)
        if value.strip():
            result += value
        elif name in defaults:
            result += defaults[name]
        elif strategy == "keep":
            result += source
        elif strategy != "empty":
            return ("skipped" if strategy == "skip" else "failed"), name
    return result
