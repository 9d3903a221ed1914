"""From where an account may bind."""

import ipaddress
from collections.abc import Iterable

from app.lib.errors import FieldError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: str) -> Network:
    """An address or a network in CIDR form. Raises ValueError, also when host bits are set."""
    return ipaddress.ip_network(text)


def check_networks(texts: Iterable[str], errors: list[FieldError]) -> tuple[str, ...]:
    """The networks in canonical form; what is none is added to `errors` with its place."""
    found: list[str] = []
    for index, text in enumerate(texts):
        try:
            found.append(str(parse_network(text)))
        except ValueError:
            detail = f"{text!r} is neither an address nor a network such as 192.0.2.0/24."
            errors.append(FieldError(f"/allowed_networks/{index}", "not_a_network", detail))
    return tuple(found)


def is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether a peer's address is in one of the networks; any address when there are none."""
    if not networks:
        return True
    try:
        # A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d, with a scope for link-local ones.
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    candidate = mapped if mapped is not None else parsed
    return any(candidate in network for network in networks)
