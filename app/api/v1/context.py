"""The caller: who they are and where they belong."""

from litestar import Controller, get, patch
from litestar.di import NamedDependency
from litestar.params import JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import any_caller, signed_in
from app.domain.identity.schemas import BasicContext, Caller, Context, UserOut, UserPatch
from app.domain.identity.service import IdentityService


class ContextController(Controller):
    """`/v1/context`."""

    path = "/v1/context"
    tags = ["context"]
    opt = {"identity": True}

    @get("/", guards=[signed_in], operation_id="GetContext", summary="The user, every account, role and permission")
    async def show(self, container: NamedDependency[Container], caller: NamedDependency[Caller]) -> Context:
        """One call with everything a console needs to begin."""
        async with container.database.reading(caller.account_id, identity=True) as session:
            return await IdentityService(session, container.new_id).context(caller)

    @get("/basic", guards=[any_caller], operation_id="GetBasicContext", summary="The user, every account and role")
    async def show_basic(self, container: NamedDependency[Container], caller: NamedDependency[Caller]) -> BasicContext:
        """The same without permissions."""
        async with container.database.reading(caller.account_id, identity=True) as session:
            return await IdentityService(session, container.new_id).basic_context(caller)


class UserController(Controller):
    """`/v1/users`, of which a caller sees themselves."""

    path = "/v1/users/me"
    tags = ["users"]
    opt = {"identity": True}

    @get("/", guards=[signed_in], operation_id="GetMe", summary="The user who is asking")
    async def show(self, container: NamedDependency[Container], caller: NamedDependency[Caller]) -> UserOut:
        """The caller's own user."""
        async with container.database.reading(caller.account_id, identity=True) as session:
            return await IdentityService(session, container.new_id).me(caller.person())

    @patch("/", guards=[signed_in], operation_id="UpdateMe", summary="Change the user who is asking")
    async def update(
        self,
        data: JSONBody[UserPatch],
        session: NamedDependency[AsyncSession],
        container: NamedDependency[Container],
        caller: NamedDependency[Caller],
    ) -> UserOut:
        """Changes the fields that are sent (JSON merge patch)."""
        return await IdentityService(session, container.new_id).update_me(caller.person(), data)
