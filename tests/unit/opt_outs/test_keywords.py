"""Keywords: what is the same word, what it means, and in which language."""

import unicodedata
from itertools import product
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.opt_outs.classes import ChannelClass, Topic, class_of
from app.domain.opt_outs.keywords import (
    ALWAYS_STOP,
    BUILT_INS,
    MAX_WORD,
    Action,
    built_in_action,
    languages_for,
    normalise,
)
from app.domain.opt_outs.matching import KeywordRule, Keywords, Match
from connectors.registry import connectors

EVERYWHERE = frozenset(each.language for each in BUILT_INS)
CHANNEL, OTHER_CHANNEL = UUID(int=1), UUID(int=2)

UNSEEN = "\u200b\u200f\u202e\u2066\ufe0f"
DECORATION = st.text(st.sampled_from(" \t\r\n.,!?¡¿'\"“”«»()[]-_*#…\U0001f6d1\U0001f44d\U0001f3fd" + UNSEEN))
ALL_WORDS = sorted({word for each in BUILT_INS for action in Action for word in each.words(action)})


class TestNormalise:
    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("STOP", "stop"),
            ("  Stop!!! ", "stop"),
            ("“stop”", "stop"),
            ("\U0001f6d1\ufe0f STOP \U0001f44d\U0001f3fd", "stop"),
            ("ＳＴＯＰ", "stop"),
            ("ⓢⓣⓞⓟ", "stop"),
            ("st\u200bop", "stop"),
            ("\u202eSTOP\u202c", "stop"),
            ("STOP\r\nNEWS", "stop news"),
            ("stop\u00a0 \u3000news", "stop news"),
            ("ARRE\u0302T", "arrêt"),
            ("Straße", "strasse"),
            ("बंद करो।", "बंद करो"),
            ("\u202bإلغاء\u202c.", "إلغاء"),
            ("opt-out", "opt-out"),
            ("", ""),
            ("?!", ""),
            ("\U0001f6d1", ""),
            ("\u0301", ""),
            ("a" * MAX_WORD, "a" * MAX_WORD),
            ("a" * (MAX_WORD + 1), ""),
            (" " * 200 + "stop", ""),
            ("s\0to\x07p", "stop"),
        ],
        ids=ascii,
    )
    def test_examples(self, text: str, word: str) -> None:
        assert normalise(text) == word

    @given(st.text(max_size=170))
    @example("\u0345" * 5 + "ΐ")
    @example("ẞ\u0345")
    def test_once_is_enough(self, text: str) -> None:
        assert normalise(normalise(text)) == normalise(text)

    @given(st.text(max_size=60))
    def test_what_comes_out_can_be_stored_and_is_short(self, text: str) -> None:
        word = normalise(text)
        assert len(word) <= MAX_WORD
        assert word == word.strip()
        assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in word)
        assert not word or unicodedata.category(word[0])[0] in "LN"

    @given(st.sampled_from(ALL_WORDS), DECORATION, DECORATION, st.sampled_from(["upper", "lower", "title", "swapcase"]))
    def test_decoration_and_case_mean_nothing(self, word: str, before: str, after: str, case: str) -> None:
        if len(before) + len(after) < 100:
            assert normalise(f"{before}{getattr(word, case)()}{after}") == normalise(word)

    @given(st.sampled_from(ALL_WORDS), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    def test_every_composition_is_the_same(self, word: str, form: str) -> None:
        composed = unicodedata.normalize(form, word)  # type: ignore[arg-type]
        assert normalise(composed) == normalise(word)

    @given(st.sampled_from(ALL_WORDS), st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20))
    def test_other_words_beside_it_mean_something(self, word: str, more: str) -> None:
        for text in (f"{word} {more}", f"{more} {word}"):
            assert normalise(text) != normalise(word)


class TestBuiltIn:
    def test_no_word_means_two_things(self) -> None:
        meanings: dict[str, set[Action]] = {}
        for each, action in product(BUILT_INS, Action):
            for word in each.words(action):
                assert normalise(word), word
                meanings.setdefault(normalise(word), set()).add(action)
        assert [word for word, actions in meanings.items() if len(actions) > 1] == []

    @pytest.mark.parametrize(
        "word", ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "OPT OUT", "REVOKE"]
    )
    @pytest.mark.parametrize("country", ["US", "ET", None])
    def test_english_is_understood_everywhere(self, word: str, country: str | None) -> None:
        assert built_in_action(normalise(word), languages_for(country, None)) is Action.STOP

    @pytest.mark.parametrize(
        ("word", "country", "language", "action"),
        [
            ("START", None, None, Action.START),
            ("UNSTOP", "US", None, Action.START),
            ("YES", "US", None, None),
            ("HELP", None, None, Action.HELP),
            ("INFO", None, None, Action.HELP),
            ("አቁም", "ET", None, Action.STOP),
            ("አቁም", "US", None, None),
            ("አቁም", "US", "am", Action.STOP),
            ("Sair", "BR", None, Action.STOP),
            ("ARRET", "CA", None, Action.STOP),
            ("arrêt", "CA", None, Action.STOP),
            ("Baja", "US", None, Action.STOP),
            ("إلغاء", "EG", None, Action.STOP),
            ("الغاء", "EG", None, Action.STOP),
            ("Uit", "NL", None, Action.STOP),
            ("Acha", "KE", None, Action.STOP),
            ("Hilfe", None, "de-AT", Action.HELP),
            ("IPTAL", "TR", None, Action.STOP),
            ("hello", "US", "en", None),
            ("", "US", "en", None),
        ],
    )
    def test_examples(self, word: str, country: str | None, language: str | None, action: Action | None) -> None:
        assert built_in_action(normalise(word), languages_for(country, language)) is action

    @given(st.text(max_size=50))
    def test_nothing_raises(self, text: str) -> None:
        assert built_in_action(normalise(text), EVERYWHERE) in (None, *Action)


def rule(number: int, action: Action, *words: str, **more: object) -> KeywordRule:
    return KeywordRule(id=UUID(int=number), action=action, words=frozenset(words), **more)  # type: ignore[arg-type]


class TestRules:
    def test_the_most_particular_set_comes_first(self) -> None:
        everywhere = rule(1, Action.HELP, "menu")
        of_class = rule(2, Action.START, "menu", channel_class=ChannelClass.SMS)
        of_channel = rule(3, Action.STOP, "menu", channel_id=CHANNEL, topic=Topic.MARKETING)
        rules = [everywhere, of_class, of_channel]

        def match(channel_class: ChannelClass, channel: UUID) -> Match | None:
            return Keywords(rules, channel_class, channel).match("menu", EVERYWHERE)

        assert match(ChannelClass.SMS, CHANNEL) == Match(Action.STOP, Topic.MARKETING, of_channel)
        assert match(ChannelClass.SMS, OTHER_CHANNEL) == Match(Action.START, Topic.ALL, of_class)
        assert match(ChannelClass.EMAIL, OTHER_CHANNEL) == Match(Action.HELP, Topic.ALL, everywhere)

    @given(st.lists(st.sampled_from(list(Action)), max_size=5), st.sampled_from(sorted(ALWAYS_STOP)))
    def test_stop_is_never_switched_off(self, replaced: list[Action], word: str) -> None:
        rules = [rule(n, action, replaces_built_in=True) for n, action in enumerate(replaced, 1)]
        assert Keywords(rules, ChannelClass.SMS, CHANNEL).match(word, EVERYWHERE) == Match(Action.STOP, Topic.ALL)

    def test_built_in_help_goes_where_it_is_replaced(self) -> None:
        rules = [rule(1, Action.HELP, "who", replaces_built_in=True, channel_class=ChannelClass.SMS)]
        here, there = (Keywords(rules, each, CHANNEL) for each in (ChannelClass.SMS, ChannelClass.EMAIL))
        assert here.match("help", EVERYWHERE) is None
        assert here.match("start", EVERYWHERE) == Match(Action.START, Topic.ALL)
        assert there.match("help", EVERYWHERE) == Match(Action.HELP, Topic.ALL)


def test_every_channel_type_has_a_class() -> None:
    assert {each.type: class_of(each.type) for each in connectors() if each.type in ("smpp", "sandbox")} == {
        "smpp": ChannelClass.SMS,
        "sandbox": ChannelClass.SMS,
    }
    for each in ChannelClass:
        if each is not ChannelClass.SMS:
            assert class_of(each.value) is each
