"""A template compiled once: literals with slots between them, rendered for one recipient after another.

`render` never raises. Its time and the length of its result are bounded by those of the template, by `MAX_VALUE` and by
the plan's own `limit`.
"""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from enum import Enum
from html import escape as escape_html
from typing import Any

import msgspec

from app.domain.templates.language.fallback import Fallbacks, Strategy
from app.domain.templates.language.filters import Step, compile_filter
from app.domain.templates.language.locales import locale_of
from app.domain.templates.language.syntax import Literal, Node, Placeholder, variables_of
from app.domain.templates.language.values import Reason, UnusableError, is_blank, text_of


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """The text for one recipient."""

    text: str


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """There is nothing for this recipient, on purpose: as the fallback of `variable` says."""

    variable: str
    reason: Reason


class Failed(msgspec.Struct, frozen=True, gc=False):
    """There is no text for this recipient; `variable` is None when the whole of it is too long."""

    variable: str | None
    reason: Reason


Outcome = Rendered | Skipped | Failed


class Form(Enum):
    """Where the text will stand, which decides what of a value has to be escaped.

    In a `LINE` (the subject of an e-mail, a parameter) blanks of every kind, line ends too, become single spaces.
    """

    TEXT = "text"
    LINE = "line"
    HTML = "html"


_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029], " ")

_ESCAPES: dict[Form, Callable[[str], str] | None] = {
    Form.TEXT: None,
    Form.LINE: lambda text: " ".join(text.translate(_CONTROLS).split()),
    Form.HTML: escape_html,
}


class Slot(msgspec.Struct, frozen=True, gc=False):
    """A place to fill: `index` among the parts of the text, the folded `name`, the steps of its filters.

    `stand_in` is what the fallback shows, ready to stand in the text; None where it shows nothing and ends it.
    """

    index: int
    name: str
    steps: tuple[tuple[bool, Step], ...]
    strategy: Strategy
    stand_in: str | None


class Plan:
    """A compiled template. `variables` are its folded names in the order of their first use."""

    __slots__ = ("_escape", "_length", "_parts", "_slots", "limit", "variables")

    def __init__(
        self,
        nodes: tuple[Node, ...],
        fallbacks: Fallbacks,
        *,
        limit: int,
        form: Form = Form.TEXT,
        language: str | None = None,
    ) -> None:
        """`limit` is the most characters of a result; `language` (BCP 47) is that of dates and numbers.

        Raises `TemplateError` for filters that do not exist and arguments they do not take.
        """
        self._escape = _ESCAPES[form]
        self.limit = limit
        self.variables = tuple(variables_of(nodes))
        locale = locale_of(language)
        self._parts = [node.text if isinstance(node, Literal) else "" for node in nodes]
        self._length = sum(map(len, self._parts))
        slots: list[Slot] = []
        for index, node in enumerate(nodes):
            if isinstance(node, Placeholder):
                steps = tuple(compile_filter(call, locale) for call in node.filters)
                strategy, value = fallbacks.of(node.name)
                slots.append(Slot(index, node.name, steps, strategy, self._stand_in(node, strategy, value)))
        self._slots = tuple(slots)

    def render(self, values: Mapping[str, Any], zone: tzinfo | None = None) -> Outcome:
        """The text with the values of folded names in it; moments are shown in `zone`."""
        parts = self._parts.copy()
        room = self.limit - self._length
        for slot in self._slots:
            value = values.get(slot.name)
            if slot.steps or type(value) is not str or len(value) > _SHORT or not value or value.isspace():
                filled = _fill(slot, value, zone)
                if isinstance(filled, Reason):
                    if slot.stand_in is None:
                        failed = slot.strategy is not Strategy.SKIP
                        return Failed(slot.name, filled) if failed else Skipped(slot.name, filled)
                    text = slot.stand_in
                else:
                    text = filled if self._escape is None else self._escape(filled)
            else:
                text = value if self._escape is None else self._escape(value)
            room -= len(text)
            if room < 0:
                break
            parts[slot.index] = text
        return Rendered("".join(parts)) if room >= 0 else Failed(None, Reason.TOO_LONG)

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """The variables without a value, whatever stands in for them."""
        return [name for name in self.variables if is_blank(values.get(name))]

    def _stand_in(self, node: Placeholder, strategy: Strategy, value: str | None) -> str | None:
        if strategy is Strategy.EMPTY:
            return ""
        text = {Strategy.DEFAULT: value, Strategy.KEEP: node.source}.get(strategy)
        return text if text is None or self._escape is None else self._escape(text)


# Shorter than every limit of a value, so that nothing more has to be looked at.
_SHORT = 1000


def _fill(slot: Slot, value: Any, zone: tzinfo | None) -> str | Reason:
    """The text of a slot, not yet escaped, or why there is none."""
    reason = Reason.MISSING
    for fills, step in slot.steps:
        if fills is is_blank(value):
            try:
                value = step(value, zone)
            except UnusableError as error:
                value, reason = None, error.reason
    if is_blank(value):
        return reason
    try:
        return text_of(value, zone)
    except UnusableError as error:
        return error.reason
