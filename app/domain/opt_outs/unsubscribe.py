"""Links by which people unsubscribe with one click (RFC 8058), and the headers that carry them in e-mails.

A token holds all it needs, sealed under the installation's encryption keys: nobody can make one or read an address out
of it. It works as long as the key that sealed it is among the configured ones, so that rotating keys breaks no link;
taking an old key away ends the links it sealed.
"""

import base64
import binascii
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.opt_outs.changes import Proof, Wish, change_consent
from app.domain.opt_outs.classes import ChannelClass, Source, Topic
from app.domain.opt_outs.listeners import NOBODY, OptStateListener
from app.domain.opt_outs.places import account_exists
from app.lib.crypto import CryptoError, Envelope
from app.lib.ids import NewId

MAX_TOKEN = 1500

_CONTEXT = "unsubscribe"


class Subscription(msgspec.Struct, array_like=True, frozen=True):
    """What a link ends: messages of `topic` to an address, canonical, of an account; `message_id` brought the link."""

    account_id: UUID
    channel_class: ChannelClass
    address: str
    topic: Topic = Topic.ALL
    message_id: UUID | None = None


_decode = msgspec.msgpack.Decoder(Subscription).decode


def unsubscribe_token(envelope: Envelope, subscription: Subscription) -> str:
    """The token, in characters that need no escape in a URL."""
    sealed = envelope.encrypt(msgspec.msgpack.encode(subscription), _CONTEXT)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_token(envelope: Envelope, token: str) -> Subscription | None:
    """What a token ends; None for whatever is not one of ours."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return _decode(envelope.decrypt(sealed, _CONTEXT))
    except (binascii.Error, CryptoError, msgspec.DecodeError, ValueError):
        return None


def unsubscribe_url(envelope: Envelope, subscription: Subscription, public_url: str) -> str:
    """The link, below the public URL of the installation."""
    return f"{public_url.rstrip('/')}/v1/unsubscribe/{unsubscribe_token(envelope, subscription)}"


def unsubscribe_headers(url: str) -> dict[str, str]:
    """The headers of an e-mail that make the link one click (RFC 8058 §3.1); DKIM must sign both of them."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


async def unsubscribe(
    session: AsyncSession, subscription: Subscription, new_id: NewId, listener: OptStateListener = NOBODY
) -> bool:
    """Opt out as the link says, in the caller's transaction; False when there is no such account any more.

    Doing it again changes nothing.
    """
    if not await account_exists(session, subscription.account_id):
        return False
    proof = Proof(source=Source.UNSUBSCRIBE_LINK, message_id=subscription.message_id)
    wish = Wish((subscription.channel_class, subscription.address), subscription.topic, True, proof)
    await change_consent(session, subscription.account_id, [wish], new_id, listener)
    return True
