"""The keys of a pool, against a server that misbehaves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.domain.identity.cognito import keys as keys_module
from app.domain.identity.cognito.keys import CognitoKeys
from app.lib.errors import Unavailable
from tests.integration.cognito.stand_in import StandIn

OLD = generate_private_key(65537, 2048)
NEW = generate_private_key(65537, 2048)


def jwk(kid: str, key: Any = OLD, **changes: Any) -> dict[str, Any]:
    public: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "use": "sig", "alg": "RS256"} | changes


class Bench:
    def __init__(self, http: httpx.AsyncClient, server: StandIn) -> None:
        self.now = 1000.0
        self.server = server
        self.keys = CognitoKeys(http, f"{server.url}/keys", monotonic=lambda: self.now)

    async def knows(self, kid: str) -> bool:
        return await self.keys.verifying(kid) is not None

    async def settle(self) -> None:
        """Until a fetch in the background has ended."""
        if self.keys._fetching is not None:
            await asyncio.wait({self.keys._fetching})


@pytest.fixture
async def bench(stand_in: StandIn) -> AsyncIterator[Bench]:
    async with httpx.AsyncClient() as http:
        bench = Bench(http, stand_in)
        yield bench
        await bench.keys.close()


async def test_a_new_key_is_found_when_its_first_token_comes(bench: Bench) -> None:
    bench.server.publish(jwk("old"))
    assert await bench.knows("old")
    bench.server.publish(jwk("old"), jwk("new", NEW))
    bench.now += 5
    assert await bench.knows("new")
    assert await bench.knows("old")
    assert bench.server.key_requests == 2


async def test_invented_key_ids_are_no_stream_of_requests(bench: Bench) -> None:
    bench.server.publish(jwk("old"))
    assert not any(await asyncio.gather(*(bench.knows(f"invented-{number}") for number in range(200))))
    for number in range(200):
        assert not await bench.knows(f"another-{number}")
    assert await bench.knows("old")
    assert bench.server.key_requests == 1


async def test_a_withdrawn_key_is_forgotten_within_the_hour(bench: Bench) -> None:
    bench.server.publish(jwk("old"))
    await bench.knows("old")
    bench.server.publish(jwk("new", NEW))
    bench.now += 3601
    # This request does not wait for it.
    assert await bench.knows("old")
    await bench.settle()
    assert not await bench.knows("old")
    assert await bench.knows("new")


@pytest.mark.parametrize(
    "broken",
    [
        (500, b"{}"),
        (302, b""),
        (200, b""),
        (200, b"no json"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": 7}'),
        (200, b'{"keys": [7, null, {}, {"kid": 7}]}'),
        (200, b'{"keys": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
        (200, b'{"keys": [], "filling": "' + b"x" * 100_000 + b'"}'),
    ],
    ids=["500", "redirect", "empty", "no-json", "no-keys", "no-list", "no-objects", "nested", "oversized"],
)
async def test_keys_that_are_known_outlive_an_outage(bench: Bench, broken: tuple[int, bytes]) -> None:
    bench.server.keys = broken
    with pytest.raises(Unavailable):
        await bench.keys.verifying("old")
    bench.now += 5
    bench.server.publish(jwk("old"))
    assert await bench.knows("old")
    bench.server.keys = broken
    for _ in range(3):
        bench.now += 4000
        assert await bench.knows("old")
        await bench.settle()
    # Whether it is a new key's or invented cannot be told now.
    with pytest.raises(Unavailable):
        await bench.keys.verifying("new")
    assert bench.server.key_requests == 5


async def test_nobody_listens(bench: Bench) -> None:
    async with httpx.AsyncClient() as http:
        keys = CognitoKeys(http, "http://127.0.0.1:9/keys")
        with pytest.raises(Unavailable):
            await keys.verifying("old")


async def test_a_server_that_never_answers_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "FETCH_SECONDS", 0.1)
    bench.server.publish(jwk("old"))
    await bench.knows("old")
    bench.server.keys = None
    bench.now += 5
    waiting = asyncio.create_task(bench.keys.verifying("new"))
    # Known keys do not wait for the unknown.
    assert await bench.knows("old")
    with pytest.raises(Unavailable):
        await waiting


async def test_a_fetch_goes_on_when_whoever_began_it_is_gone(bench: Bench) -> None:
    bench.server.publish(jwk("old"))
    began = asyncio.create_task(bench.keys.verifying("old"))
    await asyncio.sleep(0)
    also = asyncio.create_task(bench.keys.verifying("old"))
    await asyncio.sleep(0)
    began.cancel()
    assert await also is not None
    assert bench.server.key_requests == 1


async def test_only_signing_keys_of_a_safe_size_count(bench: Bench) -> None:
    curve = ECAlgorithm.to_jwk(generate_curve_key(SECP256R1()).public_key(), as_dict=True)
    whole = RSAAlgorithm.to_jwk(OLD, as_dict=True)
    bench.server.publish(
        jwk("encrypts", use="enc"),
        jwk("other", alg="RS512"),
        jwk("weak", generate_private_key(65537, 1024)),
        jwk("broken", n="!"),
        jwk("without", n=None),
        {**curve, "kid": "curve"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric"},
        {**whole, "kid": "private"},
        jwk("good"),
    )
    assert await bench.knows("good")
    for kid in ("encrypts", "other", "weak", "broken", "without", "curve", "symmetric"):
        assert not await bench.knows(kid), kid
    # Of a private key that was published by mistake, the public half.
    assert await bench.knows("private")
