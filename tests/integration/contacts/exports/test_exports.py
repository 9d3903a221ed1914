"""Exporting contacts, and importing what was exported."""

import csv
import io

import pytest

from app.domain.contacts.exports import export
from tests.conftest import Registered
from tests.integration.contacts.jobs import Office


async def test_an_export_can_be_imported_elsewhere(office: Office, other: Registered) -> None:
    for key, kind in (("n", "number"), ("b", "boolean"), ("d", "date"), ("l", "list"), ("t", "text")):
        await office.make("contact-attributes", key=key, type=kind)
    await office.make(
        "contacts",
        first_name="=1+1",
        last_name='O\'Neil, "Q"',
        language="en-GB",
        timezone="Africa/Addis_Ababa",
        status="blocked",
        notes="line\nline ሰላም",
        addresses=[
            {"type": "phone", "value": "+251911000001"},
            {"type": "phone", "value": "+251911000002"},
            {"type": "email", "value": "a@example.com"},
            {"type": "telegram", "value": "@abebe_b"},
        ],
        tags=["-dash", "@at", "vip"],
        attributes={"n": -1.5, "b": False, "d": "2026-01-02", "l": ["=x", "y"], "t": "+x"},
    )
    await office.make("contacts", phone="+251911000003", tags=["one, two"], attributes={"l": ["one, two"]})
    answer = await office.client.get("/v1/contacts/export", headers=office.headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="contacts.csv"')
    assert answer.headers["cache-control"] == "no-store"
    header, first, second = csv.reader(io.StringIO(answer.content.decode(), newline=""))
    assert header == [
        *("id", "first_name", "last_name", "language", "timezone", "status", "notes"),
        *("phone", "email", "telegram", "whatsapp", "messenger", "tags"),
        *("attributes.b", "attributes.d", "attributes.l", "attributes.n", "attributes.t", "created_at", "updated_at"),
    ]
    assert first[1] == "'=1+1"
    assert first[7:10] == ["'+251911000001;+251911000002", "a@example.com", "'@abebe_b"]
    assert second[7] == "+251911000003"

    theirs = Office(office.client, office.database, other)
    for key, kind in (("n", "number"), ("b", "boolean"), ("d", "date"), ("l", "list"), ("t", "text")):
        await theirs.make("contact-attributes", key=key, type=kind)
    preview = (await theirs.upload("import/preview", answer.content)).json()
    assert set(preview["mapping"]) == set(header) - {"id", "created_at", "updated_at"}
    job = await theirs.imported(answer.content, preview["mapping"])
    assert (job["done"], job["failed"]) == (2, 0), await theirs.errors(job)
    fields = ("first_name", "last_name", "language", "timezone", "status", "notes", "phone", "tags", "attributes")
    assert [[each[name] for name in fields] for each in await theirs.contacts()] == [
        [each[name] for name in fields] for each in await office.contacts()
    ]
    again = await theirs.imported(answer.content, preview["mapping"])
    assert again["result"]["unchanged"] == 2


async def test_exports_are_of_whoever_matches(office: Office) -> None:
    group = await office.make("contact-groups", name="G")
    await office.make("contact-attributes", key="city", type="text")
    first = await office.make("contacts", phone="+251911000001", tags=["vip"], attributes={"city": "A"})
    second = await office.make("contacts", phone="+251911000002", groups=[group["id"]], attributes={"city": "B"})
    segment = await office.make("segments", name="S", filter={"field": "tags", "op": "contains", "value": "vip"})

    async def ids(query: str) -> list[str]:
        return [row["id"] for row in await office.exported(query)]

    assert await ids("") == [first["id"], second["id"]]
    assert await ids("?format=csv&tags=vip") == [first["id"]]
    assert await ids("?attributes.city=B") == [second["id"]]
    assert await ids(f"?segment_id={segment['id']}") == [first["id"]]
    assert await ids(f"?group_id={group['id']}") == [second["id"]]
    assert await ids(f"?group_id={group['id']}&segment_id={segment['id']}") == []


async def test_a_large_export_is_made_of_batches(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH", 7)
    content = "P\n" + "".join(f"+2519110{number:05}\n" for number in range(21))
    await office.imported(content.encode(), {"P": "phone"})
    assert [row["phone"] for row in await office.exported()] == [f"+2519110{number:05}" for number in range(21)]
    assert await office.exported("?phone=%2B251911000099") == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("format=xlsx", 400, "bad_parameter"),
        ("format=csv&format=csv", 400, "bad_parameter"),
        ("group_id=x", 400, "bad_parameter"),
        ("surprise=1", 400, "unknown_filter"),
        ("limit=1", 400, "unknown_filter"),
        ("created_at=x", 400, "bad_filter_value"),
        ("%ff", 400, "bad_parameter"),
        ("group_id=019ab0c2-0000-7000-8000-000000000000", 422, "invalid_value"),
        ("segment_id=019ab0c2-0000-7000-8000-000000000000", 422, "invalid_value"),
    ],
)
async def test_wrong_queries_are_refused(office: Office, query: str, status: int, code: str) -> None:
    answer = await office.client.get(f"/v1/contacts/export?{query}", headers=office.headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_nothing_of_another_account_is_exported(office: Office, other: Registered) -> None:
    theirs = Office(office.client, office.database, other)
    await theirs.make("contacts", phone="+251911000001")
    group = await theirs.make("contact-groups", name="G")
    assert await office.exported() == []
    answer = await office.client.get(f"/v1/contacts/export?group_id={group['id']}", headers=office.headers)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?group_id")
