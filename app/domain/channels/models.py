"""The table of channels."""

from datetime import datetime
from typing import Any

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class Channel(AccountRecord):
    """A way to reach people: an operator link, a provider account, a bot.

    `config` holds every field of the connector's config struct; `credentials` is sealed, and None once the channel is
    deleted. `health` is written by whoever sends and does not touch `updated_at`, which is therefore the version of
    what the owner decided.
    """

    __tablename__ = "channels"

    name: Mapped[str]
    type: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    credentials: Mapped[bytes | None] = mapped_column(LargeBinary)
    rate: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str]
    health: Mapped[dict[str, Any]] = mapped_column(JSONB)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
