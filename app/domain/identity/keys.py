"""The RSA keys that sign access tokens: one signs, retired ones verify for as long as a token of theirs can live."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import RSAAlgorithm
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.repository import (
    StoredKey,
    has_signing_key,
    insert_signing_key,
    list_signing_keys,
    lock_signing_keys,
    retire_signing_keys,
)
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.errors import Unavailable

ALGORITHM = "RS256"
KEY_BITS = 2048
RELOAD_AFTER_SECONDS = 60.0
"""How long this process may not notice that another one rotated the keys."""

RELOAD_AT_MOST_EVERY_SECONDS = 2.0
"""Tokens with invented key ids must not become a stream of queries."""


class SigningKey(msgspec.Struct, frozen=True):
    """The key that signs now."""

    kid: str
    private: RSAPrivateKey

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid}>"


class SigningKeys:
    """The keys of this installation as this process knows them.

    `token_seconds` is the longest life of a token. `start()` makes the first key; where it was not called or failed,
    the keys are loaded when they are first needed. Methods raise `Unavailable` when the database is needed and away,
    and `app.lib.crypto.CryptoError` when the configured encryption keys do not open the signing key.
    """

    def __init__(
        self,
        database: Database,
        envelope: Envelope,
        *,
        token_seconds: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._envelope = envelope
        # A signer that has not noticed yet goes on using the retired key until its next reload.
        self._keep_retired_seconds = token_seconds + 2 * RELOAD_AFTER_SECONDS
        self._monotonic = monotonic
        self._loading = asyncio.Lock()
        self._tried_at: float | None = None
        self._loaded_at: float | None = None
        self._signing: SigningKey | None = None
        self._public: dict[str, RSAPublicKey] = {}
        self._jwks: list[dict[str, Any]] = []

    async def start(self) -> None:
        """Make sure that a signing key exists, made by one process for all, and load the keys."""
        async with self._database.unit_of_work(identity=True) as session:
            await lock_signing_keys(session)
            if not await has_signing_key(session):
                await self._create(session)
        async with self._loading:
            await self._load()

    async def rotate(self) -> str:
        """Sign with a new key from now on; returns its id. Tokens signed before stay valid until they expire."""
        async with self._database.unit_of_work(identity=True) as session:
            await lock_signing_keys(session)
            await retire_signing_keys(session)
            kid = await self._create(session)
        async with self._loading:
            await self._load()
        return kid

    async def signing(self) -> SigningKey:
        """The key to sign with. Call it outside a transaction: it may need a connection of its own."""
        if self._loaded_at is None or self._monotonic() - self._loaded_at > RELOAD_AFTER_SECONDS:
            await self._reload()
        if self._signing is None:
            raise Unavailable("There is no signing key yet; try again shortly.", retry_after=2.0)
        return self._signing

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        """The public key with this id, or None. An id not seen before is looked up at most every two seconds."""
        key = self._public.get(kid)
        if key is None:
            await self._reload()
            key = self._public.get(kid)
        return key

    async def jwks(self) -> list[dict[str, Any]]:
        """The public keys that verify tokens still alive, as JWKs (RFC 7517 §4)."""
        if self._loaded_at is None or self._monotonic() - self._loaded_at > RELOAD_AFTER_SECONDS:
            await self._reload()
        return self._jwks

    async def _reload(self) -> None:
        async with self._loading:
            # Whoever waited for the lock finds the work done.
            if self._tried_at is None or self._monotonic() - self._tried_at >= RELOAD_AT_MOST_EVERY_SECONDS:
                await self._load()
            elif self._loaded_at is None:
                raise Unavailable("The signing keys cannot be read; try again shortly.", retry_after=2.0)

    async def _load(self) -> None:
        self._tried_at = self._monotonic()
        async with self._database.reading(identity=True) as session:
            stored = await list_signing_keys(session, self._keep_retired_seconds)
        current = next((key for key in stored if not key.retired), None)
        if current is None:
            self._signing = None
        elif self._signing is None or self._signing.kid != current.kid:
            self._signing = SigningKey(current.kid, self._open(current))
        self._public = {key.kid: self._public.get(key.kid) or _public_key(key.public_jwk) for key in stored}
        self._jwks = [key.public_jwk for key in stored]
        self._loaded_at = self._monotonic()

    async def _create(self, session: AsyncSession) -> str:
        private = await asyncio.to_thread(generate_private_key, 65537, KEY_BITS)
        jwk = public_jwk(private.public_key())
        kid: str = jwk["kid"]
        plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        await insert_signing_key(session, kid, self._envelope.encrypt(plain, sealing_context(kid)), jwk)
        return kid

    def _open(self, key: StoredKey) -> RSAPrivateKey:
        private = load_der_private_key(self._envelope.decrypt(key.private_key, sealing_context(key.kid)), password=None)
        if not isinstance(private, RSAPrivateKey):
            raise TypeError(f"the signing key {key.kid} is not an RSA key")
        return private


def public_jwk(key: RSAPublicKey) -> dict[str, Any]:
    """The JWK of a public key; its `kid` is the thumbprint of RFC 7638, so that the same key always has the same id."""
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key, as_dict=True)
    required = {name: jwk[name] for name in ("e", "kty", "n")}
    digest = hashlib.sha256(msgspec.json.encode(required, order="deterministic")).digest()
    return {**required, "kid": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), "use": "sig", "alg": ALGORITHM}


def _public_key(jwk: dict[str, Any]) -> RSAPublicKey:
    key = RSAAlgorithm.from_jwk(jwk)
    if not isinstance(key, RSAPublicKey):
        raise TypeError(f"the JWK {jwk.get('kid')} is not an RSA public key")
    return key


def sealing_context(kid: str) -> str:
    """What a sealed signing key is tied to."""
    return f"signing_key:{kid}"
