"""Versions of resources: what an ETag holds, made from the moment of the last change."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from app.lib.errors import PreconditionFailed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def version_of(updated_at: datetime) -> str:
    """The version of a resource that was changed last at `updated_at`."""
    return str((updated_at - _EPOCH) // _TICK)


def changed_at(now: datetime, updated_at: datetime) -> datetime:
    """The new `updated_at`: two changes within a tick, or a clock set back, must not look like the same version."""
    return max(now, updated_at + _TICK)


def check_version(updated_at: datetime, wanted: Collection[str] | None, what: str) -> None:
    """Raises `PreconditionFailed` when `wanted` (of `If-Match`, None for any) does not hold the stored version.

    `what` names the resource in the answer, e.g. "channel".
    """
    if wanted is not None and version_of(updated_at) not in wanted:
        raise PreconditionFailed(f"The {what} has changed since you read it; read it again.")
