"""SMPP's time strings "YYMMDDhhmmsstnnp" (SMPP 3.4 §7.1.1)."""

from datetime import UTC, datetime, timedelta, timezone

_DIGITS = 15


def format_relative(seconds: int) -> str:
    """A period from now, as 16 characters ending in R. At most 99 days are written, in days, hours, minutes, seconds.

    Months and years are left at zero because their length differs between operators. Raises ValueError when negative.
    """
    if seconds < 0:
        raise ValueError("a period cannot be negative")
    minutes, second = divmod(min(seconds, 99 * 86400), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"0000{day:02d}{hour:02d}{minute:02d}{second:02d}000R"


def format_absolute(moment: datetime) -> str:
    """An aware datetime in UTC, as 16 characters ending in `00+`. Tenths of a second are kept."""
    utc = moment.astimezone(UTC)
    return f"{utc:%y%m%d%H%M%S}{utc.microsecond // 100_000}00+"


def parse_time(text: str, now: datetime) -> datetime | None:
    """A time string as an aware UTC datetime; relative ones count from `now` (years 365, months 30 days).

    None when empty. Raises ValueError on anything else that is not of the format.
    """
    if not text:
        return None
    if len(text) != _DIGITS + 1 or not text[:_DIGITS].isdecimal() or text[-1] not in "+-R":
        raise ValueError(f"{text!r} is not a time of SMPP 3.4 §7.1.1")
    year, month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 12, 2))
    if text[-1] == "R":
        days = year * 365 + month * 30 + day
        return now.astimezone(UTC) + timedelta(days=days, hours=hour, minutes=minute, seconds=second)
    quarters = int(text[13:15]) * (1 if text[-1] == "+" else -1)
    if abs(quarters) > 48:
        raise ValueError(f"{text!r} is more than 12 hours away from UTC")
    zone = timezone(timedelta(minutes=15 * quarters))
    return datetime(2000 + year, month, day, hour, minute, second, int(text[12]) * 100_000, tzinfo=zone).astimezone(UTC)
