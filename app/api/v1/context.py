"""The caller: who they are and where they belong."""

from litestar import Controller, get
from litestar.di import NamedDependency

from app.api.deps import Container
from app.api.guards import any_caller, signed_in
from app.domain.identity.schemas import BasicContext, Caller, Context
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
