"""What people write to be left alone, to be written to again, and to ask what this is: words by language and country.

Everybody is understood in English; other languages where they are spoken, and where the account says it speaks them.
The English words are those of the CTIA Messaging Principles (§5.1.2) and of the rule of the FCC on revoking consent (47
CFR 64.1200(a)(10)). YES is not among them, although some carriers take it for START: it is an answer to a question far
more often. What may end an opt-out must not be said by accident.
"""

import unicodedata
from enum import StrEnum

import msgspec

MAX_WORD = 40
"""Characters of a keyword, normalised."""

_MAX_WRITTEN = 160
"""Characters of a text that may still be a keyword, with all that may stand around it."""

_MOST_PASSES = 5


class Action(StrEnum):
    """What a keyword asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"


class BuiltIn(msgspec.Struct, frozen=True):
    """The words of a language (ISO 639-1), with the countries (ISO 3166-1) where everybody is understood in it."""

    language: str
    countries: frozenset[str]
    stop: tuple[str, ...]
    start: tuple[str, ...]
    help: tuple[str, ...]

    def words(self, action: Action) -> tuple[str, ...]:
        """The words of an action."""
        if action is Action.STOP:
            return self.stop
        return self.start if action is Action.START else self.help


def _in(countries: str) -> frozenset[str]:
    return frozenset(countries.split())


_LATIN_AMERICA = "AR BO CL CO CR CU DO EC GT HN MX NI PA PE PR PY SV UY VE"
_ARAB = "AE BH DZ EG IQ JO KW LB LY MA OM QA SA SD SY TN YE"
_FRANCOPHONE = "BE BF BI BJ CA CD CF CG CH CI CM DJ DZ FR GA GN HT LU MA MG ML NE RW SN TD TG TN"

BUILT_INS = (
    BuiltIn(
        "en",
        frozenset(),
        (
            *("stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit"),
            *("optout", "opt out", "opt-out", "revoke"),
        ),
        ("start", "unstop", "subscribe", "optin", "opt in", "opt-in"),
        ("help", "info"),
    ),
    BuiltIn(
        "fr",
        _in(_FRANCOPHONE),
        (
            *("arret", "arrêt", "arreter", "arrêter", "desabonner", "désabonner", "desabonnement", "désabonnement"),
            *("desinscrire", "désinscrire", "desinscription", "désinscription", "annuler"),
        ),
        ("reprendre", "reabonner", "réabonner", "sabonner", "s'abonner", "abonner"),
        ("aide",),
    ),
    BuiltIn(
        "es",
        _in(f"ES GQ US {_LATIN_AMERICA}"),
        ("parar", "alto", "baja", "cancelar", "detener", "desuscribir", "no más", "no mas"),
        ("alta", "iniciar", "comenzar", "reanudar", "suscribir"),
        ("ayuda", "información", "informacion"),
    ),
    BuiltIn(
        "pt",
        _in("AO BR CV GW MZ PT ST TL"),
        ("parar", "pare", "sair", "cancelar", "remover", "descadastrar"),
        ("iniciar", "começar", "comecar", "retomar", "cadastrar"),
        ("ajuda", "informação", "informacao"),
    ),
    BuiltIn(
        "am",
        _in("ET"),
        ("አቁም", "አቁሚ", "አቁሙ", "ይቁም", "አቋርጥ", "ሰርዝ"),
        ("ጀምር", "ጀምሪ", "ጀምሩ", "ቀጥል"),
        ("እርዳታ", "እገዛ", "መረጃ"),
    ),
    BuiltIn("om", _in("ET"), ("dhaabi", "dhaaba", "haqi"), ("jalqabi",), ("gargaarsa",)),
    BuiltIn("ti", _in("ER ET"), ("ኣቋርጽ", "ደው ኣብል"), ("ጀምር", "ቀጽል"), ("ሓገዝ",)),
    BuiltIn("so", _in("DJ ET SO"), ("jooji", "joogso"), ("bilow",), ("caawimo", "caawimaad")),
    BuiltIn(
        "sw",
        _in("CD KE TZ UG"),
        ("acha", "simama", "sitisha", "simamisha", "komesha", "ondoa", "jiondoe", "jitoe"),
        ("anza", "jiunge", "endelea"),
        ("msaada", "usaidizi"),
    ),
    BuiltIn(
        "ar",
        _in(_ARAB),
        (
            *("توقف", "قف", "إيقاف", "ايقاف", "أوقف", "اوقف", "إلغاء", "الغاء", "إلغاء الاشتراك", "الغاء الاشتراك"),
            *("إنهاء", "انهاء"),
        ),
        ("ابدأ", "ابدا", "اشترك", "استئناف"),
        ("مساعدة", "معلومات"),
    ),
    BuiltIn(
        "de",
        _in("AT CH DE LI LU"),
        ("stopp", "abmelden", "abbestellen", "ende", "kündigen", "kuendigen"),
        ("anmelden", "weiter", "fortsetzen"),
        ("hilfe",),
    ),
    BuiltIn(
        "it",
        _in("CH IT SM"),
        ("annulla", "cancella", "disiscrivi", "disiscriviti", "basta", "ferma"),
        ("iscrivi", "iscriviti", "riprendi"),
        ("aiuto",),
    ),
    BuiltIn(
        "nl",
        _in("BE NL SR"),
        ("afmelden", "uitschrijven", "stoppen", "uit"),
        ("aanmelden", "inschrijven", "hervatten"),
        ("hulp",),
    ),
    BuiltIn("tr", _in("CY TR"), ("iptal", "dur", "durdur", "ret"), ("başlat", "baslat", "abone"), ("yardım", "yardim")),
    BuiltIn(
        "ru",
        _in("BY KG KZ RU"),
        ("стоп", "отписаться", "отписка", "отмена"),
        ("старт", "подписаться", "подписка"),
        ("помощь", "справка"),
    ),
    BuiltIn("pl", _in("PL"), ("rezygnuję", "rezygnuje", "wypisz", "koniec"), ("zapisz", "wznów", "wznow"), ("pomoc",)),
    BuiltIn("hi", _in("IN"), ("बंद", "बंद करो", "रोकें", "रोको"), ("शुरू", "शुरू करें"), ("मदद", "सहायता")),
)
"""English is the first. No word means two things, in whatever languages."""


def normalise(text: str) -> str:
    """A text as keywords are compared; empty when it cannot be one.

    Unicode's compatible forms are one (NFKC), and so are upper and lower case, also of `i` with and without its dot
    (Turkish); what stands around the letters and digits goes (spaces, punctuation, quotes, emoji), and spaces inside
    are single ones.
    """
    if len(text) > _MAX_WRITTEN:
        return ""
    for _ in range(_MOST_PASSES):
        # Folding can make what is composed differently, and composing what folds again.
        folded = unicodedata.normalize("NFKC", text.casefold())
        following = _trimmed(folded.replace("ı", "i").replace("i\N{COMBINING DOT ABOVE}", "i"))
        if following == text:
            break
        text = following
    return text if len(text) <= MAX_WORD else ""


def _trimmed(text: str) -> str:
    kept = "".join(character for character in text if not _ignorable(character))
    words = " ".join(kept.split())
    kinds = [unicodedata.category(character) for character in words]
    inside = [index for index, kind in enumerate(kinds) if kind[0] in "LN"]
    if not inside:
        return ""
    end = inside[-1] + 1
    while end < len(kinds) and kinds[end][0] == "M":
        # Vowel signs and accents belong to their letter.
        end += 1
    return words[inside[0] : end]


def _ignorable(character: str) -> bool:
    # Joiners, directions, variants of emoji, controls: nothing that anybody sees.
    return (
        unicodedata.category(character) in ("Cf", "Cs")
        or (unicodedata.category(character) == "Cc" and not character.isspace())
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _table(action: Action) -> dict[str, frozenset[str]]:
    languages: dict[str, set[str]] = {}
    for each in BUILT_INS:
        for word in each.words(action):
            languages.setdefault(normalise(word), set()).add(each.language)
    return {word: frozenset(some) for word, some in languages.items()}


_WORDS = {action: _table(action) for action in Action}

ALWAYS_STOP = frozenset(_WORDS[Action.STOP])
"""Words that mean STOP in some language: no account can give them another meaning."""


def languages_for(country: str | None, own: str | None) -> frozenset[str]:
    """The languages in which somebody in `country` is understood by an account whose language (BCP 47) is `own`."""
    spoken = {each.language for each in BUILT_INS if country in each.countries}
    return frozenset({"en", *spoken, *(() if own is None else (own.partition("-")[0],))})


def built_in_action(word: str, languages: frozenset[str]) -> Action | None:
    """What a normalised word means by itself in any of these languages."""
    for action, words in _WORDS.items():
        if words.get(word, frozenset()) & languages:
            return action
    return None
