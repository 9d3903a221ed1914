"""JSON merge patch (RFC 7396) of one object."""

from typing import Any

from app.lib.errors import InvalidValue

MAX_DEPTH = 16


def merge_patch(target: dict[str, Any], patch: dict[str, Any], pointer: str) -> dict[str, Any]:
    """`target` with the members of `patch`: null removes, objects merge, everything else replaces (RFC 7396 §2).

    Neither argument changes. `pointer` is where `patch` sits in its document; raises `InvalidValue` there when objects
    nest deeper than `MAX_DEPTH`.
    """
    return _merge(target, patch, pointer, MAX_DEPTH)


def _merge(target: Any, patch: dict[str, Any], pointer: str, depth: int) -> dict[str, Any]:
    if depth == 0:
        raise InvalidValue.at(pointer, "too_deep", f"Objects may nest {MAX_DEPTH} levels.")
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merge(merged.get(name), value, pointer, depth - 1)
        else:
            merged[name] = value
    return merged
