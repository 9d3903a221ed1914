"""The tables of contacts as statements name them; nobody but the store of PostgreSQL reads or writes them."""

from sqlalchemy import ARRAY, Column, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from app.lib.db import Record

C_TEXT = Text(collation="C")
"""Texts that compare by code point."""

_MOMENT = TIMESTAMP(timezone=True)

contacts = Table(
    "contacts",
    Record.metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("first_name", C_TEXT, nullable=False),
    Column("last_name", C_TEXT, nullable=False),
    Column("language", C_TEXT, nullable=False),
    Column("timezone", C_TEXT, nullable=False),
    Column("status", Text, nullable=False),
    Column("notes", C_TEXT, nullable=False),
    Column("addresses", JSONB, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("opted_out", ARRAY(Text), nullable=False),
    Column("created_at", _MOMENT, nullable=False),
    Column("updated_at", _MOMENT, nullable=False),
)
"""A contact with its addresses in their order. `opted_out` is worked out from them, for filters."""

contact_addresses = Table(
    "contact_addresses",
    Record.metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("type", C_TEXT, primary_key=True),
    Column("value", C_TEXT, primary_key=True),
    Column("contact_id", Uuid, nullable=False),
)
"""Whose an address is."""

contact_group_members = Table(
    "contact_group_members",
    Record.metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("group_id", Uuid, primary_key=True),
    Column("contact_id", Uuid, primary_key=True),
)
"""Who is in which group."""

contact_activity = Table(
    "contact_activity",
    Record.metadata,
    Column("account_id", Uuid, nullable=False),
    Column("contact_id", Uuid, primary_key=True),
    Column("channel_id", Uuid, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("last_inbound_at", _MOMENT),
    Column("last_outbound_at", _MOMENT),
)
"""When an address last wrote and was last written to, on each channel."""
