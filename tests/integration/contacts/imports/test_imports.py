"""Importing files through the API, by a worker, into PostgreSQL."""

import pytest

from app.domain.contacts.imports import batches
from app.lib.spreadsheets import csv_bytes
from tests.integration.contacts.jobs import Office

MAPPING = {"Phone": "phone", "Name": "first_name", "City": "attributes.city", "Tags": "tags"}
FILE = (
    "Phone,Name,City,Tags\n"
    "+251911000001,Abebe,Addis Ababa,vip;new\n"
    "0911000002,Selam,ሐዋሳ,\n"
    "\n"
    "+251911000001,Abebe B.,,old\n"
    "nonsense,X,Y,\n"
    ",Nobody,Adama,\n"
).encode()


async def test_rows_become_contacts_with_exact_counts(office: Office) -> None:
    group = await office.make("contact-groups", name="Imported")
    job = await office.imported(FILE, MAPPING, country="ET", tags=["file"], group_ids=[group["id"]])
    assert (job["status"], job["kind"], job["error"]) == ("succeeded", "contacts.import", None)
    assert (job["total"], job["done"], job["failed"]) == (5, 3, 2)
    assert job["result"] == {
        "created": 2,
        "updated": 1,
        "unchanged": 0,
        "skipped": 0,
        "failed": 2,
        "empty_rows": 1,
        "reasons": {"bad_phone": 1, "no_address": 1},
    }
    first, second = await office.contacts()
    assert (first["phone"], first["first_name"], first["tags"]) == (
        "+251911000001",
        "Abebe B.",
        ["file", "new", "old", "vip"],
    )
    assert (first["attributes"], first["groups"]) == ({"city": "Addis Ababa"}, [group["id"]])
    assert (second["phone"], second["attributes"], second["tags"]) == ("+251911000002", {"city": "ሐዋሳ"}, ["file"])


async def test_bad_rows_come_back_with_line_and_reason_and_can_be_imported_once_repaired(office: Office) -> None:
    job = await office.imported(FILE, MAPPING, country="ET")
    errors = await office.errors(job)
    assert [(row["line"], row["code"], row["Phone"], row["Name"]) for row in errors] == [
        ("6", "bad_phone", "nonsense", "X"),
        ("7", "no_address", "", "Nobody"),
    ]
    assert errors[0]["reason"].startswith("Phone: ")
    answer = await office.client.get(job["error_file"], headers=office.headers)
    assert answer.headers["content-disposition"].startswith('attachment; filename="people-errors.csv"')
    repaired = answer.content.replace(b"nonsense", b"+251911000009")
    again = await office.imported(repaired, MAPPING)
    assert (again["result"]["created"], again["failed"]) == (1, 1)


async def test_on_match_skip_leaves_contacts_alone(office: Office) -> None:
    await office.imported(b"Phone,Name\n+251911000001,Abebe\n", {"Phone": "phone", "Name": "first_name"})
    job = await office.imported(
        b"Phone,Name\n+251911000001,Other\n+251911000002,New\n+251911000002,Again\n",
        {"Phone": "phone", "Name": "first_name"},
        on_match="skip",
    )
    assert (job["result"]["created"], job["result"]["skipped"], job["done"]) == (1, 2, 3)
    assert [contact["first_name"] for contact in await office.contacts()] == ["Abebe", "New"]


async def test_addresses_of_two_contacts_in_one_row_are_refused(office: Office) -> None:
    await office.make("contacts", phone="+251911000001")
    await office.make("contacts", email="b@example.com")
    job = await office.imported(b"P,E\n+251911000001,b@example.com\n", {"P": "phone", "E": "email"})
    assert job["result"]["reasons"] == {"several_contacts": 1}
    assert [row["line"] for row in await office.errors(job)] == ["2"]


async def test_types_of_new_attributes_are_given_or_guessed(office: Office) -> None:
    content = b"P,Age,Code,Since\n+251911000001,17,5,2026-01-02\n+251911000002,x,6,\n"
    mapping = {"P": "phone", "Age": "attributes.age", "Code": "attributes.code", "Since": "attributes.since"}
    job = await office.imported(content, mapping, create_attributes={"attributes.age": "number"})
    assert (job["done"], job["result"]["reasons"]) == (1, {"bad_attribute": 1})
    (contact,) = await office.contacts()
    assert contact["attributes"] == {"age": 17, "code": 5, "since": "2026-01-02"}


async def test_other_encodings_and_delimiters_are_found_out(office: Office) -> None:
    mapping = {"Téléphone": "phone", "Prénom": "first_name"}
    for number, encoding in enumerate(("utf-8-sig", "utf-16", "cp1252")):
        content = f"Téléphone;Prénom\r\n+25191100010{number};Zoé, {encoding}\r\n".encode(encoding)
        job = await office.imported(content, mapping)
        assert job["done"] == 1, job
    assert sorted(contact["first_name"] for contact in await office.contacts()) == [
        "Zoé, cp1252",
        "Zoé, utf-16",
        "Zoé, utf-8-sig",
    ]


async def test_formula_cells_are_text_and_harmless_in_the_file_of_errors(office: Office) -> None:
    content = csv_bytes([["P", "N"], ["+251911000001", "=1+1"], ["=cmd()", "@x"]])
    assert b"'=cmd()" in content
    job = await office.imported(content, {"P": "phone", "N": "first_name"})
    (contact,) = await office.contacts()
    assert contact["first_name"] == "=1+1"
    (error,) = await office.errors(job)
    assert (error["P"], error["N"]) == ("'=cmd()", "'@x")


async def test_a_file_that_cannot_be_read_fails_with_words(office: Office) -> None:
    for content, words in (
        (b"", "The file is empty."),
        (b"\xd0\xcf\x11\xe0old", "This is an old Excel file"),
        (b"PK\x03\x04broken", "The file is not a workbook that can be read"),
        (b"A,B\n1,2\n", "The file has no column 'Phone'; its columns: 'A', 'B'."),
    ):
        job = await office.imported(content, {"Phone": "phone"})
        assert job["status"] == "failed"
        assert job["error"].startswith(words), job["error"]
    assert await office.count() == 0


async def test_a_canceled_import_keeps_what_it_has_done(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_ROWS", 10)
    content = "P\n" + "".join(f"+2519110{number:05}\n" for number in range(20_000))
    answer = await office.upload("import", content.encode(), {"mapping": {"P": "phone"}})
    job = answer.json()
    while job["done"] == 0:
        job = await office.job(job["id"])
    assert (await office.client.post(f"/v1/jobs/{job['id']}/cancel", headers=office.headers)).status_code == 200
    job = await office.ended(job["id"])
    assert (job["status"], job["total"]) == ("canceled", 20_000)
    assert 0 < job["done"] < 20_000
    assert await office.count() == job["done"] == job["result"]["created"]


async def test_imported_contacts_are_events_only_when_asked_for(office: Office) -> None:
    await office.imported(b"P\n+251911000001\n", {"P": "phone"})
    await office.imported(b"P\n+251911000002\n", {"P": "phone"}, announce=True)
    answer = await office.client.get("/v1/events", headers=office.headers)
    made = [event for event in answer.json()["items"] if event["type"] == "contact.created"]
    assert [event["subject_id"] for event in made] == [(await office.contacts())[1]["id"]]
