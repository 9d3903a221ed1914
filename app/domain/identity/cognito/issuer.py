"""A Cognito user pool as an issuer of access tokens."""

import uuid
from collections.abc import Collection
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.domain.identity.cognito.keys import CognitoKeys
from app.domain.identity.tokens import AccessClaims, whole_seconds

LEEWAY_SECONDS = 30
"""How far AWS's clock and ours may be apart."""

MAX_TOKEN_LENGTH = 16_384
"""Characters. A token names every group of its user, of which there may be a hundred."""

MAX_NAME_LENGTH = 256


class CognitoIssuer:
    """The pool at `url`, for the app clients `client_ids` only: another client's tokens are not meant for us.

    Access tokens are accepted and id tokens are not: an id token tells a client who has logged in, it is not a key to
    an API (RFC 9068 §1), and Cognito does not revoke it.
    """

    # Cognito's access tokens have no audience; `client_id` says who they were made for.
    audience = None
    required = ("exp", "iat", "iss", "sub", "jti", "client_id", "token_use")
    max_length = MAX_TOKEN_LENGTH

    def __init__(self, keys: CognitoKeys, url: str, client_ids: Collection[str]) -> None:
        self.url = url
        self._keys = keys
        self._client_ids = frozenset(client_ids)
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, url)

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        """See `CognitoKeys.verifying`."""
        return await self._keys.verifying(kid)

    def session_id(self, origin: str) -> UUID:
        """Our id for what began with the log-in `origin` (`origin_jti`): the same for all tokens refreshed from it."""
        return uuid.uuid5(self._namespace, origin)

    def read(self, claims: dict[str, Any], now: float) -> AccessClaims:
        """Raises `ValueError` for an id token, another client's token, or one that is not valid yet."""
        if claims["token_use"] != "access":  # noqa: S105 - a kind of token
            raise ValueError("not an access token")
        # A list or an object in this place is not hashable, and not an id.
        if not isinstance(claims["client_id"], str) or claims["client_id"] not in self._client_ids:
            raise ValueError("made for another client")
        if max(whole_seconds(claims["iat"]), whole_seconds(claims.get("nbf", 0))) > now + LEEWAY_SECONDS:
            raise ValueError("not valid yet")
        token_id = _name(claims["jti"])
        # Without token revocation in the app client there is no origin, and each token is a session by itself.
        origin = _name(claims.get("origin_jti", token_id))
        return AccessClaims(
            user_id=None,
            session_id=self.session_id(origin),
            token_id=token_id,
            expires_at=whole_seconds(claims["exp"]) + LEEWAY_SECONDS,
            subject=_name(claims["sub"]),
        )


def _name(value: Any) -> str:
    # What is longer, or holds what PostgreSQL does not store, was not made by Cognito.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH or not value.isprintable():
        raise ValueError("not a name")
    return value
