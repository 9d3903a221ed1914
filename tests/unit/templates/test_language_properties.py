"""Whatever is written and whatever fills it: an error with its place, or a plan that never raises."""

from datetime import UTC, date, datetime, timedelta, timezone
from html import unescape
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.templates.language.fallback import Fallbacks, Strategy
from app.domain.templates.language.names import fold
from app.domain.templates.language.plan import Failed, Form, Outcome, Plan, Rendered, Skipped
from app.domain.templates.language.syntax import (
    MAX_PLACEHOLDERS,
    MAX_VARIABLES,
    Node,
    Placeholder,
    TemplateError,
    escaped,
    parse,
)
from app.domain.templates.language.values import MAX_VALUE
from tests.unit.templates import reference

LIMIT = 2000
NAMES = ["NAME", "FIRST_NAME", "CODE", "ATTRIBUTES.CITY", "CITY", "x1", "ስም"]

# Text that is mostly syntax: plain random text hardly ever holds a placeholder.
FRAGMENTS = [
    *("{", "}", "{{", "}}", "|", ":", '"', "'", "\\", " ", "\t", "\n", ".", "“", "’", "é", "ሰ", "0", "20", "%d"),
    *("upper", "|lower", "|trim", '|default:"a"', "|truncate:3", "|date:'%d %b'", "|number:2", '|join:" "', "|first:2"),
    *("{NAME}", "{ name |upper}", "{CODE", "CITY}", "{ATTRIBUTES.CITY}", "{NAME|upper|", '{X|yesno:"y":"n"}', "{.}"),
]
bodies = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS)).map("".join))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**310),
    st.floats(),
    st.decimals(),
    st.text(),
    st.text(alphabet=" \n\u00a0"),
    st.sampled_from(["2026-11-26", "2026-11-26T10:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31", "1e9", "-0"]),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=23))])),
    st.binary(),
    st.just("x" * (MAX_VALUE + 1)),
    st.just("ß" * MAX_VALUE),
)
values = st.dictionaries(
    st.one_of(st.sampled_from(NAMES), st.text(max_size=5)),
    st.one_of(scalars, st.lists(scalars), st.dictionaries(st.text(), scalars), st.lists(st.lists(scalars))),
)
fallbacks = st.builds(
    Fallbacks,
    st.sampled_from(Strategy),
    st.dictionaries(st.sampled_from(NAMES).map(fold), st.text()),
    st.dictionaries(st.sampled_from(NAMES).map(fold), st.sampled_from(Strategy)),
)
filters = st.sampled_from(
    [
        *("upper", "lower", "title", "capitalize", "trim", "truncate:3", "truncate:9:…", "first:2", "last:3", "number"),
        *(
            'default:"d"',
            "number:2",
            'join:" + "',
            'yesno:"y":"n"',
            "date:'%-d %B %Y %H:%M'",
            "date:'%a %A %b %j %p'",
        ),
    ]
)
placeholders = st.builds(
    lambda name, chain: "{" + "|".join([name, *chain]) + "}", st.sampled_from(NAMES), st.lists(filters, max_size=4)
)
good_bodies = st.lists(st.one_of(st.text().map(escaped), placeholders), max_size=8).map("".join)


def parsed(body: str) -> tuple[Node, ...] | TemplateError:
    try:
        return parse(body)
    except TemplateError as error:
        return error


@given(bodies)
@example("{" * 5000)
@example("}" * 5001)
@example("{a|" * 2000)
@example('{a|default:"' * 2000)
@example("{a}" * (MAX_PLACEHOLDERS + 1))
def test_every_text_is_nodes_or_an_error_with_its_place(body: str) -> None:
    found = parsed(body)
    if isinstance(found, TemplateError):
        assert 0 <= found.position <= len(body)
        assert found.code and found.detail
        return
    named = [node for node in found if isinstance(node, Placeholder)]
    assert len(named) <= MAX_PLACEHOLDERS
    assert len({node.name for node in named}) <= MAX_VARIABLES
    for node in named:
        assert body[node.position :].startswith(node.source)
    assert "".join(node.source if isinstance(node, Placeholder) else escaped(node.text) for node in found) == body


@given(bodies)
def test_the_reference_reads_the_same(body: str) -> None:
    found = parsed(body)
    try:
        expected = reference.read(body)
    except reference.Wrong:
        assert isinstance(found, TemplateError)
        return
    if isinstance(found, TemplateError):
        assert found.code.startswith("too_"), found
        return
    shown = [
        (node.name, [(call.name, list(call.arguments)) for call in node.filters], node.source)
        if isinstance(node, Placeholder)
        else node.text
        for node in found
    ]
    assert shown == [node if isinstance(node, str) else (fold(node[0]), *node[1:]) for node in expected]


@given(st.text())
def test_escaping_comes_back(text: str) -> None:
    assert Plan(parse(escaped(text)), Fallbacks(), limit=len(text)).render({}) == Rendered(text)


@settings(max_examples=500)
@given(good_bodies, values, fallbacks, st.sampled_from(Form), st.sampled_from([None, "am", "fr-CA", "xx"]))
def test_rendering_never_raises_and_keeps_its_limits(
    body: str, given_values: dict[str, Any], stand_ins: Fallbacks, form: Form, language: str | None
) -> None:
    nodes = parse(body)
    plan = Plan(nodes, stand_ins, limit=LIMIT, form=form, language=language)
    known = {fold(name): value for name, value in given_values.items()}
    for zone in (None, timezone(timedelta(hours=3))):
        outcome: Outcome = plan.render(known, zone)
        if isinstance(outcome, Rendered):
            assert len(outcome.text) <= LIMIT
        else:
            assert isinstance(outcome, Skipped | Failed)
            assert outcome.variable is None or outcome.variable in plan.variables
    assert set(plan.missing(known)) <= set(plan.variables)


@given(st.text(), st.sampled_from(["a{X}b", '<a href="{X}">', "{X|upper}"]))
def test_html_shows_the_value_and_nothing_else(value: str, body: str) -> None:
    plain = Plan(parse(body), Fallbacks(Strategy.EMPTY), limit=100_000).render({"X": value})
    marked = Plan(parse(body), Fallbacks(Strategy.EMPTY), limit=100_000, form=Form.HTML).render({"X": value})
    assert isinstance(plain, Rendered) and isinstance(marked, Rendered)
    assert marked.text.count("<") == body.count("<")
    assert marked.text.count('"') == body.count('"')
    assert "'" not in marked.text
    if "&" not in plain.text:
        assert unescape(marked.text) == plain.text


simple_values = st.dictionaries(st.sampled_from(NAMES).map(fold), st.text(max_size=20))
simple_filters = st.sampled_from(["upper", "lower", "trim", "last:3", 'default:"d"', "default:' '"])
simple_bodies = st.lists(
    st.one_of(
        st.text(max_size=10).map(escaped),
        st.builds(
            lambda name, chain: "{" + " | ".join([name, *chain]) + "}",
            st.sampled_from(NAMES),
            st.lists(simple_filters, max_size=3),
        ),
    ),
    max_size=6,
).map("".join)


@settings(max_examples=500)
@given(simple_bodies, simple_values, st.sampled_from(Strategy), simple_values)
def test_the_reference_renders_the_same(
    body: str, given_values: dict[str, str], strategy: Strategy, defaults: dict[str, str]
) -> None:
    # Without values of its own ATTRIBUTES.CITY takes those of CITY, which is tested by itself.
    defaults = defaults | ({"ATTRIBUTES.CITY": defaults["CITY"]} if "CITY" in defaults else {})
    outcome = Plan(parse(body), Fallbacks(strategy, defaults), limit=100_000).render(given_values)
    expected = reference.render(body, given_values, strategy.value, defaults)
    match outcome:
        case Rendered(text):
            assert text == expected
        case Skipped(variable):
            assert ("skipped", variable) == (expected[0], fold(expected[1]))
        case Failed(variable):
            assert ("failed", variable) == (expected[0], fold(expected[1]))


@given(st.lists(st.sampled_from(NAMES), max_size=10), st.randoms())
def test_case_makes_no_difference(names: list[str], random: Any) -> None:
    body = "".join("{" + name + "}" for name in names)
    other = "".join("{" + "".join(random.choice((c.lower(), c.upper())) for c in name) + "}" for name in names)
    filled = {fold(name): name for name in names}
    results = [Plan(parse(each), Fallbacks(), limit=1000).render(filled) for each in (body, other)]
    assert results == [Rendered("".join(names))] * 2


@pytest.mark.parametrize("value", [date(1, 1, 1), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)], ids=["first", "last"])
def test_moments_at_the_ends_of_time(value: date) -> None:
    plan = Plan(parse("{D} {D|date:'%Y-%m-%d %H:%M'}"), Fallbacks(Strategy.KEEP), limit=100)
    for hours in (-14, 14):
        assert isinstance(plan.render({"D": value}, timezone(timedelta(hours=hours))), Rendered)
