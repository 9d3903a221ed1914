"""SMPP channels: their configuration and credentials. Sending is the SMPP daemon's work."""

from connectors.smpp.config import (
    Bind,
    LongMessage,
    MessageIdFormat,
    OnUnknown,
    SmppConfig,
    SmppCredentials,
    SmppHost,
)

__all__ = ["Bind", "LongMessage", "MessageIdFormat", "OnUnknown", "SmppConfig", "SmppCredentials", "SmppHost"]
