"""Guessing is slow, and slow for who guesses only."""

import asyncio
import time

import pytest

from app.domain.smpp_accounts.networks import check_networks, is_allowed, parse_network
from app.lib.errors import FieldError
from smpp_daemon.server.guesses import MAX_WAITING, Guesses, TooManyGuessesError, neighbourhood


async def attempt(guesses: Guesses, address: str, known: str | None, *, wrong: bool) -> float:
    started = time.monotonic()
    async with guesses.turn(address, known) as turn:
        if wrong:
            turn.failed()
    return time.monotonic() - started


async def test_each_failure_doubles_the_wait_and_a_success_ends_it() -> None:
    guesses = Guesses(time.monotonic)
    first = await attempt(guesses, "192.0.2.1", "demo", wrong=True)
    second = await attempt(guesses, "192.0.2.1", "demo", wrong=True)
    assert second > first >= 0.2
    await attempt(guesses, "192.0.2.1", "demo", wrong=False)
    again = await attempt(guesses, "192.0.2.1", "demo", wrong=True)
    assert again < second


async def test_attempts_from_one_place_take_turns_and_others_do_not_wait() -> None:
    guesses = Guesses(time.monotonic)
    order: list[str] = []

    async def one(name: str, address: str, known: str | None, wrong: bool) -> None:
        await attempt(guesses, address, known, wrong=wrong)
        order.append(name)

    await asyncio.gather(
        one("guess 1", "192.0.2.1", "demo", True),
        one("guess 2", "192.0.2.1", "demo", True),
        one("another account", "192.0.2.1", "other", False),
        one("another place", "192.0.2.2", "demo", False),
    )
    assert order == ["another account", "another place", "guess 1", "guess 2"]


async def test_more_attempts_than_can_wait_are_turned_away() -> None:
    guesses = Guesses(time.monotonic)
    release = asyncio.Event()

    async def hold() -> None:
        async with guesses.turn("192.0.2.1", None):
            await release.wait()

    waiting = [asyncio.create_task(hold()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyGuessesError):
        async with guesses.turn("192.0.2.1", None):
            pass
    release.set()
    await asyncio.gather(*waiting)
    assert await attempt(guesses, "192.0.2.1", None, wrong=False) < 1


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_ipv6_counts_by_network(address: str, expected: str) -> None:
    assert neighbourhood(address) == expected


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("192.0.2.7", [], True),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.3.7", ["192.0.2.0/24"], False),
        ("2001:db8::1", ["192.0.2.0/24", "2001:db8::/32"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("", ["192.0.2.0/24"], False),
    ],
)
def test_allowed_networks(address: str, networks: list[str], allowed: bool) -> None:
    assert is_allowed(address, tuple(map(parse_network, networks))) is allowed


def test_what_is_no_network_is_pointed_at() -> None:
    errors: list[FieldError] = []
    assert check_networks(["192.0.2.7", "::/0", "x"], errors) == ("192.0.2.7/32", "::/0")
    assert [error.pointer for error in errors] == ["/allowed_networks/2"]
