"""Reading a request strictly: msgspec decodes what Litestar would coerce or report vaguely."""

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State

from app.lib.errors import InvalidValue, Malformed, UnsupportedMediaType
from app.lib.pagination import Listing, ListQuery, parse_list_query
from app.lib.problems import decode_error


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


class ApiRequest(Request[Any, Any, State]):
    """Litestar's request with a strict body: whatever does not fit the declared struct becomes our problem document."""

    async def json(self) -> Any:
        """Decode the body into the type the handler declares for `data`, once and without coercion.

        Raises `UnsupportedMediaType`, `Malformed` or `InvalidValue`.
        """
        declared = self.route_handler.parsed_data_field
        content_type = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if content_type != "application/json" and not content_type.endswith("+json"):
            raise UnsupportedMediaType(f"Send application/json, not {content_type or 'nothing'}.")
        body = await self.body()
        try:
            return _decoder(declared.annotation if declared is not None else Any).decode(body)
        except UnicodeDecodeError as error:
            raise Malformed("The body is not UTF-8.", code="malformed_json") from error
        except RecursionError as error:
            raise Malformed("The body nests too deeply.", code="malformed_json") from error
        except msgspec.DecodeError as error:
            raise decode_error(error) from error


def query_pairs(request: ApiRequest) -> list[tuple[str, str]]:
    """The parameters of a query, in their order; raises `Malformed` (400) for a query that is broken."""
    raw = request.scope["query_string"]
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise Malformed("The query string is not well-formed.", code="bad_parameter") from error


def list_query(request: ApiRequest, listing: Listing) -> ListQuery:
    """The page a list request asks for; raises `Malformed` (400) naming what the list allows."""
    return parse_list_query(query_pairs(request), listing)


def refuse_null(pointer: str) -> InvalidValue:
    """The answer to a PATCH that clears what cannot be empty."""
    return InvalidValue.at(pointer, "not_nullable", "This field cannot be cleared.")
