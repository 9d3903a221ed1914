"""How dates and numbers are written, for the languages we have words of; English for the others."""

import msgspec


class Locale(msgspec.Struct, frozen=True):
    """Names from January and Monday on; `decimal` and `group` are the marks in numbers."""

    months: tuple[str, ...]
    short_months: tuple[str, ...]
    days: tuple[str, ...]
    short_days: tuple[str, ...]
    decimal: str = "."
    group: str = ","


def _locale(months: str, short_months: str, days: str, short_days: str, decimal: str = ".", group: str = ",") -> Locale:
    return Locale(
        tuple(months.split()),
        tuple(short_months.split()),
        tuple(days.split()),
        tuple(short_days.split()),
        decimal,
        group,
    )


ENGLISH = _locale(
    "January February March April May June July August September October November December",
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "Mon Tue Wed Thu Fri Sat Sun",
)

_LOCALES = {
    "en": ENGLISH,
    "am": _locale(
        "ጃንዩወሪ ፌብሩወሪ ማርች ኤፕሪል ሜይ ጁን ጁላይ ኦገስት ሴፕቴምበር ኦክቶበር ኖቬምበር ዲሴምበር",
        "ጃንዩ ፌብሩ ማርች ኤፕሪ ሜይ ጁን ጁላይ ኦገስ ሴፕቴ ኦክቶ ኖቬም ዲሴም",
        "ሰኞ ማክሰኞ ረቡዕ ሐሙስ ዓርብ ቅዳሜ እሑድ",
        "ሰኞ ማክሰ ረቡዕ ሐሙስ ዓርብ ቅዳሜ እሑድ",
    ),
    "sw": _locale(
        "Januari Februari Machi Aprili Mei Juni Julai Agosti Septemba Oktoba Novemba Desemba",
        "Jan Feb Mac Apr Mei Jun Jul Ago Sep Okt Nov Des",
        "Jumatatu Jumanne Jumatano Alhamisi Ijumaa Jumamosi Jumapili",
        "Jumatatu Jumanne Jumatano Alhamisi Ijumaa Jumamosi Jumapili",
    ),
    "fr": _locale(
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "lun. mar. mer. jeu. ven. sam. dim.",
        ",",
        # The narrow space that French prints here is in no short message without making it UCS-2.
        " ",
    ),
    "es": _locale(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sept oct nov dic",
        "lunes martes miércoles jueves viernes sábado domingo",
        "lun mar mié jue vie sáb dom",
        ",",
        ".",
    ),
    "pt": _locale(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
        "seg. ter. qua. qui. sex. sáb. dom.",
        ",",
        ".",
    ),
    "de": _locale(
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        "Mo. Di. Mi. Do. Fr. Sa. So.",
        ",",
        ".",
    ),
}


def locale_of(language: str | None) -> Locale:
    """The locale of a language tag such as `fr-CA`, English where we have none."""
    return _LOCALES.get((language or "en").partition("-")[0].lower(), ENGLISH)
