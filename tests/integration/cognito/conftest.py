"""An emulated Cognito (moto) in a process of its own, and the API in front of it."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import msgspec
import pytest

from app.settings import CognitoSettings, Settings
from tests.conftest import serve_app
from tests.integration.cognito.stand_in import StandIn, standing_in

REGION = "eu-central-1"
START_SECONDS = 60.0


class Pool(msgspec.Struct, frozen=True):
    """A user pool of the emulator with one app client, and the calls of its administrator."""

    endpoint: str
    id: str
    client_id: str
    client_secret: str
    admin: Any

    @property
    def settings(self) -> CognitoSettings:
        return CognitoSettings(
            region=REGION,
            user_pool_id=self.id,
            client_ids=self.client_id,
            client_secret=self.client_secret,
            endpoint=self.endpoint,
        )

    def verify(self, email: str) -> None:
        """What a code by e-mail does at Cognito, and not in the emulator."""
        self.admin.admin_update_user_attributes(
            UserPoolId=self.id, Username=email, UserAttributes=[{"Name": "email_verified", "Value": "true"}]
        )

    def add(self, email: str, password: str, **attributes: str) -> None:
        """A user who did not come through us."""
        given = {"email": email, **attributes}
        self.admin.admin_create_user(
            UserPoolId=self.id,
            Username=email,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": name, "Value": value} for name, value in given.items()],
        )
        self.admin.admin_set_user_password(UserPoolId=self.id, Username=email, Password=password, Permanent=True)

    def tokens(self, email: str, password: str) -> dict[str, Any]:
        """A log-in past us, as another application with the same client does it."""
        answer = self.admin.initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
        tokens: dict[str, Any] = answer["AuthenticationResult"]
        return tokens


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The emulator; it checks the codes of authenticators."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_COGNITO_IDP_USER_POOL_ENABLE_TOTP": "true"},
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "moto has ended"
                assert time.monotonic() < deadline, "moto does not listen"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def make_pool(moto_url: str) -> Callable[..., Pool]:
    admin = boto3.client(
        "cognito-idp",
        endpoint_url=moto_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    def make(*, secret: bool) -> Pool:
        policy = {"MinimumLength": 10, "RequireUppercase": False, "RequireSymbols": False, "RequireNumbers": False}
        pool = admin.create_user_pool(
            PoolName=f"pool-{secrets.token_hex(4)}",
            Policies={"PasswordPolicy": policy},
            AutoVerifiedAttributes=["email"],
        )["UserPool"]
        client = admin.create_user_pool_client(
            UserPoolId=pool["Id"],
            ClientName="api",
            GenerateSecret=secret,
            ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        )["UserPoolClient"]
        return Pool(moto_url, pool["Id"], client["ClientId"], client.get("ClientSecret", ""), admin)

    return make


@pytest.fixture(scope="module", params=[False, True], ids=["public-client", "client-secret"])
def pool(request: pytest.FixtureRequest, make_pool: Callable[..., Pool]) -> Pool:
    return make_pool(secret=request.param)


@pytest.fixture(scope="module")
async def api(settings: Settings, pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """The API, where people log in through the pool."""
    async with serve_app(msgspec.structs.replace(settings, cognito=pool.settings)) as client:
        yield client


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with standing_in() as server:
        yield server
