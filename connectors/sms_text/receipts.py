"""Delivery receipts as operators really write them (the form of SMPP 3.4 appendix B is only the start).

Nothing is altered on the way: ids, states and error codes stay the strings that came.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import msgspec

LONGEST_ID = 128


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
    """

    message_ids: tuple[str, ...]
    verdict: Verdict
    state: str | None
    error: str | None
    submitted: str | None
    done: str | None
    text: str | None
    fields: dict[str, str]


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

_LABEL = r"(?:submit[ _]?date|done[ _]?date|id|sub|dlvrd|stat|err|text)"
_DATE = r"[0-9+\-/.]+(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?"
_FIELD = re.compile(
    rf"[\s,;]*(?:(?P<date>submit[ _]?date|done[ _]?date)\s*:\s*(?P<when>{_DATE}|(?!{_LABEL}\s*:)[^\s,;]*)"
    rf"|(?P<text>text)\s*:"
    rf"|(?P<label>[a-z][a-z0-9_]*):[ \t]*(?P<value>(?!{_LABEL}\s*:)[^\s,;]*))",
    re.IGNORECASE,
)
_KNOWN = frozenset({"id", "sub", "dlvrd", "stat", "err"})
_AT_START = re.compile(r"\s*id\s*:\s*[^\s,;]", re.IGNORECASE)


def looks_like_receipt(text: bytes | str) -> bool:
    """Whether an unflagged message reads like a receipt: it begins with `id:` and has a `stat:` field.

    For operators that send receipts with esm_class 0 only: anybody can type such a text.
    """
    content = _to_text(text)
    return _AT_START.match(content) is not None and "stat" in _fields(content)[0]


def parse_receipt(
    text: bytes | str,
    *,
    receipted_message_id: str | None = None,
    message_state: int | None = None,
    network_error_code: bytes | None = None,
) -> ParsedReceipt | None:
    """A receipt from its text and its TLVs, in any of the shapes seen; None when there is nothing of a receipt in it.

    `text` is the short message or message_payload, possibly empty, or binary after `text:`. Fields are read from the
    start on, so a word of the user's text can add a field that the operator left out but never change one it wrote.
    """
    fields, rest = _fields(_to_text(text))
    ids = [receipted_message_id] if receipted_message_id else []
    written = fields.get("id")
    if written and written not in ids:
        ids.append(written)
    stat = fields.get("stat")
    if not ids and not stat and message_state is None:
        return None
    error = fields.get("err")
    if error is None and network_error_code:
        error = network_error(network_error_code)
    return ParsedReceipt(
        tuple(ids),
        verdict_of(stat, message_state),
        stat or (None if message_state is None else STATE_NAMES.get(message_state, str(message_state))),
        error,
        fields.get("submit date"),
        fields.get("done date"),
        rest,
        fields,
    )


def verdict_of(stat: str | None, message_state: int | None) -> Verdict:
    """What message_state means, or else the text's stat; `unknown` when neither says anything."""
    if message_state is not None and message_state in _STATE_VERDICTS and message_state != 7:
        return _STATE_VERDICTS[message_state]
    if stat:
        upper = stat.upper()
        if upper.isdecimal():
            return _STATE_VERDICTS.get(int(upper[:3]), Verdict.UNKNOWN)
        for part, verdict in _STAT_VERDICTS:
            if part in upper:
                return verdict
    return Verdict.UNKNOWN


def network_error(value: bytes) -> str:
    """network_error_code as text: ASCII digits as they are, else the number behind the network type (§5.3.2.31)."""
    if value.isdigit():
        return str(value, "ascii")
    return str(int.from_bytes(value[1:], "big")) if len(value) == 3 else value.hex()


def normalise_id(provider_id: str) -> str:
    """One spelling for ids that differ in case, padding zeros or white space: for writing and for looking up."""
    stripped = provider_id.strip(" \t\r\n\0").lower()
    return stripped.lstrip("0") or stripped[-1:]


def match_keys(provider_id: str) -> list[str]:
    """Normalised spellings under which an id may have been stored, best first.

    As it is; then, when it is a decimal number, in hexadecimal; then, when it could be hexadecimal, in decimal. SMSCs
    answer submit_sm in one base and write the receipt in the other.
    """
    plain = normalise_id(provider_id)
    keys = [plain]
    if not plain.isascii() or not 0 < len(plain) <= LONGEST_ID:
        return keys
    if plain.isdecimal():
        keys.append(f"{int(plain):x}")
    if all(character in "0123456789abcdef" for character in plain):
        decimal = str(int(plain, 16))
        if decimal not in keys:
            keys.append(decimal)
    return list(dict.fromkeys(keys))


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


def _fields(content: str) -> tuple[dict[str, str], str | None]:
    """Fields by lower-case label from the start on, and what follows them."""
    fields: dict[str, str] = {}
    position = 0
    while match := _FIELD.match(content, position):
        if match["text"]:
            position = match.end()
            break
        label = match["date"].lower().replace("_", " ") if match["date"] else match["label"].lower()
        if label in ("submitdate", "donedate"):
            label = label.replace("date", " date")
        known = label in _KNOWN or match["date"] is not None
        if not known and "stat" in fields and "err" in fields:
            break
        value = match["when"] if match["date"] else match["value"]
        if value and label not in fields:
            fields[label] = value
        position = match.end()
    rest = content[position:].strip(" \t\r\n")
    return fields, rest or None
