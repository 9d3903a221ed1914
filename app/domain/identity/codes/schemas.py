"""What clients send about e-mail addresses and forgotten passwords."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.domain.identity.schemas import Email, PasswordText

EmailCodeText = Annotated[str, Meta(max_length=64, description="The six digits from the mail.", examples=["123456"])]


class EmailRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom to send a code to."""

    email: Email


class CodeRequested(msgspec.Struct):
    """The answer to a request for a code: the same whatever the address."""

    detail: str = "If this address needs a code, one is on its way."


class EmailVerification(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The proof that mail to an address arrives."""

    email: Email
    code: EmailCodeText

    def __repr__(self) -> str:
        return f"<EmailVerification {self.email!r}>"


class PasswordReset(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new password for whoever receives mail at the address."""

    email: Email
    code: EmailCodeText
    password: PasswordText

    def __repr__(self) -> str:
        return f"<PasswordReset {self.email!r}>"


class PasswordChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new password for the user who is logged in."""

    current_password: PasswordText
    new_password: PasswordText

    def __repr__(self) -> str:
        return "<PasswordChange>"
