import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib.crypto import CryptoError, Envelope, parse_keys

OLD, NEW = bytes(32), bytes(range(32))


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_only_in_its_context(secret: bytes, context: str) -> None:
    envelope = Envelope({"a": OLD})
    sealed = envelope.encrypt(secret, context)
    assert envelope.decrypt(sealed, context) == secret
    with pytest.raises(CryptoError):
        envelope.decrypt(sealed, context + "x")


def test_rotation_changes_the_wrapping_only() -> None:
    sealed = Envelope({"old": OLD}).encrypt(b"secret", "c")
    both = Envelope({"new": NEW, "old": OLD})
    assert both.decrypt(sealed, "c") == b"secret"
    moved = both.rewrap(sealed, "c")
    assert moved is not None
    assert both.rewrap(moved, "c") is None
    assert Envelope({"new": NEW}).decrypt(moved, "c") == b"secret"
    with pytest.raises(CryptoError, match="'old' is not configured"):
        Envelope({"new": NEW}).decrypt(sealed, "c")


@given(st.binary(max_size=120))
def test_damaged_values_are_refused(data: bytes) -> None:
    with pytest.raises(CryptoError):
        Envelope({"a": OLD}).decrypt(data, "c")


def test_every_flipped_byte_is_noticed() -> None:
    envelope = Envelope({"a": OLD})
    sealed = envelope.encrypt(b"secret", "c")
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(CryptoError):
            envelope.decrypt(bytes(damaged), "c")


def test_keys_and_secrets_stay_out_of_repr() -> None:
    assert "AAAA" not in repr(Envelope(parse_keys("a:" + base64.b64encode(OLD).decode())))


@pytest.mark.parametrize("text", ["", "a", "a:", "a:AAAA", ":" + "A" * 44, "a:%%%", "a:{0},a:{0}"])
def test_bad_key_lists_are_refused_without_repeating_them(text: str) -> None:
    key = base64.b64encode(NEW).decode()
    with pytest.raises(ValueError) as caught:
        parse_keys(text.format(key))
    assert key not in str(caught.value)
