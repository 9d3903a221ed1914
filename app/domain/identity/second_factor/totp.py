"""Codes by time (RFC 6238) and recovery codes: the arithmetic, without a database."""

import hashlib
import hmac
import secrets
from datetime import datetime
from uuid import UUID

import pyotp

STEP_SECONDS = 30
DIGITS = 6
WINDOW = 1
"""Steps before and after the present one whose codes count too: clocks differ, and typing takes time (§5.2)."""

RECOVERY_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what is read as something else: i, l, o, 0, 1."""

_GROUPS, _GROUP = 4, 4


def new_secret() -> str:
    """160 random bits in base 32, the length of RFC 4226 §4."""
    return pyotp.random_base32(32)


def provisioning_uri(secret: str, email: str) -> str:
    """What an authenticator reads as a QR code: `otpauth://totp/…`."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(name=email, issuer_name="Turumba")


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, within the window; None when there is none."""
    given = "".join(code.split()).encode(errors="replace")
    present = int(now.timestamp()) // STEP_SECONDS
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS)
    matching = None
    # All of them are compared, so that the time tells nothing.
    for step in range(max(0, present - WINDOW), present + WINDOW + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), given):
            matching = step
    return matching


def new_recovery_codes() -> list[str]:
    """Ten codes of 79 random bits, `xxxx-xxxx-xxxx-xxxx`."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


def recovery_code_hash(user_id: UUID, code: str) -> bytes:
    """The stored form, however the code is typed. The codes are random, so that there is nothing to guess from it."""
    typed = "".join(code.split()).replace("-", "").lower()
    return hashlib.sha256(user_id.bytes + typed.encode(errors="replace")).digest()
