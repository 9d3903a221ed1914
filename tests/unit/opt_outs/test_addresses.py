"""One form for each address, and cells of a file that compute nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.opt_outs.addresses import canonical_address, country_of
from app.domain.opt_outs.classes import ChannelClass

SMS, WHATSAPP, EMAIL = ChannelClass.SMS, ChannelClass.WHATSAPP, ChannelClass.EMAIL


@pytest.mark.parametrize(
    ("channel_class", "value", "country", "expected"),
    [
        (SMS, "+251911000142", None, "+251911000142"),
        (SMS, "+251 (911) 00-01-42", None, "+251911000142"),
        (SMS, "251911000142", None, "+251911000142"),
        (SMS, "251911000142", "ET", "+251911000142"),
        (SMS, "00251911000142", None, "+251911000142"),
        (SMS, "0911000142", "ET", "+251911000142"),
        (SMS, "911000142", "ET", "+251911000142"),
        (SMS, "0911000142", None, None),
        (SMS, "2025550142", "US", "+12025550142"),
        (SMS, "12025550142", "US", "+12025550142"),
        (SMS, "12025550142", "ET", "+12025550142"),
        (SMS, "8080", "ET", None),
        (SMS, "DEMO", "ET", None),
        (SMS, "", None, None),
        (SMS, "+", None, None),
        (WHATSAPP, "+251911000142", None, "+251911000142"),
        (EMAIL, "A.Person@Example.com", None, "a.person@example.com"),
        (EMAIL, "x", None, None),
        (ChannelClass.TELEGRAM, "-1001234", None, "-1001234"),
        (ChannelClass.TELEGRAM, "@Abebe_B", None, "@abebe_b"),
        (ChannelClass.TELEGRAM, "@a", None, None),
        (WHATSAPP, "ET.1349abc", None, "ET.1349abc"),
        (ChannelClass.MESSENGER, "1" * 33, None, None),
    ],
)
def test_examples(channel_class: ChannelClass, value: str, country: str | None, expected: str | None) -> None:
    assert canonical_address(channel_class, value, country) == expected


@given(st.sampled_from(list(ChannelClass)), st.text(max_size=40), st.sampled_from([None, "ET", "US", "ZZ", ""]))
def test_a_canonical_address_is_its_own_form(channel_class: ChannelClass, value: str, country: str | None) -> None:
    address = canonical_address(channel_class, value, country)
    if address is not None:
        assert canonical_address(channel_class, address, country) == address
        country_of(channel_class, address)


@given(st.text("0123456789 +-()./", max_size=20), st.sampled_from([None, "ET", "US"]))
def test_numbers_have_one_form(value: str, country: str | None) -> None:
    address = canonical_address(SMS, value, country)
    assert address is None or canonical_address(SMS, address, None) == address


def test_countries() -> None:
    assert country_of(SMS, "+251911000142") == "ET"
    assert country_of(SMS, "+14165550142") == "CA"
    assert country_of(EMAIL, "a@example.com") is None
    assert country_of(SMS, "nonsense") is None
