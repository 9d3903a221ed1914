"""What a column of a file is, guessed from its name in one of several languages, and from its values."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from app.domain.contacts.attributes import KEY, parse_cell
from app.domain.contacts.fields import ATTRIBUTE_PREFIX, AttributeType

_NAMES: dict[str, str] = {
    "phone": """
        phone|phone number|phone no|phones|telephone|telephone number|tel|tel no|mobile|mobile number
        |mobile phone|mobile no|cell|cell phone|cellphone|cellular|msisdn|sms|number|contact number|gsm
        |primary phone|home phone|work phone|telephone portable|portable|numero de telephone|numero|telefono
        |telefono movil|movil|celular|numero de telefono|telefone|telemovel|telefon|telefonnummer|rufnummer
        |handy|handynummer|mobil|mobilnummer|cellulare|numero di telefono|telefoon|mobiel|simu|nambari ya simu
        |namba ya simu|lambarka|taleefan|bilbila|lakk bilbilaa|cep|cep telefonu|telefon numarasi|телефон
        |мобильный|номер телефона|номер|мобильный телефон|هاتف|رقم الهاتف|جوال|موبايل|تلفون|رقم الجوال|电话|手机
        |手机号|手机号码|电话号码|電話|電話番号|携帯|携帯電話|핸드폰|전화번호|फ़ोन|मोबाइल|फोन|telepon
        |nomor telepon|no hp|hp|ስልክ|ስልክ ቁጥር|የስልክ ቁጥር|ሞባይል|so dien thoai|dien thoai
    """,
    "email": """
        email|e mail|mail|email address|e mail address|primary email|work email|courriel|adresse email
        |adresse e mail|adresse mail|correo|correo electronico|endereco de email|e mail adresse|emailadresse
        |indirizzo email|barua pepe|eposta|e posta|почта|электронная почта|имейл|بريد|البريد الالكتروني
        |البريد الإلكتروني|ايميل|邮箱|电子邮件|电子邮箱|メール|メールアドレス|이메일|ईमेल|surel|ኢሜል|ኢሜይል
    """,
    "telegram": "telegram|telegram id|telegram username|телеграм|ቴሌግራም",
    "whatsapp": "whatsapp|whats app|whatsapp number|wa|واتساب",
    "messenger": "messenger|messenger id|psid|facebook messenger",
    "first_name": """
        first name|firstname|given name|forename|name|names|full name|fullname|contact name|contact|customer
        |customer name|prenom|nom complet|nombre|nombres|primer nombre|nombre completo|nome|primeiro nome
        |nome completo|vorname|nome proprio|voornaam|jina|jina la kwanza|magaca|maqaa|ad|adi|isim|ad soyad|имя
        |фио|полное имя|الاسم|اسم|الاسم الاول|الاسم الكامل|名字|名|姓名|名前|氏名|이름|नाम|nama|nama depan
        |nama lengkap|ስም|ሙሉ ስም|ten
    """,
    "last_name": """
        last name|lastname|surname|family name|father name|fathers name|father s name|nom|nom de famille
        |apellido|apellidos|sobrenome|apelido|ultimo nome|nachname|familienname|cognome|achternaam
        |jina la mwisho|jina la ukoo|soyad|soyadi|soyisim|фамилия|اسم العائلة|اللقب|姓|姓氏|苗字|성|उपनाम
        |nama belakang|የአባት ስም|ho
    """,
    "language": """
        language|lang|locale|preferred language|langue|idioma|lengua|sprache|lingua|taal|lugha|dil|язык|اللغة
        |لغة|语言|言語|언어|भाषा|bahasa|ቋንቋ
    """,
    "timezone": "timezone|time zone|tz|fuseau horaire|zona horaria|fuso horario|zeitzone|fuso orario|часовой пояс|时区",
    "tags": """
        tags|tag|labels|label|keywords|etiquettes|etiquette|etiquetas|etiqueta|schlagworte|schlagwort|etichette
        |lebo|etiketler|теги|метки|وسوم|标签|タグ|태그
    """,
    "notes": """
        notes|note|comment|comments|remarks|remark|commentaire|commentaires|remarque|remarques|notas|nota
        |observaciones|comentarios|observacoes|notizen|notiz|bemerkung|bemerkungen|anmerkung|maelezo|notlar
        |заметки|комментарий|примечание|ملاحظات|备注|備考|メモ|메모|catatan|ማስታወሻ
    """,
    "status": "status|contact status",
}

_TEXT = AttributeType.TEXT
_NEEDED = 200
_PARTS = re.compile(r"[\W_]+")


def plain(header: str) -> str:
    """A header as it is compared: no case, no accents of Latin letters, words parted by single spaces."""
    text = unicodedata.normalize("NFKD", header.strip().casefold())
    kept = "".join(each for each in text if not ("\u0300" <= each <= "\u036f"))
    return _PARTS.sub(" ", unicodedata.normalize("NFC", kept).replace("ı", "i")).strip()


_TARGETS = {plain(name): target for target, names in _NAMES.items() for name in names.split("|")}
_SEVERAL = frozenset({"phone", "email", "telegram", "whatsapp", "messenger", "tags"})


def attribute_key(header: str) -> str | None:
    """A key for an attribute under this header; None where nothing of it can be a key."""
    text = plain(header).replace("ß", "ss")
    key = re.sub(r"[^a-z0-9]+", "_", text).strip("_")[:64].strip("_")
    return key if KEY.fullmatch(key) else None


def guess_mapping(headers: Sequence[str], definitions: Iterable[str]) -> dict[str, str]:
    """Header → target, for those that are known by their names, or named like an attribute there is.

    `first_name` and the like go to one column only: the first of the best. A name of a target itself is the best.
    """
    known = set(definitions)
    found: dict[str, str] = {}
    taken: set[str] = set()
    ways = (_exact, lambda header: _TARGETS.get(plain(header)), _without_number)
    for way in ways:
        for header in headers:
            target = None if header in found else way(header)
            if target is not None and (target in _SEVERAL or target not in taken):
                found[header] = target
                taken.add(target)
    for header in sorted(headers, key=lambda header: not header.startswith(ATTRIBUTE_PREFIX)):
        key = header.removeprefix(ATTRIBUTE_PREFIX) if header.startswith(ATTRIBUTE_PREFIX) else attribute_key(header)
        target = None if key is None else f"{ATTRIBUTE_PREFIX}{key}"
        if header not in found and target is not None and key in known and target not in taken:
            found[header] = target
            taken.add(target)
    return {header: found[header] for header in headers if header in found}


def _exact(header: str) -> str | None:
    return header if header in _NAMES else None


def _without_number(header: str) -> str | None:
    """`Phone 2`, `Phone (2)` and `Phone 1 - Value` are phones too."""
    return _TARGETS.get(re.sub(r" ?\b[0-9]+\b| value$| type$", "", plain(header)).strip())


def guess_type(cells: Iterable[str]) -> AttributeType:
    """The narrowest type that all of the first cells fit; text where there is nothing to go by.

    Numbers that begin with a zero or a plus are codes, and so texts; so are `0` and `1` numbers, never yes and no.
    """
    seen = [cell.strip() for cell in cells if cell.strip()][:_NEEDED]
    if not seen:
        return _TEXT
    if not any(re.fullmatch(r"[+-]?0[0-9].*|\+.*", cell) for cell in seen) and _all(AttributeType.NUMBER, seen):
        return AttributeType.NUMBER
    for kind in (AttributeType.BOOLEAN, AttributeType.DATE):
        if _all(kind, seen):
            return kind
    return _TEXT


def _all(kind: AttributeType, cells: Sequence[str]) -> bool:
    try:
        for cell in cells:
            parse_cell(kind, cell)
    except ValueError:
        return False
    return True


def suggest_attributes(
    headers: Sequence[str], samples: Mapping[str, Sequence[str]], taken: Iterable[str]
) -> dict[str, tuple[str, AttributeType]]:
    """Header → (target, type) of an attribute that could be made for it; `taken` are targets that are used already."""
    used = set(taken)
    suggested: dict[str, tuple[str, AttributeType]] = {}
    for header in headers:
        key = attribute_key(header.removeprefix(ATTRIBUTE_PREFIX))
        target = f"{ATTRIBUTE_PREFIX}{key}"
        if key is None or target in used:
            continue
        used.add(target)
        suggested[header] = (target, guess_type(samples.get(header, ())))
    return suggested
