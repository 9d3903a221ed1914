"""Networks and web origins as operators write them in settings."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY_ORIGIN = "*"

# RFC 6454 §6.2: scheme, host and port; a browser sends nothing behind it.
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)(:[0-9]{1,5})?")


def parse_address(text: str) -> Address | None:
    """An IP address, of IPv4 also when it comes as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2); None for anything else."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma separated networks (`10.0.0.0/8`) and addresses; raises `ValueError` naming what is neither."""
    networks = []
    for entry in _entries(text):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError as error:
            raise ValueError(f"{entry!r} is not a network such as 10.0.0.0/8 or fd00::/8: {error}") from error
    return tuple(networks)


def parse_origins(text: str) -> frozenset[str]:
    """Comma separated web origins, or `*` alone; raises `ValueError` naming what is none."""
    origins = frozenset(_entries(text))
    for origin in origins - {ANY_ORIGIN}:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is not a web origin such as https://app.example.com: scheme, host and perhaps a port, in"
                " small letters, and nothing behind them"
            )
    if ANY_ORIGIN in origins and len(origins) > 1:
        raise ValueError("* is every origin; name no others beside it")
    return origins


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]
