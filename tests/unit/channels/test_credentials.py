from uuid import UUID

import pytest

from app.domain.channels.credentials import seal, unseal
from app.lib.crypto import CryptoError, Envelope
from connectors.sandbox.connector import SandboxCredentials
from connectors.smpp import SmppCredentials

CHANNEL = UUID(int=1)
OTHER = UUID(int=2)
SECRET = SmppCredentials(system_id="demo", password="s3cret-password")


def envelope() -> Envelope:
    return Envelope({"k1": bytes(32)})


def test_round_trip() -> None:
    sealed = seal(envelope(), CHANNEL, SECRET)
    assert b"s3cret" not in sealed and b"demo" not in sealed
    assert unseal(envelope(), CHANNEL, sealed, SmppCredentials) == SECRET


def test_another_channels_row_does_not_open() -> None:
    with pytest.raises(CryptoError):
        unseal(envelope(), OTHER, seal(envelope(), CHANNEL, SECRET), SmppCredentials)


def test_none_stored_is_empty() -> None:
    assert unseal(envelope(), CHANNEL, None, SandboxCredentials) == SandboxCredentials()
    with pytest.raises(CryptoError):
        unseal(envelope(), CHANNEL, None, SmppCredentials)


def test_an_error_does_not_repeat_the_value() -> None:
    with pytest.raises(CryptoError) as refused:
        unseal(envelope(), CHANNEL, seal(envelope(), CHANNEL, SECRET), SandboxCredentials)
    assert "s3cret" not in f"{refused.value}{refused.value.__cause__}"
