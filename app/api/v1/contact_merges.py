"""Contacts that are one person: finding them, merging them, taking that back; and erasing a person."""

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.idempotency import HANDED_OVER, answers_in
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.api.v1.jobs import provide_jobs
from app.domain.contacts.erasure.schemas import ErasureRequest
from app.domain.contacts.erasure.service import ErasureService
from app.domain.contacts.merging.duplicates import DuplicateFinder
from app.domain.contacts.merging.duplicates_job import KIND as DUPLICATES
from app.domain.contacts.merging.repository import LISTING
from app.domain.contacts.merging.schemas import ContactMergeOut, ContactMergeRequest, DuplicatesOut
from app.domain.contacts.merging.undoing import UndoService
from app.domain.contacts.merging.units import ContactMerging
from app.domain.contacts.schemas import ContactOut
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller, Origin
from app.domain.jobs.contract import JobFile
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.lib.pagination import Page


def provide_merging(
    container: NamedDependency[Container], caller: NamedDependency[Caller], origin: NamedDependency[Origin]
) -> ContactMerging:
    """Merging in the caller's account, in units of work of its own."""
    return ContactMerging(
        container.database,
        container.contact_stores,
        caller.account_id,
        clock=container.clock,
        new_id=container.new_id,
        caller=caller,
        origin=origin,
    )


def provide_merges(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> UndoService:
    """The merges of the caller's account, in the request's unit of work."""
    return UndoService(
        session,
        container.contact_stores,
        caller.account_id,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


def provide_duplicates(
    session: NamedDependency[AsyncSession], container: NamedDependency[Container], caller: NamedDependency[Caller]
) -> DuplicateFinder:
    """The finder of duplicates, in the request's unit of work."""
    store = container.contact_stores.of(session, caller.account_id)
    return DuplicateFinder(session, store, caller.account_id)


def provide_erasure(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
    jobs: NamedDependency[JobService],
) -> ErasureService:
    """Erasure in the caller's account, in the request's unit of work."""
    store = container.contact_stores.of(session, caller.account_id)
    return ErasureService(session, store, caller.account_id, audit=audit, jobs=jobs)


def _location(job: JobOut) -> dict[str, str]:
    return {"Location": f"/v1/jobs/{job.id}"}


class ContactIdentityController(Controller):
    """`/v1/contacts/{id}/merge`, `/duplicates`, `/erase`."""

    path = "/v1/contacts"
    tags = ["contacts"]
    dependencies = {
        "merging": Provide(provide_merging, sync_to_thread=False),
        "finder": Provide(provide_duplicates, sync_to_thread=False),
        "erasure": Provide(provide_erasure, sync_to_thread=False),
        "jobs": Provide(provide_jobs, sync_to_thread=False),
    }

    @post(
        "/{contact_id:uuid}/merge",
        status_code=200,
        guards=[requires("contacts:update")],
        operation_id="MergeContacts",
        summary="Make one contact of several",
        opt={
            "idempotency": HANDED_OVER,
            "if_match": True,
            "etag": True,
            "problems": {409: ("contact_full", "contact_busy")},
        },
    )
    async def merge(
        self,
        contact_id: FromPath[UUID],
        data: JSONBody[ContactMergeRequest],
        request: ApiRequest,
        merging: NamedDependency[ContactMerging],
    ) -> Response[ContactOut]:
        """The contact of the path stays, and gets what the others have and it does not; their ids go on meaning it.

        It can be undone for 30 days: see `/v1/contact-merges`.
        """
        wanted = if_match(request)

        async def store(session: AsyncSession, contact: ContactOut) -> None:
            await answers_in(request, lambda _: tag_of(contact.updated_at))(session, contact)

        contact = await merging.merge(contact_id, data.contact_ids, wanted, store)
        return Response(contact, status_code=200, headers=tag_of(contact.updated_at))

    @get(
        "/{contact_id:uuid}/duplicates",
        guards=[requires("contacts:read")],
        operation_id="FindContactDuplicates",
        summary="Who may be the same person",
    )
    async def duplicates(self, contact_id: FromPath[UUID], finder: NamedDependency[DuplicateFinder]) -> DuplicatesOut:
        """The likeliest first, with the reasons: the same or a similar number, the same mailbox, the same name."""
        return await finder.of(contact_id)

    @post(
        "/duplicates",
        status_code=202,
        guards=[requires("contacts:read")],
        operation_id="FindDuplicates",
        summary="Look for duplicates among all contacts",
        opt={"location": True, "problems": {409: ("too_many_jobs",)}},
    )
    async def find(self, jobs: NamedDependency[JobService]) -> Response[JobOut]:
        """A job, whose `result_file` is CSV: groups of contacts with the same number, mailbox or name."""
        job = await jobs.create(DUPLICATES, {}, file_names={JobFile.RESULT: "duplicates.csv"})
        return Response(job, status_code=202, headers=_location(job))

    @post(
        "/{contact_id:uuid}/erase",
        status_code=202,
        guards=[requires("contacts:delete")],
        operation_id="EraseContact",
        summary="Erase a person",
        opt={"location": True, "problems": {409: ("too_many_jobs",)}},
    )
    async def erase(
        self,
        contact_id: FromPath[UUID],
        data: JSONBody[ErasureRequest],
        erasure: NamedDependency[ErasureService],
    ) -> Response[JobOut]:
        """Everything about the person goes, from messages too, as a job whose `result` counts what was erased.

        It cannot be undone. That there were messages, when, and what became of them stays, without whom and what. An
        opt-out stays with its address, so that the person is not written to again, unless `forget_opt_outs`.
        """
        job = await erasure.ask(contact_id, data)
        return Response(job, status_code=202, headers=_location(job))


class ContactMergeController(Controller):
    """`/v1/contact-merges`."""

    path = "/v1/contact-merges"
    tags = ["contact merges"]
    dependencies = {
        "merging": Provide(provide_merging, sync_to_thread=False),
        "merges": Provide(provide_merges, sync_to_thread=False),
    }

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListContactMerges",
        summary="List merges of contacts",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, merges: NamedDependency[UndoService]) -> Page[ContactMergeOut]:
        """Newest first. Filters: contact_id (the one that stayed), state, created_at. Sorts: created_at."""
        return await merges.page(list_query(request, LISTING))

    @get(
        "/{merge_id:uuid}",
        guards=[requires("contacts:read")],
        operation_id="GetContactMerge",
        summary="One merge of contacts",
    )
    async def show(self, merge_id: FromPath[UUID], merges: NamedDependency[UndoService]) -> Response[ContactMergeOut]:
        """With the contacts as they were, as long as it can be undone."""
        merge = await merges.get(merge_id)
        return Response(merge, headers=tag_of(merge.updated_at))

    @post(
        "/{merge_id:uuid}/undo",
        status_code=200,
        guards=[requires("contacts:update")],
        operation_id="UndoContactMerge",
        summary="Undo a merge of contacts",
        opt={
            "idempotency": HANDED_OVER,
            "problems": {
                409: (
                    *("already_undone", "too_late", "merged_further", "address_taken"),
                    *("contact_busy", "merge_unfinished"),
                )
            },
        },
    )
    async def undo(
        self, merge_id: FromPath[UUID], request: ApiRequest, merging: NamedDependency[ContactMerging]
    ) -> ContactMergeOut:
        """The merged contacts come back under their own ids; what came from them and was not changed since leaves.

        409 `merged_further` when later merges build on it, `address_taken` when somebody else has an address by now.
        """
        return await merging.undo(merge_id, answers_in(request))
