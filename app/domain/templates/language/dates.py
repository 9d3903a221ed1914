"""Formats of dates: a small set of directives of our own, so that nothing depends on the machine's C library."""

from collections.abc import Callable
from datetime import datetime

from app.domain.templates.language.locales import Locale

Part = str | Callable[[datetime, Locale], str]

_DIRECTIVES: dict[str, Callable[[datetime, Locale], str]] = {
    "d": lambda at, _: f"{at.day:02}",
    "e": lambda at, _: str(at.day),
    "m": lambda at, _: f"{at.month:02}",
    "b": lambda at, locale: locale.short_months[at.month - 1],
    "B": lambda at, locale: locale.months[at.month - 1],
    "y": lambda at, _: f"{at.year % 100:02}",
    "Y": lambda at, _: f"{at.year:04}",
    "a": lambda at, locale: locale.short_days[at.weekday()],
    "A": lambda at, locale: locale.days[at.weekday()],
    "H": lambda at, _: f"{at.hour:02}",
    "I": lambda at, _: f"{(at.hour - 1) % 12 + 1:02}",
    "M": lambda at, _: f"{at.minute:02}",
    "S": lambda at, _: f"{at.second:02}",
    "p": lambda at, _: "AM" if at.hour < 12 else "PM",
    "j": lambda at, _: f"{at.timetuple().tm_yday:03}",
    "%": lambda _, __: "%",
}


def compile_format(text: str) -> tuple[Part, ...]:
    """`%d %b` → its parts. `%-d` is without the leading zero. Raises `ValueError` with words for the author."""
    parts: list[Part] = []
    position = 0
    while True:
        found = text.find("%", position)
        if found < 0:
            parts.append(text[position:])
            return tuple(parts)
        parts.append(text[position:found])
        bare = text.startswith("-", found + 1)
        position = found + 2 + bare
        name = text[position - 1 : position]
        directive = _DIRECTIVES.get(name)
        if directive is None or (bare and name not in "dmHI"):
            known = " ".join(f"%{each}" for each in _DIRECTIVES)
            raise ValueError(f"A date has {known}, and %-d without the zero; not {text[found:position]!r}")
        parts.append(_without_zero(directive) if bare else directive)


def format_moment(parts: tuple[Part, ...], at: datetime, locale: Locale) -> str:
    """A moment in a compiled format."""
    return "".join([part if isinstance(part, str) else part(at, locale) for part in parts])


def _without_zero(directive: Callable[[datetime, Locale], str]) -> Callable[[datetime, Locale], str]:
    return lambda at, locale: directive(at, locale).removeprefix("0") or "0"
