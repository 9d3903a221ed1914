"""The description of channels that the SMPP daemon sends through."""

from connectors.contract import AddressKind, Capabilities, Connector
from connectors.smpp.config import SmppConfig, SmppCredentials

SMPP = Connector(
    type="smpp",
    title="SMPP: a direct link to a mobile operator",
    capabilities=Capabilities(recipients=AddressKind.E164, sms_text=True, sender=True, receipts=True, inbound=True),
    config_type=SmppConfig,
    credentials_type=SmppCredentials,
    send=None,
)
