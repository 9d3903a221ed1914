"""Keys that change and an AWS that is away, with a server in its place that signs what a test wants."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from app.domain.identity.cognito import client as client_module
from app.domain.identity.cognito import keys as keys_module
from app.lib.tasks import end_tasks
from app.settings import CognitoSettings, Settings
from tests.conftest import Registered, serve_app
from tests.integration.cognito.stand_in import StandIn, refusal, standing_in
from tests.integration.cognito.test_cognito_api import PASSWORD, context, new_email, post, refusal_of
from tests.integration.cognito.test_pool_keys import jwk

POOL_ID = "eu-central-1_StandIn"
POOL_URL = f"https://cognito-idp.eu-central-1.amazonaws.com/{POOL_ID}"
FIRST = generate_private_key(65537, 2048)
SECOND = generate_private_key(65537, 2048)


class Aws:
    """The stand-in as a pool with one user."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.email = new_email()
        self.subject = secrets.token_hex(8)
        self.origin = secrets.token_hex(8)
        # The process knows those of other tests already.
        self.first, self.second = (f"{name}-{secrets.token_hex(4)}" for name in ("first", "second"))
        self.key, self.kid = FIRST, self.first
        server.publish(jwk(self.first, FIRST))
        server.calls.clear()
        attributes = {"sub": self.subject, "email": self.email, "email_verified": "true"}
        server.answer(
            "GetUser",
            Username=self.subject,
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
        )
        server.answer("RevokeToken")
        self.offer()

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": POOL_URL,
            "sub": self.subject,
            "client_id": "web",
            "token_use": "access",
            "origin_jti": self.origin,
            "jti": secrets.token_hex(8),
            "iat": now,
            "exp": now + 3600,
            "username": self.subject,
        } | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="RS256", headers={"kid": self.kid})

    def offer(self, **claims: Any) -> None:
        """Let the next log-in or refresh get a token with these claims."""
        tokens = {"AccessToken": self.token(**claims), "ExpiresIn": 3600, "RefreshToken": "cognitos-own"}
        self.server.answer("InitiateAuth", AuthenticationResult=tokens)

    def calls(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.server.calls)


@pytest.fixture(scope="module")
async def stand_in() -> AsyncIterator[StandIn]:
    async with standing_in() as server:
        yield server


@pytest.fixture
def aws(stand_in: StandIn) -> Aws:
    return Aws(stand_in)


@pytest.fixture(scope="module")
async def api(settings: Settings, stand_in: StandIn) -> AsyncIterator[httpx.AsyncClient]:
    cognito = CognitoSettings(
        region="eu-central-1",
        user_pool_id=POOL_ID,
        client_ids="web, mobile",
        client_secret="the secret",
        endpoint=stand_in.url,
        jwks_url=f"{stand_in.url}/keys",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys_module, "FETCH_AT_MOST_EVERY_SECONDS", 0.0)
        async with serve_app(msgspec.structs.replace(settings, cognito=cognito)) as client:
            yield client


async def log_in(api: httpx.AsyncClient, aws: Aws) -> dict[str, Any]:
    tokens: dict[str, Any] = await post(api, "login", 200, email=aws.email, password=PASSWORD)
    return tokens


async def test_keys_rotate_while_people_work(api: httpx.AsyncClient, aws: Aws) -> None:
    before = aws.token()
    assert (await context(api, before)).status_code == 200
    aws.server.publish(jwk(aws.first, FIRST), jwk(aws.second, SECOND))
    aws.key, aws.kid = SECOND, aws.second
    after = aws.token()
    assert (await context(api, after)).status_code == 200
    # Signed by the old key under the new one's name.
    aws.key = FIRST
    assert await refusal_of(api, aws.token()) == "invalid_token"
    assert (await context(api, before)).status_code == 200


async def test_an_outage_of_the_keys(api: httpx.AsyncClient, aws: Aws, registered: Registered) -> None:
    aws.server.keys = (500, b"")
    answer = await context(api, aws.token())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    # Our own tokens need no AWS.
    assert (await api.get("/v1/context", headers=registered["headers"])).status_code == 200
    aws.server.publish(jwk(aws.first, FIRST))
    assert (await context(api, aws.token())).status_code == 200
    aws.server.keys = None
    assert (await context(api, aws.token())).status_code == 200


async def test_claims_through_the_whole_api(api: httpx.AsyncClient, aws: Aws) -> None:
    now = int(time.time())
    assert (await context(api, aws.token(client_id="mobile"))).status_code == 200
    assert (await context(api, aws.token(exp=now - 5, iat=now - 3605))).status_code == 200
    assert await refusal_of(api, aws.token(exp=now - 60, iat=now - 3660)) == "token_expired"
    for wrong in (
        {"client_id": "other"},
        {"token_use": "id", "client_id": None, "aud": "web"},
        {"iss": POOL_URL + "x"},
        {"iat": now + 300},
    ):
        assert await refusal_of(api, aws.token(**wrong)) == "invalid_token", wrong
    # Nobody is asked about a token that is not genuine.
    assert aws.calls("GetUser") == 1


async def test_aws_is_away_at_log_in(api: httpx.AsyncClient, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for broken in ((500, b""), (200, b"?"), refusal("TooManyRequestsException"), None):
        if broken is None:
            monkeypatch.setattr(client_module, "CALL_SECONDS", 0.2)
        aws.server.answers["InitiateAuth"] = broken
        answer = await api.post("/v1/auth/login", json={"email": aws.email, "password": PASSWORD})
        assert answer.status_code in (429, 503)
        assert "Retry-After" in answer.headers
    monkeypatch.undo()
    aws.offer()
    await log_in(api, aws)


async def test_a_slow_aws_keeps_nobody_else_waiting(api: httpx.AsyncClient, aws: Aws, registered: Registered) -> None:
    aws.server.answers["InitiateAuth"] = None
    body = {"email": aws.email, "password": PASSWORD}
    # More than there are connections to the database.
    waiting = [asyncio.create_task(api.post("/v1/auth/login", json=body)) for _ in range(20)]
    try:
        async with asyncio.timeout(10):
            while aws.calls("InitiateAuth") < len(waiting):
                await asyncio.sleep(0.01)
        assert (await api.get("/v1/context", headers=registered["headers"])).status_code == 200
        assert not any(task.done() for task in waiting)
    finally:
        await end_tasks(*waiting)


async def test_an_outage_costs_nobody_their_log_in(api: httpx.AsyncClient, aws: Aws) -> None:
    tokens = await log_in(api, aws)
    aws.server.answers["InitiateAuth"] = (500, b"")
    await post(api, "refresh", 503, refresh_token=tokens["refresh_token"])
    aws.offer()
    refreshed = await post(api, "refresh", 200, refresh_token=tokens["refresh_token"])
    sent = aws.server.last("InitiateAuth")["AuthParameters"]
    assert sent["REFRESH_TOKEN"] == "cognitos-own"
    assert (await context(api, refreshed["access_token"])).status_code == 200


async def test_logging_out_ends_the_token_at_cognito_too(api: httpx.AsyncClient, aws: Aws) -> None:
    tokens = await log_in(api, aws)
    await post(api, "logout", 204, refresh_token=tokens["refresh_token"])
    assert aws.server.last("RevokeToken") == {
        "Token": "cognitos-own",
        "ClientId": "web",
        "ClientSecret": "the secret",
    }
    assert await refusal_of(api, tokens["access_token"]) == "session_ended"


async def test_logging_out_does_not_depend_on_cognito(api: httpx.AsyncClient, aws: Aws) -> None:
    tokens = await log_in(api, aws)
    aws.server.answers["RevokeToken"] = (500, b"")
    await post(api, "logout", 204, refresh_token=tokens["refresh_token"])
    assert await refusal_of(api, tokens["access_token"]) == "session_ended"
    # What Cognito still makes from that log-in is refused as well.
    assert await refusal_of(api, aws.token()) == "session_ended"
    aws.origin = secrets.token_hex(8)
    assert (await context(api, aws.token())).status_code == 200


async def test_a_stolen_refresh_token_is_revoked_at_cognito(api: httpx.AsyncClient, aws: Aws) -> None:
    tokens = await log_in(api, aws)
    aws.offer()
    await post(api, "refresh", 200, refresh_token=tokens["refresh_token"])
    asked = aws.calls("InitiateAuth")
    await post(api, "refresh", 401, refresh_token=tokens["refresh_token"])
    assert aws.calls("InitiateAuth") == asked
    assert aws.calls("RevokeToken") == 1


async def test_a_client_without_token_revocation_is_not_logged_in_with(api: httpx.AsyncClient, aws: Aws) -> None:
    aws.offer(origin_jti=None)
    await post(api, "login", 503, email=aws.email, password=PASSWORD)


async def test_a_token_that_is_not_of_the_configured_pool_is_not_given_out(api: httpx.AsyncClient, aws: Aws) -> None:
    for wrong in ({"iss": POOL_URL + "x"}, {"client_id": "other"}, {"token_use": "id"}):
        aws.offer(**wrong)
        await post(api, "login", 503, email=aws.email, password=PASSWORD)


async def test_a_reset_does_not_tell_who_is_known(api: httpx.AsyncClient, aws: Aws) -> None:
    said = []
    for kind in ("UserNotFoundException", "CodeMismatchException", "ExpiredCodeException", "NotAuthorizedException"):
        aws.server.answers["ConfirmForgotPassword"] = aws.server.answers["ConfirmSignUp"] = refusal(kind)
        body = {"email": aws.email, "code": "123456"}
        said.append(await post(api, "reset-password", 422, **body, password="another horse 7 battery"))
        said.append(await post(api, "verify-email", 422, **body))
    assert len({(each["code"], each["detail"], str(each["errors"])) for each in said}) == 1


async def test_codes_are_sent_again_in_silence(api: httpx.AsyncClient, aws: Aws) -> None:
    aws.server.answer("ResendConfirmationCode")
    await post(api, "resend-verification", 202, email=aws.email.upper())
    assert aws.server.last("ResendConfirmationCode")["Username"] == aws.email
    for kind in ("UserNotFoundException", "InvalidParameterException", "LimitExceededException"):
        aws.server.answers["ResendConfirmationCode"] = aws.server.answers["ForgotPassword"] = refusal(kind)
        await post(api, "resend-verification", 202, email=aws.email)
        await post(api, "forgot-password", 202, email=aws.email)


async def test_a_token_that_proves_no_address_belongs_to_nobody(api: httpx.AsyncClient, aws: Aws) -> None:
    aws.server.answers["GetUser"] = refusal("NotAuthorizedException", "Access Token does not have required scopes")
    token = aws.token()
    for _ in range(3):
        answer = await context(api, token)
        assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
    # AWS counts how often it is asked.
    assert aws.calls("GetUser") == 1
    # An answer about somebody else.
    attributes = {"sub": "somebody-else", "email": aws.email, "email_verified": "true"}
    listed = [{"Name": name, "Value": value} for name, value in attributes.items()]
    aws.server.answer("GetUser", Username="x", UserAttributes=listed)
    assert (await context(api, aws.token())).status_code == 403
