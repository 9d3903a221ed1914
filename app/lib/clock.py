"""Time as an argument: code that decides by the clock takes a `Clock`, tests pass their own."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns an aware datetime in UTC."""


def utc_now() -> datetime:
    """The wall clock of this host in UTC. Deadlines that several processes share come from the database instead."""
    return datetime.now(UTC)


def rfc3339(at: datetime) -> str:
    """`2026-11-24T10:00:00.123456Z`: how every time leaves this system."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
