"""One canonical form for each address, whatever people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.contacts.addresses import parse_address
from app.domain.contacts.stores.contract import AddressKey, AddressType

PHONE, EMAIL, TELEGRAM = AddressType.PHONE, AddressType.EMAIL, AddressType.TELEGRAM
WHATSAPP, MESSENGER = AddressType.WHATSAPP, AddressType.MESSENGER
ARABIC = "\uff0b\u0662\u0665\u0661\u0669\u0661\u0661\u0660\u0660\u0660\u0661\u0660\u0660"
NO_PHONES = ("", "+", "12", "0911000100", "+251", "+2519110001001", "1-800-FLOWERS", "+25191100010a", "DEMO")
NOT_ONE_PHONE = ("+251911000100;ext=5", "+251911000100\n+251911000101", "tel:+251911000100")


@pytest.mark.parametrize(
    ("kind", "written", "country", "canonical"),
    [
        (PHONE, "+251911000100", None, "+251911000100"),
        (PHONE, " +251 (91) 100-01.00 ", None, "+251911000100"),
        (PHONE, "+251\u2011911\u2013000\u00a0100", None, "+251911000100"),
        (PHONE, "0911000100", "ET", "+251911000100"),
        (PHONE, "911000100", "ET", "+251911000100"),
        (PHONE, "251911000100", "ET", "+251911000100"),
        (PHONE, "251911000100", None, "+251911000100"),
        (PHONE, "00251911000100", "ET", "+251911000100"),
        (PHONE, "+14155550100", "ET", "+14155550100"),
        (
            PHONE,
            "\uff0b\u0662\u0665\u0661\u0669\u0661\u0661\u0660\u0660\u0660\u0661\u0660\u0660",
            None,
            "+251911000100",
        ),
        (EMAIL, " Abebe@EXAMPLE.com", None, "abebe@example.com"),
        (EMAIL, "Ame\u0301lie@example.com", None, "am\u00e9lie@example.com"),
        (EMAIL, "a+b@xn--mnchen-3ya.de", None, "a+b@m\u00fcnchen.de"),
        (TELEGRAM, "123456789", None, "123456789"),
        (TELEGRAM, "-1001234567890", None, "-1001234567890"),
        (TELEGRAM, "@Abebe_B", None, "@abebe_b"),
        (TELEGRAM, "Abebe_B", None, "@abebe_b"),
        (WHATSAPP, "251911000100", None, "+251911000100"),
        (WHATSAPP, "+251911000100", None, "+251911000100"),
        (WHATSAPP, "US.13491208655302741918", "ET", "US.13491208655302741918"),
        (WHATSAPP, "US.ENT.11815799212886844830", None, "US.ENT.11815799212886844830"),
        (MESSENGER, "1254477777772919", None, "1254477777772919"),
    ],
)
def test_canonical_forms(kind: AddressType, written: str, country: str | None, canonical: str) -> None:
    assert parse_address(kind, written, country) == AddressKey(kind, canonical)
    assert parse_address(kind, canonical, None) == AddressKey(kind, canonical)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *(
            (PHONE, text)
            for text in ("", "+", "12", "0911000100", "+251", "+2519110001001", "1-800-FLOWERS", "+25191100010a")
        ),
        *(
            (PHONE, text)
            for text in ("+251911000100;ext=5", "DEMO", "+251911000100\n+251911000101", "tel:+251911000100")
        ),
        *((EMAIL, text) for text in ("", "abebe", "a@b", "a b@example.com", "a@example.com\0", "a@@example.com")),
        *((TELEGRAM, text) for text in ("", "@", "0123", "@1abc", "a b", "@ab", "@" + "a" * 33, "12345678901234567")),
        *((WHATSAPP, text) for text in ("", "us.123", "US.", "US.1 2", "USA.123", "12", "US.ENT.")),
        *((MESSENGER, text) for text in ("", "0", "12a", "-1", "1" * 33)),
        *((kind, "a" * 321) for kind in AddressType),
    ],
)
def test_what_is_no_address(kind: AddressType, written: str) -> None:
    with pytest.raises(ValueError, match=r"address has|needed"):
        parse_address(kind, written, None)


def test_the_words_name_the_country() -> None:
    with pytest.raises(ValueError, match="or a number of ET is needed"):
        parse_address(PHONE, "12", "ET")


@given(
    kind=st.sampled_from(list(AddressType)),
    written=st.one_of(
        st.text(max_size=40),
        st.from_regex(r"\A\+?[0-9 ()/.-]{5,18}\Z"),
        st.emails(),
        st.from_regex(r"\A@?[A-Za-z][A-Za-z0-9_]{2,33}\Z"),
    ),
    country=st.sampled_from([None, "ET", "US", "IT", "XX"]),
)
def test_a_canonical_form_is_its_own(kind: AddressType, written: str, country: str | None) -> None:
    try:
        key = parse_address(kind, written, country)
    except ValueError:
        return
    assert parse_address(kind, key.value, None) == key
    assert key.value == key.value.strip() and "\0" not in key.value
