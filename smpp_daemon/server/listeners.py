"""Where applications connect: addresses, and TLS with a certificate that may be renewed while we run."""

import ssl
from datetime import UTC
from pathlib import Path

from cryptography import x509


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[IPv6]:port`; an empty host is every interface. Raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Certificate:
    """The server's certificate. `renew` takes over changed files for connections made from then on."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.expires_at = ""
        self._loaded: object = None
        self.renew()

    def renew(self) -> bool:
        """Read the files again if they changed; whether they did. Raises OSError and ValueError, which change nothing.

        `ssl.SSLError` is an OSError.
        """
        seen = tuple(path.stat().st_mtime_ns for path in (self._certificate, self._key))
        if seen == self._loaded:
            return False
        expires_at = x509.load_pem_x509_certificate(self._certificate.read_bytes()).not_valid_after_utc
        self.context.load_cert_chain(self._certificate, self._key)
        self.expires_at = expires_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._loaded = seen
        return True
