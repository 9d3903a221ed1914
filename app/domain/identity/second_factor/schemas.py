"""What users send and see of their second factor."""

from datetime import datetime

import msgspec

from app.domain.identity.schemas import SecondFactorText


class SecondFactorCode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A code of the authenticator, or a recovery code where one can stand in for it."""

    code: SecondFactorText

    def __repr__(self) -> str:
        return "<SecondFactorCode>"


class SecondFactorSetup(msgspec.Struct):
    """What an authenticator needs: the `secret` in base 32, or the `uri` as a QR code."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "<SecondFactorSetup>"


class RecoveryCodes(msgspec.Struct):
    """Each lets its user in once without the authenticator. They are shown this once."""

    recovery_codes: list[str]

    def __repr__(self) -> str:
        return "<RecoveryCodes>"


class SecondFactorOut(msgspec.Struct):
    """Whether a code is asked for at log-in; `pending` while a secret was offered and is not confirmed."""

    enabled: bool
    pending: bool
    confirmed_at: datetime | None
    recovery_codes_left: int
