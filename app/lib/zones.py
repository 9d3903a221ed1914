"""Time zones by name, as people and clients write them."""

from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=1024)
def zone_named(name: str | None) -> ZoneInfo | None:
    """The time zone of that name in the IANA database, None for one that does not exist."""
    try:
        return None if not name else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # It looks for a file of that name, and says in many ways that there is none.
        return None
