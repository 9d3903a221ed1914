"""Versions in requests and answers: `ETag` and `If-Match` (RFC 9110 §8.8.3, §13.1.1)."""

import re
from datetime import datetime

from app.api.requests import ApiRequest
from app.lib.versions import version_of

VERSION_END = "-"
"""Stands between the version and the digest of one representation of it (app.api.conditional)."""

_ENTITY_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')


def if_match(request: ApiRequest) -> frozenset[str] | None:
    """The versions a request insists on, None when any will do.

    `If-Match` compares strongly (RFC 9110 §13.1.1), so a weak tag matches nothing, nor does a malformed header.
    """
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(tag.partition(VERSION_END)[0] for weak, tag in _ENTITY_TAG.findall(header) if not weak)


def tag_of(updated_at: datetime) -> dict[str, str]:
    """The `ETag` header of a resource that was changed last at `updated_at`."""
    return {"ETag": f'"{version_of(updated_at)}"'}
