"""Passwords of binds: Argon2id with parameters of their own, and how new ones are made.

Argon2id and not a keyed fast hash: the protocol allows 8 characters, so who reads the table could try them all against
anything fast, and a pepper in the environment of the same machines would be the only thing in the way. OWASP's smaller
parameters (19 MiB, 2 passes) cost about 20 ms, which only the first bind of an account in a process pays: the daemon
remembers which password it has verified (`smpp_daemon.server.door`).
"""

import secrets

from argon2 import PasswordHasher

from app.domain.identity.passwords import Passwords

GENERATED_LENGTH = 8
"""SMPP 3.4 §5.2.2: nine octets with the NUL. Longer ones are accepted, but not every client can send them."""

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def bind_passwords() -> Passwords:
    """The hasher of bind passwords."""
    return Passwords(PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1))


def generate_password() -> str:
    """Eight characters that nobody mistakes for one another: 46 bits, guessed over the network only."""
    return "".join(secrets.choice(_LETTERS) for _ in range(GENERATED_LENGTH))
