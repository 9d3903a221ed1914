"""The application's own description of itself, and a client that holds every answer against it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar

from app.api.openapi import Operation, build_document, operations
from app.main import create_app
from app.settings import CognitoSettings, LimitSettings, Settings
from tests.conftest import serve_app
from tests.contract.described import Described


@pytest.fixture(scope="session")
def app_without_cognito(settings: Settings) -> Litestar:
    """Never served: asked what routes it has."""
    return create_app(settings)


@pytest.fixture(scope="session")
def app_with_cognito(settings: Settings) -> Litestar:
    """The same where people log in through Amazon Cognito, which replaces some routes."""
    pool = CognitoSettings(region="eu-west-1", user_pool_id="eu-west-1_Pool", client_ids="client")
    return create_app(msgspec.structs.replace(settings, cognito=pool))


@pytest.fixture(scope="session")
def document(app_without_cognito: Litestar, settings: Settings) -> dict[str, Any]:
    return build_document(app_without_cognito, settings.public_url)


@pytest.fixture(scope="session")
def found(app_without_cognito: Litestar) -> list[Operation]:
    return list(operations(app_without_cognito))


@pytest.fixture(scope="session")
async def described(settings: Settings, document: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole API, for which an answer that the document does not describe is an error."""
    unlimited = msgspec.structs.replace(settings, limits=LimitSettings(0, 0, 0))
    async with serve_app(unlimited) as client:
        client.event_hooks["response"].append(Described(document).check)
        yield client
