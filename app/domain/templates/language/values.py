"""Values that fill placeholders, as text: texts, numbers, yes or no, dates, and lists of those."""

from datetime import date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

MAX_VALUE = 4096
"""Characters of one value."""

MAX_ITEMS = 100
"""Items of a list."""

_MAX_BITS = 128
_PLAIN_FROM, _PLAIN_TO = 1e-6, 1e15
# A date or a number as text is never longer.
_MAX_SCALAR = 40


class Reason(StrEnum):
    """Why a placeholder could not be filled."""

    MISSING = "missing"
    NOT_A_DATE = "not_a_date"
    NOT_A_NUMBER = "not_a_number"
    NOT_A_BOOLEAN = "not_a_boolean"
    NOT_A_VALUE = "not_a_value"
    TOO_LONG = "too_long"


class UnusableError(Exception):
    """A value cannot be shown as the template wants it; never leaves this package."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def is_blank(value: Any) -> bool:
    """Whether there is nothing to show: None, an empty list, a text of blanks only."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, list | tuple) and all(_is_blank_item(item) for item in value[:MAX_ITEMS])


def _is_blank_item(item: Any) -> bool:
    # A list in a list is not looked into: it is refused, however deep.
    return item is None or (isinstance(item, str) and (not item or item.isspace()))


def text_of(value: Any, zone: tzinfo | None) -> str:
    """The value as text, the same in every language. Moments are shown in `zone`. Raises `UnusableError`."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list | tuple):
        text = joined(value, ", ", zone)
    else:
        text = _scalar(value, zone)
    if len(text) > MAX_VALUE:
        raise UnusableError(Reason.TOO_LONG)
    return text


def joined(items: list[Any] | tuple[Any, ...], separator: str, zone: tzinfo | None) -> str:
    """The items that are not blank, with `separator` between them. Raises `UnusableError`, also for lists in lists."""
    if len(items) > MAX_ITEMS:
        raise UnusableError(Reason.TOO_LONG)
    texts = [item if isinstance(item, str) else _scalar(item, zone) for item in items if not _is_blank_item(item)]
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_VALUE:
        raise UnusableError(Reason.TOO_LONG)
    return separator.join(texts)


def moment_of(value: Any, zone: tzinfo | None) -> datetime:
    """The moment that a date, a time or an ISO 8601 text means; a date is its midnight. Raises `UnusableError`."""
    try:
        if isinstance(value, str) and len(value) <= _MAX_SCALAR:
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            return value.astimezone(zone) if zone is not None and value.tzinfo is not None else value
        if isinstance(value, date):
            return datetime.combine(value, time())
    except (ValueError, OverflowError):
        pass
    raise UnusableError(Reason.NOT_A_DATE)


def number_of(value: Any) -> Decimal:
    """The number that a value means, below a thousand billions. Raises `UnusableError`."""
    number: Decimal | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        number = Decimal(value) if value.bit_length() <= _MAX_BITS else None
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, str) and len(value) <= _MAX_SCALAR and "_" not in value:
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            number = None
    if number is None or not number.is_finite() or number.adjusted() >= 15:
        raise UnusableError(Reason.NOT_A_NUMBER)
    return number


def truth_of(value: Any) -> bool:
    """The boolean that a value means. Raises `UnusableError`."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    if isinstance(value, bool):
        return value
    raise UnusableError(Reason.NOT_A_BOOLEAN)


def _scalar(value: Any, zone: tzinfo | None) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            # The digits of a huge number take a time that grows with its square.
            if value.bit_length() > _MAX_BITS:
                raise UnusableError(Reason.TOO_LONG)
            return str(value)
        case float() | Decimal():
            return _fraction(value)
        case datetime():
            return moment_of(value, zone).replace(tzinfo=None).isoformat(" ", "minutes")
        case date():
            return value.isoformat()
        case _:
            raise UnusableError(Reason.NOT_A_VALUE)


def _fraction(value: float | Decimal) -> str:
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        raise UnusableError(Reason.NOT_A_NUMBER)
    if not number:
        return "0"
    if not _PLAIN_FROM <= abs(float(number)) < _PLAIN_TO:
        return f"{number:.15g}"
    text = f"{number:f}"
    if len(text) > _MAX_SCALAR:
        text = f"{float(number):f}"
    # 12.0 is what JSON makes of 12 in many a library.
    return text.rstrip("0").rstrip(".") if "." in text else text
