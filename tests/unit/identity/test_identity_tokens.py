import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.domain.identity import tokens as tokens_module
from app.domain.identity.keys import SigningKey, SigningKeys, public_jwk
from app.domain.identity.tokens import AccessTokens, new_refresh_token, refresh_token_hash
from app.lib.errors import Unauthenticated

USER = UUID("019ab000-0000-7000-8000-000000000001")
SESSION = UUID("019ab000-0000-7000-8000-000000000002")
PRIVATE = generate_private_key(65537, 2048)
STRANGER = generate_private_key(65537, 2048)
KID = public_jwk(PRIVATE.public_key())["kid"]
START = datetime(2026, 11, 24, 10, tzinfo=UTC)


class OneKey:
    """The part of `SigningKeys` that tokens use, without a database."""

    def __init__(self) -> None:
        self.lookups = 0

    async def signing(self) -> SigningKey:
        return SigningKey(KID, PRIVATE)

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        self.lookups += 1
        return PRIVATE.public_key() if kid == KID else None


class Bench:
    def __init__(self) -> None:
        self.now = START
        self.keys = OneKey()
        self.tokens = AccessTokens(
            cast(SigningKeys, self.keys),
            issuer="http://turumba.test",
            seconds=900,
            clock=lambda: self.now,
            new_id=lambda: UUID(int=7),
        )

    async def issue(self) -> str:
        return (await self.tokens.signer()).access_token(USER, SESSION)

    async def refusal(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.tokens.verify(token)
        return caught.value.code


@pytest.fixture
def bench() -> Bench:
    return Bench()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(START.timestamp())
    whole = {
        "iss": "http://turumba.test",
        "sub": str(USER),
        "sid": str(SESSION),
        "aud": "turumba",
        "iat": now,
        "exp": now + 900,
        "jti": "1",
        "token_use": "access",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def signed(content: dict[str, Any], **headers: Any) -> str:
    return jwt.encode(content, PRIVATE, algorithm="RS256", headers={"kid": KID} | headers)


async def test_a_token_says_who_and_until_when(bench: Bench) -> None:
    token = await bench.issue()
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": KID, "typ": "JWT"}
    assert jwt.decode(token, options={"verify_signature": False}) == claims(jti=str(UUID(int=7)))
    verified = await bench.tokens.verify(token)
    assert (verified.user_id, verified.expires_at) == (USER, int(START.timestamp()) + 900)


async def test_a_verified_token_is_remembered_only_until_it_expires(bench: Bench) -> None:
    token = await bench.issue()
    await bench.tokens.verify(token)
    await bench.tokens.verify(token)
    assert bench.keys.lookups == 1
    bench.now = START + timedelta(seconds=899)
    await bench.tokens.verify(token)
    bench.now = START + timedelta(seconds=900)
    assert await bench.refusal(token) == "token_expired"
    assert await bench.refusal(token) == "token_expired"


async def test_the_memory_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_REMEMBERED", 2)
    issued = [signed(claims(jti=str(number))) for number in range(3)]
    for token in issued:
        await bench.tokens.verify(token)
    await bench.tokens.verify(issued[2])
    await bench.tokens.verify(issued[1])
    assert bench.keys.lookups == 3
    await bench.tokens.verify(issued[0])
    assert bench.keys.lookups == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://other.test"},
        {"aud": "other"},
        {"aud": None},
        {"exp": None},
        {"iat": None},
        {"iss": None},
        {"sub": None},
        {"sub": "not-a-uuid"},
        {"jti": None},
        {"token_use": "refresh"},
        {"token_use": None},
        {"exp": "tomorrow"},
        {"exp": True},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused(bench: Bench, changes: dict[str, Any]) -> None:
    assert await bench.refusal(signed(claims(**changes))) == "invalid_token"


async def test_forged_tokens_are_refused(bench: Bench) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    good = await bench.issue()
    header, body, signature = good.split(".")
    unsigned = f"{part({'alg': 'none', 'kid': KID})}.{body}."
    public_pem = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    symmetric_head = f"{part({'alg': 'HS256', 'kid': KID, 'typ': 'JWT'})}.{body}"
    mac = hmac.new(public_pem, symmetric_head.encode(), hashlib.sha256).digest()
    symmetric = f"{symmetric_head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    stolen = jwt.encode(claims(), STRANGER, algorithm="RS256", headers={"kid": KID})
    swapped = f"{header}.{part(claims(sub=str(UUID(int=1))))}.{signature}"
    for token in (
        *(unsigned, symmetric, stolen, swapped, signed(claims(), kid="unknown")),
        *("", "a", "a.b.c", "\u00e9.\u00e9.\u00e9", good[:-3], good + "." + good, "x" * 5000),
        jwt.encode(claims(), PRIVATE, algorithm="RS256"),
        jwt.encode(claims(), PRIVATE, algorithm="PS256", headers={"kid": KID}),
    ):
        assert await bench.refusal(token) == "invalid_token", token


def test_refresh_tokens_are_random_and_stored_as_digests() -> None:
    first, second = new_refresh_token(), new_refresh_token()
    assert first.startswith("rt_")
    assert len(first) == 3 + 43
    assert first != second
    assert len(refresh_token_hash(first)) == 32


def test_a_key_has_the_same_id_everywhere_and_shows_nothing() -> None:
    jwk = public_jwk(PRIVATE.public_key())
    assert set(jwk) == {"kty", "n", "e", "kid", "use", "alg"}
    assert public_jwk(PRIVATE.public_key())["kid"] == jwk["kid"]
    assert repr(SigningKey("k", PRIVATE)) == "<SigningKey k>"
