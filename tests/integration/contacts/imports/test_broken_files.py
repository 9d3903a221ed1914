"""A large file full of broken rows: every one is counted, with its reason, and nothing else is lost."""

from collections import Counter

from tests.integration.contacts.jobs import Office

ROWS = 6_000
GOOD, AGAIN, EMPTY = "good", "again", "empty"


def line(number: int) -> tuple[str, bytes]:
    """What row `number` comes to, and its bytes."""
    phone = b"+2519%08d" % number
    match number % 20:
        case 1:
            return "bad_encoding", phone + b",\xff\xfe,x\n"
        case 2:
            return "bad_quotes", phone + b',"open,x\n'
        case 3:
            return "bad_quotes", phone + b',"a"b,x\n'
        case 4:
            return EMPTY, b" ,,\r\n"
        case 5:
            return AGAIN, b"+2519%08d,Again,x\n" % (number - 5)
        case 6:
            return GOOD, phone + b",'=1+1,x\n"
        case 7:
            return "bad_phone", b"=cmd|' /C calc'!A0,Formula,x\n"
        case 8:
            return "no_address", b",Nobody,x\n"
        case 9:
            return "too_many_cells", phone + b",a,b,c\n"
        case 10:
            return "nul", phone + b",a\0b,x\n"
        case 11:
            return "cell_too_long", phone + b"," + b"y" * 33_000 + b",x\n" if number == 11 else phone + b",short\n"
        case 12:
            return GOOD, phone + b',"two\nlines, ""quoted""",x\n'
        case _:
            return GOOD, phone + ",አበበ,x\n".encode()


async def test_every_broken_row_is_counted_with_its_reason(office: Office) -> None:
    kinds: Counter[str] = Counter()
    content = bytearray(b"Phone,Name,Note\n")
    bad_lines: list[tuple[str, str]] = []
    at = 2
    for number in range(ROWS):
        kind, row = line(number)
        if kind == "cell_too_long" and number != 11:
            kind = GOOD
        if number == ROWS // 2:
            kind, row = "row_too_long", b'+251911999999,"' + b"0123456789" * 1_000_000 + b'",x\n'
        if kind not in (GOOD, AGAIN, EMPTY):
            bad_lines.append((str(at), kind))
        kinds[kind] += 1
        content += row
        at += row.count(b"\n")
    content += b'+251911999998,"never closed'
    bad_lines.append((str(at), "bad_quotes"))
    kinds["bad_quotes"] += 1

    job = await office.imported(bytes(content), {"Phone": "phone", "Name": "first_name", "Note": "notes"})
    reasons = {kind: count for kind, count in sorted(kinds.items()) if kind not in (GOOD, AGAIN, EMPTY)}
    failed = sum(reasons.values())
    assert job["status"] == "succeeded", job
    assert job["result"]["reasons"] == reasons
    assert job["result"]["empty_rows"] == kinds[EMPTY]
    assert (job["total"], job["failed"]) == (ROWS + 1 - kinds[EMPTY], failed)
    assert job["done"] == kinds[GOOD] + kinds[AGAIN]
    # The row in the place of the largest one is said again later, and only then makes its contact.
    assert (job["result"]["created"], job["result"]["updated"]) == (kinds[GOOD] + 1, kinds[AGAIN] - 1)
    assert await office.count() == kinds[GOOD] + 1
    errors = await office.errors(job)
    assert [(row["line"], row["code"]) for row in errors] == bad_lines
    assert all(not (row["Phone"] or "").startswith(("=", "@")) for row in errors)
    assert await office.count(**{"first_name": "=1+1"}) == ROWS // 20
    assert await office.count(**{"first_name[startswith]": "two"}) == ROWS // 20


async def test_lines_by_the_rules_of_others_are_counted_too(office: Office) -> None:
    """A workbook's `sep=` line, a byte order mark, carriage returns alone."""
    content = "\ufeffsep=;\r\nPhone;Name\r\n+251911000001;A,B\r\n".encode()
    job = await office.imported(content, {"Phone": "phone", "Name": "first_name"})
    assert job["done"] == 1, job
    job = await office.imported(b"Phone,Name\r+251911000002,B\r+251911000003,C\r", {"Phone": "phone"})
    assert (job["done"], job["failed"]) == (2, 0)
