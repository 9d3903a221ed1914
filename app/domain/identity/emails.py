"""E-mail addresses: checked once, compared in one form."""

from email_validator import EmailNotValidError, validate_email

from app.lib.errors import FieldError


def check_email(text: str, errors: list[FieldError], pointer: str = "/email") -> str:
    """The normalised address in lower case; adds an error when it is none. Whether it receives mail is not asked."""
    try:
        return _normalise(text)
    except EmailNotValidError as error:
        errors.append(FieldError(pointer, "invalid", str(error)))
        return text


def normalise_email(text: str) -> str | None:
    """The form under which an address is stored, or None when it cannot be one."""
    try:
        return _normalise(text)
    except EmailNotValidError:
        return None


def _normalise(text: str) -> str:
    # Local parts that differ in case only belong to one person everywhere it matters (RFC 5321 §2.4 allows both).
    return validate_email(text.strip(), check_deliverability=False).normalized.lower()
