"""The job that imports a file: a batch of rows at a time, each with its counts and its place in one transaction."""

import asyncio
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from app.domain.contacts.attributes import AttributeService
from app.domain.contacts.fields import ATTRIBUTE_PREFIX, AttributeType
from app.domain.contacts.imports.batches import ERROR_COLUMNS, Batch, Counts, error_lines, read_batch, settle
from app.domain.contacts.imports.encoding import Form
from app.domain.contacts.imports.files import open_rows, read_headers, spool
from app.domain.contacts.imports.guesses import guess_type
from app.domain.contacts.imports.mapping import RowMapping, attribute_keys
from app.domain.contacts.imports.rows import Place, UnreadableFile
from app.domain.contacts.imports.schemas import ImportOptions
from app.domain.contacts.stores.contract import ContactStores
from app.domain.contacts.writing import ContactWriter
from app.domain.jobs.contract import JobFailed, JobFile, JobRun
from app.lib.clock import Clock
from app.lib.errors import Conflict
from app.lib.ids import NewId
from app.lib.spreadsheets import csv_bytes

KIND = "contacts.import"

_SAMPLED = 200
"""Rows that tell the type of an attribute nobody has defined."""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where the job is: what the file is, which types its attributes have, and where the next row begins."""

    form: Form
    attributes: dict[str, AttributeType]
    place: Place
    errors_begun: bool = False


class Beginning(msgspec.Struct, frozen=True):
    """What is known of a file before its rows are read. `total` is a guess for a workbook, None without one."""

    types: dict[str, AttributeType]
    place: Place
    total: int | None


class ContactImport:
    """`contacts.import`: the spec is `ImportOptions`, with the country in it."""

    kind = KIND

    def __init__(self, stores: ContactStores, *, clock: Clock, new_id: NewId) -> None:
        self._stores = stores
        self._clock = clock
        self._new_id = new_id

    async def run(self, job: JobRun) -> None:
        """Import the rows that were not yet, in their order.

        A row that was written is not written again: its batch commits along with the place of the next one. Where the
        store is a database of its own, a batch may be repeated after a crash; its rows find the contacts that they made
        by their addresses then.
        """
        options = msgspec.convert(job.spec, ImportOptions)
        known = None if job.checkpoint is None else msgspec.convert(job.checkpoint, Checkpoint)
        file: BinaryIO | None = None
        try:
            file, form = await spool(
                job.read(JobFile.INPUT),
                None if known is None else known.form,
                encoding=options.encoding,
                delimiter=options.delimiter,
            )
            checkpoint = known or await self._begin(job, options, file, form)
            await self._import(job, options, file, checkpoint)
        except UnreadableFile as error:
            raise JobFailed(error.detail) from error
        finally:
            if file is not None:
                file.close()

    async def _begin(self, job: JobRun, options: ImportOptions, file: BinaryIO, form: Form) -> Checkpoint:
        found = await asyncio.to_thread(look_at, file, form, options)
        async with job.step() as step:
            service = AttributeService(step.session, job.account_id, clock=self._clock, new_id=self._new_id)
            try:
                types = await service.define_missing(found.types)
            except Conflict as error:
                raise JobFailed(error.detail) from error
            checkpoint = Checkpoint(form, types, found.place)
            step.total = found.total
            step.result = _document(Counts())
            step.checkpoint = _document(checkpoint)
        return checkpoint

    async def _import(self, job: JobRun, options: ImportOptions, file: BinaryIO, checkpoint: Checkpoint) -> None:
        headers = await asyncio.to_thread(lambda: read_headers(open_rows(file, checkpoint.form)))
        mapping = RowMapping(
            headers,
            options.mapping,
            checkpoint.attributes,
            country=options.country,
            tags=options.tags,
            groups=options.group_ids,
        )
        rows = await asyncio.to_thread(open_rows, file, checkpoint.form, checkpoint.place)
        # The next batch is read while one is being written.
        reading = asyncio.create_task(asyncio.to_thread(read_batch, rows, mapping))
        try:
            while True:
                batch = await asyncio.shield(reading)
                if not batch.last:
                    reading = asyncio.create_task(asyncio.to_thread(read_batch, rows, mapping))
                if batch.rows or batch.empty:
                    checkpoint = await self._write(job, options, headers, batch, checkpoint)
                if batch.last:
                    return
        finally:
            # A thread cannot be interrupted, and it reads the file that is about to be closed.
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()

    async def _write(
        self, job: JobRun, options: ImportOptions, headers: list[str], batch: Batch, checkpoint: Checkpoint
    ) -> Checkpoint:
        async with job.step() as step:
            store = self._stores.of(step.session, job.account_id)
            writer = ContactWriter(store, step.session, job.account_id, clock=self._clock, new_id=self._new_id)
            drafts = batch.drafts
            written = await writer.upsert(drafts, options.on_match, options.announce) if drafts else []
            counts = msgspec.convert(step.result or {}, Counts)
            refused = settle(batch, written, counts)
            if refused:
                lines = await asyncio.to_thread(error_lines, refused)
                if not checkpoint.errors_begun:
                    lines = csv_bytes([(*ERROR_COLUMNS, *headers)]) + lines
                await step.append(JobFile.ERRORS, lines)
            checkpoint = msgspec.structs.replace(
                checkpoint, place=batch.place, errors_begun=checkpoint.errors_begun or bool(refused)
            )
            step.done = len(batch.rows) - len(refused)
            step.failed = len(refused)
            if batch.last:
                step.total = job.done + job.failed + len(batch.rows)
            step.result = _document(counts)
            step.checkpoint = _document(checkpoint)
        return checkpoint


def look_at(file: BinaryIO, form: Form, options: ImportOptions) -> Beginning:
    """What the first rows say, and how many there are. Raises `UnreadableFile`, for a mapping that does not fit too."""
    rows = open_rows(file, form)
    headers = read_headers(rows)
    place = rows.place
    wanted = attribute_keys(options.mapping)
    types = given_types(options.create_attributes)
    RowMapping(headers, options.mapping, dict.fromkeys(wanted.values(), AttributeType.TEXT) | types)
    indexes = {header: index for index, header in enumerate(headers)}
    samples: dict[str, list[str]] = {header: [] for header, key in wanted.items() if key not in types}
    count = 0
    for row in rows:
        count += 1
        if count <= _SAMPLED and row.reason is None:
            for header, cells in samples.items():
                cells.extend(row.cells[indexes[header] : indexes[header] + 1])
        if count >= _SAMPLED and form.kind == "xlsx":
            # To count them would take as long as to import them.
            return Beginning(_types(wanted, types, samples), place, None)
    return Beginning(_types(wanted, types, samples), place, count)


def given_types(create_attributes: Mapping[str, AttributeType]) -> dict[str, AttributeType]:
    """`{"attributes.city": "text"}` → `{"city": "text"}`."""
    return {target.removeprefix(ATTRIBUTE_PREFIX): kind for target, kind in create_attributes.items()}


def _types(
    wanted: Mapping[str, str], given: Mapping[str, AttributeType], samples: Mapping[str, list[str]]
) -> dict[str, AttributeType]:
    return {key: given.get(key) or guess_type(samples.get(header, ())) for header, key in wanted.items()}


def _document(value: msgspec.Struct) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(value)
    return document
