"""What other systems fetch to verify our tokens."""

from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from app.domain.identity.access import IdentityAccess


class WellKnownController(Controller):
    """`/.well-known`."""

    path = "/.well-known"
    tags = ["auth"]
    opt = {"public": True, "unlimited": True}

    @get("/jwks.json", operation_id="GetJwks", summary="The keys that verify access tokens")
    async def jwks(self, identity: NamedDependency[IdentityAccess]) -> Response[dict[str, list[dict[str, Any]]]]:
        """A JWK Set (RFC 7517 §5) with the signing key and those whose tokens may still be alive."""
        return Response({"keys": await identity.keys.jwks()}, headers={"Cache-Control": "public, max-age=60"})
