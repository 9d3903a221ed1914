"""Contacts by the file and by the thousand: import, export, bulk actions."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO, cast
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.idempotency import STREAMED, answers_in
from app.api.requests import ApiRequest, query_pairs
from app.api.uploads import OVERHEAD_BYTES, Texts, read_text, receive_form
from app.api.v1.jobs import file_headers, provide_jobs
from app.domain.contacts.bulk import service as bulk
from app.domain.contacts.bulk.handler import KIND as BULK
from app.domain.contacts.bulk.schemas import BulkAction
from app.domain.contacts.bulk.service import BulkService
from app.domain.contacts.exports.export import export_contacts
from app.domain.contacts.exports.selection import PARAMETERS, ExportSelection
from app.domain.contacts.fields import CONTACT_FIELDS
from app.domain.contacts.imports import service as imports
from app.domain.contacts.imports.files import spool
from app.domain.contacts.imports.handler import KIND as IMPORT
from app.domain.contacts.imports.preview import preview
from app.domain.contacts.imports.rows import UnreadableFile
from app.domain.contacts.imports.schemas import ImportOptions, ImportPreviewOptions, ImportPreviewOut
from app.domain.contacts.imports.service import ImportService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.permissions import lacking
from app.domain.identity.schemas import Caller, Origin
from app.domain.jobs.contract import JobFile
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import JobService
from app.domain.jobs.upload import receive_input
from app.lib.errors import AppError, InvalidValue, TooLarge

MOST_BYTES = 200 * 1024 * 1024
"""Of a file to import."""

MOST_PREVIEWED = 20 * 1024 * 1024
"""Of a file to look at. The beginning of a CSV file is enough, and of a larger one it is all that can be sent."""

_MOST_OPTIONS = 512 * 1024
_PIECE = 256 * 1024

_FORM_PROBLEMS = {
    400: ("malformed_form", "malformed_json"),
    413: ("body_too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_value",),
}


def provide_bulk(
    session: NamedDependency[AsyncSession], container: NamedDependency[Container], caller: NamedDependency[Caller]
) -> BulkService:
    """Actions on many contacts of the caller's account, in the request's unit of work."""
    store = container.contact_stores.of(session, caller.account_id)
    return BulkService(session, store, caller.account_id, clock=container.clock, new_id=container.new_id)


def _location(job_id: UUID) -> dict[str, str]:
    return {"Location": f"/v1/jobs/{job_id}"}


class ContactJobController(Controller):
    """`/v1/contacts/import`, `/v1/contacts/export`, `/v1/contacts/bulk`."""

    path = "/v1/contacts"
    tags = ["contacts"]

    @post(
        "/import",
        status_code=202,
        guards=[requires("contacts:create")],
        operation_id="ImportContacts",
        summary="Import contacts from a file",
        request_max_body_size=MOST_BYTES + OVERHEAD_BYTES,
        opt={
            "form": ImportOptions,
            "idempotency": STREAMED,
            "location": True,
            "problems": {**_FORM_PROBLEMS, 409: ("too_many_jobs", "not_receiving")},
        },
    )
    async def import_file(
        self,
        request: ApiRequest,
        caller: NamedDependency[Caller],
        origin: NamedDependency[Origin],
        container: NamedDependency[Container],
    ) -> Response[JobOut]:
        """CSV or an Excel workbook (.xlsx), as a job: rows are matched with contacts by their addresses.

        The encoding and the delimiter of CSV are found out unless `options` say them. A row that cannot be read, or
        has a wrong value, is left out; the job's `error_file` has it, with the reason. `result` counts what became of
        the rows.
        """
        arrival = _Arrival(request, caller, origin, container)
        try:
            texts, _ = await receive_form(request, file="file", texts={"options": _MOST_OPTIONS}, take=arrival.take)
            job = await arrival.start(read_text(texts, "options", ImportOptions))
        except BaseException:
            await arrival.undo()
            raise
        return Response(job, status_code=202, headers=_location(job.id))

    @post(
        "/import/preview",
        status_code=200,
        guards=[requires("contacts:create")],
        operation_id="PreviewContactImport",
        summary="How a file would be imported",
        request_max_body_size=MOST_PREVIEWED + OVERHEAD_BYTES,
        opt={
            "form": ImportPreviewOptions,
            "idempotency": STREAMED,
            "problems": {**_FORM_PROBLEMS, 422: ("invalid_value", "unreadable_file")},
        },
    )
    async def preview(
        self, request: ApiRequest, caller: NamedDependency[Caller], container: NamedDependency[Container]
    ) -> ImportPreviewOut:
        """The columns with a guess at what each is, and the first rows as they would be read.

        Nothing is written. The beginning of a CSV file is enough. 422 `unreadable_file` for what is no such file.
        """
        with cast(BinaryIO, await asyncio.to_thread(tempfile.TemporaryFile, prefix="turumba-preview-")) as held:

            async def take(_: str, __: Texts, pieces: AsyncIterator[bytes]) -> None:
                await _hold(held, pieces)

            texts, _ = await receive_form(request, file="file", texts={"options": _MOST_OPTIONS}, take=take)
            options = read_text(texts, "options", ImportPreviewOptions)
            async with container.database.unit_of_work(caller.account_id) as session:
                service = ImportService(session, caller.account_id, clock=container.clock, new_id=container.new_id)
                options = await service.checked_preview(options)
                definitions = await service.definitions()
            try:
                file, form = await spool(_held(held), None, encoding=options.encoding, delimiter=options.delimiter)
                with file:
                    return await asyncio.to_thread(preview, file, form, options, definitions)
            except UnreadableFile as error:
                raise InvalidValue(error.detail, code="unreadable_file") from error

    @get(
        "/export",
        guards=[requires("contacts:read")],
        operation_id="ExportContacts",
        summary="Contacts as a CSV file",
        opt={
            "download": ("text/csv",),
            "parameters": PARAMETERS,
            "filters": CONTACT_FIELDS,
            "problems": {
                400: ("bad_parameter", "unknown_filter", "bad_filter_value", "too_many_filters"),
                409: ("segment_broken",),
                422: ("invalid_value",),
            },
        },
    )
    async def export(
        self,
        request: ApiRequest,
        session: NamedDependency[AsyncSession],
        caller: NamedDependency[Caller],
        audit: NamedDependency[AuditTrail],
        container: NamedDependency[Container],
    ) -> Response[None]:
        """Those that match the filters of the list, oldest first; all of them without any.

        The columns are named like the targets of an import, so that the file can be imported again. What a spreadsheet
        would take for a formula has an apostrophe in front, which an import takes away; telephone numbers are as they
        are.
        """
        store = container.contact_stores.of(session, caller.account_id)
        selection = ExportSelection(
            session, store, caller.account_id, audit=audit, clock=container.clock, new_id=container.new_id
        )
        selected = await selection.read(query_pairs(request))
        lines = export_contacts(
            container.database, container.contact_stores, caller.account_id, selected.where, selected.attributes
        )
        # Read before the answer begins, so that a database that is down is still an error.
        first = [await anext(lines), await anext(lines, b"")]
        headers = file_headers("contacts.csv") | {"Cache-Control": "no-store"}
        download = Stream(_after(first, lines), media_type="text/csv", headers=headers)
        # For the document: what the file holds has no schema.
        return cast("Response[None]", download)

    @post(
        "/bulk",
        status_code=202,
        # What deletes needs more, and is asked for it below.
        guards=[requires("contacts:update")],
        operation_id="ChangeContacts",
        summary="Change many contacts",
        dependencies={
            "bulk_actions": Provide(provide_bulk, sync_to_thread=False),
            "jobs": Provide(provide_jobs, sync_to_thread=False),
        },
        opt={"location": True, "problems": {409: ("too_many_jobs", "too_many_attributes")}},
    )
    async def change(
        self,
        data: JSONBody[BulkAction],
        caller: NamedDependency[Caller],
        bulk_actions: NamedDependency[BulkService],
        jobs: NamedDependency[JobService],
    ) -> Response[JobOut]:
        """One action on all contacts that match a filter, or on those with these ids, as a job.

        Contacts that are made after this are not met. `delete` needs the permission `contacts:delete` as well.
        """
        if data.action == "delete" and not caller.may("contacts:delete"):
            raise lacking("contacts:delete", caller.suspended)
        spec = await bulk_actions.checked(data)
        job = await jobs.create(BULK, bulk.document(spec))
        return Response(job, status_code=202, headers=_location(job.id))


class _Arrival:
    """A file on its way in, as the input of a job that waits for it."""

    def __init__(self, request: ApiRequest, caller: Caller, origin: Origin, container: Container) -> None:
        self._request = request
        self._caller = caller
        self._origin = origin
        self._container = container
        self._job_id: UUID | None = None

    async def take(self, name: str, texts: Texts, pieces: AsyncIterator[bytes]) -> None:
        """Make the job, and store its input as it comes; options that came before it are looked at first."""
        account_id = self._caller.account_id
        stem = name.rpartition(".")[0] or name or "contacts"
        async with self._container.database.unit_of_work(account_id) as session:
            if "options" in texts:
                await self._imports(session).checked(read_text(texts, "options", ImportOptions))
            jobs = self._jobs(session)
            job = await jobs.create(IMPORT, {}, receiving=True, file_names={JobFile.ERRORS: f"{stem}-errors.csv"})
        self._job_id = job.id
        await receive_input(self._container.database, self._jobs, account_id, job.id, pieces, MOST_BYTES)

    async def start(self, options: ImportOptions) -> JobOut:
        """Hand the job over to the workers."""
        assert self._job_id is not None, "the file comes first"
        account_id, container = self._caller.account_id, self._container
        store_answer = answers_in(self._request, lambda _: _location(cast(UUID, self._job_id)))
        async with container.database.unit_of_work(account_id) as session:
            checked = await self._imports(session).checked(options)
            job = await self._jobs(session).start(self._job_id, spec=imports.document(checked))
            await store_answer(session, job)
        return job

    async def undo(self) -> None:
        """Call the job off: what was received of it is of no use."""
        if self._job_id is None:
            return
        # What it cannot call off now, retention does.
        with suppress(AppError):
            async with self._container.database.unit_of_work(self._caller.account_id) as session:
                await self._jobs(session).cancel(self._job_id)

    def _imports(self, session: AsyncSession) -> ImportService:
        container = self._container
        return ImportService(session, self._caller.account_id, clock=container.clock, new_id=container.new_id)

    def _jobs(self, session: AsyncSession) -> JobService:
        audit = AuditTrail(session, self._caller, self._origin, self._container.new_id)
        return JobService(
            session,
            self._caller.account_id,
            audit=audit,
            clock=self._container.clock,
            new_id=self._container.new_id,
            caller=self._caller,
        )


async def _hold(file: BinaryIO, pieces: AsyncIterator[bytes]) -> None:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > MOST_PREVIEWED:
            raise TooLarge(f"The file has more than {MOST_PREVIEWED} bytes: send the beginning of it.")
        await asyncio.to_thread(file.write, piece)


async def _held(file: BinaryIO) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


async def _after(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for lines in first:
        yield lines
    async for lines in rest:
        yield lines


__all__ = ["ContactJobController"]
