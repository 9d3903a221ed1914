r"""Reading a template: `Hi {FIRST_NAME|default:"friend"}` → text and placeholders, or what is wrong and where.

A placeholder is `{name}` or `{name|filter|filter:argument:argument}`. An argument is text in straight quotes, single or
double, with `\` before a quote or a backslash in it, or a bare word or number. Blanks around the parts mean nothing.
`{{` and `}}` stand for the braces themselves. Reading takes time in proportion to the text.
"""

import re

import msgspec

from app.domain.templates.language.names import MAX_NAME, fold, is_name

MAX_PLACEHOLDERS = 200
MAX_VARIABLES = 100
MAX_FILTERS = 8
MAX_ARGUMENTS = 3
MAX_ARGUMENT = 200

_BRACE = re.compile(r"[{}]")
_QUOTES = frozenset("\"'")
_TYPOGRAPHIC = frozenset("“”„‟‘’‚‛«»")
# What ends a bare argument or the name of a filter.
_ENDS = frozenset("|:{}\"'\n\r \t")


class TemplateError(Exception):
    """A template that cannot be read. `position` counts characters (code points) from 0."""

    def __init__(self, position: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} (at character {position + 1})")
        self.position = position
        self.code = code
        self.detail = detail


class Literal(msgspec.Struct, frozen=True):
    """Text that stands as it is, its braces already single."""

    text: str


class FilterCall(msgspec.Struct, frozen=True):
    """One filter with its arguments, all of them text; `position` is where its name begins."""

    name: str
    arguments: tuple[str, ...]
    position: int


class Placeholder(msgspec.Struct, frozen=True):
    """`{…}`: the folded `name`, the `source` as it was written, and where that begins."""

    name: str
    filters: tuple[FilterCall, ...]
    source: str
    position: int


Node = Literal | Placeholder


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of a template, no two of them literals in a row. Raises `TemplateError` for the first thing wrong."""
    nodes: list[Node] = []
    pending: list[str] = []
    position = placeholders = 0
    names: set[str] = set()
    while True:
        found = _BRACE.search(text, position)
        if found is None:
            pending.append(text[position:])
            break
        brace, character = found.start(), found[0]
        pending.append(text[position:brace])
        if text.startswith(character, brace + 1):
            pending.append(character)
            position = brace + 2
            continue
        if character == "}":
            raise TemplateError(brace, "lone_brace", "A } without a { before it; write }} for the character itself.")
        placeholder = _Reader(text, brace).placeholder()
        placeholders += 1
        names.add(placeholder.name)
        if placeholders > MAX_PLACEHOLDERS or len(names) > MAX_VARIABLES:
            detail = f"At most {MAX_PLACEHOLDERS} placeholders with {MAX_VARIABLES} different names."
            raise TemplateError(brace, "too_many_placeholders", detail)
        _flush(pending, nodes)
        nodes.append(placeholder)
        position = brace + len(placeholder.source)
    _flush(pending, nodes)
    return tuple(nodes)


def variables_of(nodes: tuple[Node, ...]) -> list[str]:
    """The folded names in the order of their first use."""
    return list(dict.fromkeys(node.name for node in nodes if isinstance(node, Placeholder)))


def escaped(text: str) -> str:
    """The template that renders to `text` itself."""
    return text.replace("{", "{{").replace("}", "}}")


def _flush(pending: list[str], nodes: list[Node]) -> None:
    whole = "".join(pending)
    pending.clear()
    if whole:
        nodes.append(Literal(whole))


class _Reader:
    """Reads one placeholder, from its brace on."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = start
        self._at = start + 1

    def placeholder(self) -> Placeholder:
        self._skip_blanks()
        begin = self._at
        name = self._word()
        if not name:
            raise self._unexpected("a name", begin)
        if len(name) > MAX_NAME:
            raise TemplateError(begin, "too_long", f"A name has at most {MAX_NAME} characters.")
        if not is_name(name):
            detail = f"{name!r} is no name: letters, digits and underscores, with dots between parts."
            raise TemplateError(begin, "bad_name", detail)
        filters: list[FilterCall] = []
        while True:
            self._skip_blanks()
            if self._take("}"):
                source = self._text[self._start : self._at]
                return Placeholder(fold(name), tuple(filters), source, self._start)
            if not self._take("|"):
                raise self._unexpected("| or }", self._at)
            if len(filters) == MAX_FILTERS:
                raise TemplateError(self._at, "too_many_filters", f"At most {MAX_FILTERS} filters on one name.")
            filters.append(self._filter())

    def _filter(self) -> FilterCall:
        self._skip_blanks()
        begin = self._at
        name = self._word()
        if not name:
            raise self._unexpected("the name of a filter", begin)
        arguments: list[str] = []
        while True:
            self._skip_blanks()
            if not self._take(":"):
                return FilterCall(name.lower(), tuple(arguments), begin)
            if len(arguments) == MAX_ARGUMENTS:
                raise TemplateError(self._at, "too_many_arguments", f"At most {MAX_ARGUMENTS} arguments.")
            arguments.append(self._argument())

    def _argument(self) -> str:
        self._skip_blanks()
        begin = self._at
        character = self._peek()
        if character in _QUOTES:
            return self._quoted(character)
        value = self._word()
        if not value:
            raise self._unexpected("an argument", begin)
        if character in _TYPOGRAPHIC:
            raise TemplateError(begin, "typographic_quote", "Arguments stand in straight quotes: \" or '.")
        if len(value) > MAX_ARGUMENT:
            raise TemplateError(begin, "too_long", f"An argument has at most {MAX_ARGUMENT} characters.")
        return value

    def _quoted(self, quote: str) -> str:
        begin = self._at
        self._at += 1
        characters: list[str] = []
        while (character := self._peek()) and character != quote:
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in ("\\", '"', "'"):
                self._at += 1
                character = self._text[self._at]
            characters.append(character)
            self._at += 1
            if len(characters) > MAX_ARGUMENT:
                break
        if len(characters) > MAX_ARGUMENT:
            raise TemplateError(begin, "too_long", f"An argument has at most {MAX_ARGUMENT} characters.")
        if not self._take(quote):
            raise TemplateError(begin, "unclosed_quote", "This quote has no end.")
        return "".join(characters)

    def _word(self) -> str:
        begin = self._at
        text = self._text
        while self._at < len(text) and text[self._at] not in _ENDS and self._at - begin <= MAX_ARGUMENT:
            self._at += 1
        return text[begin : self._at]

    def _skip_blanks(self) -> None:
        while self._peek() in (" ", "\t"):
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _unexpected(self, wanted: str, position: int) -> TemplateError:
        character = self._peek()
        if not character:
            return TemplateError(self._start, "unclosed_brace", "This { has no }; write {{ for the character itself.")
        detail = f"Here {wanted} is needed, not {character!r}; write {{{{ for a brace itself."
        return TemplateError(position, "bad_placeholder", detail)
