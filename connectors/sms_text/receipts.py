"""Delivery receipts as operators really write them (the form of SMPP 3.4 appendix B is only the start).

Nothing is altered on the way: ids, states and error codes stay the strings that came.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

LONGEST_ID = 128
_HEXADECIMAL = "0123456789abcdef"


class Verdict(StrEnum):
    """What a receipt says. `sent` is intermediate (on its way, accepted); `unknown` decides nothing."""

    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class ParsedReceipt(msgspec.Struct, frozen=True):
    """`message_ids` holds the TLV's id, then the text's when it differs: they may be one number in two bases.

    `state` is the text's stat, else the name of message_state. `error` is the text's err, else the network error code.
    `submitted` and `done` are the dates as written (`parse_date` reads them). `text` is what follows the fields.
    `fields` has everything written, by lower-case label. `network_error_code` is the TLV's value, untouched.
    """

    message_ids: tuple[str, ...]
    verdict: Verdict
    state: str | None
    error: str | None
    submitted: str | None
    done: str | None
    text: str | None
    fields: dict[str, str]
    network_error_code: bytes | None = None


STATE_NAMES = {
    0: "SCHEDULED",
    1: "ENROUTE",
    2: "DELIVERED",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIVERABLE",
    6: "ACCEPTED",
    7: "UNKNOWN",
    8: "REJECTED",
    9: "SKIPPED",
}
"""message_state (SMPP 3.4 §5.2.28, SMPP 5.0 §4.7.15) in words."""

_STATE_VERDICTS = {
    0: Verdict.SENT,
    1: Verdict.SENT,
    2: Verdict.DELIVERED,
    3: Verdict.EXPIRED,
    4: Verdict.FAILED,
    5: Verdict.FAILED,
    6: Verdict.SENT,
    7: Verdict.UNKNOWN,
    8: Verdict.FAILED,
    9: Verdict.FAILED,
}

_STAT_VERDICTS: tuple[tuple[str, Verdict], ...] = (
    # Beginnings and infixes, tried in this order: UNDELIV contains DELIV.
    ("UNDEL", Verdict.FAILED),
    ("UNKN", Verdict.UNKNOWN),
    ("REJ", Verdict.FAILED),
    ("FAIL", Verdict.FAILED),
    ("DELET", Verdict.FAILED),
    ("SKIP", Verdict.FAILED),
    ("BLOCK", Verdict.FAILED),
    ("EXPIR", Verdict.EXPIRED),
    ("DELIV", Verdict.DELIVERED),
    ("DELVR", Verdict.DELIVERED),
    ("ACCEPT", Verdict.SENT),
    ("ACKED", Verdict.SENT),
    ("BUFF", Verdict.SENT),
    ("ENROUTE", Verdict.SENT),
    ("SCHED", Verdict.SENT),
    ("QUEUED", Verdict.SENT),
    ("SUBMIT", Verdict.SENT),
    ("SENT", Verdict.SENT),
)

_APPENDIX_B_VERDICTS = {
    "DELIVRD": Verdict.DELIVERED,
    "EXPIRED": Verdict.EXPIRED,
    "DELETED": Verdict.FAILED,
    "UNDELIV": Verdict.FAILED,
    "ACCEPTD": Verdict.SENT,
    "UNKNOWN": Verdict.UNKNOWN,
    "REJECTD": Verdict.FAILED,
}
"""The same for the words of the standard, which nearly all receipts use."""

NO_STATES: Mapping[str, Verdict] = {}
NO_LABELS: Mapping[str, str] = {}

_SUBMIT_DATE, _DONE_DATE = "submit date", "done date"
_LABELS = {
    **{label: label for label in ("id", "sub", "dlvrd", "stat", "err", "text")},
    **{f"{first}{space}date": f"{first} date" for first in ("submit", "done") for space in (" ", "_", "")},
}
"""How the labels of appendix B are written, and what `ParsedReceipt.fields` calls them."""

_DATE = r"[0-9+\-/.]+(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?"

# Appendix B to the letter, as most operators write it; everything else is read field by field.
_CANONICAL = re.compile(
    r"id:([0-9A-Za-z\-]+) sub:([0-9]+) dlvrd:([0-9]+) submit date:([0-9]+) done date:([0-9]+) "
    r"stat:([0-9A-Za-z_]+) err:([0-9A-Za-z]+) [Tt]ext:(.*)",
    re.DOTALL,
)


class _Grammar(NamedTuple):
    """How fields are found. `field` has five groups: the label of a date, its value, an empty one for the label of the
    text, another label, its value. `labels` maps what is written, in lower case, to what it means.
    """

    field: re.Pattern[str]
    at_start: re.Pattern[str]
    labels: Mapping[str, str]


def _grammar(more: Mapping[str, str]) -> _Grammar:
    labels = {**_LABELS, **{written.lower(): meaning for written, meaning in more.items()}}
    words = {meaning: _alternatives(w for w in labels if labels[w] == meaning) for meaning in _LABELS.values()}
    dates = f"{words[_SUBMIT_DATE]}|{words[_DONE_DATE]}"
    known = _alternatives(labels)
    return _Grammar(
        re.compile(
            rf"[\s,;]*(?:({dates})\s*:\s*({_DATE}|(?!(?:{known})\s*:)[^\s,;]*)"
            rf"|(?:{words['text']})\s*:()"
            rf"|({known}|[a-z][a-z0-9_]*):[ \t]*((?!(?:{known})\s*:)[^\s,;]*))",
            re.IGNORECASE,
        ),
        re.compile(rf"\s*(?:{words['id']})\s*:\s*[^\s,;]", re.IGNORECASE),
        labels,
    )


def _alternatives(words: Iterable[str]) -> str:
    # Nothing at all would match everywhere.
    return "|".join(re.escape(word) for word in words) or "(?!)"


_STANDARD = _grammar(NO_LABELS)


@lru_cache(maxsize=256)
def _grammar_of(labels: frozenset[tuple[str, str]]) -> _Grammar:
    return _grammar(dict(labels))


def looks_like_receipt(text: bytes | str, *, labels: Mapping[str, str] = NO_LABELS) -> bool:
    """Whether an unflagged message reads like a receipt: it begins with `id:` and has a `stat:` field.

    For operators that send receipts with esm_class 0 only: anybody can type such a text. `labels` as in
    `parse_receipt`.
    """
    content = _to_text(text)
    grammar = _grammar_of(frozenset(labels.items())) if labels else _STANDARD
    return grammar.at_start.match(content) is not None and "stat" in _fields(content, grammar)[0]


def parse_receipt(
    text: bytes | str,
    *,
    receipted_message_id: str | None = None,
    message_state: int | None = None,
    network_error_code: bytes | None = None,
    labels: Mapping[str, str] = NO_LABELS,
    states: Mapping[str, Verdict] = NO_STATES,
) -> ParsedReceipt | None:
    """A receipt from its text and its TLVs, in any of the shapes seen; None when there is nothing of a receipt in it.

    `text` is the short message or message_payload, possibly empty, or binary after `text:`. Fields are read from the
    start on, so a word of the user's text can add a field that the operator left out but never change one it wrote.

    An operator's peculiarities: `labels` maps a label of its own to the one it means (`id`, `sub`, `dlvrd`,
    `submit date`, `done date`, `stat`, `err` or `text`); `states` says what its `stat` words mean, and the names in
    `STATE_NAMES` for message_state. In both, case makes no difference.
    """
    fields, rest = _fields(_to_text(text), _grammar_of(frozenset(labels.items())) if labels else _STANDARD)
    written = fields.get("id")
    ids: tuple[str, ...]
    if not receipted_message_id:
        ids = (written,) if written else ()
    elif written and written != receipted_message_id:
        ids = (receipted_message_id, written)
    else:
        ids = (receipted_message_id,)
    stat = fields.get("stat")
    if not ids and not stat and message_state is None:
        return None
    error = fields.get("err")
    if error is None and network_error_code:
        error = network_error(network_error_code)
    return ParsedReceipt(
        ids,
        verdict_of(stat, message_state, states),
        stat or (None if message_state is None else STATE_NAMES.get(message_state, str(message_state))),
        error,
        fields.get(_SUBMIT_DATE),
        fields.get(_DONE_DATE),
        rest,
        fields,
        network_error_code,
    )


def verdict_of(stat: str | None, message_state: int | None, states: Mapping[str, Verdict] = NO_STATES) -> Verdict:
    """What message_state means, or else the text's stat; `unknown` when neither says anything.

    What `states` says of either, the text's stat first, goes before the standard.
    """
    if states:
        told = _told(stat, message_state, states)
        if told is not None:
            return told
    if message_state is not None and message_state in _STATE_VERDICTS and message_state != 7:
        return _STATE_VERDICTS[message_state]
    if stat:
        upper = stat.upper()
        known = _APPENDIX_B_VERDICTS.get(upper)
        if known is not None:
            return known
        if upper.isdecimal():
            return _STATE_VERDICTS.get(int(upper[:3]), Verdict.UNKNOWN)
        for part, verdict in _STAT_VERDICTS:
            if part in upper:
                return verdict
    return Verdict.UNKNOWN


def _told(stat: str | None, message_state: int | None, states: Mapping[str, Verdict]) -> Verdict | None:
    name = None if message_state is None else STATE_NAMES.get(message_state, str(message_state))
    words = [word.upper() for word in (stat, name) if word]
    by_word = {word.upper(): verdict for word, verdict in states.items()}
    return next((by_word[word] for word in words if word in by_word), None)


def network_error(value: bytes) -> str:
    """network_error_code as text: ASCII digits as they are, else the number behind the network type (§5.3.2.31)."""
    if value.isdigit():
        return str(value, "ascii")
    return str(int.from_bytes(value[1:], "big")) if len(value) == 3 else value.hex()


def normalise_id(provider_id: str) -> str:
    """One spelling for ids that differ in case, padding zeros or white space: for writing and for looking up."""
    stripped = provider_id.strip(" \t\r\n\0").lower()
    return stripped.lstrip("0") or stripped[-1:]


def match_keys(provider_id: str, id_format: str = "auto") -> list[str]:
    """Spellings under which the id of a receipt may have been stored by `normalise_id`, best first.

    SMSCs answer submit_sm in one base and write the receipt in the other. `auto`: as it is; then, when it is a decimal
    number, in hexadecimal; then, when it could be hexadecimal, in decimal. `exact`: as it is. `hex` and `decimal` say
    in which base receipts are written, so that the other base is the likelier one to have been stored.
    """
    plain = normalise_id(provider_id)
    if id_format == "exact" or not plain or len(plain) > LONGEST_ID or not plain.isascii():
        return [plain]
    hexadecimal = f"{int(plain):x}" if plain.isdecimal() and id_format != "hex" else plain
    decimal = str(int(plain, 16)) if id_format != "decimal" and not plain.strip(_HEXADECIMAL) else plain
    if id_format == "auto":
        return list(dict.fromkeys((plain, hexadecimal, decimal)))
    return list(dict.fromkeys((decimal if id_format == "hex" else hexadecimal, plain)))


def parse_date(value: str) -> datetime | None:
    """A receipt's date as an aware datetime; without an offset of its own it counts as UTC. None when it is no date.

    YYMMDDhhmm, YYMMDDhhmmss, YYYYMMDDhhmm, YYYYMMDDhhmmss, SMPP absolute time with or without tenths and offset
    (SMPP 3.4 §7.1.1), and ISO-like forms.
    """
    text = value.strip()
    if re.fullmatch(r"\d{15}[+-]", text):
        offset = timedelta(minutes=15 * int(text[13:15]) * (1 if text[15] == "+" else -1))
        if abs(offset) >= timedelta(days=1):
            return None
        return _first_match(text[:12], ("%y%m%d%H%M%S",), timezone(offset))
    digits = re.sub(r"[-/.: T]", "", text)
    if not re.fullmatch(r"[0-9]{10,14}", digits) or not digits.strip("0"):
        return None
    # A year 20 is long gone, so "20" in front of twelve digits is a century.
    long_first = digits.startswith("20")
    formats = {
        10: ("%y%m%d%H%M",),
        12: ("%Y%m%d%H%M", "%y%m%d%H%M%S") if long_first else ("%y%m%d%H%M%S",),
        14: ("%Y%m%d%H%M%S",),
    }
    return _first_match(digits, formats.get(len(digits), ()), UTC)


def _first_match(digits: str, formats: tuple[str, ...], zone: timezone) -> datetime | None:
    for form in formats:
        try:
            return datetime.strptime(digits, form).replace(tzinfo=zone)
        except ValueError:
            continue
    return None


def _to_text(text: bytes | str) -> str:
    if isinstance(text, str):
        return text.rstrip("\0")
    if text[:1] == b"\0" and text[2:3] == b"\0":
        return str(text[: len(text) & ~1], "utf-16-be", "replace").rstrip("\0")
    return str(text, "latin-1").rstrip("\0")


def _fields(content: str, grammar: _Grammar = _STANDARD) -> tuple[dict[str, str], str | None]:
    """Fields by label from the start on, and what follows them."""
    if grammar is _STANDARD:
        canonical = _CANONICAL.fullmatch(content)
        if canonical is not None:
            identifier, sub, dlvrd, submitted, done, stat, error, rest = canonical.groups()
            return {
                "id": identifier,
                "sub": sub,
                "dlvrd": dlvrd,
                _SUBMIT_DATE: submitted,
                _DONE_DATE: done,
                "stat": stat,
                "err": error,
            }, rest.strip(_BLANKS) or None
    return _fields_one_by_one(content, grammar)


def _fields_one_by_one(content: str, grammar: _Grammar) -> tuple[dict[str, str], str | None]:
    fields: dict[str, str] = {}
    match_field, labels = grammar.field.match, grammar.labels
    position = 0
    while match := match_field(content, position):
        date, when, text, written, value = match.groups()
        if text is not None:
            position = match.end()
            break
        written = (date or written).lower()
        label = labels.get(written)
        if label is None:
            if "stat" in fields and "err" in fields:
                break
            label = written
        value = when if date else value
        if value and label not in fields:
            fields[label] = value
        position = match.end()
    return fields, content[position:].strip(_BLANKS) or None


_BLANKS = " \t\r\n"
