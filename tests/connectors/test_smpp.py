"""The configuration and credentials of SMPP channels."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.domain.messages.content import SmsContent
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
RULE = {"side": "source", "prefix": "80", "longest": 4, "replace": "0", "ton": 3, "npi": 0}
MORE_DEFAULTS: dict[str, Any] = {
    "receiver_hosts": [],
    "interface_version": "3.4",
    "address_range": "",
    "tls_verify": "full",
    "tls_ca": None,
    "tls_server_name": None,
    "address_rules": [],
    "status_classes": {},
    "default_alphabet": "gsm7",
    "gsm7_packed": False,
    "ucs2_byte_order": "big",
    "national_language": None,
    "substitute_characters": False,
    "data_coding_gsm7": 0,
    "data_coding_ucs2": 8,
    "flash": "data_coding",
    "service_type": "",
    "protocol_id": 0,
    "priority": 0,
    "receipts": "all",
    "validity": "relative",
    "default_validity_seconds": None,
    "tlvs": [],
    "metadata_tlvs": {},
    "submit_multi": 0,
    "unflagged_receipts": False,
    "receipt_labels": {},
    "receipt_states": {},
}


def accepted(**fields: Any) -> ConfigCase:
    return ConfigCase(f"accepted {fields}", {"hosts": HOSTS} | fields)


def refused(at: str, **fields: Any) -> ConfigCase:
    return ConfigCase(f"refused {fields}", {"hosts": HOSTS} | fields, refused_at=at)


CONFIGS = (
    ConfigCase("defaults", {"hosts": HOSTS}, holds=DEFAULTS),
    ConfigCase("further defaults", {"hosts": HOSTS}, holds=MORE_DEFAULTS),
    ConfigCase("everything written out", {"hosts": HOSTS} | DEFAULTS | MORE_DEFAULTS),
    ConfigCase("the documented example", {"hosts": HOSTS} | DEFAULTS | {"default_from": "DEMO"}),
    *(accepted(hosts=[{"host": host, "port": 1}]) for host in ("smsc.example.com", "::1", "10.0.0.1", "a_b.internal")),
    accepted(hosts=HOSTS * 8),
    accepted(bind="transmitter", binds=64, window=1000),
    accepted(bind="receiver", window=1),
    accepted(source_ton=255, source_npi=255, dest_ton=0, dest_npi=255),
    *(accepted(message_id_format=each) for each in ("auto", "exact", "hex", "decimal")),
    *(accepted(long_message=each) for each in ("udh", "udh16", "sar", "payload")),
    *(accepted(on_unknown=each) for each in ("hold", "fail", "resend")),
    accepted(address_rules=[RULE, RULE | {"side": "destination", "ton": None, "npi": None}]),
    accepted(address_rules=[RULE] * 32),
    accepted(status_classes={"0x55F": "ok", "RSYSERR": "permanent", "RX_T_APPN": "throttle", "0x22": "transient"}),
    *(accepted(default_alphabet=each) for each in ("gsm7", "latin1", "ascii", "ucs2")),
    *(accepted(national_language=each) for each in ("turkish", "spanish", "portuguese", "bengali", "gujarati")),
    *(accepted(national_language=each) for each in ("hindi", "kannada", "malayalam", "oriya", "punjabi", "tamil")),
    *(accepted(national_language=each) for each in ("telugu", "urdu")),
    accepted(gsm7_packed=True, ucs2_byte_order="little", data_coding_gsm7=0xF1, data_coding_ucs2=0x18),
    *(accepted(flash=each) for each in ("data_coding", "message_class", "subunit")),
    *(accepted(receipts=each) for each in ("all", "failures", "last_part", "none")),
    accepted(service_type="CMT", protocol_id=255, priority=3),
    accepted(validity="absolute", default_validity_seconds=604_800),
    accepted(tlvs=[{"tag": 0x1400, "value": "1101", "kind": "c_string"}, {"tag": 0xFFFF, "value": "", "kind": "hex"}]),
    accepted(tlvs=[{"tag": 1, "value": "255", "kind": "integer_1"}, {"tag": 2, "value": "65535", "kind": "integer_2"}]),
    accepted(tlvs=[{"tag": 1, "value": "4294967295", "kind": "integer_4"}, {"tag": 2, "value": "é", "kind": "text"}]),
    accepted(metadata_tlvs={"dlt_entity": {"tag": 0x1400, "kind": "c_string", "required": True}}),
    accepted(receipt_labels={"msgid": "id", "status": "stat", "reason": "err"}),
    accepted(receipt_states={"DND_REJECTED": "failed", "BUFFRED": "sent", "0": "unknown"}),
    refused("$.address_rules[0].side", address_rules=[{"side": "both"}]),
    refused("$.address_rules[0].longest", address_rules=[{"side": "source", "longest": 0}]),
    refused("$.address_rules", address_rules=[{"side": "source"}] * 33),
    refused("$.status_classes[...]", status_classes={"RSYSERR": "fatal"}),
    refused("`key`", status_classes={"rsyserr": "ok"}),
    refused("$.default_alphabet", default_alphabet="ebcdic"),
    refused("$.ucs2_byte_order", ucs2_byte_order="middle"),
    refused("$.national_language", national_language="klingon"),
    refused("$.data_coding_ucs2", data_coding_ucs2=256),
    refused("$.flash", flash="yes"),
    refused("$.service_type", service_type="TOOLONG"),
    refused("$.priority", priority=4),
    refused("$.receipts", receipts="some"),
    refused("$.validity", validity="tomorrow"),
    refused("$.default_validity_seconds", default_validity_seconds=0),
    refused("$.tlvs[0].tag", tlvs=[{"tag": 65536, "value": ""}]),
    refused("$.tlvs[0]", tlvs=[{"tag": 1, "value": "xyz", "kind": "hex"}]),
    refused("$.tlvs[0]", tlvs=[{"tag": 1, "value": "256", "kind": "integer_1"}]),
    refused("$.tlvs[0]", tlvs=[{"tag": 1, "value": "-1", "kind": "integer_4"}]),
    refused("$.tlvs[0]", tlvs=[{"tag": 1, "value": "\u0663", "kind": "integer_4"}]),
    refused("$.tlvs[0]", tlvs=[{"tag": 1, "value": "a\0b"}]),
    refused("$.tlvs[1]", tlvs=[{"tag": 1, "value": ""}, {"tag": 0x424, "value": "a"}]),
    refused("$.metadata_tlvs[...]", metadata_tlvs={"x": {"tag": 0x20C}}),
    refused("$.metadata_tlvs[...].kind", metadata_tlvs={"x": {"tag": 1, "kind": "float"}}),
    refused("$.unflagged_receipts", unflagged_receipts=1),
    refused("$.receipt_labels[...]", receipt_labels={"msgid": "identifier"}),
    refused("$.receipt_states[...]", receipt_states={"OK": "read"}),
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


@pytest.mark.parametrize("kind", [SmppConfig, SmppCredentials, SmsContent])
def test_every_option_is_documented(kind: type[msgspec.Struct]) -> None:
    document = (Path(__file__).parents[2] / "docs" / "smpp-options.md").read_text()
    missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in document]
    assert not missing
