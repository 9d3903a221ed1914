"""API keys: how machines come in."""

from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.identity.api_keys.repository import LISTING
from app.domain.identity.api_keys.schemas import ApiKeyCreate, ApiKeyOut, NewApiKey
from app.domain.identity.api_keys.service import ApiKeyService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


def provide_keys(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> ApiKeyService:
    """The API keys of the caller's account, in the request's unit of work."""
    return ApiKeyService(session, caller, audit, clock=container.clock, new_id=container.new_id)


class ApiKeyController(Controller):
    """`/v1/api-keys`."""

    path = "/v1/api-keys"
    tags = ["api keys"]
    dependencies = {"keys": Provide(provide_keys, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("api_keys:read")],
        operation_id="ListApiKeys",
        summary="List API keys",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, keys: NamedDependency[ApiKeyService]) -> Page[ApiKeyOut]:
        """Newest first; never a secret. Last uses are written down every few seconds.

        Filters: name, prefix, role_id, created_by, expires_at, last_used_at, created_at. Sorts: created_at, name.
        """
        return await keys.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("api_keys:create")],
        operation_id="CreateApiKey",
        summary="Make an API key",
        opt={"problems": {409: ("name_taken", "too_many_keys"), 422: ("exceeds_your_own",)}},
    )
    async def create(self, data: JSONBody[ApiKeyCreate], keys: NamedDependency[ApiKeyService]) -> Response[NewApiKey]:
        """The secret is in this answer only. A key has a role, which it follows, or permissions of its own; neither may
        allow more than the caller may.
        """
        key = await keys.create(data)
        # RFC 6749 §5.1: nothing on the way may keep an answer that holds a secret.
        headers = tag_of(key.updated_at) | {"Location": f"/v1/api-keys/{key.id}", "Cache-Control": "no-store"}
        return Response(key, status_code=201, headers=headers)

    @get("/{key_id:uuid}", guards=[requires("api_keys:read")], operation_id="GetApiKey", summary="One API key")
    async def show(self, key_id: FromPath[UUID], keys: NamedDependency[ApiKeyService]) -> Response[ApiKeyOut]:
        """Without its secret, which is not stored."""
        key = await keys.get(key_id)
        return Response(key, headers=tag_of(key.updated_at))

    @delete(
        "/{key_id:uuid}", guards=[requires("api_keys:delete")], operation_id="DeleteApiKey", summary="End an API key"
    )
    async def remove(self, key_id: FromPath[UUID], request: ApiRequest, keys: NamedDependency[ApiKeyService]) -> None:
        """It opens nothing any more, in any process."""
        await keys.delete(key_id, if_match(request))
