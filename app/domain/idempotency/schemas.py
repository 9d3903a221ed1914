"""A key as a client sends it, and the answer that is kept under it."""

import hashlib
from uuid import UUID

import msgspec

NOBODY = UUID(int=0)
"""The account of requests that come before anybody is known: registering, logging in."""


class IdempotencyKey(msgspec.Struct, frozen=True):
    """What a client called one request: the key it chose, within one account and one route (method and path)."""

    account_id: UUID
    route: str
    key: str

    @property
    def context(self) -> str:
        """What a sealed answer is tied to: copied into another key's row it does not open."""
        return f"idempotency:{self.account_id}:{self.route}:{self.key}"

    @property
    def lock_number(self) -> int:
        """An advisory lock number, in the range of bigint."""
        return int.from_bytes(hashlib.blake2b(self.context.encode(), digest_size=8).digest(), "big", signed=True)


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer without what belongs to one transmission of it. Its repr hides the body, which may be a secret."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"


class StoredAnswer(msgspec.Struct):
    """A row of `idempotency_keys`: an answer, sealed, and a hash that recognises the request it answers.

    `refused` is set when another request's answer was there first, so that this one was not stored.
    """

    key: IdempotencyKey
    request_hash: bytes
    status: int
    headers: dict[str, str]
    sealed: bytes
    refused: bool = False
