"""The configuration and credentials of SMPP channels."""

from typing import Any

import msgspec
import pytest

from connectors.smpp import SmppConfig, SmppCredentials
from tests.connectors.harness import ConfigCase, check_struct_case

HOSTS = [{"host": "127.0.0.1", "port": 2775}]
DEFAULTS = {
    "bind": "transceiver",
    "binds": 1,
    "window": 50,
    "system_type": "",
    "tls": False,
    "source_ton": 5,
    "source_npi": 0,
    "dest_ton": 1,
    "dest_npi": 1,
    "default_from": None,
    "enquire_link_seconds": 30,
    "response_timeout_seconds": 10,
    "message_id_format": "auto",
    "long_message": "udh",
    "on_unknown": "hold",
}


def accepted(**fields: Any) -> ConfigCase:
    return ConfigCase(f"accepted {fields}", {"hosts": HOSTS} | fields)


def refused(at: str, **fields: Any) -> ConfigCase:
    return ConfigCase(f"refused {fields}", {"hosts": HOSTS} | fields, refused_at=at)


CONFIGS = (
    ConfigCase("defaults", {"hosts": HOSTS}, holds=DEFAULTS),
    ConfigCase("the documented example", {"hosts": HOSTS} | DEFAULTS | {"default_from": "DEMO"}),
    *(accepted(hosts=[{"host": host, "port": 1}]) for host in ("smsc.example.com", "::1", "10.0.0.1", "a_b.internal")),
    accepted(hosts=HOSTS * 8),
    accepted(bind="transmitter", binds=64, window=1000),
    accepted(bind="receiver", window=1),
    accepted(source_ton=255, source_npi=255, dest_ton=0, dest_npi=255),
    *(accepted(message_id_format=each) for each in ("auto", "exact", "hex", "decimal")),
    *(accepted(long_message=each) for each in ("udh", "udh16", "sar", "payload")),
    *(accepted(on_unknown=each) for each in ("hold", "fail", "resend")),
    ConfigCase("hosts are needed", {}, refused_at="missing required field `hosts`"),
    refused("$.hosts", hosts=[]),
    refused("$.hosts", hosts=HOSTS * 9),
    refused("$.hosts", hosts=None),
    refused("$.hosts[0].port", hosts=[{"host": "a", "port": 0}]),
    refused("$.hosts[1].port", hosts=[*HOSTS, {"host": "a", "port": 65536}]),
    refused("$.hosts[0].port", hosts=[{"host": "a", "port": "2775"}]),
    refused("$.hosts[0].host", hosts=[{"host": "", "port": 1}]),
    refused("$.hosts[0].host", hosts=[{"host": "a b", "port": 1}]),
    refused("$.hosts[0].host", hosts=[{"host": "a\n", "port": 1}]),
    refused("$.hosts[0].host", hosts=[{"host": "a/../b", "port": 1}]),
    refused("unknown field `tls`", hosts=[{"host": "a", "port": 1, "tls": True}]),
    refused("$.bind", bind="both"),
    refused("$.binds", binds=0),
    refused("$.binds", binds=65),
    refused("$.window", window=0),
    refused("$.window", window=1001),
    refused("$.window", window=True),
    refused("$.window", window=10.5),
    refused("$.source_ton", source_ton=256),
    refused("$.dest_npi", dest_npi=-1),
    refused("$.system_type", system_type="x" * 13),
    refused("$.system_type", system_type="a\0b"),
    refused("$.default_from", default_from="x" * 21),
    refused("$.default_from", default_from=""),
    refused("$.default_from", default_from="Grüße"),
    refused("$.enquire_link_seconds", enquire_link_seconds=0),
    refused("$.response_timeout_seconds", response_timeout_seconds=601),
    refused("$.message_id_format", message_id_format="octal"),
    refused("$.tls", tls="yes"),
    refused("unknown field `password`", password="s3cret-password"),
)

SECRET = "s3cret-password"
CREDENTIALS = (
    ConfigCase("both", {"system_id": "s3cret-demo", "password": SECRET}),
    ConfigCase("no password", {"system_id": "demo"}, holds={"password": ""}),
    ConfigCase("longer than SMPP allows", {"system_id": "s" * 64, "password": "p" * 64}),
    ConfigCase("no system_id", {"password": SECRET}, refused_at="missing required field `system_id`"),
    ConfigCase("empty system_id", {"system_id": "", "password": SECRET}, refused_at="$.system_id"),
    ConfigCase("too long", {"system_id": "demo", "password": "s3cret-" * 10}, refused_at="$.password"),
    ConfigCase("a NUL would end it", {"system_id": "demo", "password": f"{SECRET}\0"}, refused_at="$.password"),
    ConfigCase("a number", {"system_id": "demo", "password": 12345}, refused_at="$.password"),
    ConfigCase("unknown", {"system_id": "demo", "pass": SECRET}, refused_at="unknown field `pass`"),
)


@pytest.mark.parametrize("case", CONFIGS, ids=lambda case: case.label[:80])
def test_config(case: ConfigCase) -> None:
    check_struct_case(SmppConfig, case, (SECRET,))


@pytest.mark.parametrize("case", CREDENTIALS, ids=lambda case: case.label)
def test_credentials(case: ConfigCase) -> None:
    check_struct_case(SmppCredentials, case, ("s3cret",))


def test_nothing_is_cut() -> None:
    value = msgspec.convert({"system_id": "s" * 40, "password": "p" * 40}, SmppCredentials)
    assert (len(value.system_id), len(value.password)) == (40, 40)
