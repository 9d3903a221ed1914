"""The secrets of API keys: random, shown once, stored as a digest."""

import hashlib
import secrets

PREFIX = "tk_"
SECRET_BYTES = 32
SHOWN_CHARACTERS = 7
"""How much of a secret is kept readable, so that its owner can tell keys apart: `tk_` and four characters."""

MAX_LENGTH = 256


def is_api_key(token: str) -> bool:
    """Whether a bearer token is an API key rather than a JWT."""
    return token.startswith(PREFIX)


def new_secret() -> str:
    """256 random bits after `tk_`."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def secret_hash(secret: str) -> bytes:
    """The stored form. A plain SHA-256 is enough: the secret is random, so there is nothing to guess from."""
    return hashlib.sha256(secret.encode()).digest()
