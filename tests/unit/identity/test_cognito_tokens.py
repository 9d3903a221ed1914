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

from app.domain.identity.cognito.issuer import CognitoIssuer
from app.domain.identity.cognito.keys import CognitoKeys
from app.domain.identity.keys import SigningKeys
from app.domain.identity.tokens import AccessTokens
from app.lib.errors import Unauthenticated

POOL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Pool"
OURS = "http://turumba.test"
OWN_KEY = generate_private_key(65537, 2048)
POOL_KEY = generate_private_key(65537, 2048)
START = datetime(2026, 11, 24, 10, tzinfo=UTC)


class OneKey:
    """What an issuer uses of its keys."""

    def __init__(self, kid: str, key: RSAPublicKey) -> None:
        self.kid = kid
        self.key = key

    async def verifying(self, kid: str) -> RSAPublicKey | None:
        return self.key if kid == self.kid else None


class Bench:
    def __init__(self) -> None:
        self.now = START
        keys = cast(CognitoKeys, OneKey("pool", POOL_KEY.public_key()))
        self.tokens = AccessTokens(
            cast(SigningKeys, OneKey("own", OWN_KEY.public_key())),
            issuer=OURS,
            seconds=900,
            clock=lambda: self.now,
            new_id=lambda: UUID(int=7),
            others=[CognitoIssuer(keys, POOL, ["web", "mobile"])],
        )

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
        "iss": POOL,
        "sub": "4f3c-subject",
        "client_id": "web",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "origin_jti": "origin",
        "jti": "token",
        "iat": now,
        "auth_time": now,
        "exp": now + 3600,
        "username": "a@example.com",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def signed(content: dict[str, Any], key: Any = POOL_KEY, kid: str | None = "pool") -> str:
    """Signed without the checks of an encoder, which would refuse to write some of these claims."""
    return _raw({"alg": "RS256"} | ({"kid": kid} if kid is not None else {}), json.dumps(content), key)


async def test_a_token_of_the_pool_names_a_subject_and_a_session(bench: Bench) -> None:
    first = await bench.tokens.verify(signed(claims()))
    assert (first.user_id, first.subject, first.token_id) == (None, "4f3c-subject", "token")
    refreshed = await bench.tokens.verify(signed(claims(jti="another", client_id="mobile")))
    assert refreshed.session_id == first.session_id
    other_login = await bench.tokens.verify(signed(claims(origin_jti="other")))
    assert other_login.session_id != first.session_id


async def test_without_an_origin_each_token_is_a_session(bench: Bench) -> None:
    first = await bench.tokens.verify(signed(claims(origin_jti=None)))
    second = await bench.tokens.verify(signed(claims(origin_jti=None, jti="another")))
    assert first.session_id != second.session_id


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"},
        {"iss": POOL + "/"},
        {"iss": POOL.upper()},
        {"iss": None},
        {"iss": [POOL]},
        {"iss": OURS},
        {"client_id": "somebody-else"},
        {"client_id": ["web"]},
        {"client_id": None},
        {"client_id": None, "aud": "web"},
        {"token_use": "id"},
        {"token_use": "id", "aud": "web"},
        {"token_use": None},
        {"exp": None},
        {"exp": True},
        {"exp": "tomorrow"},
        {"exp": 1.5e9},
        {"iat": None},
        {"iat": int(START.timestamp()) + 31},
        {"nbf": int(START.timestamp()) + 31},
        {"nbf": "now"},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "a\0b"},
        {"jti": None},
        {"jti": 7},
        {"origin_jti": 7},
        {"origin_jti": "x" * 257},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused(bench: Bench, changes: dict[str, Any]) -> None:
    assert await bench.refusal(signed(claims(**changes))) == "invalid_token"


async def test_the_clocks_may_be_thirty_seconds_apart(bench: Bench) -> None:
    early = signed(claims(iat=int(START.timestamp()) + 30, nbf=int(START.timestamp()) + 30))
    await bench.tokens.verify(early)
    token = signed(claims())
    bench.now = START + timedelta(seconds=3629)
    await bench.tokens.verify(token)
    bench.now = START + timedelta(seconds=3630)
    assert await bench.refusal(token) == "token_expired"
    assert await bench.refusal(signed(claims(jti="never seen before"))) == "token_expired"


async def test_our_own_tokens_have_no_leeway_beside_a_pool(bench: Bench) -> None:
    now = int(START.timestamp())
    own = {
        "iss": OURS,
        "sub": str(UUID(int=1)),
        "sid": str(UUID(int=2)),
        "aud": "turumba",
        "iat": now,
        "exp": now + 900,
        "jti": "1",
        "token_use": "access",
    }
    token = signed(own, OWN_KEY, "own")
    assert (await bench.tokens.verify(token)).user_id == UUID(int=1)
    bench.now = START + timedelta(seconds=900)
    assert await bench.refusal(token) == "token_expired"


async def test_an_issuer_vouches_for_itself_only(bench: Bench) -> None:
    now = int(START.timestamp())
    own = claims(iss=OURS, sub=str(UUID(int=1)), sid=str(UUID(int=2)), aud="turumba", exp=now + 900)
    for token in (
        signed(own),
        signed(own, POOL_KEY, "own"),
        signed(claims(), OWN_KEY, "own"),
        signed(claims(), OWN_KEY, "pool"),
        # The same claim twice: one reader takes the first, another the last.
        _raw({"alg": "RS256", "kid": "pool"}, json.dumps(claims())[:-1] + f', "iss": "{OURS}"}}'),
    ):
        assert await bench.refusal(token) == "invalid_token"


async def test_forged_tokens_are_refused(bench: Bench) -> None:
    good = signed(claims())
    head, body, signature = good.split(".")
    unsigned = f"{_part(json.dumps({'alg': 'none', 'kid': 'pool'}))}.{body}."
    pem = POOL_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    symmetric = f"{_part(json.dumps({'alg': 'HS256', 'kid': 'pool'}))}.{body}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, symmetric.encode(), hashlib.sha256)).rstrip(b"=").decode()
    swapped = f"{head}.{_part(json.dumps(claims(sub='somebody-else')))}.{signature}"
    nested = ', "a": ' + "[" * 4000 + "]" * 4000 + "}"
    deep_body = _part('{"iss": "' + POOL + '"' + nested)
    deep_head = _part('{"alg": "RS256", "kid": "pool"' + nested)
    latin = base64.urlsafe_b64encode(b'{"iss": "\xed\xa0\x80"}').rstrip(b"=").decode()
    for token in (
        *(unsigned, f"{symmetric}.{mac}", swapped, signed(claims(), kid=None), signed(claims(), kid="other")),
        jwt.encode(claims(), POOL_KEY, algorithm="PS256", headers={"kid": "pool"}),
        jwt.encode(claims(), POOL_KEY, algorithm="RS512", headers={"kid": "pool"}),
        f"{_part('[]')}.{body}.{signature}",
        f"{head}.{_part('[]')}.{signature}",
        *(f"{head}.{deep_body}.{signature}", f"{deep_head}.{body}.{signature}", f"{head}.{latin}.{signature}"),
        good + "x" * 20_000,
    ):
        assert await bench.refusal(token) == "invalid_token", token[:200]


def _part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _raw(header: dict[str, Any], body: str, key: Any = POOL_KEY) -> str:
    signing = f"{_part(json.dumps(header))}.{_part(body)}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signing.encode(), key)
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
