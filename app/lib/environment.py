"""Environment variables → frozen structs, strictly, with every mistake told at once."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class BadEnvironment(Exception):
    """One or more variables are missing, unknown or malformed. The text lists all of them, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("The environment is not usable:\n" + "\n".join(f"  {line}" for line in problems))


def read_environment(
    shape: type[T], environ: Mapping[str, str], *, prefix: str, ignored_prefixes: tuple[str, ...] = ()
) -> T:
    """Fill `shape` from the variables that start with `prefix`.

    A field `url` of a nested struct field `database` is read from `<prefix>DATABASE_URL`. A variable under the prefix
    that no field reads is an error, because it is nearly always a misspelt setting; `ignored_prefixes` names those that
    belong to somebody else. Raises `BadEnvironment` naming every offending variable.
    """
    problems: list[str] = []
    known: set[str] = set()
    value = _fill(shape, environ, prefix, problems, known)
    for name in sorted(environ):
        if name.startswith(prefix) and name not in known and not name.startswith(ignored_prefixes or ("\0",)):
            close = difflib.get_close_matches(name, known, n=1)
            problems.append(f"{name}: unknown variable" + (f", did you mean {close[0]}?" if close else ""))
    if problems or value is None:
        raise BadEnvironment(problems)
    return value


def variable_names(shape: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, str, bool]]:
    """Every variable `shape` reads as (name, type, required): the source of the configuration page."""
    hints = get_type_hints(shape)
    for field in msgspec.structs.fields(shape):
        kind = hints[field.name]
        name = f"{prefix}{field.name.upper()}"
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from variable_names(kind, name + "_")
        else:
            yield name, getattr(kind, "__name__", str(kind)), field.required


def _fill(shape: type[T], environ: Mapping[str, str], prefix: str, problems: list[str], known: set[str]) -> T | None:
    values: dict[str, Any] = {}
    complete = True
    hints = get_type_hints(shape, include_extras=True)
    for field in msgspec.structs.fields(shape):
        kind = hints[field.name]
        name = f"{prefix}{field.name.upper()}"
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            nested = _fill(kind, environ, name + "_", problems, known)
            if nested is None:
                complete = False
            else:
                values[field.name] = nested
            continue
        known.add(name)
        text = environ.get(name)
        if text is None or text == "":
            if field.required:
                problems.append(f"{name}: required, but not set")
                complete = False
            continue
        try:
            values[field.name] = msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError as error:
            # The value itself is not repeated: it may be a secret.
            problems.append(f"{name}: {error}")
            complete = False
    return shape(**values) if complete else None
