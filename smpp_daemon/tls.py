"""TLS towards operators: contexts out of PEM texts, certificates and failures in words.

TLS 1.2 and later. What is wrong with a channel's own PEM texts is a `TlsError` for people, never a crash.
"""

import asyncio
import ssl
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import cast
from weakref import WeakValueDictionary

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from connectors.contract import hidden_repr
from connectors.smpp.config import SmppConfig, SmppCredentials, SmppHost, TlsVerify

SOON_DAYS = 30
VERY_SOON_DAYS = 7
LOOK_SECONDS = 5.0

_DAY = timedelta(days=1)
_MAX_NAMES = 3
_MAX_NAME = 64

# OpenSSL's X509_V_ERR_* (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER, _NO_LEAF_ISSUER = 18, 19, 20, 21
_OTHER_NAME, _OTHER_ADDRESS = 62, 64


class TlsError(Exception):
    """The channel's certificates cannot be used; the text says which and why."""


class TlsSettings(msgspec.Struct, frozen=True):
    """What a context is made of. `ca`, `client_certificate` and `client_key` are PEM texts.

    `server_name` is asked and checked for in place of the host's name.
    """

    verify: TlsVerify
    ca: str | None
    server_name: str | None
    client_certificate: str | None
    client_key: str | None

    __repr__ = hidden_repr


def tls_settings(config: SmppConfig, credentials: SmppCredentials) -> TlsSettings | None:
    """A channel's TLS, None for plain TCP."""
    if not config.tls:
        return None
    return TlsSettings(
        config.tls_verify,
        config.tls_ca,
        config.tls_server_name,
        credentials.client_certificate,
        credentials.client_key,
    )


class Certificate(msgspec.Struct, frozen=True):
    """What people need to know of one: its names, who signed it, and the moment it ends."""

    names: tuple[str, ...]
    issuer: str
    ends: datetime


class TlsClient:
    """One context and the end of our own certificate, None without one. Raises `TlsError`; takes milliseconds."""

    def __init__(self, settings: TlsSettings) -> None:
        self.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.own_ends: datetime | None = None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = settings.verify is TlsVerify.FULL
        if settings.verify is TlsVerify.NONE:
            context.verify_mode = ssl.CERT_NONE
        if settings.ca is not None:
            _trust_only(context, settings.ca)
        elif settings.verify is not TlsVerify.NONE:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if settings.client_certificate is not None:
            self.own_ends = _own_end(settings.client_certificate)
            _load_own(context, settings.client_certificate, settings.client_key)
        elif settings.client_key is not None:
            raise TlsError("client_key is stored without a client_certificate")


class TlsClients:
    """The contexts in use, one for equal settings. Held weakly: the last bind that uses one takes it along."""

    def __init__(self) -> None:
        self._clients: WeakValueDictionary[TlsSettings, TlsClient] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._clients)

    async def get(self, settings: TlsSettings) -> TlsClient:
        """The context for these settings; the caller keeps it for as long as it needs it. Raises `TlsError`."""
        client = self._clients.get(settings)
        if client is None:
            # Reading the system's authorities takes tens of milliseconds.
            client = await asyncio.to_thread(TlsClient, settings)
            client = self._clients.setdefault(settings, client)
        return client


def read_certificate(der: bytes | None) -> Certificate | None:
    """A certificate of whatever quality; None when it cannot be read."""
    if not der:
        return None
    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(_names(found), _name(found.issuer), found.not_valid_after_utc)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None


def days_left(ends: datetime | None, now: float) -> int | None:
    """Whole days until then, negative afterwards. `now` is seconds since 1970."""
    return None if ends is None else (ends - datetime.fromtimestamp(now, UTC)) // _DAY


def expiry_warning(whose: str, days: int | None) -> str | None:
    """`whose` certificate in words, None while there is time."""
    if days is None or days >= SOON_DAYS:
        return None
    if days < 0:
        return f"{whose} certificate has expired."
    left = "today" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"
    return f"{whose} certificate expires {left}{'; renew it now' if days < VERY_SOON_DAYS else ''}."


def failure_in_words(error: ssl.SSLError, seen: Certificate | None) -> str:
    """A failed handshake; `seen` is the certificate the operator shows, where it could be had."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification_in_words(error, seen)
    reason = error.reason or str(error)
    if reason == "WRONG_VERSION_NUMBER":
        return "the operator does not speak TLS on this port"
    if reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"):
        return "the operator speaks no TLS version from 1.2 on"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return f"the operator may ask for a client certificate ({reason.lower().replace('_', ' ')})"
    return reason.lower().replace("_", " ")


async def look_at(host: SmppHost, server_name: str) -> Certificate | None:
    """The certificate an operator shows, unchecked and with nothing said to it: only to explain a failed check."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(LOOK_SECONDS):
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, host.host, host.port, ssl=context, server_hostname=server_name
            )
        try:
            return read_certificate(peer_certificate(transport))
        finally:
            transport.abort()
    return None


def peer_certificate(transport: asyncio.BaseTransport) -> bytes | None:
    """The DER of the certificate the other side of a TLS connection showed."""
    ssl_object = transport.get_extra_info("ssl_object")
    return None if ssl_object is None else cast("bytes | None", ssl_object.getpeercert(binary_form=True))


# -- inside -------------------------------------------------------------------------------------------------------


def _trust_only(context: ssl.SSLContext, pem: str) -> None:
    # An intermediate authority or the operator's own certificate may be pinned too.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise TlsError("tls_ca holds no certificate that can be read; it must be PEM text") from None


def _own_end(pem: str) -> datetime:
    try:
        return x509.load_pem_x509_certificates(pem.encode())[0].not_valid_after_utc
    except (ValueError, IndexError):
        raise TlsError("client_certificate holds no certificate that can be read; it must be PEM text") from None


def _load_own(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def encrypted() -> str:
        raise TlsError("client_key is encrypted; store it without a passphrase")

    # The ssl module reads files only: this one is ours alone (0600) and gone before anything is sent.
    with tempfile.NamedTemporaryFile("w", prefix="smppd-", suffix=".pem") as file:
        file.write(f"{certificate}\n{key or ''}")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=encrypted)
        except ssl.SSLError as error:
            if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
                raise TlsError("client_key does not belong to client_certificate") from None
            what = "client_key" if key else "client_certificate comes without client_key, and"
            raise TlsError(f"{what} holds no private key that can be read; it must be PEM text") from None


def _verification_in_words(error: ssl.SSLCertVerificationError, seen: Certificate | None) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        when = f" (on {seen.ends:%Y-%m-%d})" if seen is not None and seen.ends < datetime.now(UTC) else ""
        return f"certificate has expired{when}"
    if code == _NOT_YET_VALID:
        return "certificate is not valid yet; compare the clocks"
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        names = ", ".join(seen.names) if seen is not None else ""
        return f"hostname mismatch: certificate is for {names or 'another name'}"
    if code in (_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER, _NO_LEAF_ISSUER):
        issuer = f" ({seen.issuer})" if seen is not None and seen.issuer else ""
        return f"certificate is signed by an authority{issuer} that this channel does not trust"
    return str(error.verify_message or error.reason or error)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    names: list[str] = []
    with suppress(x509.ExtensionNotFound):
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += alternative.get_values_for_type(x509.DNSName)
        names += [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]
    if not names:
        names = [name for name in [_name(certificate.subject)] if name]
    shown = tuple(_printable(name) for name in names[:_MAX_NAMES])
    return shown if len(names) <= _MAX_NAMES else (*shown, f"and {len(names) - _MAX_NAMES} more")


def _name(name: x509.Name) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return _printable(str(attribute.value))
    return ""


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:_MAX_NAME])
