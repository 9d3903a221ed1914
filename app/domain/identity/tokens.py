"""Access tokens (RS256 JWTs, RFC 7519) and refresh tokens (opaque)."""

import hashlib
import secrets
from typing import Any
from uuid import UUID

import jwt
import msgspec

from app.domain.identity.keys import ALGORITHM, SigningKey, SigningKeys
from app.lib.clock import Clock
from app.lib.errors import Unauthenticated
from app.lib.ids import NewId

AUDIENCE = "turumba"
MAX_REMEMBERED = 10_000
MAX_TOKEN_LENGTH = 4096
REFRESH_PREFIX = "rt_"
REFRESH_BYTES = 32


class AccessClaims(msgspec.Struct, frozen=True):
    """What a verified access token says. `expires_at` is in seconds since 1970."""

    user_id: UUID
    session_id: UUID
    token_id: str
    expires_at: int


class Signer(msgspec.Struct, frozen=True):
    """Makes access tokens without waiting for anything; `seconds` is their life. Use it soon: keys are rotated."""

    key: SigningKey
    issuer: str
    seconds: int
    clock: Clock
    new_id: NewId

    def access_token(self, user_id: UUID, session_id: UUID) -> str:
        """A signed token that says who the user is; what they may do is looked up when it is used."""
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": str(user_id),
            "sid": str(session_id),
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.seconds,
            "jti": str(self.new_id()),
            "token_use": "access",
        }
        return jwt.encode(claims, self.key.private, algorithm=ALGORITHM, headers={"kid": self.key.kid})


class AccessTokens:
    """Issues and verifies access tokens; remembers the last 10,000 verified ones until they expire."""

    def __init__(self, keys: SigningKeys, *, issuer: str, seconds: int, clock: Clock, new_id: NewId) -> None:
        self._keys = keys
        self._issuer = issuer
        self._seconds = seconds
        self._clock = clock
        self._new_id = new_id
        self._verified: dict[bytes, AccessClaims] = {}

    async def signer(self) -> Signer:
        """Call it before a transaction begins: it may read the keys. Raises `Unavailable`."""
        return Signer(await self._keys.signing(), self._issuer, self._seconds, self._clock, self._new_id)

    async def verify(self, token: str) -> AccessClaims:
        """The claims of a genuine token that has not expired.

        Raises `Unauthenticated` (code `invalid_token` or `token_expired`), and `Unavailable` when an unknown key cannot
        be looked up.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid()
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        fresh = claims is None
        if claims is None:
            claims = await self._check(token)
        if claims.expires_at <= self._clock().timestamp():
            self._verified.pop(digest, None)
            raise Unauthenticated("The access token has expired.", code="token_expired")
        if fresh:
            if len(self._verified) >= MAX_REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = claims
        return claims

    async def _check(self, token: str) -> AccessClaims:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _invalid() from error
        kid = header.get("kid")
        # The token must not choose how it is verified (RFC 8725 §3.1).
        if header.get("alg") != ALGORITHM or not isinstance(kid, str):
            raise _invalid()
        key = await self._keys.verifying(kid)
        if key is None:
            raise _invalid()
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                # Times are compared by our own clock, in `verify`.
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub", "sid", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            user_id, session_id = UUID(claims["sub"]), UUID(claims["sid"])
        except (jwt.InvalidTokenError, ValueError) as error:
            raise _invalid() from error
        expires_at = claims["exp"]
        if claims.get("token_use") != "access" or type(expires_at) is not int:
            raise _invalid()
        return AccessClaims(user_id, session_id, claims["jti"], expires_at)


def _invalid() -> Unauthenticated:
    return Unauthenticated("The access token is not valid.", code="invalid_token")


def new_refresh_token() -> str:
    """256 random bits after `rt_`; only its digest is stored."""
    return REFRESH_PREFIX + secrets.token_urlsafe(REFRESH_BYTES)


def refresh_token_hash(token: str) -> bytes:
    """The stored form. A plain SHA-256 is enough: the token is random, so there is nothing to guess from."""
    return hashlib.sha256(token.encode()).digest()
