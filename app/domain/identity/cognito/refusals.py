"""What Cognito refuses, and how we say it: with the same codes as our own log-in."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.lib.errors import AppError, Conflict, Forbidden, InvalidValue, TooManyRequests, Unauthenticated, Unavailable
from app.lib.logging import get_logger

log = get_logger(__name__)

BUSY_SECONDS = 10.0
"""How long to stay away when AWS limits all of our requests together."""

LOCKED_SECONDS = 900.0
"""How long to stay away after too many wrong passwords or codes: the longest that Cognito locks a user."""


class CognitoRefusal(Exception):
    """Cognito answered with an error: `kind` is its type, such as `NotAuthorizedException`.

    `words` are Cognito's own; they may quote what was sent, and are compared but neither shown nor logged.
    """

    def __init__(self, operation: str, kind: str, words: str) -> None:
        super().__init__(f"{operation}: {kind}")
        self.operation = operation
        self.kind = kind
        self.words = words.lower()


STRANGERS = frozenset({"UserNotFoundException", "NotAuthorizedException"})
"""No such user, disabled, wrong password: all are one answer."""

WRONG_CODE = frozenset({"CodeMismatchException", "ExpiredCodeException", "EnableSoftwareTokenMFAException"})
WEAK_PASSWORD = frozenset({"InvalidPasswordException", "PasswordHistoryPolicyViolationException"})
TAKEN = frozenset({"UsernameExistsException", "AliasExistsException"})

ABOUT_ONE_USER = STRANGERS | {"UserNotConfirmedException", "InvalidParameterException", "LimitExceededException"}
"""Refusals to send a code that would tell something about one user; LimitExceeded counts the attempts for one."""


def invalid_credentials() -> Unauthenticated:
    """The one answer to whoever does not get in."""
    return Unauthenticated("The e-mail address or the password is wrong.", code="invalid_credentials")


def invalid_code(pointer: str = "/code") -> InvalidValue:
    """The code is wrong, too old, was used, or was sent to somebody else."""
    return InvalidValue.at(pointer, "invalid_code", "The code is wrong or has expired; request a new one.")


@contextmanager
def answering(password_pointer: str = "/password") -> Iterator[None]:  # noqa: S107 - where in the body
    """Refusals leave the block as answers: see `answer_to`."""
    try:
        yield
    except CognitoRefusal as refusal:
        # Without the cause: Cognito's words may quote what was sent.
        raise answer_to(refusal, password_pointer) from None


@contextmanager
def silent_about_users() -> Iterator[None]:
    """Drops the refusals that depend on who has an address, so that every address is answered alike."""
    try:
        yield
    except CognitoRefusal as refusal:
        if refusal.kind not in ABOUT_ONE_USER:
            raise


def answer_to(refusal: CognitoRefusal, password_pointer: str = "/password") -> AppError:  # noqa: S107 - see above
    """The answer that a refusal becomes where nothing more special is known."""
    kind = refusal.kind
    if kind == "NotAuthorizedException":
        if "attempts exceeded" in refusal.words:
            return TooManyRequests("Too many wrong passwords; try again later.", retry_after=LOCKED_SECONDS)
        if "secret" in refusal.words and "hash" in refusal.words:
            return _misconfigured(refusal, "TURUMBA_COGNITO_CLIENT_SECRET does not fit the app client")
    if kind in STRANGERS:
        return invalid_credentials()
    if kind == "UserNotConfirmedException":
        return Forbidden("Confirm your e-mail address first.", code="email_not_verified")
    if kind == "PasswordResetRequiredException":
        return challenge_required("Your password must be set anew: use “forgot password”.")
    if kind in TAKEN:
        return Conflict("There is already a user with this e-mail address.", code="email_taken")
    if kind in WRONG_CODE:
        return invalid_code()
    if kind in WEAK_PASSWORD:
        detail = "The password does not meet the rules of the user pool: use more characters, of more kinds."
        return InvalidValue.at(password_pointer, "weak_password", detail)
    if kind in ("LimitExceededException", "TooManyFailedAttemptsException"):
        return TooManyRequests("Too many attempts; try again later.", retry_after=LOCKED_SECONDS)
    if kind in ("TooManyRequestsException", "ThrottlingException"):
        return TooManyRequests("Too many requests at the moment; try again shortly.", retry_after=BUSY_SECONDS)
    if kind == "UserLambdaValidationException":
        return Forbidden("The user pool does not allow this.", code="refused_by_user_pool")
    return _misconfigured(refusal, "an answer that a well configured user pool does not give")


def challenge_required(detail: str) -> Unauthenticated:
    """The user pool demands a step that we do not offer."""
    return Unauthenticated(detail, code="challenge_required")


def unavailable() -> Unavailable:
    """AWS does not answer, or answers what cannot be used."""
    return Unavailable("The log-in service is not reachable; try again shortly.", retry_after=5.0)


def _misconfigured(refusal: CognitoRefusal, reason: str) -> Unavailable:
    log.error("Cognito refuses us", operation=refusal.operation, kind=refusal.kind, reason=reason)
    return unavailable()
