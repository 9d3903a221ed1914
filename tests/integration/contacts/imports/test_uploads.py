"""What arrives as a form: in any order of its parts, broken, too large, twice, by others."""

import json
from typing import Any

import httpx
import pytest

from app.api.v1 import contact_jobs
from tests.conftest import Registered
from tests.integration.contacts.jobs import Office

OPTIONS = {"mapping": {"Phone": "phone"}}
CONTENT = b"Phone\n+251911000001\n"
BOUNDARY = "b0undary"


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = part("file", CONTENT, '; filename="x.csv"')
SAID = part("options", json.dumps(OPTIONS).encode())


async def send(office: Office, body: Any, kind: str = f"multipart/form-data; boundary={BOUNDARY}") -> httpx.Response:
    return await office.client.post(
        "/v1/contacts/import", content=body, headers=office.headers | {"Content-Type": kind}
    )


def problem(answer: httpx.Response) -> tuple[int, str, list[tuple[str, str]]]:
    document = answer.json()
    return (
        answer.status_code,
        document["code"],
        [(each["pointer"], each["code"]) for each in document.get("errors", ())],
    )


async def jobs_of(office: Office) -> list[str]:
    answer = await office.client.get("/v1/jobs", headers=office.headers)
    return [job["status"] for job in answer.json()["items"]]


@pytest.mark.parametrize("parts", [(SAID, FILE), (FILE, SAID)], ids=["options first", "file first"])
async def test_the_parts_come_in_any_order(office: Office, parts: tuple[bytes, ...]) -> None:
    answer = await send(office, form(*parts))
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert (await office.ended(answer.json()["id"]))["done"] == 1


async def test_a_form_in_pieces_of_one_byte_is_the_same(office: Office) -> None:
    body = form(SAID, FILE)

    async def pieces() -> Any:
        for index in range(len(body)):
            yield body[index : index + 1]

    answer = await send(office, pieces())
    assert answer.status_code == 202, answer.text
    assert (await office.ended(answer.json()["id"]))["done"] == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "malformed_form", [])),
        (b"nothing of the kind", (400, "malformed_form", [])),
        (form(SAID, FILE)[:-20], (400, "malformed_form", [])),
        (form(FILE), (422, "invalid_value", [("/options/mapping", "missing_field")])),
        (form(SAID), (422, "invalid_value", [("/file", "required")])),
        (form(SAID, SAID, FILE), (422, "invalid_value", [("/options", "duplicate")])),
        (form(SAID, FILE, FILE), (422, "invalid_value", [("/file", "duplicate")])),
        (form(SAID, FILE, part("more", b"")), (422, "invalid_value", [("", "unknown_field")])),
        (form(part("options", b"{"), FILE), (400, "malformed_json", [])),
        (form(part("options", b"\xff"), FILE), (400, "malformed_json", [])),
        (form(part("options", b"[" * 100_000), FILE), (422, "invalid_value", [("/options", "wrong_type")])),
        (form(part("options", b" " * 1_000_000), FILE), (413, "body_too_large", [])),
        (form(part("\ufffd", b"x")), (422, "invalid_value", [("", "unknown_field")])),
        (form(SAID, FILE).replace(b'"file"', b'"\xff"'), (400, "malformed_form", [])),
        (b"--" + BOUNDARY.encode() + b"\r\nX: " + b"y" * 10_000, (400, "malformed_form", [])),
    ],
    ids=[
        *("nothing", "no form", "cut off", "no options", "no file", "options twice", "two files", "another part"),
        *("broken JSON", "no UTF-8", "nested", "large options", "unknown part", "bad name", "endless header"),
    ],
)
async def test_broken_forms_are_refused_and_leave_nothing_waiting(office: Office, body: bytes, expected: Any) -> None:
    assert problem(await send(office, body)) == expected
    assert set(await jobs_of(office)) <= {"canceled"}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/form-data; boundary=" + "x" * 100, 400),
        ("text/csv", 415),
    ],
)
async def test_other_kinds_of_bodies_are_refused(office: Office, kind: str, status: int) -> None:
    assert (await send(office, form(SAID, FILE), kind)).status_code == status


async def test_too_large_a_file_is_refused_while_it_comes(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_jobs, "MOST_BYTES", 1_000_000)
    answer = await office.upload("import", b"x" * 1_000_001, OPTIONS)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert await jobs_of(office) == ["canceled"]


@pytest.mark.parametrize(
    ("options", "pointer", "code"),
    [
        ({"mapping": {"Phone": "telephone"}}, "/options/mapping/Phone", "unknown_target"),
        ({"mapping": {"A/B~": "attributes.Ä"}}, "/options/mapping/A~1B~0", "unknown_target"),
        ({"mapping": {"A": "first_name", "B": "first_name", "P": "phone"}}, "/options/mapping/B", "duplicate"),
        ({"mapping": {"Name": "first_name"}}, "/options/mapping", "no_address"),
        ({"mapping": {}}, "/options/mapping", "wrong_length"),
        ({**OPTIONS, "on_match": "replace"}, "/options/on_match", "not_allowed"),
        ({**OPTIONS, "encoding": "utf-7"}, "/options/encoding", "not_allowed"),
        ({**OPTIONS, "encoding": "no-such"}, "/options/encoding", "not_allowed"),
        ({**OPTIONS, "delimiter": "x"}, "/options/delimiter", "not_allowed"),
        ({**OPTIONS, "country": "ZZ"}, "/options/country", "not_a_country"),
        ({**OPTIONS, "tags": ["a\u0085b"]}, "/options/tags/0", "not_allowed"),
        ({**OPTIONS, "create_attributes": {"city": "text"}}, "/options/create_attributes/city", "unknown_target"),
        ({**OPTIONS, "group_ids": ["019ab0c2-0000-7000-8000-000000000000"]}, "/options/group_ids/0", "not_found"),
        ({**OPTIONS, "surprise": 1}, "/options/surprise", "unknown_field"),
    ],
    ids=lambda value: value.replace("\u0085", "") if isinstance(value, str) else "",
)
async def test_wrong_options_are_refused_before_the_file_is_stored(
    office: Office, options: Any, pointer: str, code: str
) -> None:
    answer = await office.upload("import", CONTENT, options)
    status, _, errors = problem(answer)
    assert (status, errors) == (422, [(pointer, code)])
    assert await jobs_of(office) == []


async def test_groups_and_types_of_others_do_not_count(office: Office, other: Registered) -> None:
    theirs = Office(office.client, office.database, other)
    group = await theirs.make("contact-groups", name="Theirs")
    answer = await office.upload("import", CONTENT, {**OPTIONS, "group_ids": [group["id"]]})
    assert problem(answer)[2] == [("/options/group_ids/0", "not_found")]
    await theirs.make("contact-attributes", key="city", type="number")
    wanted = {**OPTIONS, "create_attributes": {"attributes.city": "text"}}
    assert (await office.upload("import", CONTENT, wanted)).status_code == 202
    assert problem(await theirs.upload("import", CONTENT, wanted))[2] == [
        ("/options/create_attributes/attributes.city", "not_allowed")
    ]


async def test_the_same_upload_with_the_same_key_is_one_job(office: Office) -> None:
    key = {"Idempotency-Key": "import-1"}
    first = await office.upload("import", CONTENT, OPTIONS, **key)
    again = await office.upload("import", CONTENT, OPTIONS, **key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = await office.upload("import", CONTENT + b"+251911000002\n", OPTIONS, **key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    refused = await office.upload("import", CONTENT, OPTIONS, **{"Idempotency-Key": "a b"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_idempotency_key")
    statuses = await jobs_of(office)
    assert sorted(statuses.count(each) for each in set(statuses) - {"canceled"}) == [1]
    await office.ended(first.json()["id"])
    assert await office.count() == 1


async def test_only_who_may_make_contacts_imports(office: Office) -> None:
    key = (await office.make("api-keys", name="reader", role="viewer"))["secret"]
    answer = await office.client.post(
        "/v1/contacts/import", content=form(SAID, FILE), headers={"Authorization": f"Bearer {key}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_permission")
