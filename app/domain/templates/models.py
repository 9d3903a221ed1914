"""The tables of templates and of their versions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class Template(AccountRecord):
    """A template by its name; `version` is the number of the version that is used now, from 1."""

    __tablename__ = "templates"

    name: Mapped[str]
    version: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))


class TemplateVersion(AccountRecord):
    """What a template said from some time on: `content` is a `content.Content` and never changes."""

    __tablename__ = "template_versions"

    template_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
