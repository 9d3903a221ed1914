"""An account whose contacts are imported, exported and changed by the thousand, and the worker that does it."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.stores.postgres import PostgresContactStores
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.domain.jobs.contract import JobHandler
from app.domain.jobs.runner import JobRunner, RunnerOptions
from app.domain.jobs.service import JobService
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.service import Stop
from app.settings import Settings
from app.workers.jobs import job_handlers
from tests.conftest import Registered

DEADLINE = 120.0


class Office:
    """One account's contacts, through the API."""

    def __init__(self, client: httpx.AsyncClient, database: Database, owner: Registered) -> None:
        self.client = client
        self.database = database
        self.headers: dict[str, str] = owner["headers"]
        self.account_id = UUID(owner["account"]["id"])

    async def upload(
        self, path: str, content: bytes, options: Any = None, name: str = "people.csv", **headers: str
    ) -> httpx.Response:
        """POST a form with a file; `options` as JSON, before it."""
        parts: dict[str, Any] = {} if options is None else {"options": (None, json.dumps(options))}
        parts["file"] = (name, content)
        return await self.client.post(f"/v1/contacts/{path}", files=parts, headers=self.headers | headers)

    async def imported(self, content: bytes, mapping: dict[str, str], **options: Any) -> dict[str, Any]:
        """The job of an import, once it has ended."""
        answer = await self.upload("import", content, {"mapping": mapping, **options})
        assert answer.status_code == 202, answer.text
        return await self.ended(answer.json()["id"])

    async def changed(self, **action: Any) -> dict[str, Any]:
        """The job of a bulk action, once it has ended."""
        answer = await self.client.post("/v1/contacts/bulk", json=action, headers=self.headers)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
        return await self.ended(answer.json()["id"])

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/jobs/{job_id}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ended(self, job_id: str) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            while (job := await self.job(job_id))["status"] not in ("succeeded", "failed", "canceled"):
                await asyncio.sleep(0.05)
        return job

    async def errors(self, job: dict[str, Any]) -> list[dict[str, str]]:
        """The file of bad rows, by the names of its columns; cells beyond them under ''."""
        answer = await self.client.get(job["error_file"], headers=self.headers)
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), restkey=""))

    async def exported(self, query: str = "") -> list[dict[str, str]]:
        answer = await self.client.get(f"/v1/contacts/export{query}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))

    async def contacts(self, **query: str) -> list[dict[str, Any]]:
        """At most 200, oldest first."""
        asked = {"limit": "200", "sort": "created_at", **query}
        answer = await self.client.get("/v1/contacts", params=asked, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def count(self, **query: str) -> int:
        answer = await self.client.get("/v1/contacts", params={"include": "total", **query}, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"])

    async def make(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.client.post(f"/v1/{path}", json=body, headers=self.headers)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def create_job(self, kind: str, spec: dict[str, Any]) -> str:
        """A job that did not come through the API."""
        async with self.database.unit_of_work(self.account_id) as session:
            return str((await self.service(session).create(kind, spec)).id)

    def service(self, session: AsyncSession) -> JobService:
        """The account's jobs, for the system."""
        audit = AuditTrail(session, None, Origin(), new_id)
        return JobService(session, self.account_id, audit=audit, clock=utc_now, new_id=new_id)

    async def sql(self, statement: str, **values: Any) -> Any:
        async with self.database.unit_of_work() as session:
            return await session.execute(text(statement), values)


@asynccontextmanager
async def working(settings: Settings, *handlers: JobHandler) -> AsyncIterator[Stop]:
    """A runner in this process, with `handlers` or all there are."""
    options = RunnerOptions(poll_seconds=0.2, lease_seconds=5.0, outage_seconds=0.01)
    database = Database(settings.database.url, process="test-jobs", pool_size=options.connections)
    stop = Stop()
    chosen = handlers or job_handlers(database, settings, PostgresContactStores())
    runner = asyncio.create_task(JobRunner(database, chosen, new_id=new_id, options=options).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE):
            await runner
        await database.close()
