"""Durations that vary: one number, or a distribution to draw from. All are seconds, all draws come from one seed."""

import bisect
from collections.abc import Callable
from random import Random
from typing import Annotated, TypeAlias

import msgspec

Draw: TypeAlias = Callable[[Random], float]
"""One duration in seconds, never negative."""


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A distribution; exactly one form of the three.

    `min` and `max`: uniform between them. `mean` and `deviation`: normal, cut off at 0. `percentiles`: seconds by
    percentage, straight lines in between and the outermost values beyond (`{50: 0.02, 99: 1, 100: 5}`). Raises
    ValueError for anything else.
    """

    min: float | None = None
    max: float | None = None
    mean: float | None = None
    deviation: float | None = None
    percentiles: dict[float, float] | None = None

    def __post_init__(self) -> None:
        forms = ((self.min, self.max), (self.mean, self.deviation), (self.percentiles,))
        if sum(all(value is not None for value in form) for form in forms) != 1 or any(
            any(value is not None for value in form) and None in form for form in forms
        ):
            raise ValueError("a distribution has either min and max, or mean and deviation, or percentiles")
        if self.min is not None and self.max is not None and not 0 <= self.min <= self.max:
            raise ValueError(f"min {self.min} and max {self.max} are no range of seconds")
        if self.mean is not None and self.deviation is not None and (self.mean < 0 or self.deviation < 0):
            raise ValueError(f"mean {self.mean} and deviation {self.deviation} must not be negative")
        if self.percentiles is not None:
            _check_percentiles(self.percentiles)


Latency: TypeAlias = Annotated[float, msgspec.Meta(ge=0)] | Spread
"""Seconds, always the same or drawn anew each time."""


def compile_latency(latency: Latency) -> Draw:
    """How to draw from `latency`. Raises ValueError for a negative number."""
    if not isinstance(latency, Spread):
        if not latency >= 0:
            raise ValueError(f"a delay of {latency} seconds is not possible")
        return lambda _: latency
    if latency.min is not None and latency.max is not None:
        low, high = latency.min, latency.max
        return lambda random: random.uniform(low, high)
    if latency.mean is not None and latency.deviation is not None:
        mean, deviation = latency.mean, latency.deviation
        return lambda random: max(0.0, random.gauss(mean, deviation))
    assert latency.percentiles is not None
    return _percentile_draw(sorted(latency.percentiles.items()))


def _percentile_draw(points: list[tuple[float, float]]) -> Draw:
    shares = [share for share, _ in points]
    values = [seconds for _, seconds in points]

    def draw(random: Random) -> float:
        share = random.random() * 100
        after = bisect.bisect_right(shares, share)
        if after == 0:
            return values[0]
        if after == len(values):
            return values[-1]
        part = (share - shares[after - 1]) / (shares[after] - shares[after - 1])
        return values[after - 1] + part * (values[after] - values[after - 1])

    return draw


def _check_percentiles(percentiles: dict[float, float]) -> None:
    if not percentiles:
        raise ValueError("percentiles: at least one is needed")
    if not all(0 <= share <= 100 for share in percentiles):
        raise ValueError("percentiles: the keys are percentages from 0 to 100")
    values = [percentiles[share] for share in sorted(percentiles)]
    if values[0] < 0 or values != sorted(values):
        raise ValueError("percentiles: the seconds must grow with the percentage")
