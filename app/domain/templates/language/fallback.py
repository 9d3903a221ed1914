"""What stands in for a value that is not there."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from app.domain.templates.language.names import ATTRIBUTES, fold

T = TypeVar("T")


class Strategy(StrEnum):
    """`default` shows a given value, and without one is like `fail`; `keep` shows the placeholder as it was written.

    `skip` sends nothing to this recipient on purpose, `fail` because something is wrong.
    """

    DEFAULT = "default"
    EMPTY = "empty"
    KEEP = "keep"
    SKIP = "skip"
    FAIL = "fail"


class Fallbacks(msgspec.Struct, frozen=True):
    """The strategy of a template, and by folded name values and strategies of single variables.

    A variable with a strategy of its own follows that; one with only a value shows it, whatever the template's is.
    """

    strategy: Strategy = Strategy.DEFAULT
    values: Mapping[str, str] = {}
    strategies: Mapping[str, Strategy] = {}

    def of(self, name: str) -> tuple[Strategy, str | None]:
        """What to do about a folded name, and the text to show for `default`, never None then."""
        value = _find(self.values, name)
        strategy = _find(self.strategies, name)
        if strategy is None:
            strategy = self.strategy if value is None else Strategy.DEFAULT
        if strategy is Strategy.DEFAULT and value is None:
            strategy = Strategy.FAIL
        return strategy, value


def folded_fallbacks(strategy: Strategy, values: Mapping[str, str], strategies: Mapping[str, Strategy]) -> Fallbacks:
    """Fallbacks from names as people write them."""
    return Fallbacks(
        strategy,
        {fold(name): value for name, value in values.items()},
        {fold(name): each for name, each in strategies.items()},
    )


def _find(given: Mapping[str, T], name: str) -> T | None:
    found = given.get(name)
    # What stands in for CITY does so for ATTRIBUTES.CITY as well.
    return given.get(name.removeprefix(ATTRIBUTES)) if found is None else found
