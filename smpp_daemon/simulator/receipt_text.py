"""The text of a receipt as operators write it: SMPP 3.4 appendix B and what was seen instead of it."""

from datetime import UTC, datetime
from functools import lru_cache

APPENDIX_B = "appendix_b"

VARIANTS: dict[str, str] = {
    APPENDIX_B: "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat} err:{err}"
    " text:{text}",
    "capital_text": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat}"
    " err:{err} Text:{text}",
    "no_text_label": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat}"
    " err:{err} {text}",
    "no_counts": "id:{id} submit date:{submitted} done date:{done} stat:{stat} err:{err} text:{text}",
    "no_text": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat} err:{err}",
    "no_error": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat}",
    "only_stat": "stat:{stat}",
    "minimal": "id:{id} stat:{stat} text:{text}",
    "with_seconds": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted:%y%m%d%H%M%S}"
    " done date:{done:%y%m%d%H%M%S} stat:{stat} err:{err} text:{text}",
    "long_years": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted:%Y%m%d%H%M%S}"
    " done date:{done:%Y%m%d%H%M%S} stat:{stat} err:{err} text:{text}",
    "absolute_times": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted:%y%m%d%H%M%S}000+"
    " done date:{done:%y%m%d%H%M%S}000+ stat:{stat} err:{err} text:{text}",
    "zero_dates": "id:{id} sub:{sub} dlvrd:{delivered} submit date:0000000000 done date:0000000000 stat:{stat}"
    " err:{err} text:{text}",
    "error_first": "id:{id} err:{err} stat:{stat} done date:{done} submit date:{submitted} dlvrd:{delivered} sub:{sub}"
    " text:{text}",
    "short_counts": "id:{id} sub:1 Dlvrd:1 submit date:{submitted} done date:{done} stat:{stat} err:{err} text:{text}",
    "routing_in_text": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat}"
    " err:{err} text:GW250 MCC=270 MNC=1 BillingMNC=1",
    "empty_text": "id:{id} sub:{sub} dlvrd:{delivered} submit date:{submitted} done date:{done} stat:{stat} err:{err}"
    " text:",
}
"""By name; `{submitted}` and `{done}` are YYMMDDhhmm unless a format says otherwise."""


class _Moment:
    """A UTC time that is YYMMDDhhmm by default."""

    __slots__ = ("_at",)

    def __init__(self, at: float) -> None:
        self._at = at

    def __format__(self, spec: str) -> str:
        return datetime.fromtimestamp(self._at, UTC).strftime(spec or "%y%m%d%H%M")


def template_of(text: str) -> str:
    """The template that `text` names or is. Raises ValueError when it is neither or has an unknown field."""
    template = VARIANTS.get(text)
    if template is None:
        if "{" not in text:
            raise ValueError(f"text: {text!r} is neither a template nor one of {', '.join(VARIANTS)}")
        template = text
    try:
        write(template, message_id="1", delivered=True, submitted=0.0, done=0.0, stat="DELIVRD", error="000", text="")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(f"text: the template {template!r} cannot be filled in: {error!r}") from None
    return template


def write(
    template: str,
    *,
    message_id: str,
    delivered: bool,
    submitted: float,
    done: float,
    stat: str,
    error: str,
    text: str,
) -> bytes:
    """The text of one receipt; times in seconds since the epoch. Characters beyond Latin-1 become question marks."""
    return template.format(
        id=message_id,
        sub="001",
        delivered="001" if delivered else "000",
        submitted=_Moment(submitted),
        done=_Moment(done),
        stat=stat,
        err=error,
        text=text,
    ).encode("latin-1", "replace")


@lru_cache(maxsize=16)
def minutes(minute: int) -> bytes:
    """YYMMDDhhmm of a minute, counted from the epoch."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%y%m%d%H%M").encode("ascii")
