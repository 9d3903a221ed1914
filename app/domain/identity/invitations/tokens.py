"""The tokens of invitations: random, mailed once, stored as a digest."""

import hashlib
import secrets

PREFIX = "it_"
TOKEN_BYTES = 32
MAX_LENGTH = 256


def new_token() -> str:
    """256 random bits after `it_`."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """The stored form. A plain SHA-256 is enough: the token is random, so there is nothing to guess from."""
    return hashlib.sha256(token.encode()).digest()
