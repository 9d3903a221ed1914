"""Problem documents (RFC 9457) and the translation of decoding errors into them."""

import re

import msgspec

from app.lib.errors import AppError, FieldError, InvalidValue, Malformed

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 §3.1, with our `code`, `errors` and `request_id` as extensions."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    errors: list[FieldError] = []
    request_id: str | None = None


def problem_of(
    error: AppError, *, base_url: str, instance: str | None = None, request_id: str | None = None
) -> Problem:
    """The document for an expected error. `type` is a page of this installation: `<base_url>/problems/<code>`."""
    return Problem(
        type=f"{base_url}/problems/{error.code.replace('_', '-')}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        instance=instance,
        errors=error.errors,
        request_id=request_id,
    )


_PATH = re.compile(r"^(?P<text>.*?)(?: - at (?:`key` in )?`(?:key in )?\$(?P<path>.*?)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"`([^`]*)`")


def pointer_of(path: str) -> str:
    """A msgspec path (`.messages[3].to`) as an RFC 6901 pointer (`/messages/3/to`); an unnamed map value is `*`."""
    steps = [name or ("*" if index == "..." else index) for name, index in _STEP.findall(path)]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


_CODES = (
    ("Object missing required field", "missing_field"),
    ("Object contains unknown field", "unknown_field"),
    ("Invalid enum value", "not_allowed"),
    ("Invalid UUID", "not_uuid"),
    ("Invalid RFC3339", "not_datetime"),
)


def field_error(error: msgspec.ValidationError, prefix: str = "") -> FieldError:
    """What msgspec says about one value, with a pointer and a stable code; `prefix` is where its document sits."""
    match = _PATH.match(str(error))
    text, path = (match["text"], match["path"] or "") if match else (str(error), "")
    pointer = prefix + pointer_of(path)
    for start, code in _CODES:
        if text.startswith(start):
            name = _FIELD.search(text)
            if code in ("missing_field", "unknown_field") and name:
                pointer = f"{pointer}/{name[1]}"
            return FieldError(pointer, code, text)
    if " length " in text:
        return FieldError(pointer, "wrong_length", text)
    if " matching regex" in text:
        return FieldError(pointer, "wrong_format", text)
    if re.search(r"(<=|>=|<|>) ", text):
        return FieldError(pointer, "out_of_range", text)
    return FieldError(pointer, "wrong_type" if "got `" in text else "invalid", text)


def decode_error(error: msgspec.DecodeError, prefix: str = "") -> AppError:
    """A failed `msgspec` decode as the answer to give: 422 for a wrong value, 400 for what is not JSON."""
    if isinstance(error, msgspec.ValidationError):
        return InvalidValue.of([field_error(error, prefix)])
    return Malformed(f"The body is not valid JSON: {error}", code="malformed_json")
