"""Files of jobs: pieces of any size, read from anywhere; uploads; downloads."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest

from app.domain.jobs.contract import JobFile
from app.domain.jobs.files import CHUNK_BYTES, FILL_BYTES, FileWriter, read_file
from app.domain.jobs.schemas import JobOut
from app.domain.jobs.service import MOST_UNFINISHED, NotReceiving, TooManyJobs
from app.domain.jobs.upload import receive_input
from app.lib.db import Database
from app.lib.errors import NotFound, TooLarge
from scheduler.jobs.long_work import expire_long_work
from tests.integration.jobs.conftest import Desk, Rows, Running


async def content(desk: Desk, job: JobOut, name: JobFile, offset: int = 0) -> list[bytes]:
    return [chunk async for chunk in read_file(desk.database, desk.account_id, job.id, name, offset)]


async def append(desk: Desk, job: JobOut, name: JobFile, *pieces: bytes) -> None:
    async with desk.database.unit_of_work(desk.account_id) as session:
        writer = FileWriter(session, desk.account_id, job.id, name)
        for piece in pieces:
            await writer.write(piece)
        await writer.flush()


async def test_pieces_of_any_size_come_out_as_they_went_in(desk: Desk) -> None:
    job = await desk.create("tests.nothing")
    random = Random(4711)
    written = b""
    for _ in range(40):
        pieces = [random.randbytes(random.choice((0, 1, 7, 900, 40_000, CHUNK_BYTES - 1, CHUNK_BYTES + 1)))]
        pieces += [random.randbytes(random.randrange(200)) for _ in range(random.randrange(5))]
        await append(desk, job, JobFile.RESULT, *pieces)
        written += b"".join(pieces)
    chunks = await content(desk, job, JobFile.RESULT)
    assert b"".join(chunks) == written
    assert max(map(len, chunks)) <= CHUNK_BYTES
    assert len(chunks) <= 2 * (len(written) // FILL_BYTES + 1)
    for offset in (0, 1, len(chunks[0]) - 1, len(chunks[0]), len(written) // 2, len(written) - 1):
        assert b"".join(await content(desk, job, JobFile.RESULT, offset)) == written[offset:]
    assert await content(desk, job, JobFile.RESULT, len(written)) == []
    assert await content(desk, job, JobFile.RESULT, len(written) + 10**12) == []
    assert await content(desk, job, JobFile.ERRORS) == []


async def test_small_pieces_do_not_become_as_many_rows(desk: Desk) -> None:
    job = await desk.create("tests.nothing")
    for number in range(300):
        await append(desk, job, JobFile.ERRORS, b"%03d" % number * 100)
    rows = (await desk.sql("SELECT count(*) FROM job_files WHERE job_id = :id", id=job.id)).scalar_one()
    assert rows <= 300 * 300 // FILL_BYTES + 1
    assert b"".join(await content(desk, job, JobFile.ERRORS)) == b"".join(b"%03d" % n * 100 for n in range(300))


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def test_an_upload_is_stored_in_pieces_and_started(desk: Desk, running: Running) -> None:
    handler = Rows()
    job = await desk.create(handler.kind, receiving=True, spec={"not": "known yet"})
    data = secrets.token_bytes(3 * CHUNK_BYTES + 17)
    parts = [data[start : start + 60_001] for start in range(0, len(data), 60_001)]
    async with running(handler):
        size = await receive_input(desk.database, desk.service, desk.account_id, job.id, pieces(*parts, b""), len(data))
        assert size == len(data)
        seen = await desk.get(job)
        assert seen["status"] == "receiving" and seen["expires_at"]
        assert handler.runs == []
        async with desk.database.unit_of_work(desk.account_id) as session:
            started = await desk.service(session).start(job.id, spec={"rows": 2}, total=2)
        assert (started.status, started.expires_at, started.total) == ("queued", None, 2)
        ended = await desk.ended(job)
    assert (ended["status"], ended["done"]) == ("succeeded", 2)
    assert b"".join(await content(desk, job, JobFile.INPUT)) == data
    await expire_long_work(desk.database)
    assert await content(desk, job, JobFile.INPUT) == [], "what was uploaded stays no longer than it is needed"
    assert await desk.download(job, "result") == "0\n1\n"


async def test_an_upload_may_have_so_much_and_no_more(desk: Desk) -> None:
    job = await desk.create("tests.nothing", receiving=True)
    with pytest.raises(TooLarge):
        await receive_input(desk.database, desk.service, desk.account_id, job.id, pieces(b"12345", b"6"), 5)
    assert await receive_input(desk.database, desk.service, desk.account_id, job.id, pieces(b"1234", b"5"), 5) == 5


async def test_what_was_called_off_takes_no_more(desk: Desk) -> None:
    job = await desk.create("tests.nothing", receiving=True)
    async with desk.database.unit_of_work(desk.account_id) as session:
        await desk.service(session).append_input(job.id, b"some")
    assert (await desk.call("POST", f"/{job.id}/cancel")).json()["status"] == "canceled"
    for act in ("append_input", "start"):
        with pytest.raises(NotReceiving):
            async with desk.database.unit_of_work(desk.account_id) as session:
                service = desk.service(session)
                await (service.start(job.id) if act == "start" else service.append_input(job.id, b"more"))


async def test_another_accounts_job_is_none(desk: Desk, another: Callable[[], Awaitable[Desk]]) -> None:
    other = await another()
    job = await desk.create("tests.nothing", receiving=True)
    await append(desk, job, JobFile.RESULT, b"secret")
    async with other.database.unit_of_work(other.account_id) as session:
        service = other.service(session)
        for act in (service.get, service.start, service.cancel):
            with pytest.raises(NotFound):
                await act(job.id)
        with pytest.raises(NotFound):
            await service.append_input(job.id, b"x")
        with pytest.raises(NotFound):
            await service.open_file(job.id, JobFile.RESULT)
    assert [chunk async for chunk in read_file(desk.database, other.account_id, job.id, JobFile.RESULT)] == []
    for path in ("", "/result"):
        assert (await other.call("GET", f"/{job.id}{path}")).status_code == 404
    assert (await other.call("POST", f"/{job.id}/cancel")).status_code == 404
    assert (await other.call("GET", "")).json()["items"] == []


async def test_files_are_downloaded_under_their_names(desk: Desk) -> None:
    names = {JobFile.RESULT: 'Kontakte "März"\r\n.xlsx', JobFile.ERRORS: "no-ending"}
    job = await desk.create("tests.nothing", file_names=names)
    missing = await desk.call("GET", f"/{job.id}/result")
    assert missing.status_code == 404
    data = secrets.token_bytes(2 * CHUNK_BYTES + 5)
    await append(desk, job, JobFile.RESULT, data)
    await append(desk, job, JobFile.ERRORS, b"x")
    answer = await desk.call("GET", f"/{job.id}/result")
    assert answer.content == data
    assert answer.headers["content-type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Kontakte _M_rz___.xlsx\"; filename*=UTF-8''Kontakte%20%22M%C3%A4rz%22%0D%0A.xlsx"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    other = await desk.call("GET", f"/{job.id}/errors")
    assert other.headers["content-type"] == "application/octet-stream"
    head = await desk.call("HEAD", f"/{job.id}/result")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_default_name_is_csv(desk: Desk) -> None:
    job = await desk.create("tests.nothing")
    await append(desk, job, JobFile.ERRORS, "Zeile,warum\r\n1,ä\r\n".encode())
    answer = await desk.call("GET", f"/{job.id}/errors")
    assert (answer.text, answer.headers["content-type"]) == ("Zeile,warum\r\n1,ä\r\n", "text/csv; charset=utf-8")
    assert 'filename="errors.csv"' in answer.headers["content-disposition"]


async def test_the_list_shows_files_and_filters(desk: Desk) -> None:
    jobs = [await desk.create(f"tests.kind-{number}", total=number) for number in range(3)]
    await append(desk, jobs[1], JobFile.ERRORS, b"x")
    await desk.call("POST", f"/{jobs[2].id}/cancel")
    listed = (await desk.call("GET", "", params={"include": "total"})).json()
    assert listed["total"] == 3 and [item["total"] for item in listed["items"]] == [2, 1, 0]
    assert [item["error_file"] is not None for item in listed["items"]] == [False, True, False]
    assert listed["items"][1] == await desk.get(jobs[1])
    for query, expected in (
        ({"status": "canceled"}, [2]),
        ({"status[in]": "queued,running"}, [1, 0]),
        ({"kind": "tests.kind-1"}, [1]),
        ({"created_at[lt]": "2020-01-01T00:00:00Z"}, []),
        ({"limit": "2"}, [2, 1]),
        ({"sort": "created_at"}, [0, 1, 2]),
    ):
        answer = await desk.call("GET", "", params=query)
        assert [item["total"] for item in answer.json()["items"]] == expected, query
    assert (await desk.call("GET", "", params={"status": "done"})).status_code == 400


async def test_who_asked_is_remembered_and_everything_is_in_the_audit_log(desk: Desk) -> None:
    job = await desk.create("tests.nothing")
    assert (await desk.get(job))["created_by"] == {"type": "system", "id": None}
    await desk.call("POST", f"/{job.id}/cancel")
    log = await desk.client.get("/v1/audit-log", params={"resource_id": str(job.id)}, headers=desk.headers)
    entries = [(each["action"], each["actor"]["type"], each["resource_type"]) for each in log.json()["items"]]
    assert entries == [("canceled", "user", "job"), ("created", "system", "job")]
    assert log.json()["items"][0]["after"]["status"] == "canceled"


async def test_an_account_cannot_pile_up_jobs_for_ever(desk: Desk, another: Callable[[], Awaitable[Desk]]) -> None:
    async with desk.database.unit_of_work(desk.account_id) as session:
        service = desk.service(session)
        made = [await service.create("tests.nothing", {}) for _ in range(MOST_UNFINISHED)]
        with pytest.raises(TooManyJobs):
            await service.create("tests.nothing", {})
        await service.cancel(made[0].id)
        await service.create("tests.nothing", {})
    await (await another()).create("tests.nothing")


async def age(desk: Desk, job: JobOut) -> None:
    await desk.sql("UPDATE jobs SET expires_at = now() - interval '1 second' WHERE id = :id", id=job.id)


async def count(desk: Desk, table: str, column: str, job: JobOut) -> int:
    return int((await desk.sql(f"SELECT count(*) FROM {table} WHERE {column} = :id", id=job.id)).scalar_one())


async def test_jobs_and_files_go_after_their_time(desk: Desk, running: Running, database: Database) -> None:
    handler = Rows()
    old, young = await desk.create(handler.kind), await desk.create(handler.kind)
    async with running(handler):
        await desk.ended(old)
        seen = await desk.ended(young)
    waiting, receiving = await desk.create("tests.nothing"), await desk.create("tests.nothing", receiving=True)
    abandoned = await desk.create("tests.nothing", receiving=True)
    for job in (receiving, abandoned):
        async with desk.database.unit_of_work(desk.account_id) as session:
            await desk.service(session).append_input(job.id, bytes(3 * CHUNK_BYTES))
    assert seen["expires_at"] > seen["ended_at"]
    await age(desk, old)
    await age(desk, abandoned)
    await expire_long_work(database)
    for job in (old, abandoned):
        assert (await desk.call("GET", f"/{job.id}")).status_code == 404
        assert await count(desk, "job_files", "job_id", job) == await count(desk, "jobs", "id", job) == 0
    assert await desk.download(young, "result") == "0\n1\n2\n"
    assert (await desk.get(waiting))["status"] == "queued"
    assert sum(map(len, await content(desk, receiving, JobFile.INPUT))) == 3 * CHUNK_BYTES


async def test_a_version_names_every_change(desk: Desk) -> None:
    job = await desk.create("tests.nothing")
    tag = (await desk.call("GET", f"/{job.id}")).headers["etag"]
    again = await desk.client.get(f"/v1/jobs/{job.id}", headers=desk.headers | {"If-None-Match": tag})
    assert again.status_code == 304
    canceled = await desk.call("POST", f"/{job.id}/cancel")
    assert canceled.headers["etag"].split("-")[0] != tag.split("-")[0]
