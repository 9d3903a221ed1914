"""What a file would become, before anything is written."""

import io

from openpyxl import Workbook

from tests.integration.contacts.jobs import Office

FILE = (
    "Téléphone;Prénom;Ville;Age\r\n0911000001;Zoé;Nîmes;17\r\nx;Léa;Paris;18\r\n\r\n0911000003;" + "n" * 300 + ";;\r\n"
)


async def test_a_preview_guesses_and_reads_and_writes_nothing(office: Office) -> None:
    await office.make("contact-attributes", key="ville", type="text")
    answer = await office.upload("import/preview", FILE.encode("cp1252"), {"country": "ET"})
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (seen["format"], seen["encoding"], seen["delimiter"]) == ("csv", "cp1252", ";")
    assert seen["mapping"] == {"Téléphone": "phone", "Prénom": "first_name", "Ville": "attributes.ville"}
    assert seen["create_attributes"] == {}
    assert seen["columns"][3] == {
        "name": "Age",
        "samples": ["17", "18"],
        "target": None,
        "suggestion": "attributes.age",
        "type": "number",
    }
    first, second, third = seen["rows"]
    assert first["contact"]["addresses"] == [{"type": "phone", "value": "+251911000001"}]
    assert first["contact"]["attributes"] == {"ville": "Nîmes"}
    assert (second["line"], second["contact"]) == (3, None)
    assert [(each["column"], each["code"]) for each in second["problems"]] == [("Téléphone", "bad_phone")]
    assert (third["line"], third["problems"][0]["code"], len(third["cells"][1])) == (5, "too_long", 201)
    assert await office.count() == 0
    assert (await office.client.get("/v1/jobs", headers=office.headers)).json()["items"] == []


async def test_what_a_preview_answers_can_be_imported(office: Office) -> None:
    mapping = {"Téléphone": "phone", "Age": "attributes.age"}
    seen = (await office.upload("import/preview", FILE.encode("cp1252"), {"country": "ET", "mapping": mapping})).json()
    assert seen["create_attributes"] == {"attributes.age": "number"}
    job = await office.imported(
        FILE.encode("cp1252"), seen["mapping"], create_attributes=seen["create_attributes"], country="ET"
    )
    assert (job["done"], job["failed"]) == (2, 1)


async def test_a_workbook_is_previewed_and_imported(office: Office) -> None:
    book = Workbook()
    sheet = book.active
    for row in (
        ["Mobile", "Full Name", "Score"],
        [251911000001, "Abebe", 1.5],
        [None, None, None],
        ["+251911000002", True, 3],
    ):
        sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    seen = (await office.upload("import/preview", content.getvalue(), {"country": "ET"}, name="people.xlsx")).json()
    assert (seen["format"], seen["encoding"], seen["delimiter"]) == ("xlsx", None, None)
    assert seen["mapping"] == {"Mobile": "phone", "Full Name": "first_name"}
    mapping = seen["mapping"] | {"Score": "attributes.score"}
    job = await office.imported(content.getvalue(), mapping, country="ET")
    assert (job["done"], job["total"], job["result"]["empty_rows"]) == (2, 2, 1)
    assert [(each["phone"], each["first_name"], each["attributes"]) for each in await office.contacts()] == [
        ("+251911000001", "Abebe", {"score": 1.5}),
        ("+251911000002", "true", {"score": 3}),
    ]


async def test_what_is_no_table_is_422(office: Office) -> None:
    for content in (b"", b" \n ", b"%PDF-1.7", b"PK\x03\x04" + b"\0" * 100, b"\xd0\xcf\x11\xe0" * 10):
        answer = await office.upload("import/preview", content)
        assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_file"), answer.text


async def test_a_header_without_rows_is_a_preview_without_rows(office: Office) -> None:
    seen = (await office.upload("import/preview", b"Phone,Phone,,Name\n")).json()
    assert [column["name"] for column in seen["columns"]] == ["Phone", "Phone (2)", "Column 3", "Name"]
    assert (seen["rows"], seen["mapping"]) == ([], {"Phone": "phone", "Phone (2)": "phone", "Name": "first_name"})
