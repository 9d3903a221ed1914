"""Password hashes (Argon2id, RFC 9106), and what a new password must be."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.lib.errors import FieldError, TooManyRequests

MIN_LENGTH = 10
MAX_LENGTH = 128
CONCURRENT_HASHES = 2
MAX_WAITING = 64

WORST = frozenset(
    [
        *("0123456789", "1234567890", "0987654321", "9876543210", "1111111111", "0000000000", "1234512345"),
        *("12345678910", "123456789a", "123456789q", "1q2w3e4r5t", "1q2w3e4r5t6y", "1qaz2wsx3edc", "q1w2e3r4t5"),
        *("qwertyuiop", "qwerty1234", "qwerty12345", "qwerty123456", "qwertyqwerty", "asdfghjkl1", "asdfghjkl;"),
        *("zxcvbnm123", "abcdefghij", "abcdefghijk", "abcd123456", "abc1234567", "a123456789", "aaaaaaaaaa"),
        *("password12", "password123", "password1234", "password12345", "passwordpassword", "password01"),
        *("p@ssword123", "p@ssw0rd123", "passw0rd123", "mypassword", "mypassword1", "changeme123", "changemenow"),
        *("iloveyou12", "iloveyou123", "letmein123", "letmein1234", "welcome123", "welcome1234", "admin12345"),
        *("administrator", "admin123456", "superman123", "football123", "baseball123", "princess123", "sunshine123"),
        *("monkey1234", "dragon1234", "master1234", "qazwsxedcrfv", "secret1234", "testtest123", "test123456"),
    ]
)
"""The passwords of at least `MIN_LENGTH` characters that guessing starts with, in lower case."""

T = TypeVar("T")


def normalise_password(password: str) -> str:
    """The form that is hashed: NFC, so that one password typed on two keyboards is one (RFC 8265 §4.2.2)."""
    return unicodedata.normalize("NFC", password)


def check_new_password(password: str, email: str, errors: list[FieldError], pointer: str = "/password") -> None:
    """Adds an error when `password` has fewer than 10 or more than 128 characters, is notorious, or is the e-mail."""
    normalised = normalise_password(password)
    lowered = normalised.lower()
    if len(normalised) < MIN_LENGTH:
        errors.append(FieldError(pointer, "weak_password", f"A password has at least {MIN_LENGTH} characters."))
    elif len(normalised) > MAX_LENGTH:
        errors.append(FieldError(pointer, "too_long", f"A password has at most {MAX_LENGTH} characters."))
    elif lowered in WORST or len(set(lowered)) < 3:
        errors.append(FieldError(pointer, "weak_password", "This password is among the first that are guessed."))
    elif lowered == email.strip().lower():
        errors.append(FieldError(pointer, "weak_password", "The password must not be the e-mail address."))


class Passwords:
    """Hashes and verifies in threads, two at a time: each hash takes about 0.1 s of processor time at 64 MiB.

    At most 64 calls wait; further ones raise `TooManyRequests`, because they would time out anyway.
    """

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._running = asyncio.Semaphore(CONCURRENT_HASHES)
        self._waiting = 0
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """A fresh hash of `password` in PHC form."""
        return await self._in_thread(lambda: self._hasher.hash(normalise_password(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` made `password_hash`. With None (no such user) it takes as long, and is false."""
        if password_hash is None:
            await self._in_thread(lambda: self._matches(self._decoy_hash(), password))
            return False
        return await self._in_thread(lambda: self._matches(password_hash, password))

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's and should be replaced at the next login."""
        return self._hasher.check_needs_rehash(password_hash)

    async def prepare(self) -> None:
        """Make the hash that strangers are compared with, so that the first stranger does not take twice as long."""
        await self._in_thread(self._decoy_hash)

    def _decoy_hash(self) -> str:
        if self._decoy is None:
            self._decoy = self._hasher.hash(secrets.token_urlsafe(32))
        return self._decoy

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, normalise_password(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise TooManyRequests("Too many passwords are being checked; try again shortly.", retry_after=2.0)
        self._waiting += 1
        try:
            async with self._running:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
