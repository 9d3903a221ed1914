"""The long-lived part of logging in through Cognito in one process."""

import httpx

from app.domain.identity.cognito.client import CognitoClient
from app.domain.identity.cognito.issuer import CognitoIssuer
from app.domain.identity.cognito.keys import CognitoKeys
from app.domain.identity.cognito.users import CognitoUsers
from app.lib.clock import Clock
from app.lib.db import Database
from app.lib.ids import NewId
from app.settings import CognitoSettings

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0
MAX_CONNECTIONS = 50


class CognitoPool:
    """One user pool: its keys, its app client, and which of our users its users are. `close()` it with the process."""

    def __init__(
        self,
        settings: CognitoSettings,
        database: Database,
        *,
        session_seconds: int,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        service = f"https://cognito-idp.{settings.region}.amazonaws.com"
        endpoint = settings.endpoint.rstrip("/") or service
        # The issuer is what tokens say, wherever the pool is reached.
        url = f"{service}/{settings.user_pool_id}"
        client_ids = [each.strip() for each in settings.client_ids.split(",")]
        self._http = _http_client(MAX_CONNECTIONS)
        # Of its own: log-ins that wait for AWS must not keep keys from being fetched.
        self._keys_http = _http_client(1)
        self._keys = CognitoKeys(
            self._keys_http, settings.jwks_url or f"{endpoint}/{settings.user_pool_id}/.well-known/jwks.json"
        )
        self.issuer = CognitoIssuer(self._keys, url, client_ids)
        self.client = CognitoClient(self._http, endpoint + "/", client_ids[0], settings.client_secret)
        self.users = CognitoUsers(database, self.client, session_seconds=session_seconds, clock=clock, new_id=new_id)

    async def close(self) -> None:
        """Close the connections to AWS."""
        await self._keys.close()
        await self._keys_http.aclose()
        await self._http.aclose()


def _http_client(connections: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=connections),
        # What is not compressed is as long as it says.
        headers={"Accept-Encoding": "identity"},
    )


def open_pool(
    settings: CognitoSettings, database: Database, *, session_seconds: int, clock: Clock, new_id: NewId
) -> CognitoPool | None:
    """The configured user pool, or None when people log in with passwords of this installation."""
    if not settings.user_pool_id:
        return None
    return CognitoPool(settings, database, session_seconds=session_seconds, clock=clock, new_id=new_id)
