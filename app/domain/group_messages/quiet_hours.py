"""When somebody may be disturbed: quiet hours in the recipient's own time zone."""

from datetime import UTC, datetime, time, timedelta, tzinfo

from app.domain.identity.accounts.settings import QuietHours
from app.lib.zones import zone_named

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def zone_of(name: str, otherwise: str) -> tzinfo:
    """The time zone of a recipient; that of the account where theirs is empty or not known here, UTC without any."""
    return zone_named(name) or zone_named(otherwise) or UTC


def quiet_until(now: datetime, quiet: QuietHours, zone: tzinfo) -> datetime | None:
    """When the quiet that reigns at `now` ends, in UTC; None when nobody would be disturbed.

    Wall-clock times: where clocks are set back the hour that comes twice is quiet twice, and an end that a change of
    clocks leaves out is the moment after it.
    """
    here = now.astimezone(zone)
    start, end = time.fromisoformat(quiet.start), time.fromisoformat(quiet.end)
    # Quiet that began yesterday may still reign.
    for begun in (here.date() - timedelta(days=1), here.date()):
        if quiet.days is not None and _DAYS[begun.weekday()] not in quiet.days:
            continue
        ends = begun + timedelta(days=1) if end < start else begun
        wall = here.replace(tzinfo=None)
        if datetime.combine(begun, start) <= wall < datetime.combine(ends, end):
            until = datetime.combine(ends, end, zone).astimezone(UTC)
            # An end that the clocks skip, or that comes twice, must not lie behind us.
            return until if until > now else now + timedelta(minutes=1)
    return None
