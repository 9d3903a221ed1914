"""Things that happen with a probability."""

from collections.abc import Mapping
from random import Random
from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec

Probability: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""From 0 (never) to 1 (always)."""

T = TypeVar("T")


class Chances(Generic[T]):
    """One of several outcomes by probability, or none of them. Raises ValueError when they add up to more than 1.

    Nothing is drawn while there are no outcomes, so that adding a feature to a script changes no other draw.
    """

    __slots__ = ("_steps",)

    def __init__(self, outcomes: Mapping[T, float], what: str) -> None:
        total = 0.0
        steps: list[tuple[float, T]] = []
        for outcome, probability in outcomes.items():
            if not 0 <= probability <= 1:
                raise ValueError(f"{what}: {probability} for {outcome} is no probability from 0 to 1")
            total += probability
            steps.append((total, outcome))
        # The tolerance forgives what adding tenths does to the last bit.
        if total > 1 + 1e-9:
            raise ValueError(f"{what}: the probabilities add up to {total:g}, more than 1")
        self._steps = tuple(step for step in steps if step[0] > 0)

    def __bool__(self) -> bool:
        return bool(self._steps)

    def draw(self, random: Random) -> T | None:
        """The outcome of this time, None for none of them."""
        if not self._steps:
            return None
        value = random.random()
        for limit, outcome in self._steps:
            if value < limit:
                return outcome
        return None


def happens(probability: float, random: Random) -> bool:
    """Whether it happens this time; draws nothing at 0."""
    return probability > 0 and random.random() < probability
