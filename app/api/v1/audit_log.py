"""Who did what."""

from litestar import Controller, get
from litestar.di import NamedDependency

from app.api.deps import Container
from app.api.guards import requires
from app.api.requests import ApiRequest, list_query
from app.domain.identity.audit.repository import LISTING
from app.domain.identity.audit.schemas import AuditEntryOut
from app.domain.identity.audit.service import audit_page
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


class AuditLogController(Controller):
    """`/v1/audit-log`."""

    path = "/v1/audit-log"
    tags = ["audit log"]

    @get(
        "/",
        guards=[requires("audit_log:read")],
        operation_id="ListAuditLog",
        summary="Who did what, and from where",
        opt={"listing": LISTING},
    )
    async def index(
        self, request: ApiRequest, container: NamedDependency[Container], caller: NamedDependency[Caller]
    ) -> Page[AuditEntryOut]:
        """Newest first; entries are written with the change itself, and nothing can change them.

        Filters: actor_type, actor_id, action, resource_type, resource_id, request_id, created_at.
        """
        query = list_query(request, LISTING)
        async with container.database.reading(caller.account_id) as session:
            return await audit_page(session, caller.account_id, query)
