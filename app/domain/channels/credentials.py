"""Sealing of credentials: they are plain only in the moment in which somebody needs them."""

from uuid import UUID

import msgspec

from app.lib.crypto import CryptoError, Envelope


def credentials_context(channel_id: UUID) -> str:
    """What a sealed value is tied to: copied into another channel's row it does not open."""
    return f"channel:{channel_id}:credentials"


def seal(envelope: Envelope, channel_id: UUID, credentials: msgspec.Struct) -> bytes:
    """Credentials → what is stored."""
    return envelope.encrypt(msgspec.json.encode(credentials), credentials_context(channel_id))


def unseal(
    envelope: Envelope, channel_id: UUID, sealed: bytes | None, credentials_type: type[msgspec.Struct]
) -> msgspec.Struct:
    """What is stored → credentials; raises `CryptoError`, which never carries the value."""
    plain = b"{}" if sealed is None else envelope.decrypt(sealed, credentials_context(channel_id))
    try:
        return msgspec.json.decode(plain, type=credentials_type)
    except msgspec.DecodeError as error:
        raise CryptoError("the stored credentials do not fit the channel's type") from error
