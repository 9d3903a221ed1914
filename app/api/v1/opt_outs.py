"""Opt-outs, the consent ledger, and the words by which contacts change it themselves."""

from collections.abc import AsyncIterator
from typing import cast
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query, refuse_null
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.domain.opt_outs.export import export_csv
from app.domain.opt_outs.keyword_service import KeywordService
from app.domain.opt_outs.repository import KEYWORD_LISTING, LEDGER_LISTING, LISTING
from app.domain.opt_outs.schemas import (
    ConsentEventOut,
    KeywordSetCreate,
    KeywordSetOut,
    KeywordSetPatch,
    OptOutCreate,
    OptOutOut,
)
from app.domain.opt_outs.service import OptOutService
from app.lib.pagination import Page


def provide_opt_outs(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> OptOutService:
    """The opt-outs of the caller's account, in the request's unit of work."""
    return OptOutService(session, caller, audit, new_id=container.new_id, listener=container.people)


def provide_keywords(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> KeywordService:
    """The sets of keywords of the caller's account, in the request's unit of work."""
    return KeywordService(session, caller.account_id, audit, clock=container.clock, new_id=container.new_id)


class OptOutController(Controller):
    """`/v1/opt-outs`."""

    path = "/v1/opt-outs"
    tags = ["opt-outs"]
    dependencies = {"opt_outs": Provide(provide_opt_outs, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListOptOuts",
        summary="Who does not want messages",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, opt_outs: NamedDependency[OptOutService]) -> Page[OptOutOut]:
        """Those in force, newest first; the ledger has those that ended too.

        Filters: channel_class, address, topic, source, message_id, channel_id, created_at.
        """
        return await opt_outs.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("contacts:update")],
        operation_id="CreateOptOut",
        summary="Opt somebody out",
        opt={"problems": {409: ("already_opted_out",)}},
    )
    async def create(
        self, data: JSONBody[OptOutCreate], opt_outs: NamedDependency[OptOutService]
    ) -> Response[OptOutOut]:
        """For people who said so in another way than by a keyword. What is queued for them is not sent any more."""
        made = await opt_outs.create(data)
        return Response(
            made, status_code=201, headers=tag_of(made.updated_at) | {"Location": f"/v1/opt-outs/{made.id}"}
        )

    @get(
        "/export",
        guards=[requires("contacts:read")],
        operation_id="ExportOptOuts",
        summary="All opt-outs as a CSV file",
        opt={"download": ("text/csv",)},
    )
    async def export(self, caller: NamedDependency[Caller], container: NamedDependency[Container]) -> Response[None]:
        """Those in force, newest first, with the names of the columns in the first line.

        What a spreadsheet would take for a formula has an apostrophe in front; telephone numbers are as they are.
        """
        lines = export_csv(container.database, caller.account_id)
        # Read before the answer begins, so that a database that is down is still an error.
        first = await anext(lines)
        headers = {"Content-Disposition": 'attachment; filename="opt-outs.csv"', "Cache-Control": "no-store"}
        export = Stream(_after(first, lines), media_type="text/csv", headers=headers)
        # For the document: what the file holds has no schema.
        return cast("Response[None]", export)

    @get(
        "/{opt_out_id:uuid}",
        guards=[requires("contacts:read")],
        operation_id="GetOptOut",
        summary="One opt-out with its proof",
    )
    async def show(self, opt_out_id: FromPath[UUID], opt_outs: NamedDependency[OptOutService]) -> Response[OptOutOut]:
        """404 once the person has opted in again."""
        found = await opt_outs.get(opt_out_id)
        return Response(found, headers=tag_of(found.updated_at))

    @delete(
        "/{opt_out_id:uuid}",
        guards=[requires("contacts:update")],
        operation_id="DeleteOptOut",
        summary="Opt somebody in again",
    )
    async def remove(
        self, opt_out_id: FromPath[UUID], request: ApiRequest, opt_outs: NamedDependency[OptOutService]
    ) -> None:
        """Only when they asked for it: the ledger keeps who did this, and when."""
        await opt_outs.delete(opt_out_id, if_match(request))


class ConsentEventController(Controller):
    """`/v1/consent-events`."""

    path = "/v1/consent-events"
    tags = ["opt-outs"]
    dependencies = {"opt_outs": Provide(provide_opt_outs, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListConsentEvents",
        summary="The consent ledger",
        opt={"listing": LEDGER_LISTING},
    )
    async def index(self, request: ApiRequest, opt_outs: NamedDependency[OptOutService]) -> Page[ConsentEventOut]:
        """Every opt-out that began or ended, with its proof, newest first. Nothing in it is ever changed.

        Filters: change, opt_out_id, channel_class, address, topic, source, message_id, channel_id, created_at.
        """
        return await opt_outs.ledger(list_query(request, LEDGER_LISTING))


class KeywordController(Controller):
    """`/v1/opt-out-keywords`."""

    path = "/v1/opt-out-keywords"
    tags = ["opt-outs"]
    dependencies = {"keywords": Provide(provide_keywords, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListOptOutKeywords",
        summary="The account's own keywords",
        opt={"listing": KEYWORD_LISTING},
    )
    async def index(self, request: ApiRequest, keywords: NamedDependency[KeywordService]) -> Page[KeywordSetOut]:
        """Newest first. They come before the built-in ones.

        Filters: action, channel_class, channel_id, language, topic, created_at.
        """
        return await keywords.page(list_query(request, KEYWORD_LISTING))

    @post(
        "/",
        guards=[requires("contacts:update")],
        operation_id="CreateOptOutKeywords",
        summary="Add a set of keywords",
        opt={"problems": {409: ("word_taken", "too_many_keyword_sets")}},
    )
    async def create(
        self, data: JSONBody[KeywordSetCreate], keywords: NamedDependency[KeywordService]
    ) -> Response[KeywordSetOut]:
        """The built-in words for STOP keep their meaning whatever is added; a set may give them an answer."""
        made = await keywords.create(data)
        return Response(
            made, status_code=201, headers=tag_of(made.updated_at) | {"Location": f"/v1/opt-out-keywords/{made.id}"}
        )

    @get(
        "/{keyword_id:uuid}",
        guards=[requires("contacts:read")],
        operation_id="GetOptOutKeywords",
        summary="One set of keywords",
    )
    async def show(
        self, keyword_id: FromPath[UUID], keywords: NamedDependency[KeywordService]
    ) -> Response[KeywordSetOut]:
        """With its words as they are compared."""
        found = await keywords.get(keyword_id)
        return Response(found, headers=tag_of(found.updated_at))

    @patch(
        "/{keyword_id:uuid}",
        guards=[requires("contacts:update")],
        operation_id="UpdateOptOutKeywords",
        summary="Change a set of keywords",
        opt={"clearable": ("language", "reply"), "problems": {409: ("word_taken",)}},
    )
    async def update(
        self,
        keyword_id: FromPath[UUID],
        data: JSONBody[KeywordSetPatch],
        request: ApiRequest,
        keywords: NamedDependency[KeywordService],
    ) -> Response[KeywordSetOut]:
        """JSON merge patch; `words` are replaced whole."""
        for field in ("words", "topic", "replaces_built_in"):
            if getattr(data, field) is None:
                raise refuse_null(f"/{field}")
        changed = await keywords.patch(keyword_id, data, if_match(request))
        return Response(changed, headers=tag_of(changed.updated_at))

    @delete(
        "/{keyword_id:uuid}",
        guards=[requires("contacts:update")],
        operation_id="DeleteOptOutKeywords",
        summary="Remove a set of keywords",
    )
    async def remove(
        self, keyword_id: FromPath[UUID], request: ApiRequest, keywords: NamedDependency[KeywordService]
    ) -> None:
        """Its words mean what is built in again."""
        await keywords.delete(keyword_id, if_match(request))


async def _after(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in lines:
        yield piece
