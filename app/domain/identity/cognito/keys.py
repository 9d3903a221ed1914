"""The public keys of a Cognito user pool, as this process knows them (JWKS, RFC 7517)."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from app.domain.identity.cognito.fetching import NoAnswer, fetch
from app.domain.identity.keys import ALGORITHM
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from app.lib.tasks import end_tasks

log = get_logger(__name__)

FETCH_SECONDS = 5.0
MAX_BYTES = 64 * 1024
MAX_KEYS = 20
MIN_KEY_BITS = 2048
REFRESH_AFTER_SECONDS = 3600.0
"""Known keys are looked at again after this time, in the background: a key that AWS withdrew is then forgotten."""

FETCH_AT_MOST_EVERY_SECONDS = 5.0
"""Tokens with invented key ids must not become a stream of requests."""


class CognitoKeys:
    """Keys by their id, fetched when they are first needed and when an unknown one is asked for.

    Keys that were fetched once are used for as long as AWS does not answer. `close()` when the process ends.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._url = url
        self._monotonic = monotonic
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        """The key with this id, or None when the pool has none.

        Raises `Unavailable` for an id that is unknown here while the pool cannot be asked: it may be a new key's.
        """
        key = self._keys.get(kid)
        if key is not None:
            if self._fetched_at is None or self._monotonic() - self._fetched_at > REFRESH_AFTER_SECONDS:
                self._fetch_soon()
            return key
        fetching = self._fetch_soon()
        if fetching is not None:
            # One fetch serves everybody who waits, whoever of them goes away.
            await asyncio.shield(fetching)
        key = self._keys.get(kid)
        if key is None and self._fetched_at != self._tried_at:
            raise Unavailable("The keys of the user pool cannot be read; try again shortly.", retry_after=5.0)
        return key

    async def close(self) -> None:
        """End a fetch that is under way."""
        await end_tasks(self._fetching)

    def _fetch_soon(self) -> "asyncio.Task[None] | None":
        """The fetch that is under way, or a new one unless the last one was begun moments ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < FETCH_AT_MOST_EVERY_SECONDS:
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._fetch(now), name="cognito-keys")
        return self._fetching

    async def _fetch(self, begun_at: float) -> None:
        try:
            request = self._http.build_request("GET", self._url)
            status, body = await fetch(self._http, request, seconds=FETCH_SECONDS, max_bytes=MAX_BYTES)
        except NoAnswer as error:
            log.warning("the keys of the Cognito user pool are not readable", reason=error.detail)
            return
        keys = _read(body) if status == 200 else {}
        if not keys:
            log.warning("the keys of the Cognito user pool are not readable", status=status, bytes=len(body))
            return
        self._keys = keys
        self._fetched_at = begun_at


class _KeySet(msgspec.Struct):
    keys: list[Any]


def _read(body: bytes) -> dict[str, RSAPublicKey]:
    """The usable keys of a JWKS document; what is no RSA signing key of a safe size is left out (RFC 7517 §5)."""
    try:
        found = msgspec.json.decode(body, type=_KeySet).keys
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    keys: dict[str, RSAPublicKey] = {}
    for jwk in found[:MAX_KEYS]:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
            continue
        if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", ALGORITHM) != ALGORITHM:
            continue
        try:
            key = RSAAlgorithm.from_jwk({name: jwk.get(name) for name in ("kty", "n", "e")})
        except (jwt.InvalidKeyError, ValueError, TypeError, AttributeError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= MIN_KEY_BITS:
            keys[jwk["kid"]] = key
    return keys
