import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.domain.channels.schemas import ChannelCreate, ChannelPatch, Rate
from app.lib.versions import version_of


def decode(document: Any) -> ChannelCreate:
    return msgspec.json.decode(json.dumps(document), type=ChannelCreate)


@pytest.mark.parametrize("name", ["A", "x" * 200, "Ethio Telecom 2 ✓", " a "])
def test_names(name: str) -> None:
    assert decode({"name": name, "type": "sandbox"}).name == name


@pytest.mark.parametrize("name", ["", " ", "\t", "x" * 201, "a\0b", "a\nb", "a\n", "\x7f", None, 5])
def test_bad_names(name: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.name"):
        decode({"name": name, "type": "sandbox"})


@pytest.mark.parametrize("rate", [{"per_second": 0.5}, {"per_second": 100, "burst": 20}, {"per_second": 100_000}])
def test_rates(rate: dict[str, Any]) -> None:
    parsed = msgspec.convert(rate, Rate)
    assert parsed.per_second == rate["per_second"]
    assert parsed.burst == rate.get("burst")


@pytest.mark.parametrize(
    "rate",
    [
        {},
        {"per_second": 0},
        {"per_second": -1},
        {"per_second": 100_001},
        {"per_second": "10"},
        {"per_second": True},
        {"per_second": 1, "burst": 0},
        {"per_second": 1, "burst": 1.5},
        {"per_second": 1, "bursts": 1},
    ],
)
def test_bad_rates(rate: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(rate, Rate)


def test_credentials_are_in_no_repr() -> None:
    created = decode({"name": "A", "type": "smpp", "credentials": {"password": "s3cret"}})
    changed = msgspec.convert({"credentials": {"password": "s3cret"}}, ChannelPatch)
    assert "s3cret" not in repr(created) + repr(changed)


def test_patch_tells_null_from_nothing() -> None:
    assert msgspec.convert({}, ChannelPatch).rate is msgspec.UNSET
    assert msgspec.convert({"rate": None}, ChannelPatch).rate is None


def test_versions_differ_by_a_microsecond() -> None:
    at = datetime(2026, 11, 24, 10, 0, 0, 999_999, tzinfo=UTC)
    versions = [version_of(at + timedelta(microseconds=tick)) for tick in range(1000)]
    assert len(set(versions)) == 1000
    assert versions[0] == "1795514400999999"
