"""The language by example: names, filters, escapes, fallbacks, and where mistakes are."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.templates.language.fallback import Fallbacks, Strategy, folded_fallbacks
from app.domain.templates.language.names import fold
from app.domain.templates.language.plan import Failed, Form, Outcome, Plan, Rendered, Skipped
from app.domain.templates.language.syntax import TemplateError, parse, variables_of
from app.domain.templates.language.values import MAX_VALUE, Reason

NOW = datetime(2026, 3, 9, 6, 5, 7, tzinfo=UTC)


def render(
    body: str,
    values: Mapping[str, Any] | None = None,
    fallbacks: Fallbacks | None = None,
    *,
    form: Form = Form.TEXT,
    language: str | None = None,
    zone: str | None = None,
) -> Outcome:
    plan = Plan(parse(body), fallbacks or Fallbacks(), limit=1000, form=form, language=language)
    return plan.render(
        {fold(name): value for name, value in (values or {}).items()}, None if zone is None else ZoneInfo(zone)
    )


def text(body: str, value: Any = None, **options: Any) -> str:
    outcome = render(body, {"X": value}, **options)
    assert isinstance(outcome, Rendered), outcome
    return outcome.text


def test_the_example() -> None:
    body = "Hi {FIRST_NAME}, your code is {CODE}"
    assert variables_of(parse(body)) == ["FIRST_NAME", "CODE"]
    fallbacks = folded_fallbacks(Strategy.DEFAULT, {"first_name": "friend"}, {})
    assert render(body, {"code": 4711}, fallbacks) == Rendered("Hi friend, your code is 4711")
    assert render(body, {"Code": "A", "First_Name": "Abebe"}, fallbacks) == Rendered("Hi Abebe, your code is A")
    assert render(body, {}, fallbacks) == Failed("CODE", Reason.MISSING)


def test_variables_are_named_once_in_the_order_of_first_use() -> None:
    nodes = parse("{b}{A|upper}{B}{attributes.City}{ a }")
    assert variables_of(nodes) == ["B", "A", "ATTRIBUTES.CITY"]


@pytest.mark.parametrize(
    ("body", "value", "shown"),
    [
        ("{X|upper}", "straße", "STRASSE"),
        ("{X|lower}", "ÀÉ", "àé"),
        ("{X|title}", "ABEBE o'neil mcDonald jean-luc", "Abebe O'neil McDonald Jean-Luc"),
        ("{X|capitalize}", "abebe kebede", "Abebe kebede"),
        ("{X|trim}", "  a \n b ", "a b"),
        ("{X|truncate:8}", "Hello World", "Hello..."),
        ("{X|truncate:11}", "Hello World", "Hello World"),
        ("{X|truncate:2}", "Hello", "He"),
        ("{X|truncate:6:'…'}", "Hello World", "Hello…"),
        ("{X|truncate:5}", "x" * 100_000, "xx..."),
        ("{X|first:2}", "e\u0301e\u0301", "e\u0301"),
        ("{X|first:3}", "e\u0301e\u0301", "e\u0301"),
        ("{X|last:4}", "+251911000100", "0100"),
        ("{X|join:' / '}", ["a", 1, "", None, 2.5], "a / 1 / 2.5"),
        ("{X}", ["a", "b"], "a, b"),
        ("{X|yesno:'yes':'no'}", True, "yes"),
        ("{X|yesno:\"yes\":\"no\"}", "False", "no"),
        ("{X}", True, "true"),
        ("{X}", 12.0, "12"),
        ("{X}", 0.1, "0.1"),
        ("{X}", -0.0, "0"),
        ("{X}", 1e300, "1e+300"),
        ("{X}", Decimal("12.50"), "12.5"),
        ("{X}", Decimal("1E+3"), "1000"),
        ("{X|number}", 1234567, "1,234,567"),
        ("{X|number}", "1234.5", "1,234.5"),
        ("{X|number:2}", 1234.565, "1,234.57"),
        ("{X|number:2}", -0.001, "0.00"),
        ("{X|number:0}", "1e3", "1,000"),
        ("{X}", date(2026, 3, 9), "2026-03-09"),
        ("{X}", NOW, "2026-03-09 06:05"),
        ("{X|date:'%d %b'}", "2026-03-09", "09 Mar"),
        ("{X|date:'%-d.%-m.%Y'}", "2026-03-09", "9.3.2026"),
        ("{X|date:'%e %B %y, %A %a %j'}", date(2026, 3, 9), "9 March 26, Monday Mon 068"),
        ("{X|date:'%H:%M:%S %I %p %%'}", "2026-03-09T18:05:07Z", "18:05:07 06 PM %"),
        ("{X|date:'%-I %p'}", "2026-03-09T00:30:00Z", "12 AM"),
        ("{X|default:'a'|upper}", None, "A"),
        ("{X|upper|default:'a'}", " ", "a"),
        ("{X|date:'%d'|default:soon}", "tomorrow", "soon"),
        ("{X|default:\"a \\\"b\\\" \\\\ \\c\"}", "", 'a "b" \\ \\c'),
        ("{ X | UPPER | first : 2 }", "abc", "AB"),
        ("{{X}} {{{X}}} }}{{", "a", "{X} {a} }{"),
    ],
    ids=str,
)  # fmt: skip
def test_filters(body: str, value: Any, shown: str) -> None:
    assert text(body, value) == shown


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        (None, "Monday 9 March 1,234.5"),
        ("xx", "Monday 9 March 1,234.5"),
        ("fr-CA", "lundi 9 mars 1 234,5"),
        ("de", "Montag 9 März 1.234,5"),
        ("am", "ሰኞ 9 ማርች 1,234.5"),
        ("sw", "Jumatatu 9 Machi 1,234.5"),
    ],
)
def test_dates_and_numbers_are_those_of_the_language(language: str | None, shown: str) -> None:
    outcome = render("{D|date:'%A %e %B'} {N|number}", {"D": "2026-03-09", "N": 1234.5}, language=language)
    assert outcome == Rendered(shown)


def test_moments_are_shown_in_the_zone_of_the_recipient() -> None:
    body = "{X} {X|date:'%d %H:%M'}"
    assert text(body, NOW.replace(hour=22), zone="Africa/Addis_Ababa") == "2026-03-10 01:05 10 01:05"
    # A date or a time without a zone is what it says, wherever it is read.
    assert text(body, "2026-03-09", zone="Asia/Tokyo") == "2026-03-09 09 00:00"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": 1}, Reason.NOT_A_VALUE),
        (b"bytes", Reason.NOT_A_VALUE),
        ([["a"]], Reason.NOT_A_VALUE),
        (["a"] * 101, Reason.TOO_LONG),
        ("x" * (MAX_VALUE + 1), Reason.TOO_LONG),
        (["x" * 100] * 100, Reason.TOO_LONG),
        (10**100, Reason.TOO_LONG),
        (float("nan"), Reason.NOT_A_NUMBER),
        (float("inf"), Reason.NOT_A_NUMBER),
        (None, Reason.MISSING),
        ("", Reason.MISSING),
        (" \n\u00a0", Reason.MISSING),
        ([], Reason.MISSING),
        ([None, ""], Reason.MISSING),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_shown_says_why(value: Any, reason: Reason) -> None:
    assert render("{X}", {"X": value}) == Failed("X", reason)
    assert render("{X}", {"X": value}, Fallbacks(Strategy.SKIP)) == Skipped("X", reason)
    assert render("a{X}b", {"X": value}, Fallbacks(Strategy.EMPTY)) == Rendered("ab")


@pytest.mark.parametrize(
    ("body", "value", "reason"),
    [
        ("{X|date:'%d'}", "09.03.2026", Reason.NOT_A_DATE),
        ("{X|date:'%d'}", 5, Reason.NOT_A_DATE),
        ("{X|date:'%d'}", "0001-01-01T00:00:00+14:00" * 2, Reason.NOT_A_DATE),
        ("{X|number}", "twelve", Reason.NOT_A_NUMBER),
        ("{X|number}", "NaN", Reason.NOT_A_NUMBER),
        ("{X|number}", "1_000", Reason.NOT_A_NUMBER),
        ("{X|number}", 10**15, Reason.NOT_A_NUMBER),
        ("{X|number}", True, Reason.NOT_A_NUMBER),
        ("{X|yesno:a:b}", "maybe", Reason.NOT_A_BOOLEAN),
    ],
    ids=str,
)
def test_what_a_filter_cannot_read(body: str, value: Any, reason: Reason) -> None:
    assert render(body, {"X": value}) == Failed("X", reason)


@pytest.mark.parametrize(
    ("fallbacks", "outcome"),
    [
        (Fallbacks(), Failed("X", Reason.MISSING)),
        (Fallbacks(Strategy.FAIL), Failed("X", Reason.MISSING)),
        (Fallbacks(Strategy.SKIP), Skipped("X", Reason.MISSING)),
        (Fallbacks(Strategy.EMPTY), Rendered("a b")),
        (Fallbacks(Strategy.KEEP), Rendered("a { x | upper }b")),
        (Fallbacks(Strategy.DEFAULT, {"X": "v"}), Rendered("a vb")),
        (Fallbacks(Strategy.SKIP, {"X": "v"}), Rendered("a vb")),
        (Fallbacks(Strategy.EMPTY, {}, {"X": Strategy.SKIP}), Skipped("X", Reason.MISSING)),
        (Fallbacks(Strategy.EMPTY, {"X": "v"}, {"X": Strategy.FAIL}), Failed("X", Reason.MISSING)),
        (Fallbacks(Strategy.EMPTY, {}, {"X": Strategy.DEFAULT}), Failed("X", Reason.MISSING)),
    ],
    ids=[
        *("default without a value", "fail", "skip", "empty", "keep", "default", "a value wins over the strategy"),
        *("of one variable", "of one variable over its value", "default of one variable without a value"),
    ],
)
def test_fallbacks(fallbacks: Fallbacks, outcome: Outcome) -> None:
    assert render("a { x | upper }b", {}, fallbacks) == outcome


def test_a_fallback_of_a_name_is_that_of_the_attribute() -> None:
    assert render("{ATTRIBUTES.CITY}", {}, folded_fallbacks(Strategy.FAIL, {"city": "here"}, {})) == Rendered("here")


def test_values_are_escaped_for_where_they_stand() -> None:
    hostile = "<b>\r\nBcc: a@example.com\x00\u2028 & \"x\" 'y'"
    assert text("<p>{X}</p>", hostile, form=Form.HTML) == (
        "<p>&lt;b&gt;\r\nBcc: a@example.com\x00\u2028 &amp; &quot;x&quot; &#x27;y&#x27;</p>"
    )
    assert text("{X}!", hostile, form=Form.LINE) == "<b> Bcc: a@example.com & \"x\" 'y'!"
    stand_in = Fallbacks(Strategy.DEFAULT, {"X": "<i>"})
    assert text("<p>{X}", form=Form.HTML, fallbacks=stand_in) == "<p>&lt;i&gt;"
    assert text("{X|default:'<'}", form=Form.HTML) == "&lt;"


def test_values_are_never_read_as_templates() -> None:
    assert text("{X}", "{Y} {{Z}} {X}") == "{Y} {{Z}} {X}"
    assert text("{X}", "%s %(a)s {0} {0.__class__} ${x} {{7*7}}") == "%s %(a)s {0} {0.__class__} ${x} {{7*7}}"
    assert render("{X.__class__}", {"X": "a"}) == Failed("X.__CLASS__", Reason.MISSING)


def test_the_result_has_its_limit() -> None:
    plan = Plan(parse("ab{X}{X}"), Fallbacks(), limit=10)
    assert plan.render({"X": "1234"}) == Rendered("ab12341234")
    assert plan.render({"X": "12345"}) == Failed(None, Reason.TOO_LONG)
    assert Plan(parse("abc"), Fallbacks(), limit=2).render({}) == Failed(None, Reason.TOO_LONG)


@pytest.mark.parametrize(
    ("body", "position", "code"),
    [
        ("a } b", 2, "lone_brace"),
        ("a {", 2, "unclosed_brace"),
        ("a {X", 2, "unclosed_brace"),
        ("a {X|upper", 2, "unclosed_brace"),
        ("{{{X}", None, None),
        ("{}", 1, "bad_placeholder"),
        ("{ }", 2, "bad_placeholder"),
        ('{"a": 1}', 1, "bad_placeholder"),
        ("{X Y}", 3, "bad_placeholder"),
        ("{X\n}", 2, "bad_placeholder"),
        ("{{{X{Y}}", 4, "bad_placeholder"),
        ("{a-b}", 1, "bad_name"),
        ("{.a}", 1, "bad_name"),
        ("{a..b}", 1, "bad_name"),
        ("{a.}", 1, "bad_name"),
        ("{a()}", 1, "bad_name"),
        ("{a[0]}", 1, "bad_name"),
        ("{" + "a" * 101 + "}", 1, "too_long"),
        ("{X|}", 3, "bad_placeholder"),
        ("{X||upper}", 3, "bad_placeholder"),
        ("{X|shout}", 3, "unknown_filter"),
        ("{X|default}", 3, "bad_argument"),
        ("{X|upper:1}", 3, "bad_argument"),
        ("{X|default:}", 11, "bad_placeholder"),
        ("{X|default:''}", 3, "bad_argument"),
        ("{X|default:“a”}", 11, "typographic_quote"),
        ("{X|default:'a}", 11, "unclosed_quote"),
        ("{X|default:'a' 'b'}", 15, "bad_placeholder"),
        ("{X|default:'" + "a" * 201 + "'}", 11, "too_long"),
        ("{X|truncate:0}", 3, "bad_argument"),
        ("{X|truncate:-1}", 3, "bad_argument"),
        ("{X|truncate:99999999999}", 3, "bad_argument"),
        ("{X|truncate:٣}", 3, "bad_argument"),
        ("{X|date:'%d %Q'}", 3, "bad_argument"),
        ("{X|date:'%'}", 3, "bad_argument"),
        ("{X|date:'%-Y'}", 3, "bad_argument"),
        ("{X|number:7}", 3, "bad_argument"),
        ("{X" + "|upper" * 9 + "}", 51, "too_many_filters"),
        ("{X|yesno:a:b:c:d}", 15, "too_many_arguments"),
        ("{X}" * 201, 600, "too_many_placeholders"),
        ("".join(f"{{X{number}}}" for number in range(101)), None, "too_many_placeholders"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_mistakes_are_told_with_their_place(body: str, position: int | None, code: str | None) -> None:
    if code is None:
        assert len(Plan(parse(body), Fallbacks(), limit=100).variables) == 1
        return
    with pytest.raises(TemplateError) as caught:
        Plan(parse(body), Fallbacks(), limit=100)
    assert caught.value.code == code
    assert position is None or caught.value.position == position
    assert caught.value.detail.endswith(".")
