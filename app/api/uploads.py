"""Forms with a file (`multipart/form-data`, RFC 7578), read as they come: the file is never in memory as a whole."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from multipart import (  # type: ignore[import-untyped]  # has no types
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from app.api.idempotency import told
from app.api.requests import ApiRequest
from app.lib.errors import InvalidValue, Malformed, TooLarge, UnsupportedMediaType
from app.lib.problems import decode_error

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

Texts = Mapping[str, bytes]
"""The parts of a form that are no files, by name."""

MEDIA_TYPE = "multipart/form-data"

OVERHEAD_BYTES = 1024 * 1024
"""What a form may have besides its file."""

_MOST_PARTS = 10
_MOST_NAME = 255


async def receive_form(
    request: ApiRequest,
    *,
    file: str,
    texts: Mapping[str, int],
    take: Callable[[str, Texts, AsyncIterator[bytes]], Awaitable[T]],
) -> tuple[dict[str, bytes], T]:
    """Read a form with one file and some texts, which come before it or after it.

    `take` is called with the name of the file on the client's side ("" for none), the texts that came before it, and
    its content in pieces, which it has to read to the end; what it returns is returned along with the texts. `texts`
    are the names of the others, each with the most bytes it may have; what is missing is left out. Raises
    `UnsupportedMediaType` for another kind of body, `Malformed` for a form that is broken or cut off, `TooLarge`, and
    `InvalidValue` for unknown, repeated and missing parts. What the form holds is what an Idempotency-Key of the
    request stands for.
    """
    found: dict[str, bytes] = {}
    taken: list[T] = []
    digest = hashlib.blake2b(digest_size=32)
    events = _events(request, _boundary(request))
    async for event in events:
        if not isinstance(event, MultipartSegment):
            continue
        name = event.name or ""
        if name in found or (name == file and taken):
            raise InvalidValue.at(f"/{name}", "duplicate", f"The form has the part {name!r} twice.")
        if name == file:
            taken.append(await take(_file_name(event.filename), found, _hashed(_content(events), digest)))
        elif name in texts:
            text = bytearray()
            async for piece in _content(events):
                text += piece
                if len(text) > texts[name]:
                    raise TooLarge(f"The part {name!r} has more than {texts[name]} bytes.")
            found[name] = bytes(text)
        else:
            known = ", ".join([file, *texts])
            raise InvalidValue.at("", "unknown_field", f"The form has an unknown part; its parts: {known}.")
    if not taken:
        raise InvalidValue.at(f"/{file}", "required", f"The form needs a part {file!r} with the file.")
    told(request, [digest.digest(), *(each for name in sorted(found) for each in (name.encode(), found[name]))])
    return found, taken[0]


def read_text(texts: Texts, name: str, kind: type[S]) -> S:
    """The part `name` of a form, which is JSON; a missing one is an empty object. Pointers begin with its name.

    Raises `Malformed` and `InvalidValue`.
    """
    try:
        return msgspec.json.decode(texts.get(name) or b"{}", type=kind)
    except UnicodeDecodeError as error:
        raise Malformed(f"The part {name!r} is not UTF-8.", code="malformed_json") from error
    except RecursionError as error:
        raise Malformed(f"The part {name!r} nests too deeply.", code="malformed_json") from error
    except msgspec.DecodeError as error:
        raise decode_error(error, f"/{name}") from error


def _boundary(request: ApiRequest) -> str:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send {MEDIA_TYPE}, not {kind or 'nothing'}.")
    boundary: str = options.get("boundary", "")
    # RFC 2046 §5.1.1.
    if not (1 <= len(boundary) <= 70 and boundary.isascii() and boundary.isprintable()):
        raise Malformed("The media type needs a boundary of 1 to 70 characters.", code="malformed_form")
    return boundary


async def _events(request: ApiRequest, boundary: str) -> AsyncIterator[Any]:
    """A segment for each part, then its content in pieces, then None."""
    try:
        parser = PushMultipartParser(boundary, max_segment_count=_MOST_PARTS)
        with parser:
            async for chunk in request.stream():
                for event in parser.parse(chunk):
                    yield event
    except ParserLimitReached as error:
        raise Malformed("The form has too many parts, or too many headers.", code="malformed_form") from error
    except (MultipartError, UnicodeError) as error:
        raise Malformed("The form is broken or was cut off.", code="malformed_form") from error


async def _content(events: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for event in events:
        if event is None:
            return
        yield bytes(event)


async def _hashed(pieces: AsyncIterator[bytes], digest: "hashlib.blake2b") -> AsyncIterator[bytes]:
    async for piece in pieces:
        digest.update(piece)
        yield piece


def _file_name(name: str | None) -> str:
    """As it can be stored and shown: without folders, control characters and lone surrogates."""
    plain = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in plain if each.isprintable() and each != "\0")[:_MOST_NAME]
