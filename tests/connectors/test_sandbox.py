"""The sandbox does exactly what the API promises for each ending of the recipient."""

import pytest

from connectors.contract import ErrorClass, ReceiptStatus, SendResult
from connectors.sandbox.connector import SANDBOX, SandboxConfig, outcome_of
from tests.connectors.harness import ConfigCase, SendCase, check_struct_case, request_of, run_send_cases

DELIVERED = (ReceiptStatus.DELIVERED,)

CASES = (
    SendCase("00 delivered", "+251911000100", receipts=DELIVERED),
    SendCase("01 failed recipient", "+251911000101", error=ErrorClass.RECIPIENT),
    SendCase("02 failed message", "+251911000102", error=ErrorClass.MESSAGE),
    SendCase("03 failed opted out", "+251911000103", error=ErrorClass.OPTED_OUT),
    SendCase("04 throttled first", "+251911000104", 1, error=ErrorClass.THROTTLED, retryable=True, retry_after=1.0),
    SendCase("04 throttled twice", "+251911000104", 2, error=ErrorClass.THROTTLED, retryable=True, retry_after=1.0),
    SendCase("04 then delivered", "+251911000104", 3, receipts=DELIVERED),
    SendCase("05 transient first", "+251911000105", 1, error=ErrorClass.TRANSIENT, retryable=True, retry_after=1.0),
    SendCase("05 transient twice", "+251911000105", 2, error=ErrorClass.TRANSIENT, retryable=True, retry_after=1.0),
    SendCase("05 then delivered", "+251911000105", 3, receipts=DELIVERED),
    SendCase("06 sent, no receipt", "+251911000106", receipts=()),
    SendCase("07 unknown", "+251911000107", error=ErrorClass.UNKNOWN, outcome_known=False),
    SendCase("08 expired", "+251911000108", receipts=(ReceiptStatus.EXPIRED,)),
    SendCase("09 delivered, then read", "+251911000109", receipts=(ReceiptStatus.DELIVERED, ReceiptStatus.READ)),
    SendCase("others delivered", "+251911000142", receipts=DELIVERED),
    SendCase("no digits at all", "nobody", receipts=DELIVERED),
    SendCase("empty recipient", "", receipts=DELIVERED),
    SendCase("reply", "+251911000142", text="#reply hello", inbound=("hello",)),
    SendCase("reply without a sender", "+251911000100", text="#reply hello", sender=None, inbound=("hello",)),
    SendCase("an empty reply", "+251911000142", text="#reply ", inbound=("",)),
    SendCase("no reply without the space", "+251911000142", text="#replyhello"),
    SendCase("no reply in the middle", "+251911000142", text="say #reply hello"),
    SendCase("what fails has no reply", "+251911000101", text="#reply hello", error=ErrorClass.RECIPIENT),
)


async def test_all_cases(caplog: pytest.LogCaptureFixture) -> None:
    await run_send_cases(SANDBOX, CASES, config={}, credentials={}, secrets=("s3cret",), caplog=caplog)


async def test_no_requests_no_outcomes(caplog: pytest.LogCaptureFixture) -> None:
    await run_send_cases(SANDBOX, (), config={}, credentials={}, secrets=(), caplog=caplog)


def test_each_attempt_has_its_own_provider_id() -> None:
    case = CASES[0]
    first = outcome_of(request_of(case, 1))
    second = outcome_of(request_of(SendCase("again", case.to, attempt=2), 1))
    other = outcome_of(request_of(case, 2))
    assert isinstance(first, SendResult) and isinstance(second, SendResult) and isinstance(other, SendResult)
    assert len({first.provider_message_ids, second.provider_message_ids, other.provider_message_ids}) == 3


def test_the_reply_comes_from_the_recipient() -> None:
    result = outcome_of(request_of(SendCase("reply", "+251911000142", text="#reply hello"), 1))
    assert isinstance(result, SendResult)
    assert (result.inbound[0].sender, result.inbound[0].to) == ("+251911000142", "DEMO")


@pytest.mark.parametrize(
    "case",
    [
        ConfigCase("nothing is needed", {}),
        ConfigCase("a default sender", {"default_from": "DEMO"}),
        ConfigCase("unknown field", {"from": "DEMO"}, refused_at="unknown field `from`"),
        ConfigCase("too long a sender", {"default_from": "x" * 21}, refused_at="$.default_from"),
    ],
    ids=lambda case: case.label,
)
def test_config(case: ConfigCase) -> None:
    check_struct_case(SandboxConfig, case)
