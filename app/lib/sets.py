"""Columns of values on their way into set-based SQL: encoding an array costs the client for each of its elements.

`unnest` with several arrays fills up the shorter ones with NULL, so a column of nothing but None needs no array.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def column(values: Sequence[T]) -> Sequence[T] | None:
    """The values as an array parameter; None when all of them are None."""
    return None if values.count(None) == len(values) else values


def shared(values: Sequence[T]) -> tuple[Sequence[T] | None, T | None]:
    """An array parameter and the one value that stands in for it: for `coalesce(array's value, the one)` in SQL.

    One of the two is None: the array when all values are equal. Of values of which some are None there is no one.
    """
    first = values[0]
    return (None, first) if values.count(first) == len(values) else (values, None)
