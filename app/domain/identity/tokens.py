"""Access tokens (RS256 JWTs, RFC 7519) of every issuer we trust, and our own refresh tokens (opaque)."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

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
    """What a verified access token says. `expires_at` is when it is refused from, in seconds since 1970.

    A token of our own names a `user_id`; one of another issuer has a `subject`, that issuer's name for the user.
    """

    user_id: UUID | None
    session_id: UUID
    token_id: str
    expires_at: int
    subject: str | None = None


class Issuer(Protocol):
    """Whose tokens are believed, what they must say, and how they are read.

    `url` is their `iss`, `audience` their `aud` or None when they have none, `required` the claims without which they
    are refused, `max_length` the longest token in characters.
    """

    @property
    def url(self) -> str: ...  # noqa: D102

    @property
    def audience(self) -> str | None: ...  # noqa: D102

    @property
    def required(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def max_length(self) -> int: ...  # noqa: D102

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        """The key with this id; None when there is none, `Unavailable` when that cannot be told now."""
        ...

    def read(self, claims: dict[str, Any], now: float) -> AccessClaims:
        """What genuine claims mean; raises `ValueError` for a token that is not for us or not an access token."""
        ...


class OwnIssuer:
    """Ourselves: our tokens name a user and a session, and are taken to the second."""

    audience = AUDIENCE
    required = ("exp", "iat", "iss", "aud", "sub", "sid", "jti")
    max_length = MAX_TOKEN_LENGTH

    def __init__(self, keys: SigningKeys, url: str) -> None:
        self.url = url
        self._keys = keys

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        """See `SigningKeys.verifying`."""
        return await self._keys.verifying(kid)

    def read(self, claims: dict[str, Any], now: float) -> AccessClaims:
        """Raises `ValueError` unless the ids are UUIDs and the token is an access token."""
        if claims.get("token_use") != "access":
            raise ValueError("not an access token")
        return AccessClaims(UUID(claims["sub"]), UUID(claims["sid"]), claims["jti"], whole_seconds(claims["exp"]))


def whole_seconds(value: Any) -> int:
    """A time claim of ours and of Cognito's; raises `ValueError` for anything but a whole number."""
    if type(value) is not int:
        raise ValueError("not a time")
    return value


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
    """Issues our own access tokens and verifies those of every issuer we trust: ours, and `others`.

    Remembers the last 10,000 verified ones until they expire.
    """

    def __init__(
        self,
        keys: SigningKeys,
        *,
        issuer: str,
        seconds: int,
        clock: Clock,
        new_id: NewId,
        others: Iterable[Issuer] = (),
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._seconds = seconds
        self._clock = clock
        self._new_id = new_id
        self._issuers: dict[str, Issuer] = {known.url: known for known in others}
        self._issuers[issuer] = OwnIssuer(keys, issuer)
        self._max_length = max(known.max_length for known in self._issuers.values())
        self._verified: dict[bytes, AccessClaims] = {}

    async def signer(self) -> Signer:
        """Call it before a transaction begins: it may read the keys. Raises `Unavailable`."""
        return Signer(await self._keys.signing(), self._issuer, self._seconds, self._clock, self._new_id)

    async def verify(self, token: str) -> AccessClaims:
        """The claims of a genuine token that has not expired.

        Raises `Unauthenticated` (code `invalid_token` or `token_expired`), and `Unavailable` when an unknown key cannot
        be looked up.
        """
        if len(token) > self._max_length:
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
        header, claimed = _unverified(token)
        # What is not verified yet chooses among the issuers we know, and nothing else: not the algorithm, not where
        # keys come from (RFC 8725 §3.1, §3.8).
        issuer = self._issuers.get(claimed.iss)
        if issuer is None or len(token) > issuer.max_length or header.alg != ALGORITHM:
            raise _invalid()
        key = await issuer.verifying(header.kid)
        if key is None:
            raise _invalid()
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=issuer.audience,
                issuer=issuer.url,
                # Times are compared by our own clock: here by the issuer, and in `verify` on each use.
                options={
                    "require": list(issuer.required),
                    "verify_aud": issuer.audience is not None,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            return issuer.read(claims, self._clock().timestamp())
        except (jwt.InvalidTokenError, ValueError) as error:
            raise _invalid() from error


class _Header(msgspec.Struct):
    alg: str
    kid: str


class _Claimed(msgspec.Struct):
    iss: str


def _unverified(token: str) -> tuple[_Header, _Claimed]:
    """What an unverified token says about itself; raises `Unauthenticated` when it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        raise _invalid()
    try:
        return msgspec.json.decode(_part(parts[0]), type=_Header), msgspec.json.decode(_part(parts[1]), type=_Claimed)
    # Brackets within brackets without end are a recursion error, in any JSON reader.
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise _invalid() from error


def _part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def _invalid() -> Unauthenticated:
    return Unauthenticated("The access token is not valid.", code="invalid_token")


def new_refresh_token() -> str:
    """256 random bits after `rt_`; only its digest is stored."""
    return REFRESH_PREFIX + secrets.token_urlsafe(REFRESH_BYTES)


def refresh_token_hash(token: str) -> bytes:
    """The stored form. A plain SHA-256 is enough: the token is random, so there is nothing to guess from."""
    return hashlib.sha256(token.encode()).digest()
