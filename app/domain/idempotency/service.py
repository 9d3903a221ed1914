"""Requests that may be sent again: recognising them, keeping their answers, giving the same answer twice.

An answer is stored by the transaction that does the work. So there is no moment in which one exists without the other:
a request that is sent again after a crash is either answered with what was stored, or has never been done.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable

from app.domain.idempotency.schemas import Answer, IdempotencyKey, StoredAnswer
from app.lib.crypto import Envelope
from app.lib.errors import Conflict, InvalidValue

_HASH_KEY_BYTES = 32

_NOT_FINAL = frozenset({401, 403, 408, 412, 413, 425, 429})
"""Refusals that say nothing about the request itself, but about who sent it, when, or how fast."""


def is_final(status: int) -> bool:
    """Whether an answer is given again to the same request for a day.

    What succeeded is, and so is a judgement of the request: malformed (400), no such resource (404), a conflict (409),
    a wrong value (422). Not final is what the same request may well get past later without being another request: it
    was not authenticated or not allowed (401, 403), its version was outdated (412), it came too fast (429), too large
    to be read (413), or we failed (5xx).
    """
    return status < 500 and status not in _NOT_FINAL


def key_in_use() -> Conflict:
    """The answer while the first request of a key is still being worked on."""
    return Conflict(
        "A request with this Idempotency-Key is still being worked on; send it again shortly.",
        code="idempotency_key_in_use",
        retry_after=1.0,
    )


def digest_of(parts: Iterable[bytes]) -> bytes:
    """A digest of what makes two requests the same; `parts` keep their borders."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


class KeyedRequest:
    """One request that came with a key. `digest` is what `digest_of` says about it; None until `tell` says it.

    `offered` is the answer that was handed to somebody else's transaction, who stores it along with the work.
    """

    __slots__ = ("_digest", "_envelope", "key", "offered")

    def __init__(self, key: IdempotencyKey, digest: bytes | None, envelope: Envelope) -> None:
        self.key = key
        self.offered: StoredAnswer | None = None
        self._digest = digest
        self._envelope = envelope

    def __repr__(self) -> str:
        return f"<KeyedRequest {self.key}>"

    @property
    def known(self) -> bool:
        """Whether it can be told from another request with the same key."""
        return self._digest is not None

    def tell(self, digest: bytes) -> None:
        """What the request is, for whoever has read its body only now."""
        self._digest = digest

    def seal(self, answer: Answer) -> StoredAnswer:
        """The row that keeps `answer` for this request, which is known by now."""
        # A plain hash of a body that holds a password could be guessed from. The key of this one is sealed.
        hash_key = os.urandom(_HASH_KEY_BYTES)
        sealed = self._envelope.encrypt(hash_key + answer.body, self.key.context)
        return StoredAnswer(self.key, self._hash(hash_key), answer.status, answer.headers, sealed)

    def open(self, stored: StoredAnswer) -> Answer:
        """What was answered to this request before.

        Raises `InvalidValue` when it was another request, and `CryptoError` when it is sealed with a key that is not
        configured any more.
        """
        opened = self._envelope.decrypt(stored.sealed, self.key.context)
        if not hmac.compare_digest(stored.request_hash, self._hash(opened[:_HASH_KEY_BYTES])):
            raise InvalidValue(
                "This Idempotency-Key was used with another request; choose a new key for each one.",
                code="idempotency_key_reused",
            )
        return Answer(stored.status, stored.headers, opened[_HASH_KEY_BYTES:])

    def _hash(self, hash_key: bytes) -> bytes:
        assert self._digest is not None, "what the request was is not known"
        return hashlib.blake2b(self._digest, digest_size=32, key=hash_key).digest()
