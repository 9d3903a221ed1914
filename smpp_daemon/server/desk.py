"""Carries requests of applications out: what the statuses of the answers mean is decided here."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from app.domain.smpp_accounts.directory import SmppAccountRecord
from app.domain.smpp_accounts.gateway import MessageSeen, Route, SmppGateway, Submission
from app.lib.errors import Unavailable
from app.lib.logging import get_logger
from smpp_daemon.protocol.pdu import (
    CancelSm,
    CancelSmResp,
    QuerySm,
    QuerySmResp,
    SubmitMulti,
    SubmitMultiResp,
    UnsuccessSme,
)
from smpp_daemon.protocol.status import RINVDSTADR, RMSGQFUL, ROK, RSUBMITFAIL, RSYSERR
from smpp_daemon.protocol.times import format_absolute
from smpp_daemon.server.reading import Submit, each_destination, read_submission
from smpp_daemon.server.refusals import RCANCELFAIL, RINVDLNAME, RINVMSGID, RINVNUMDESTS, RefusedError
from smpp_daemon.server.writing import state_of

log = get_logger(__name__)

PASSING = RMSGQFUL
"""Said while messages cannot be stored: to every client it means "keep it and slow down", where RSYSERR makes some give
the message up after a few attempts."""


class Answer(NamedTuple):
    """command_status, and our message id unless it is an error."""

    status: int
    message_id: str = ""


class Desk:
    """One for the server. `clock` is wall time, for validity periods."""

    def __init__(self, gateway: SmppGateway, clock: Callable[[], datetime]) -> None:
        self._gateway = gateway
        self._clock = clock

    async def submit(self, account: SmppAccountRecord, pdus: Sequence[Submit]) -> list[Answer]:
        """One answer for each, in order, once those that are accepted are committed in one transaction."""
        try:
            route = await self._gateway.route(account)
            if route is None:
                return [Answer(RSUBMITFAIL)] * len(pdus)
            return await self._accept(account, route, pdus)
        except Unavailable:
            return [Answer(PASSING)] * len(pdus)
        except Exception:
            log.exception("messages of an application could not be stored", smpp_account_id=str(account.id))
            return [Answer(RSYSERR)] * len(pdus)

    async def submit_multi(self, account: SmppAccountRecord, pdu: SubmitMulti) -> tuple[int, SubmitMultiResp]:
        """A message for every destination; those that cannot be are named with their own status (§4.5.2).

        The id is that of the first message; the receipt of each destination carries the id of its own.
        """
        destinations = list(each_destination(pdu))
        if not destinations:
            return RINVNUMDESTS, SubmitMultiResp()
        answers = iter(await self.submit(account, [each for _, each in destinations if each is not None]))
        unsuccessful: list[UnsuccessSme] = []
        first = ""
        for destination, each in destinations:
            answer = next(answers) if each is not None else Answer(RINVDLNAME)
            if answer.status == ROK:
                first = first or answer.message_id
            elif isinstance(destination, str):
                unsuccessful.append(UnsuccessSme(0, 0, destination[:20], answer.status))
            else:
                unsuccessful.append(
                    UnsuccessSme(destination.ton, destination.npi, destination.address[:20], answer.status)
                )
        if not first:
            statuses = {each.error_status for each in unsuccessful}
            return statuses.pop() if len(statuses) == 1 else RINVDSTADR, SubmitMultiResp()
        return ROK, SubmitMultiResp(first, tuple(unsuccessful))

    async def query(self, account: SmppAccountRecord, pdu: QuerySm) -> tuple[int, QuerySmResp]:
        """The state of a message that this account submitted (§4.8)."""
        try:
            seen = await self._gateway.query(account, pdu.message_id)
        except Unavailable:
            return RSYSERR, QuerySmResp()
        if seen is None:
            return RINVMSGID, QuerySmResp()
        final = "" if seen.final_at is None else format_absolute(seen.final_at)
        return ROK, QuerySmResp(pdu.message_id, final, state_of(seen.status), _error_code(seen))

    async def cancel(self, account: SmppAccountRecord, pdu: CancelSm) -> tuple[int, CancelSmResp]:
        """Takes a message back that was not handed over yet (§4.9); a set of them by address is not supported."""
        try:
            canceled = bool(pdu.message_id) and await self._gateway.cancel(account, pdu.message_id)
        except Unavailable:
            return RSYSERR, CancelSmResp()
        return (ROK if canceled else RCANCELFAIL), CancelSmResp()

    async def _accept(self, account: SmppAccountRecord, route: Route, pdus: Sequence[Submit]) -> list[Answer]:
        now = self._clock()
        answers: list[Answer | None] = []
        accepted: list[Submission] = []
        for pdu in pdus:
            try:
                accepted.append(read_submission(pdu, account.settings, route.takes_data, now))
                answers.append(None)
            except RefusedError as refusal:
                answers.append(Answer(refusal.status))
        if accepted:
            try:
                ids = iter(await self._gateway.accept(account, route, accepted))
            except Unavailable:
                return [Answer(PASSING) if each is None else each for each in answers]
            return [Answer(ROK, next(ids)) if each is None else each for each in answers]
        return [each for each in answers if each is not None]


def _error_code(seen: MessageSeen) -> int:
    code = seen.code or ""
    return int(code) if code.isascii() and code.isdigit() and int(code) < 256 else 0
