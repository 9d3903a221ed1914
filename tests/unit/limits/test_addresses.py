"""Whose address counts: what proxies wrote, and what a client could have made up."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.addresses import ClientAddresses
from app.domain.limits.service import address_subject
from app.lib.networks import parse_address, parse_networks, parse_origins

TRUSTED = parse_networks("10.0.0.0/8, fd00::/8, 192.0.2.10")


def seen(peer: str | None, *headers: tuple[str, str], trusted: Any = TRUSTED) -> str | None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "client": (peer, 1) if peer else None, "headers": raw}
    return ClientAddresses(trusted).of(cast("Any", scope))


def forwarded_for(value: str) -> tuple[str, str]:
    return "x-forwarded-for", value


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.7", [forwarded_for("198.51.100.1")], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [forwarded_for("203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [forwarded_for("198.51.100.1, 203.0.113.7, 10.9.9.9")], "203.0.113.7"),
        ("10.0.0.1", [forwarded_for("198.51.100.1"), forwarded_for("203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [forwarded_for("10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        ("10.0.0.1", [forwarded_for("203.0.113.7, nonsense")], "10.0.0.1"),
        ("10.0.0.1", [forwarded_for("unknown, 10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", [forwarded_for("203.0.113.7:4711")], "203.0.113.7"),
        ("10.0.0.1", [forwarded_for("[2001:db8::7]:4711")], "2001:db8::7"),
        ("10.0.0.1", [forwarded_for("")], "10.0.0.1"),
        ("fd00::1", [forwarded_for("2001:DB8::0:7")], "2001:db8::7"),
        ("::ffff:10.0.0.1", [forwarded_for("::ffff:203.0.113.7")], "203.0.113.7"),
        ("192.0.2.10", [forwarded_for("203.0.113.7")], "203.0.113.7"),
        ("192.0.2.11", [forwarded_for("203.0.113.7")], "192.0.2.11"),
        ("10.0.0.1", [("forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43")], "192.0.2.60"),
        ("10.0.0.1", [("forwarded", 'for=198.51.100.1, For="[2001:db8:cafe::17]:4711"')], "2001:db8:cafe::17"),
        ("10.0.0.1", [("forwarded", "proto=https;for=203.0.113.7"), ("forwarded", "for=10.0.0.9")], "203.0.113.7"),
        ("10.0.0.1", [("forwarded", "for=203.0.113.7, for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [("forwarded", "for=203.0.113.7, proto=https")], "10.0.0.1"),
        ("10.0.0.1", [("forwarded", "for=198.51.100.1"), forwarded_for("203.0.113.7")], "203.0.113.7"),
        (None, [forwarded_for("203.0.113.7")], None),
    ],
)
def test_the_client(peer: str | None, headers: list[tuple[str, str]], client: str | None) -> None:
    assert seen(peer, *headers) == client


def test_nobody_is_trusted_by_default() -> None:
    assert seen("127.0.0.1", forwarded_for("203.0.113.7"), trusted=()) == "127.0.0.1"


@given(st.text(st.characters(max_codepoint=255), max_size=80), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_whatever_comes_an_address_results(value: str, name: str) -> None:
    found = seen("10.0.0.1", (name, value))
    assert found is not None
    assert parse_address(found) is not None


@given(st.text(st.characters(max_codepoint=255, exclude_characters=","), max_size=40))
def test_what_a_client_claims_changes_nothing(claim: str) -> None:
    assert seen("10.0.0.1", forwarded_for(f"{claim}, 203.0.113.7, 10.0.0.2")) == "203.0.113.7"


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.7", "address:203.0.113.7"),
        ("::ffff:203.0.113.7", "address:203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "address:2001:db8:1:2::/64"),
        (None, "address:unknown"),
        ("unix", "address:unknown"),
    ],
)
def test_what_is_counted(address: str | None, subject: str) -> None:
    assert address_subject(address) == subject


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0.0/8;fd00::/8"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network such as"):
        parse_networks(text)


def test_origins() -> None:
    assert parse_origins("") == frozenset()
    assert parse_origins("https://a.example, http://localhost:5173") == {"https://a.example", "http://localhost:5173"}
    assert parse_origins("*") == {"*"}
    for wrong in ("https://a.example/", "a.example", "https://*.example", "null", "https://A.example", "*,https://a.b"):
        with pytest.raises(ValueError, match=r"is not a web origin|every origin"):
            parse_origins(wrong)
