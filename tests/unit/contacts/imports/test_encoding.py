"""Finding out what a file is, and making UTF-8 of it."""

import io

import pytest

from app.domain.contacts.imports.encoding import (
    ENCODINGS,
    Form,
    Transcoder,
    canonical_encoding,
    find_form,
    skip_delimiter_line,
)
from app.domain.contacts.imports.rows import UnreadableFile

FRENCH = "Téléphone;Prénom;Ville\r\n0611223344;Hélène;Orléans\r\n0611223345;Zoé;Nîmes\r\n"
RUSSIAN = "Телефон,Имя\n+79161234567,Иван\n+79161234568,Анна\n"
AMHARIC = "ስልክ\tስም\n+251911000001\tአበበ\n"
CHINESE = "手机,姓名\n+8613800000001,王小明\n+8613800000002,李娜\n"
ARABIC = "هاتف,اسم\n+201000000001,محمد\n+201000000002,علي\n"
JAPANESE = "電話,名前\n+819000000001,田中太郎\n+819000000002,鈴木\n"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("a,b\n1,2\n", "ascii", "utf-8"),
        (AMHARIC, "utf-8", "utf-8"),
        (AMHARIC, "utf-8-sig", "utf-8"),
        (AMHARIC, "utf-16", "utf-16-le"),
        (RUSSIAN, "utf-16-le", "utf-16-le"),
        (RUSSIAN, "utf-16-be", "utf-16-be"),
        (FRENCH, "utf-32", "utf-32-le"),
        (FRENCH, "cp1252", "cp1252"),
        (RUSSIAN, "cp1251", "cp1251"),
        (ARABIC, "cp1256", "cp1256"),
        (CHINESE, "gb18030", "gb18030"),
        (JAPANESE, "shift_jis", "shift_jis"),
    ],
    ids=lambda value: value if value.isascii() and len(value) < 12 else "",
)
def test_encodings_are_found_out_and_read(text: str, encoding: str, found: str) -> None:
    content = text.encode(encoding)
    form = find_form(content)
    assert (form.kind, form.encoding) == ("csv", found)
    transcoder = Transcoder(form.encoding)
    pieces = [transcoder.feed(content[index : index + 3]) for index in range(0, len(content), 3)]
    assert b"".join([*pieces, transcoder.feed(b"", final=True)]).decode() == text


def test_damaged_utf_8_stays_utf_8_and_the_damage_is_seen() -> None:
    content = AMHARIC.encode() + b"+251911000002\t\xff\xfe\n"
    assert find_form(content).encoding == "utf-8"
    assert Transcoder("utf-8").feed(content) == content


def test_a_letter_that_is_cut_off_by_the_end_of_the_sample_is_no_damage() -> None:
    assert find_form(AMHARIC.encode()[:-2]).encoding == "utf-8"


@pytest.mark.parametrize("encoding", [each for each in ENCODINGS if each != "utf-8"])
def test_what_is_no_text_becomes_what_is_none_in_utf_8(encoding: str) -> None:
    transcoder = Transcoder(encoding)
    seen = transcoder.feed(bytes(range(128, 256)) + b"\xff\xdf\xff", final=True)
    assert "\ufffd" not in seen.decode(errors="ignore")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("UTF-16", "utf-16-le"),
        ("latin1", "iso8859-1"),
        ("windows-1252", "cp1252"),
        ("Shift-JIS", "shift_jis"),
        ("utf-7", None),
        ("idna", None),
        ("base64", None),
        ("rot13", None),
        ("unknown", None),
        ("a\0b", None),
        ("", None),
    ],
)
def test_names_of_encodings(name: str, found: str | None) -> None:
    assert canonical_encoding(name) == found


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b;c\n1,2;3\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb,c\n1\t2\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("Phone\n+251911000001\n", ","),
        ('"a,b,c";d\n"1,2,3";4\n', ";"),
        ("sep=|\na,b,c\n", "|"),
        ('name,notes\nx,"one;two;three;\nfour;"\n', ","),
        ("", ","),
        ('"', ","),
    ],
)
def test_delimiters_are_found_out(text: str, delimiter: str) -> None:
    assert find_form(b"." + text.encode() if not text else text.encode()).delimiter == delimiter


def test_what_is_given_is_not_looked_for() -> None:
    assert find_form(b"a;b\n", encoding="cp1251", delimiter="|") == Form("csv", "cp1251", "|")


def test_other_files_are_refused_with_words() -> None:
    for content in (b"", b" \r\n", b"%PDF-1.4", b"\xd0\xcf\x11\xe0", b"\x89PNG\r\n"):
        with pytest.raises(UnreadableFile):
            find_form(content)
    assert find_form(b"PK\x03\x04").kind == "xlsx"


def test_lines_that_end_with_a_carriage_return_alone() -> None:
    assert Transcoder("utf-8").feed(b"a,b\r1,2\r") == b"a,b\n1,2\n"
    assert Transcoder("utf-8").feed(b"a,b\r\n1,2\r") == b"a,b\r\n1,2\r"


@pytest.mark.parametrize(
    ("content", "length"),
    [(b"sep=;\r\na;b\n", 7), (b"sep=,\na", 6), (b"sep=x\na", 0), (b"separator\n", 0), (b"sep=;", 0), (b"", 0)],
)
def test_the_line_that_names_the_delimiter(content: bytes, length: int) -> None:
    assert skip_delimiter_line(io.BytesIO(content)) == length
