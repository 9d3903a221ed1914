"""query_sm, cancel_sm and replace_sm: what may still be asked about a message that the operator has taken.

Few operators answer them, and none of them is part of sending: people ask through the admin socket.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from connectors.smpp.config import SmppConfig
from connectors.sms_text.receipts import STATE_NAMES
from connectors.sms_text.segments import segment
from smpp_daemon.addresses import Address, destination_address, source_address
from smpp_daemon.control import Control
from smpp_daemon.protocol.errors import LocalProtocolError, PduEncodeError
from smpp_daemon.protocol.events import RequestAnswered, RequestExpired, Unanswered
from smpp_daemon.protocol.pdu import CancelSm, QuerySm, QuerySmResp, ReplaceSm
from smpp_daemon.protocol.status import describe
from smpp_daemon.protocol.throttle import Throttle
from smpp_daemon.transport import Connection

TURN_SECONDS = 10.0
"""How long it may take until rate and window allow the request."""

STEP_SECONDS = 0.01
MAX_REPLACEMENT = 254
"""Octets of a replacing text: replace_sm has no message_payload (SMPP 3.4 §4.10.1)."""


class Account(Protocol):
    """What is needed of an operator account."""

    config: SmppConfig
    control: Control
    throttle: Throttle

    def sender_with_room(self, parts: int) -> Connection | None:
        """A session that takes so many PDUs now."""

    def reconsider(self) -> None:
        """`control` was changed."""


class NotAskedError(Exception):
    """The request was not written; the text says why."""


class OperatorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator answered. `status` is its command_status, None when no answer came in time.

    The rest is of query_sm alone: `state` is the name of message_state (§5.2.28), `final_date` as written (§7.1.1),
    `error_code` the network's.
    """

    status: int | None
    name: str
    advice: str
    milliseconds: float | None = None
    state: str | None = None
    final_date: str | None = None
    error_code: int | None = None


class Pending:
    """The token of a request: the account gives it what the session says about it."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[OperatorAnswer] = loop.create_future()

    def settle(self, event: RequestAnswered | RequestExpired | Unanswered) -> None:
        """The end of the request, whichever it was."""
        if not self.future.done():
            self.future.set_result(_answer(event))


async def query(account: Account, provider_message_id: str, source: str | None) -> OperatorAnswer:
    """Asks what became of a message (§4.8). `source` is its sender as it was submitted. Raises `NotAskedError`."""
    ton, npi, address = source_address(source, account.config)
    return await _ask(account, QuerySm(provider_message_id, ton, npi, address))


async def cancel(account: Account, provider_message_id: str, source: str | None, to: str) -> OperatorAnswer:
    """Asks the operator to drop a message it has not delivered yet (§4.9). Raises `NotAskedError`."""
    config = account.config
    sender, recipient = source_address(source, config), destination_address(to, config)
    service = config.service_type
    return await _ask(account, CancelSm(service, provider_message_id, *sender, *recipient))


async def replace(account: Account, provider_message_id: str, source: str | None, text: str) -> OperatorAnswer:
    """Asks the operator to deliver another text instead (§4.10): it keeps the data_coding of the first one.

    Raises `NotAskedError`, also for a text that one PDU cannot hold.
    """
    try:
        cut = segment(text, style="payload")
    except ValueError as error:
        raise NotAskedError(f"The text cannot be sent: {error}") from None
    data = cut.segments[0].user_data
    if len(data) > MAX_REPLACEMENT:
        raise NotAskedError(f"The text takes {len(data)} octets; a replacing text may take {MAX_REPLACEMENT}.")
    sender: Address = source_address(source, account.config)
    return await _ask(account, ReplaceSm(provider_message_id, *sender, short_message=data))


def settle(unanswered: Sequence[Unanswered]) -> list[Unanswered]:
    """Requests that a lost connection leaves: those of this module are settled, the others returned."""
    left: list[Unanswered] = []
    for request in unanswered:
        if isinstance(request.token, Pending):
            request.token.settle(request)
        else:
            left.append(request)
    return left


async def _ask(account: Account, pdu: QuerySm | CancelSm | ReplaceSm) -> OperatorAnswer:
    loop = asyncio.get_running_loop()
    pending = Pending(loop)
    # A saturated window never has room: what else the account has waits for this one request.
    account.control.tests += 1
    try:
        async with asyncio.timeout(TURN_SECONDS):
            while True:
                if _written(account, pdu, pending, loop.time()):
                    break
                # Neither a free window nor a token announces itself, and nobody is in a hurry here.
                await asyncio.sleep(STEP_SECONDS)
    except TimeoutError:
        raise NotAskedError(f"No bind could take the request within {TURN_SECONDS:.0f} s.") from None
    except PduEncodeError as error:
        raise NotAskedError(f"The request cannot be written: {error}.") from None
    finally:
        account.control.tests -= 1
        account.reconsider()
    # The session itself ends the wait for an answer, with its own deadline.
    return await pending.future


def _written(account: Account, pdu: QuerySm | CancelSm | ReplaceSm, pending: Pending, now: float) -> bool:
    connection = account.sender_with_room(1)
    if connection is None or not account.throttle.take(1, now):
        return False
    try:
        if connection.session.request(pdu, pending, now) is not None:
            connection.flush()
            return True
    except PduEncodeError:
        account.throttle.give_back(1)
        raise
    except LocalProtocolError:
        # It was unbound in this very step; another bind may take the request.
        pass
    account.throttle.give_back(1)
    return False


def _answer(event: RequestAnswered | RequestExpired | Unanswered) -> OperatorAnswer:
    if not isinstance(event, RequestAnswered):
        return OperatorAnswer(status=None, name="", advice="The operator did not answer.")
    known = describe(event.status)
    milliseconds = round(event.latency * 1000, 1)
    if not isinstance(event.pdu, QuerySmResp) or event.status:
        return OperatorAnswer(status=event.status, name=known.name, advice=known.advice, milliseconds=milliseconds)
    state = event.pdu.message_state
    return OperatorAnswer(
        status=event.status,
        name=known.name,
        advice=known.advice,
        milliseconds=milliseconds,
        state=STATE_NAMES.get(state, str(state)),
        final_date=event.pdu.final_date or None,
        error_code=event.pdu.error_code,
    )
