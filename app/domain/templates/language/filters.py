"""Filters: what may stand behind a name, `{NAME|title|truncate:20}`.

Each is made once, when the template is compiled, into a step from a value to a value. Steps raise nothing but
`UnusableError`, and take time in proportion to their value.
"""

import unicodedata
from collections.abc import Callable
from datetime import tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from app.domain.templates.language.dates import compile_format, format_moment
from app.domain.templates.language.locales import Locale
from app.domain.templates.language.syntax import FilterCall, TemplateError
from app.domain.templates.language.values import joined, moment_of, number_of, text_of, truth_of

Step = Callable[[Any, tzinfo | None], Any]

MAX_CUT = 4096
MAX_DECIMALS = 6


class Filter(msgspec.Struct, frozen=True):
    """A filter takes so many arguments; `make` raises `ValueError` with words about them.

    `fills` is set for the one that gives blank values something to show; the others are not asked about those.
    """

    fewest: int
    most: int
    make: Callable[[tuple[str, ...], Locale], Step]
    fills: bool = False


def compile_filter(call: FilterCall, locale: Locale) -> tuple[bool, Step]:
    """Whether the filter fills blanks, and its step. Raises `TemplateError`."""
    known = FILTERS.get(call.name)
    if known is None:
        detail = f"There is no filter {call.name!r}. Filters: {', '.join(sorted(FILTERS))}."
        raise TemplateError(call.position, "unknown_filter", detail)
    given = len(call.arguments)
    if not known.fewest <= given <= known.most:
        wanted = str(known.fewest) if known.fewest == known.most else f"{known.fewest} to {known.most}"
        raise TemplateError(call.position, "bad_argument", f"{call.name} takes {wanted} arguments, not {given}.")
    try:
        return known.fills, known.make(call.arguments, locale)
    except ValueError as error:
        raise TemplateError(call.position, "bad_argument", f"{call.name}: {error}.") from error


def _of_text(change: Callable[[str], str]) -> Callable[[tuple[str, ...], Locale], Step]:
    def make(_: tuple[str, ...], __: Locale) -> Step:
        return lambda value, zone: change(text_of(value, zone))

    return make


def _long_text(value: Any, zone: tzinfo | None) -> str:
    """The text of which a part will be taken, so that it may be longer than other values."""
    return value if isinstance(value, str) else text_of(value, zone)


def _titled(text: str) -> str:
    """Each word with a capital; words that are all capitals lose the others, `McDonald` keeps its own."""
    return "".join([_capital(word) for word in _words(text)])


def _words(text: str) -> list[str]:
    words: list[str] = []
    start = 0
    for index, character in enumerate(text):
        if character.isspace() or character in "-/(":
            words.append(text[start : index + 1])
            start = index + 1
    return [*words, text[start:]]


def _capital(word: str) -> str:
    rest = word[1:].lower() if word.isupper() else word[1:]
    return word[:1].title() + rest


def _cut(text: str, length: int) -> str:
    """The beginning, without a letter that would lose its marks."""
    end = min(length, len(text))
    while 0 < end < len(text) and unicodedata.combining(text[end]):
        end -= 1
    return text[:end]


def _whole(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise ValueError(f"a whole number from {least} to {most} is needed, not {text!r}")
    return int(text)


def _default(arguments: tuple[str, ...], _: Locale) -> Step:
    (text,) = arguments
    if not text:
        raise ValueError("an empty default is what the fallback strategy `empty` is for")
    # Steps that fill are asked about blank values only.
    return lambda value, zone: text


def _truncate(arguments: tuple[str, ...], _: Locale) -> Step:
    length = _whole(arguments[0], 1, MAX_CUT)
    # Three dots: the one character for them would make the whole message UCS-2.
    ending = arguments[1] if len(arguments) > 1 else "..."

    def step(value: Any, zone: tzinfo | None) -> str:
        text = _long_text(value, zone)
        if len(text) <= length:
            return text
        return _cut(text, length - len(ending)).rstrip() + ending if length > len(ending) else _cut(text, length)

    return step


def _first(arguments: tuple[str, ...], _: Locale) -> Step:
    length = _whole(arguments[0], 1, MAX_CUT)
    return lambda value, zone: _cut(_long_text(value, zone), length)


def _last(arguments: tuple[str, ...], _: Locale) -> Step:
    length = _whole(arguments[0], 1, MAX_CUT)
    return lambda value, zone: _long_text(value, zone)[-length:]


def _join(arguments: tuple[str, ...], _: Locale) -> Step:
    (separator,) = arguments
    return lambda value, zone: joined(value, separator, zone) if isinstance(value, list | tuple) else value


def _date(arguments: tuple[str, ...], locale: Locale) -> Step:
    parts = compile_format(arguments[0])
    return lambda value, zone: format_moment(parts, moment_of(value, zone), locale)


def _number(arguments: tuple[str, ...], locale: Locale) -> Step:
    decimals = _whole(arguments[0], 0, MAX_DECIMALS) if arguments else None
    marks = str.maketrans({",": locale.group, ".": locale.decimal})

    def step(value: Any, _: tzinfo | None) -> str:
        number = number_of(value)
        places = min(max(-int(number.as_tuple().exponent), 0), MAX_DECIMALS) if decimals is None else decimals
        # Adding 0 takes the sign off what was rounded to zero.
        return f"{number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0:,f}".translate(marks)

    return step


def _yesno(arguments: tuple[str, ...], _: Locale) -> Step:
    yes, no = arguments
    return lambda value, zone: yes if truth_of(value) else no


FILTERS: dict[str, Filter] = {
    "upper": Filter(0, 0, _of_text(str.upper)),
    "lower": Filter(0, 0, _of_text(str.lower)),
    "title": Filter(0, 0, _of_text(_titled)),
    "capitalize": Filter(0, 0, _of_text(_capital)),
    "trim": Filter(0, 0, _of_text(lambda text: " ".join(text.split()))),
    "truncate": Filter(1, 2, _truncate),
    "first": Filter(1, 1, _first),
    "last": Filter(1, 1, _last),
    "default": Filter(1, 1, _default, fills=True),
    "date": Filter(1, 1, _date),
    "number": Filter(0, 1, _number),
    "join": Filter(1, 1, _join),
    "yesno": Filter(2, 2, _yesno),
}
"""Every filter by its name."""
