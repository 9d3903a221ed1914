"""Where a request really comes from, when proxies stand before us."""

import re
from collections.abc import Iterator

from litestar.types import Scope

from app.lib.networks import Network, parse_address

_PORT = re.compile(r"^(?:\[(?P<six>[^\]]*)\]|(?P<four>[0-9.]+))(?::[0-9]+)?$")
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^;"\s]*))\s*(?=;|$)', re.IGNORECASE)


class ClientAddresses:
    """Finds the client's address; headers are believed only as far as the networks in `trusted` wrote them.

    Of `X-Forwarded-For` each proxy has appended whom it heard from, so it is read from its end: the first address that
    is no trusted proxy is the client; what stands before it is the client's own claim. `Forwarded` (RFC 7239) is used
    only without the other: a proxy that writes it must not let the client's `X-Forwarded-For` through.
    """

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self._trusted = trusted

    def of(self, scope: Scope) -> str | None:
        """The address of the client; None when the server does not know its peer."""
        client = scope.get("client")
        peer = client[0] if client else None
        if peer is None or not self._trusted or not self._trusts(peer):
            return peer
        hops = list(_hops(scope))
        nearest = peer
        for hop in reversed(hops):
            address = parse_address(hop)
            if address is None:
                # A proxy that hides whom it heard from ("unknown", "_name"): it is the last thing we know.
                break
            nearest = str(address)
            if not self._trusts(nearest):
                break
        return nearest

    def _trusts(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._trusted)


def _hops(scope: Scope) -> Iterator[str]:
    """Every address in the headers of proxies, the client's first."""
    forwarded_for = _values(scope, b"x-forwarded-for")
    if forwarded_for:
        for entry in ",".join(forwarded_for).split(","):
            yield _without_port(entry.strip())
        return
    # The identifiers of nodes hold no commas (RFC 7239 §6), so that splitting there is right also inside quotes.
    for element in ",".join(_values(scope, b"forwarded")).split(","):
        found = _FOR.search(element)
        if found is not None:
            yield _without_port(found[1] or found[2])
        elif element.strip():
            yield ""


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _without_port(node: str) -> str:
    found = _PORT.match(node)
    return (found["six"] or found["four"] or "") if found is not None else node
