"""What is sent to Cognito, and what becomes of its answers."""

import base64
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.domain.identity.cognito import client as client_module
from app.domain.identity.cognito.client import CognitoClient
from app.domain.identity.cognito.refusals import CognitoRefusal, answering, silent_about_users
from app.lib.errors import AppError, InvalidValue, Unavailable
from tests.integration.cognito.stand_in import Answer, StandIn, refusal

EMAIL = "a@example.com"
PASSWORD = "correct horse battery"
TOKENS = {"AccessToken": "an-access-token", "ExpiresIn": 3600, "RefreshToken": "a-refresh-token", "IdToken": "i"}


def hash_of(username: str) -> str:
    digest = hmac.new(b"the secret", f"{username}the-client".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture
def client(http: httpx.AsyncClient, stand_in: StandIn) -> CognitoClient:
    return CognitoClient(http, stand_in.url, "the-client", "the secret")


Call = Callable[[CognitoClient], Awaitable[Any]]

CALLS: dict[str, tuple[Call, dict[str, Any]]] = {
    "SignUp": (
        lambda client: client.sign_up(EMAIL, PASSWORD, "A Person"),
        {
            "ClientId": "the-client",
            "Username": EMAIL,
            "SecretHash": hash_of(EMAIL),
            "Password": PASSWORD,
            "UserAttributes": [{"Name": "email", "Value": EMAIL}, {"Name": "name", "Value": "A Person"}],
        },
    ),
    "ConfirmSignUp": (
        lambda client: client.confirm_sign_up(EMAIL, "123456"),
        {
            "ClientId": "the-client",
            "Username": EMAIL,
            "SecretHash": hash_of(EMAIL),
            "ConfirmationCode": "123456",
        },
    ),
    "ResendConfirmationCode": (
        lambda client: client.resend_confirmation_code(EMAIL),
        {"ClientId": "the-client", "Username": EMAIL, "SecretHash": hash_of(EMAIL)},
    ),
    "ForgotPassword": (
        lambda client: client.forgot_password(EMAIL),
        {"ClientId": "the-client", "Username": EMAIL, "SecretHash": hash_of(EMAIL)},
    ),
    "ConfirmForgotPassword": (
        lambda client: client.confirm_forgot_password(EMAIL, "123456", PASSWORD),
        {
            "ClientId": "the-client",
            "Username": EMAIL,
            "SecretHash": hash_of(EMAIL),
            "ConfirmationCode": "123456",
            "Password": PASSWORD,
        },
    ),
    "ChangePassword": (
        lambda client: client.change_password("an-access-token", PASSWORD, "another one"),
        {"AccessToken": "an-access-token", "PreviousPassword": PASSWORD, "ProposedPassword": "another one"},
    ),
    "RevokeToken": (
        lambda client: client.revoke("a-refresh-token"),
        {"Token": "a-refresh-token", "ClientId": "the-client", "ClientSecret": "the secret"},
    ),
    "GetUser": (lambda client: client.get_user("an-access-token"), {"AccessToken": "an-access-token"}),
}


@pytest.mark.parametrize("operation", CALLS)
async def test_what_is_sent(client: CognitoClient, stand_in: StandIn, operation: str) -> None:
    call, sent = CALLS[operation]
    stand_in.answer(operation, UserSub="sub", Username="name")
    await call(client)
    assert stand_in.calls == [(operation, sent)]


async def test_a_public_client_sends_no_secret(http: httpx.AsyncClient, stand_in: StandIn) -> None:
    client = CognitoClient(http, stand_in.url, "the-client")
    for operation, (call, sent) in CALLS.items():
        stand_in.answer(operation, UserSub="sub", Username="name")
        await call(client)
        assert stand_in.last(operation) == {
            name: value for name, value in sent.items() if name not in ("SecretHash", "ClientSecret")
        }


async def test_logging_in_with_a_second_factor_and_refreshing(client: CognitoClient, stand_in: StandIn) -> None:
    stand_in.answer(
        "InitiateAuth",
        ChallengeName="SOFTWARE_TOKEN_MFA",
        Session="a-session",
        ChallengeParameters={"USER_ID_FOR_SRP": "the-sub"},
    )
    challenge = await client.log_in(EMAIL, PASSWORD)
    assert stand_in.last("InitiateAuth") == {
        "ClientId": "the-client",
        "AuthFlow": "USER_PASSWORD_AUTH",
        "AuthParameters": {"USERNAME": EMAIL, "PASSWORD": PASSWORD, "SECRET_HASH": hash_of(EMAIL)},
    }
    stand_in.answer("RespondToAuthChallenge", AuthenticationResult=TOKENS)
    answer = await client.answer_challenge(challenge, EMAIL, "123456")
    assert answer.tokens is not None
    assert answer.tokens.refresh_token == "a-refresh-token"
    # Of the name Cognito told, not of the one that was typed.
    assert stand_in.last("RespondToAuthChallenge") == {
        "ClientId": "the-client",
        "ChallengeName": "SOFTWARE_TOKEN_MFA",
        "Session": "a-session",
        "ChallengeResponses": {
            "USERNAME": "the-sub",
            "SOFTWARE_TOKEN_MFA_CODE": "123456",
            "SECRET_HASH": hash_of("the-sub"),
        },
    }
    stand_in.answer("InitiateAuth", AuthenticationResult=TOKENS)
    await client.refresh("the-sub", "a-refresh-token")
    assert stand_in.last("InitiateAuth") == {
        "ClientId": "the-client",
        "AuthFlow": "REFRESH_TOKEN_AUTH",
        "AuthParameters": {"REFRESH_TOKEN": "a-refresh-token", "SECRET_HASH": hash_of("the-sub")},
    }


@pytest.mark.parametrize(
    ("answer", "status", "code", "waits"),
    [
        (refusal("UsernameExistsException"), 409, "email_taken", False),
        (refusal("AliasExistsException"), 409, "email_taken", False),
        (refusal("NotAuthorizedException", "Incorrect username or password."), 401, "invalid_credentials", False),
        (refusal("NotAuthorizedException", "User is disabled."), 401, "invalid_credentials", False),
        (refusal("NotAuthorizedException", "Password attempts exceeded"), 429, "too_many_requests", True),
        (refusal("NotAuthorizedException", "SecretHash does not match for the client: x"), 503, "unavailable", True),
        (refusal("UserNotFoundException"), 401, "invalid_credentials", False),
        (refusal("com.amazonaws.cognito#UserNotFoundException"), 401, "invalid_credentials", False),
        (refusal("UserNotConfirmedException"), 403, "email_not_verified", False),
        (refusal("PasswordResetRequiredException"), 401, "challenge_required", False),
        (refusal("CodeMismatchException"), 422, "/code invalid_code", False),
        (refusal("ExpiredCodeException"), 422, "/code invalid_code", False),
        (refusal("InvalidPasswordException"), 422, "/password weak_password", False),
        (refusal("PasswordHistoryPolicyViolationException"), 422, "/password weak_password", False),
        (refusal("LimitExceededException"), 429, "too_many_requests", True),
        (refusal("TooManyFailedAttemptsException"), 429, "too_many_requests", True),
        (refusal("TooManyRequestsException"), 429, "too_many_requests", True),
        (refusal("UserLambdaValidationException"), 403, "refused_by_user_pool", False),
        (refusal("ResourceNotFoundException"), 503, "unavailable", True),
        (refusal("InvalidParameterException"), 503, "unavailable", True),
        (refusal(""), 503, "unavailable", True),
        ((400, b""), 503, "unavailable", True),
        ((404, b"<html>"), 503, "unavailable", True),
        ((500, b'{"__type": "InternalErrorException"}'), 503, "unavailable", True),
        ((302, b""), 503, "unavailable", True),
        ((200, b"not json"), 503, "unavailable", True),
        ((200, b"[]"), 503, "unavailable", True),
        ((200, b'{"AuthenticationResult": 7}'), 503, "unavailable", True),
        ((200, b" " * 300_000), 503, "unavailable", True),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_refusals_become(
    client: CognitoClient, stand_in: StandIn, answer: Answer, status: int, code: str, waits: bool
) -> None:
    stand_in.answers["InitiateAuth"] = answer
    with pytest.raises(AppError) as caught, answering():
        await client.log_in(EMAIL, PASSWORD)
    error = caught.value
    said = " ".join([error.errors[0].pointer, error.errors[0].code]) if isinstance(error, InvalidValue) else error.code
    assert (error.status, said, error.retry_after is not None) == (status, code, waits)


@pytest.mark.parametrize(
    "kind",
    [
        *("UserNotFoundException", "NotAuthorizedException", "UserNotConfirmedException"),
        *("InvalidParameterException", "LimitExceededException"),
    ],
)
async def test_sending_a_code_does_not_tell_who_is_known(client: CognitoClient, stand_in: StandIn, kind: str) -> None:
    stand_in.answers["ForgotPassword"] = refusal(kind)
    with answering(), silent_about_users():
        await client.forgot_password(EMAIL)


async def test_sending_a_code_tells_of_an_outage(client: CognitoClient, stand_in: StandIn) -> None:
    stand_in.answers["ForgotPassword"] = refusal("TooManyRequestsException")
    with pytest.raises(AppError, match="Too many requests"), answering(), silent_about_users():
        await client.forgot_password(EMAIL)


async def test_a_call_ends(client: CognitoClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CALL_SECONDS", 0.1)
    stand_in.answers["InitiateAuth"] = None
    with pytest.raises(Unavailable):
        await client.log_in(EMAIL, PASSWORD)
    assert len(stand_in.calls) == 1


async def test_nobody_listens(http: httpx.AsyncClient) -> None:
    with pytest.raises(Unavailable):
        await CognitoClient(http, "http://127.0.0.1:9/", "the-client").log_in(EMAIL, PASSWORD)


async def test_secrets_are_shown_nowhere(
    client: CognitoClient, stand_in: StandIn, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = [repr(client)]
    stand_in.answer("InitiateAuth", AuthenticationResult=TOKENS)
    answer = await client.log_in(EMAIL, PASSWORD)
    shown += [repr(answer), repr(answer.tokens)]
    answers: list[Answer] = [
        refusal("InvalidParameterException", f"Value '{PASSWORD}' at 'password' is wrong"),
        refusal("NotAuthorizedException", f"secret hash of {PASSWORD}"),
        (500, PASSWORD.encode()),
        (200, f'{{"AuthenticationResult": "{PASSWORD}"}}'.encode()),
    ]
    for given in answers:
        stand_in.answers["InitiateAuth"] = given
        try:
            with answering():
                await client.log_in(EMAIL, PASSWORD)
        except AppError as error:
            seen: BaseException | None = error
            while seen is not None:
                shown.append(f"{seen!r} {seen}")
                seen = seen.__cause__
    with pytest.raises(CognitoRefusal) as caught:
        stand_in.answers["InitiateAuth"] = answers[0]
        await client.log_in(EMAIL, PASSWORD)
    shown += [repr(caught.value), str(caught.value)]
    output = capsys.readouterr()
    everything = " ".join([*shown, output.out, output.err, caplog.text])
    for secret in (PASSWORD, "the secret", "a-refresh-token", "an-access-token"):
        assert secret not in everything
