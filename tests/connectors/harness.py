"""Runs a connector through a table of cases, and looks for its secrets wherever they must not be."""

import json
import logging
import traceback
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import pytest

from connectors.contract import Connector, ErrorClass, ReceiptStatus, SendError, SendingChannel, SendRequest, SendResult

CHANNEL_ID = UUID("01930000-0000-7000-8000-00000000000a")


@dataclass(frozen=True)
class SendCase:
    """One message and what must come of it: `error` is None when the provider accepts."""

    label: str
    to: str
    attempt: int = 1
    text: str = "Hello"
    sender: str | None = "DEMO"
    error: ErrorClass | None = None
    retryable: bool = False
    outcome_known: bool = True
    retry_after: float | None = None
    receipts: tuple[ReceiptStatus, ...] = (ReceiptStatus.DELIVERED,)
    inbound: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConfigCase:
    """A document for a config or credentials struct; `refused_at` is the msgspec path, None when it is accepted."""

    label: str
    document: dict[str, Any]
    refused_at: str | None = None
    holds: dict[str, Any] = field(default_factory=dict)


def request_of(case: SendCase, number: int) -> SendRequest:
    return SendRequest(
        message_id=UUID(int=number + 1).bytes, attempt=case.attempt, to=case.to, sender=case.sender, text=case.text
    )


def assert_hidden(secrets: tuple[str, ...], *texts: str) -> None:
    for secret in secrets:
        for text in texts:
            assert secret not in text, f"a secret shows up in: {text[:200]}"


async def run_send_cases(
    connector: Connector,
    cases: tuple[SendCase, ...],
    *,
    config: dict[str, Any],
    credentials: dict[str, Any],
    secrets: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All cases in one batch, then each alone: neighbours must not matter."""
    assert connector.send is not None
    channel = SendingChannel(
        CHANNEL_ID,
        msgspec.convert(config, connector.config_type),
        msgspec.convert(credentials, connector.credentials_type),
    )
    requests = [request_of(case, number) for number, case in enumerate(cases)]
    with caplog.at_level(logging.DEBUG):
        together = await connector.send(requests, channel)
        alone = [(await connector.send([request], channel))[0] for request in requests]
    assert len(together) == len(requests)
    assert [_facts(outcome) for outcome in together] == [_facts(outcome) for outcome in alone]
    for case, outcome in zip(cases, together, strict=True):
        if isinstance(outcome, SendError):
            _check_error(case, outcome)
            assert_hidden(secrets, *(str(value) for value in vars(outcome).values()))
            assert_hidden(secrets, "".join(traceback.format_exception(outcome)))
        else:
            _check_result(case, outcome)
        assert_hidden(secrets, repr(outcome))
    assert_hidden(secrets, repr(channel), str(channel), caplog.text)


def _facts(outcome: SendResult | SendError) -> object:
    return (type(outcome), vars(outcome)) if isinstance(outcome, SendError) else outcome


def _check_error(case: SendCase, outcome: SendError) -> None:
    assert case.error is outcome.kind, case.label
    assert (outcome.retryable, outcome.outcome_known) == (case.retryable, case.outcome_known), case.label
    assert outcome.retry_after == case.retry_after, case.label
    assert outcome.code and outcome.detail, case.label
    assert not (outcome.retryable and not outcome.outcome_known), "an unknown outcome must never be retried"


def _check_result(case: SendCase, outcome: SendResult) -> None:
    assert case.error is None, case.label
    assert outcome.provider_message_ids, case.label
    assert tuple(receipt.status for receipt in outcome.receipts) == case.receipts, case.label
    assert {receipt.provider_message_id for receipt in outcome.receipts} <= set(outcome.provider_message_ids), (
        case.label
    )
    assert tuple(message.text for message in outcome.inbound) == case.inbound, case.label


def check_struct_case(kind: type[msgspec.Struct], case: ConfigCase, secrets: tuple[str, ...] = ()) -> None:
    """Through JSON, as it comes from a client."""
    encoded = json.dumps(case.document).encode()
    if case.refused_at is not None:
        with pytest.raises(msgspec.ValidationError) as refused:
            msgspec.json.decode(encoded, type=kind)
        assert case.refused_at in str(refused.value), case.label
        assert_hidden(secrets, str(refused.value), repr(refused.value))
        return
    value = msgspec.json.decode(encoded, type=kind)
    stored = json.loads(msgspec.json.encode(value))
    assert stored | case.document == stored, f"{case.label}: something was changed"
    assert stored | case.holds == stored, case.label
    assert msgspec.convert(stored, kind) == value, f"{case.label}: what is stored must read back"
    assert_hidden(secrets, repr(value), str(value), f"{value!r}")
