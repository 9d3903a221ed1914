"""The verb `send`: a test message outside the pipeline."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.domain.messages.events import DispatchMessage
from app.lib.ids import NewId
from app.lib.logging import get_logger
from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import BadRequestError
from smpp_daemon.control import Hold
from smpp_daemon.probe import Probe
from smpp_daemon.reports import ProbePart, ProbeResult
from smpp_daemon.submission import UnsendableError
from smpp_daemon.verbs.finding import find, read

log = get_logger(__name__)

TURN_SECONDS = 10.0
"""How long it may take until rate and window allow the message."""

STEP_SECONDS = 0.01


class SendArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sender` is the channel's own unless named; `receipt_seconds` above 0 waits so long for the receipt."""

    account: str
    to: Annotated[str, Meta(min_length=1, max_length=20, pattern=r"^\+?[0-9]+$")]
    text: Annotated[str, Meta(min_length=1, max_length=1600)]
    sender: Annotated[str, Meta(min_length=1, max_length=20)] | None = None
    receipt_seconds: Annotated[float, Meta(ge=0, le=300)] = 0.0


class Testing:
    """`accounts` are those of this process."""

    def __init__(self, accounts: Callable[[], Sequence[OperatorAccount]], new_id: NewId) -> None:
        self._accounts = accounts
        self._new_id = new_id

    async def send(self, arguments: Mapping[str, Any]) -> ProbeResult:
        """Sends it on a bind of the account and waits for the answer. Raises `BadRequestError`."""
        given = read(arguments, SendArguments)
        account = find(self._accounts(), given.account)
        if account.control.hold in (Hold.DRAINING, Hold.DRAINED):
            raise BadRequestError("The account is drained; `smppctl resume` binds it again.", "not_now")
        sender = given.sender or account.record.default_from
        try:
            bodies = account.bodies(DispatchMessage(self._new_id().bytes, 1, given.to, sender, given.text))
        except UnsendableError as error:
            raise BadRequestError(f"The text cannot be sent: {error}") from None
        log.info("test message", channel_id=str(account.id), to=given.to, parts=len(bodies))
        probe = account.probes.begin(len(bodies), given.to)
        try:
            await _write(account, probe, bodies)
            loop = asyncio.get_running_loop()
            sent_at = loop.time()
            # The session itself ends the wait for an answer, with its own deadline.
            await probe.answered.wait()
            if given.receipt_seconds and all(part and part.status == 0 for part in probe.parts):
                with suppress(TimeoutError):
                    async with asyncio.timeout(given.receipt_seconds):
                        await probe.received.wait()
        finally:
            account.probes.end(probe)
        return _result(account, given.to, probe, sent_at)


async def _write(account: OperatorAccount, probe: Probe, bodies: list[bytes]) -> None:
    """Waits for the account's turn; meanwhile the account writes nothing else."""
    loop = asyncio.get_running_loop()
    wanted = len(bodies)
    account.control.tests += 1
    try:
        async with asyncio.timeout(TURN_SECONDS):
            while True:
                now = loop.time()
                connection = account.sender_with_room(wanted)
                if connection is not None:
                    granted = account.throttle.take(wanted, now)
                    if granted == wanted:
                        connection.submit(bodies, probe.tokens)
                        account.counters.sent(wanted, now)
                        return
                    account.throttle.give_back(granted)
                # Neither a free window nor a token announces itself, and nobody is in a hurry here.
                await asyncio.sleep(STEP_SECONDS)
    except TimeoutError:
        raise BadRequestError(
            f"Not sent: no bind could take {wanted} PDUs within {TURN_SECONDS:.0f} s. `smppctl show` says why.",
            "not_now",
        ) from None
    finally:
        account.control.tests -= 1
        account.reconsider()


def _result(account: OperatorAccount, to: str, probe: Probe, sent_at: float) -> ProbeResult:
    parts = [part for part in probe.parts if isinstance(part, ProbePart)]
    receipt = probe.receipt
    return ProbeResult(
        str(account.id),
        account.record.name,
        to,
        parts,
        None if receipt is None else receipt.raw,
        None if receipt is None else receipt.provider_status or receipt.status.value,
        None if receipt is None else round((probe.receipt_at - sent_at) * 1000, 1),
    )
