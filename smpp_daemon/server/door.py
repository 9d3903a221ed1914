"""Who may bind: system_id, password, address, number of binds."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from app.domain.identity.passwords import Passwords
from app.domain.smpp_accounts.directory import SmppAccountDirectory, SmppAccountRecord
from app.domain.smpp_accounts.networks import is_allowed
from app.lib.errors import AppError
from app.lib.logging import get_logger
from smpp_daemon.protocol.pdu import BindRequest
from smpp_daemon.protocol.status import RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID, RSYSERR
from smpp_daemon.server.guesses import Guesses, TooManyGuessesError
from smpp_daemon.server.refusals import RefusedError
from smpp_daemon.server.slots import BindSlots

log = get_logger(__name__)


class Admitted(NamedTuple):
    """An account whose bind may be accepted, and the slot it occupies."""

    account: SmppAccountRecord
    slot: int


class Door:
    """Decides about binds.

    An unknown or disabled system_id gets RINVSYSID, a wrong password RINVPASWD, an address that is not allowed or that
    guesses too fast RBINDFAIL, one bind too many RALYBND: clients take it for a session of their own that is still
    there, and wait. RSYSERR means that the database could not be asked.
    """

    def __init__(
        self,
        directory: SmppAccountDirectory,
        slots: BindSlots,
        passwords: Passwords,
        monotonic: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._slots = slots
        self._passwords = passwords
        self._guesses = Guesses(monotonic)
        # Which password was verified against which hash, as a keyed digest: after a restart of a client its binds need
        # not each cost what makes guessing expensive.
        self._key = secrets.token_bytes(32)
        self._verified: dict[UUID, tuple[str, bytes]] = {}

    async def admit(self, request: BindRequest, address: str) -> Admitted:
        """Check a bind from `address`. Raises `RefusedError`."""
        try:
            account = await self._directory.find(request.system_id)
            async with self._guesses.turn(address, account.system_id if account is not None else None) as turn:
                if account is not None and not is_allowed(address, account.networks):
                    # Without looking at the password: nothing is to be learnt from elsewhere.
                    raise RefusedError(RBINDFAIL)
                right = await self._is_right(account, request.password)
                if not right:
                    turn.failed()
            if account is None or (right and not account.enabled):
                raise RefusedError(RINVSYSID)
            if not right:
                raise RefusedError(RINVPASWD)
            slot = await self._slots.take(account.id, account.settings.max_binds)
        except TooManyGuessesError:
            raise RefusedError(RBINDFAIL) from None
        except AppError as error:
            log.warning("a bind could not be checked", reason=error.detail)
            raise RefusedError(RSYSERR) from error
        if slot is None:
            raise RefusedError(RALYBND)
        return Admitted(account, slot)

    async def release(self, account_id: UUID, slot: int) -> None:
        """The bind is over."""
        await self._slots.release(account_id, slot)

    async def _is_right(self, account: SmppAccountRecord | None, password: str) -> bool:
        digest = hmac.digest(self._key, password.encode(), hashlib.sha256)
        if account is not None:
            known = self._verified.get(account.id)
            if known is not None and known[0] == account.password_hash and hmac.compare_digest(known[1], digest):
                return True
        right = await self._passwords.verify(None if account is None else account.password_hash, password)
        if right and account is not None:
            self._verified[account.id] = (account.password_hash, digest)
        return right

    def forget(self, account_id: UUID) -> None:
        """The account is gone or changed."""
        self._verified.pop(account_id, None)
