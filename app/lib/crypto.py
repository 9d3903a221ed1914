"""Envelope encryption of secrets at rest: a fresh data key for each value, wrapped by a key that has an id.

Rotation is adding a new key in front of the list and running `turumba keys rewrap`, which changes the wrapping only;
the old key can be removed when nothing names it any more. The context (what the value is and whose) is authenticated,
so that a ciphertext copied into another row does not decrypt.
"""

import base64
import binascii
import os
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = 1


class CryptoError(Exception):
    """A value cannot be decrypted: wrong or missing key, wrong context, or damaged bytes. Never carries the value."""


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    version: int
    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


class Envelope:
    """Encrypts and decrypts with AES-256-GCM. `keys` maps key id → 32 bytes; the first one encrypts."""

    def __init__(self, keys: dict[str, bytes], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        if not keys:
            raise ValueError("at least one encryption key is needed")
        self._wrapping = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.active_key_id = next(iter(keys))
        self._random = random_bytes

    def __repr__(self) -> str:
        return f"<Envelope active key {self.active_key_id!r} of {len(self._wrapping)}>"

    def encrypt(self, plaintext: bytes, context: str) -> bytes:
        """Seal `plaintext`; `context` must be given again to open it, e.g. `channel:<id>:credentials`."""
        data_key = self._random(KEY_BYTES)
        sealed = _Sealed(
            VERSION, self.active_key_id, self._wrap(data_key, context), self._seal(AESGCM(data_key), plaintext, context)
        )
        return msgspec.msgpack.encode(sealed)

    def decrypt(self, sealed_bytes: bytes, context: str) -> bytes:
        """Open what `encrypt` made; raises `CryptoError`."""
        sealed = self._parse(sealed_bytes)
        data_key = self._unwrap(sealed, context)
        return self._open(AESGCM(data_key), sealed.ciphertext, context)

    def rewrap(self, sealed_bytes: bytes, context: str) -> bytes | None:
        """The same value under the active key, or None when it is already; raises `CryptoError`."""
        sealed = self._parse(sealed_bytes)
        if sealed.key_id == self.active_key_id:
            return None
        data_key = self._unwrap(sealed, context)
        return msgspec.msgpack.encode(
            msgspec.structs.replace(sealed, key_id=self.active_key_id, wrapped_key=self._wrap(data_key, context))
        )

    def key_id_of(self, sealed_bytes: bytes) -> str:
        """Which key a value is wrapped by; raises `CryptoError` on damaged bytes."""
        return self._parse(sealed_bytes).key_id

    def _wrap(self, data_key: bytes, context: str) -> bytes:
        return self._seal(self._wrapping[self.active_key_id], data_key, "key:" + context)

    def _unwrap(self, sealed: _Sealed, context: str) -> bytes:
        wrapping = self._wrapping.get(sealed.key_id)
        if wrapping is None:
            raise CryptoError(f"the encryption key {sealed.key_id!r} is not configured")
        return self._open(wrapping, sealed.wrapped_key, "key:" + context)

    def _seal(self, cipher: AESGCM, plaintext: bytes, context: str) -> bytes:
        nonce = self._random(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plaintext, context.encode())

    @staticmethod
    def _open(cipher: AESGCM, data: bytes, context: str) -> bytes:
        try:
            return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise CryptoError("the value does not decrypt under its key and context") from error

    @staticmethod
    def _parse(sealed_bytes: bytes) -> _Sealed:
        try:
            sealed = msgspec.msgpack.decode(sealed_bytes, type=_Sealed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CryptoError("the value is not an encrypted envelope") from error
        if sealed.version != VERSION:
            raise CryptoError(f"the value is an envelope of the unknown version {sealed.version}")
        return sealed


def parse_keys(text: str) -> dict[str, bytes]:
    """`id:base64[,id:base64…]` → key id → 32 bytes; raises `ValueError` without repeating any key."""
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(text.split(","), 1):
        key_id, separator, encoded = entry.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"encryption key {number} is not base64") from error
        if not separator or not key_id or len(key) != KEY_BYTES:
            raise ValueError(f"encryption key {number} must be `id:base64` of {KEY_BYTES} bytes")
        if key_id in keys:
            raise ValueError(f"the encryption key id {key_id!r} stands twice")
        keys[key_id] = key
    return keys
