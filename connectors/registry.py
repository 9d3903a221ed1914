"""Every connector of this installation. Explicit, so that importing a module never changes what channels there are."""

from connectors.contract import Connector
from connectors.sandbox.connector import SANDBOX
from connectors.smpp.connector import SMPP

_CONNECTORS: tuple[Connector, ...] = (SMPP, SANDBOX)
_BY_TYPE = {connector.type: connector for connector in _CONNECTORS}


def connectors() -> tuple[Connector, ...]:
    """All of them, in the order in which they are shown."""
    return _CONNECTORS


def get(channel_type: str) -> Connector | None:
    """The connector of a channel type, None when there is no such type."""
    return _BY_TYPE.get(channel_type)
