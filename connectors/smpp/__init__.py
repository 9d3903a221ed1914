"""SMPP channels: their configuration and credentials. Sending is the SMPP daemon's work."""

from connectors.smpp.config import Bind, SmppConfig, SmppCredentials, SmppHost
from connectors.smpp.options import LongMessage, MessageIdFormat, OnUnknown

__all__ = ["Bind", "LongMessage", "MessageIdFormat", "OnUnknown", "SmppConfig", "SmppCredentials", "SmppHost"]
