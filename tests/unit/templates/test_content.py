"""What a version holds: what is refused, what is warned about, how it looks for one recipient."""

from typing import Any

import pytest

from app.domain.templates.checks import checked_content, content_document, variables_in
from app.domain.templates.content import Kind
from app.domain.templates.language.plan import Failed, Skipped
from app.domain.templates.language.values import Reason
from app.domain.templates.lint import MAX_WARNINGS, TemplateWarning, estimates, lint
from app.domain.templates.rendering import MessagePlan, RenderedMessage, kind_of, language_for, refusal, sample_contact
from app.lib.errors import InvalidValue

WHATSAPP: dict[str, Any] = {
    "template": "order_shipped",
    "language": "en_US",
    "header": {"type": "document", "media_url": "https://example.com/{CODE}.pdf", "filename": "{CODE}.pdf"},
    "body": ["{FIRST_NAME|title}", "{CODE}"],
    "buttons": [{"type": "url", "index": 0, "parameter": "{CODE}"}],
}
FULL: dict[str, Any] = {
    "body": "Hi {FIRST_NAME}, your code is {CODE}",
    "language": "en",
    "fallback": {"strategy": "skip", "values": {"first_name": "friend"}, "strategies": {"Code": "fail"}},
    "languages": {
        "am": {"body": "ሰላም {FIRST_NAME} {CODE}"},
        "fr": {"body": "Salut {FIRST_NAME}, {CODE}", "variants": {"sms": {"text": "Code {CODE}"}}},
        "fr-CA": {"body": "Allo {FIRST_NAME}, {CODE}"},
    },
    "variants": {
        "sms": {"text": "Code: {CODE}"},
        "email": {"subject": "For {FIRST_NAME}", "html": "<p>{CODE}</p>"},
        "whatsapp": WHATSAPP,
    },
}


def codes(warnings: list[TemplateWarning]) -> list[tuple[str, str, str | None]]:
    return [(each.code, each.pointer, each.variable or each.character) for each in warnings]


def test_a_content_comes_back_from_what_is_stored() -> None:
    content = checked_content(FULL)
    assert checked_content(content_document(content)) == content
    assert variables_in(content) == ["FIRST_NAME", "CODE"]


def test_texts_are_stored_in_nfc() -> None:
    content = checked_content({"body": "cafe\u0301 {NAME}", "fallback": {"values": {"NAME": "e\u0301"}}})
    assert (content.body, content.fallback.values) == ("café {NAME}", {"NAME": "é"})


@pytest.mark.parametrize(
    ("document", "errors"),
    [
        ({"body": "Hi {NAME"}, [("/body", "unclosed_brace")]),
        ({"body": "a\n} {"}, [("/body", "lone_brace")]),
        ({"body": "a", "languages": {"fr": {"body": "{"}, "am": {"body": "}"}}},
         [("/languages/fr/body", "unclosed_brace"), ("/languages/am/body", "lone_brace")]),
        ({"body": "a", "variants": {"email": {"subject": "{", "html": "{", "text": "{"}}},
         [(f"/variants/email/{name}", "unclosed_brace") for name in ("subject", "html", "text")]),
        ({"body": "a", "variants": {"whatsapp": WHATSAPP | {"body": ["a", "{X|y}"]}}},
         [("/variants/whatsapp/body/1", "unknown_filter")]),
        ({"body": "a", "variants": {"whatsapp": WHATSAPP | {"header": {"type": "text"}}}},
         [("/variants/whatsapp/header/parameter", "missing_field")]),
        ({"body": "a", "variants": {"whatsapp": WHATSAPP | {"header": {"type": "image", "parameter": "x"}}}},
         [("/variants/whatsapp/header/parameter", "not_allowed"),
          ("/variants/whatsapp/header/media_url", "missing_field")]),
        ({"body": "a", "variants": {"whatsapp": WHATSAPP | {"buttons": WHATSAPP["buttons"] * 2}}},
         [("/variants/whatsapp/buttons/1/index", "duplicate")]),
        ({"body": "a", "fallback": {"values": {"A": "x", "a": "y"}}}, [("/fallback/values/a", "duplicate")]),
        ({"body": "a", "fallback": {"values": {"a/b": "x"}}}, [("/fallback/values/a~1b", "bad_name")]),
        ({"body": "a", "fallback": {"values": {"a": " "}}}, [("/fallback/values/a", "wrong_length")]),
        ({"body": "a", "language": "fr", "languages": {"fr": {"body": "b"}}}, [("/languages/fr", "duplicate")]),
        ({"body": "a\0"}, [("/body", "not_allowed")]),
        ({"body": "a", "color": 1}, [("/color", "unknown_field")]),
        ({"body": ""}, [("/body", "wrong_length")]),
        ({}, [("/body", "missing_field")]),
    ],
    ids=lambda value: str(value)[:60].replace("\0", "NUL"),
)  # fmt: skip
def test_what_is_wrong_is_pointed_at(document: dict[str, Any], errors: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidValue) as caught:
        checked_content(document)
    assert [(each.pointer, each.code) for each in caught.value.errors] == errors


def test_the_place_of_a_mistake_is_said_in_words() -> None:
    with pytest.raises(InvalidValue, match=r"\(line 3, character 2\)\.$"):
        checked_content({"body": "a\nb\nc}"})
    with pytest.raises(InvalidValue, match=r"\(character 3\)\.$"):
        checked_content({"body": "ሰላ{"})


class TestLanguages:
    @pytest.mark.parametrize(
        ("wanted", "chosen"),
        [
            *((None, None), ("am", "am"), ("am-ET", "am"), ("fr-CA", "fr-CA"), ("FR-ca", "fr-CA"), ("fr-BE", "fr")),
            *(("en", None), ("en-GB", None), ("sw", None), ("", None), ("x" * 35, None)),
        ],
        ids=str,
    )
    def test_the_closest_is_chosen(self, wanted: str | None, chosen: str | None) -> None:
        assert language_for(checked_content(FULL), wanted) == chosen

    def test_the_exact_language_of_the_template_itself_wins_over_the_base_of_a_translation(self) -> None:
        content = checked_content({"body": "a", "language": "en-GB", "languages": {"en": {"body": "b"}}})
        assert language_for(content, "en-GB") is None
        assert language_for(content, "en-US") == "en"


class TestRendering:
    def render(self, kind: Kind, language: str | None = None, **values: Any) -> Any:
        plan = MessagePlan(checked_content(FULL), kind, language)
        return plan.render(plan.values(values, None))

    def test_each_kind_of_channel_gets_its_variant(self) -> None:
        assert self.render(Kind.TEXT, CODE=1) == RenderedMessage("en", "Hi friend, your code is 1")
        assert self.render(Kind.SMS, CODE=1) == RenderedMessage("en", "Code: 1")
        assert self.render(Kind.EMAIL, CODE="<1>", FIRST_NAME="A\nB") == RenderedMessage(
            "en", "Hi A\nB, your code is <1>", "For A B", "<p>&lt;1&gt;</p>"
        )

    def test_whatsapp_parameters_stand_in_their_places(self) -> None:
        shown = self.render(Kind.WHATSAPP, CODE="7", FIRST_NAME="abebe")
        assert shown.text == "Hi abebe, your code is 7"
        assert content_document(shown.whatsapp) == WHATSAPP | {
            "header": {"type": "document", "media_url": "https://example.com/7.pdf", "filename": "7.pdf"},
            "body": ["Abebe", "7"],
            "buttons": [{"type": "url", "index": 0, "parameter": "7"}],
        }

    def test_translations(self) -> None:
        assert self.render(Kind.SMS, "fr", CODE=1) == RenderedMessage("fr", "Code 1")
        # A translated body rather than a short text in another language.
        assert self.render(Kind.SMS, "fr-CA", CODE=1) == RenderedMessage("fr-CA", "Allo friend, 1")
        translated = self.render(Kind.EMAIL, "fr-CA", CODE=1)
        assert (translated.text, translated.subject) == ("Allo friend, 1", "For friend")

    def test_the_first_that_cannot_be_filled_decides(self) -> None:
        assert self.render(Kind.SMS) == Failed("CODE", Reason.MISSING)
        skipping = checked_content(FULL | {"fallback": {"strategy": "skip"}})
        outcome = MessagePlan(skipping, Kind.TEXT, None).render({"CODE": 1})
        assert outcome == Skipped("FIRST_NAME", Reason.MISSING)

    def values(self, names: str, variables: dict[str, Any], contact: dict[str, Any] | None) -> dict[str, Any]:
        body = "".join("{" + name + "}" for name in names.split())
        return MessagePlan(checked_content({"body": body}), Kind.SMS, None).values(variables, contact)

    def test_which_of_several_values_a_name_means(self) -> None:
        contact = {
            "first_name": "field",
            "last_name": None,
            "phone": "+251911000100",
            "attributes": {"city": "attribute", "first_name": "hidden", "last_name": "attribute", "phone": 1},
            "whatever": "unseen",
        }
        variables = {"Phone": "request", "CITY": None, "other": 1}
        names = "FIRST_NAME LAST_NAME PHONE CITY ATTRIBUTES.FIRST_NAME WHATEVER EMAIL"
        assert self.values(names, variables, contact) == {
            "FIRST_NAME": "field",
            "LAST_NAME": "attribute",
            "PHONE": "request",
            "CITY": "attribute",
            "ATTRIBUTES.FIRST_NAME": "hidden",
        }
        assert self.values(names, variables, None) == {"PHONE": "request"}
        assert self.values("X", {"x": " "}, {"attributes": {"x": "attribute"}}) == {"X": "attribute"}

    def test_full_names(self) -> None:
        for given, expected in (
            ({"first_name": "A", "last_name": "B"}, "A B"),
            ({"first_name": "A", "last_name": ""}, "A"),
            ({"full_name": "C", "first_name": "A"}, "C"),
        ):
            assert self.values("FULL_NAME", {}, given) == {"FULL_NAME": expected}
        assert self.values("FULL_NAME", {}, {}) == {}

    def test_attributes_of_a_sample_have_any_case(self) -> None:
        sample = sample_contact({"attributes": {"City": "Adama"}})
        assert self.values("city", {}, sample) == {"CITY": "Adama"}
        assert sample_contact({})["attributes"] == {}

    @pytest.mark.parametrize("reason", Reason)
    def test_refusals_have_words(self, reason: Reason) -> None:
        for outcome in (Failed("CODE", reason), Skipped("CODE", reason)):
            error = refusal(outcome)
            assert (error.pointer, error.code) == ("/variables/CODE", reason.value)
            assert "CODE" in error.detail
        assert refusal(Failed(None, reason)).pointer == "/variables"

    @pytest.mark.parametrize(
        ("channel", "kind"),
        [
            ("smpp", Kind.SMS),
            ("sandbox", Kind.SMS),
            ("email", Kind.EMAIL),
            ("whatsapp", Kind.WHATSAPP),
            ("?", Kind.TEXT),
        ],
    )
    def test_kinds_of_channels(self, channel: str, kind: Kind) -> None:
        assert kind_of(channel) is kind


class TestLint:
    def test_nothing_to_say(self) -> None:
        assert lint(checked_content(FULL)) == []

    def test_unknown_names(self) -> None:
        content = checked_content(
            {"body": "{FIRSTNAME} {FirstName} {CODE} {city} {ATTRIBUTES.CITI}", "fallback": {"strategy": "empty"}}
        )
        assert codes(lint(content)) == [("unknown_variable", "/body", "FIRSTNAME")]
        known = lint(content, variables=["code"], attributes=["City"])
        assert codes(known) == [
            ("unknown_variable", "/body", "FIRSTNAME"),
            ("unknown_variable", "/body", "ATTRIBUTES.CITI"),
        ]
        assert [each.suggestion for each in known] == ["FIRST_NAME", "ATTRIBUTES.CITY"]
        assert known[0].index == 0

    def test_names_without_a_fallback(self) -> None:
        body = "{A}{A} {B|default:'x'} {C} {D} {ATTRIBUTES.E}"
        fallback = {"values": {"C": "x", "E": "y"}, "strategies": {"D": "fail"}}
        content = checked_content({"body": body, "fallback": fallback})
        assert codes(lint(content)) == [("no_fallback", "/body", "A")]
        assert lint(checked_content({"body": body, "fallback": fallback | {"strategy": "fail"}})) == []

    def test_fallbacks_of_nothing(self) -> None:
        content = checked_content({"body": "a", "fallback": {"values": {"A": "x"}, "strategies": {"b": "skip"}}})
        assert codes(lint(content)) == [
            ("unused_fallback", "/fallback/values", "A"),
            ("unused_fallback", "/fallback/strategies", "B"),
        ]

    def test_double_braces_look_like_a_variable(self) -> None:
        (warning,) = lint(checked_content({"body": "Hi {{first_name}}"}))
        assert (warning.code, warning.suggestion) == ("looks_like_variable", "{first_name}")
        strategy = {"strategy": "empty"}
        assert lint(checked_content({"body": '{{{CODE}}} {{ "a": 1 }}', "fallback": strategy})) == []

    def test_unquoted_attributes(self) -> None:
        html = '<a href={LINK}><a href="{LINK}">{LINK}'
        document = {"body": "a", "variants": {"email": {"subject": "s", "html": html}}}
        (warning,) = lint(checked_content(document | {"fallback": {"strategy": "empty"}}))
        assert (warning.code, warning.index) == ("unquoted_attribute", 8)

    def test_empty_parameters(self) -> None:
        body = ["{A}", "to {A}", "{A|default:'x'}", "{B}"]
        whatsapp = {"template": "t", "language": "en", "body": body}
        fallback = {"strategy": "empty", "values": {"B": "x"}}
        content = checked_content({"body": "a", "variants": {"whatsapp": whatsapp}, "fallback": fallback})
        assert codes(lint(content)) == [("empty_parameter", "/variants/whatsapp/body/0", "A")]

    def test_characters_that_cost_a_part(self) -> None:
        found = lint(checked_content({"body": "It’s “you”, " + "x" * 80}))
        assert codes(found) == [("not_gsm7", "/body", character) for character in "’“”"]
        assert [(each.index, each.suggestion) for each in found] == [(2, "'"), (5, '"'), (9, '"')]
        assert "2 parts instead of 1" in found[0].detail
        (cheap,) = lint(checked_content({"body": "It’s"}))
        assert "70 characters in a part instead of 160" in cheap.detail
        # This is UCS-2 whatever becomes of the quote.
        assert lint(checked_content({"body": "ሰላም ’"})) == []

    def test_many_parts(self) -> None:
        assert codes(lint(checked_content({"body": "x" * 1600}))) == [("too_many_segments", "/body", None)]

    def test_there_is_an_end_to_warnings(self) -> None:
        bodies = {f"a{a}{b}": {"body": "{" + f"X{a}{b}" + "}’“”…–—•"} for a in "bcdefgh" for b in "bcdefgh"}
        assert len(lint(checked_content({"body": "a", "languages": bodies}))) == MAX_WARNINGS

    def test_lengths(self) -> None:
        found = {(each.language, each.channel): each for each in estimates(checked_content(FULL))}
        assert set(found) == {
            *(("en", kind) for kind in ("sms", "email", "whatsapp")),
            *(("am", "sms"), ("fr", "sms"), ("fr-CA", "sms")),
        }
        assert (found["en", "sms"].encoding, found["en", "sms"].segments) == ("gsm7", 1)
        assert found["en", "sms"].characters == len("Code: 12345678")
        assert found["am", "sms"].encoding == "ucs2"
        assert found["en", "email"].characters == len("Hi friend, your code is 12345678")

    def test_lengths_of_what_filters_make(self) -> None:
        body = "{D|date:'%d %b'} {N|number} {B|yesno:a:b} {PHONE|last:4} {T|truncate:4:}"
        with pytest.raises(InvalidValue):
            checked_content({"body": body})
        (length,) = estimates(checked_content({"body": body.replace(":}", "}")}))
        assert length.characters == len("23 Sep 12,345 a 0100 1...")
