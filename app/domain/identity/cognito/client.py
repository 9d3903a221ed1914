"""The part of Cognito's API that needs no AWS credentials, over plain HTTP (AWS JSON 1.1 protocol)."""

import base64
import hashlib
import hmac
from typing import Any, TypeVar

import httpx
import msgspec
from msgspec import field

from app.domain.identity.cognito.fetching import NoAnswer, fetch
from app.domain.identity.cognito.refusals import CognitoRefusal, unavailable
from app.lib.logging import get_logger

log = get_logger(__name__)

SERVICE = "AWSCognitoIdentityProviderService"
CALL_SECONDS = 8.0
"""The whole of a call. A client of ours waits for it."""

MAX_BYTES = 256 * 1024

T = TypeVar("T")


class SignedUp(msgspec.Struct, frozen=True):
    """A new user of the pool; `subject` is its `sub` for ever."""

    subject: str = field(name="UserSub")
    confirmed: bool = field(name="UserConfirmed", default=False)


class IssuedTokens(msgspec.Struct, frozen=True):
    """What a log-in or a refresh gives; after a refresh the refresh token is usually the one that was sent."""

    access_token: str = field(name="AccessToken")
    expires_in: int = field(name="ExpiresIn")
    refresh_token: str | None = field(name="RefreshToken", default=None)

    def __repr__(self) -> str:
        return "<IssuedTokens>"


class AuthAnswer(msgspec.Struct, frozen=True):
    """Either tokens, or a challenge that comes first."""

    tokens: IssuedTokens | None = field(name="AuthenticationResult", default=None)
    challenge: str | None = field(name="ChallengeName", default=None)
    session: str | None = field(name="Session", default=None)
    parameters: dict[str, str] = field(name="ChallengeParameters", default_factory=dict)

    def __repr__(self) -> str:
        return f"<AuthAnswer {self.challenge or 'tokens'}>"


class _Attribute(msgspec.Struct, frozen=True):
    name: str = field(name="Name")
    value: str = field(name="Value", default="")


class PoolUser(msgspec.Struct, frozen=True):
    """A user as the pool describes them."""

    username: str = field(name="Username")
    attributes: tuple[_Attribute, ...] = field(name="UserAttributes", default=())

    def attribute(self, name: str) -> str:
        """The value of an attribute, empty when the user has none."""
        return next((each.value for each in self.attributes if each.name == name), "")


class _Nothing(msgspec.Struct):
    pass


class _Error(msgspec.Struct):
    kind: str = field(name="__type", default="")
    message: str | None = None
    # Some of AWS's front ends write it with a capital.
    other_message: str | None = field(name="Message", default=None)


class CognitoClient:
    """Calls for one app client. Each one ends within 8 seconds, and none is repeated: the second might be a wrong try.

    Methods raise `CognitoRefusal` for what Cognito refuses, and `Unavailable` when it does not answer, fails or answers
    what is not understood. Nothing that was sent appears in errors or logs.
    """

    def __init__(self, http: httpx.AsyncClient, endpoint: str, client_id: str, client_secret: str = "") -> None:
        self._http = http
        self._endpoint = endpoint
        self._client_id = client_id
        self._secret = client_secret.encode()

    def __repr__(self) -> str:
        return f"<CognitoClient {self._client_id}>"

    async def sign_up(self, email: str, password: str, full_name: str) -> SignedUp:
        """Make a user, who is then sent a code."""
        attributes = [{"Name": "email", "Value": email}, {"Name": "name", "Value": full_name}]
        return await self._call(
            "SignUp", SignedUp, self._of(email) | {"Password": password, "UserAttributes": attributes}
        )

    async def confirm_sign_up(self, email: str, code: str) -> None:
        """Say that the user received the code."""
        await self._call("ConfirmSignUp", _Nothing, self._of(email) | {"ConfirmationCode": code})

    async def resend_confirmation_code(self, email: str) -> None:
        """Send the user another code."""
        await self._call("ResendConfirmationCode", _Nothing, self._of(email))

    async def log_in(self, email: str, password: str) -> AuthAnswer:
        """Tokens or a challenge, for an e-mail address and a password."""
        parameters = {"USERNAME": email, "PASSWORD": password, **self._hash(email, "SECRET_HASH")}
        return await self._authenticate("USER_PASSWORD_AUTH", parameters)

    async def answer_challenge(self, challenge: AuthAnswer, email: str, code: str) -> AuthAnswer:
        """Answer a `SOFTWARE_TOKEN_MFA` challenge with the code of an authenticator."""
        username = challenge.parameters.get("USER_ID_FOR_SRP") or email
        responses = {"USERNAME": username, "SOFTWARE_TOKEN_MFA_CODE": code, **self._hash(username, "SECRET_HASH")}
        body = {
            "ClientId": self._client_id,
            "ChallengeName": challenge.challenge,
            "Session": challenge.session,
            "ChallengeResponses": responses,
        }
        return await self._call("RespondToAuthChallenge", AuthAnswer, body)

    async def refresh(self, username: str, refresh_token: str) -> AuthAnswer:
        """New tokens for a refresh token; `username` is the one in the access token, which the secret hash is made of.

        (Not the address that was typed: in a pool where people log in by e-mail it is the `sub`.)
        """
        parameters = {"REFRESH_TOKEN": refresh_token, **self._hash(username, "SECRET_HASH")}
        return await self._authenticate("REFRESH_TOKEN_AUTH", parameters)

    async def revoke(self, refresh_token: str) -> None:
        """End a refresh token and, at Cognito, every access token made from it."""
        secret = {"ClientSecret": self._secret.decode()} if self._secret else {}
        await self._call("RevokeToken", _Nothing, {"Token": refresh_token, "ClientId": self._client_id, **secret})

    async def get_user(self, access_token: str) -> PoolUser:
        """Whose access token this is; it needs the scope `aws.cognito.signin.user.admin`."""
        return await self._call("GetUser", PoolUser, {"AccessToken": access_token})

    async def forgot_password(self, email: str) -> None:
        """Send the user a code to set a new password with."""
        await self._call("ForgotPassword", _Nothing, self._of(email))

    async def confirm_forgot_password(self, email: str, code: str, password: str) -> None:
        """Set a new password with a code."""
        await self._call(
            "ConfirmForgotPassword", _Nothing, self._of(email) | {"ConfirmationCode": code, "Password": password}
        )

    async def change_password(self, access_token: str, old: str, new: str) -> None:
        """Set a new password with the old one."""
        body = {"AccessToken": access_token, "PreviousPassword": old, "ProposedPassword": new}
        await self._call("ChangePassword", _Nothing, body)

    async def _authenticate(self, flow: str, parameters: dict[str, str]) -> AuthAnswer:
        body = {"ClientId": self._client_id, "AuthFlow": flow, "AuthParameters": parameters}
        return await self._call("InitiateAuth", AuthAnswer, body)

    def _of(self, username: str) -> dict[str, Any]:
        return {"ClientId": self._client_id, "Username": username, **self._hash(username, "SecretHash")}

    def _hash(self, username: str, name: str) -> dict[str, str]:
        return {name: secret_hash(self._secret, username, self._client_id)} if self._secret else {}

    async def _call(self, operation: str, kind: type[T], body: dict[str, Any]) -> T:
        request = self._http.build_request(
            "POST",
            self._endpoint,
            content=msgspec.json.encode(body),
            headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{SERVICE}.{operation}"},
        )
        try:
            status, answer = await fetch(self._http, request, seconds=CALL_SECONDS, max_bytes=MAX_BYTES)
        except NoAnswer as error:
            log.warning("Cognito does not answer", operation=operation, reason=error.detail)
            raise unavailable() from error
        if status == 200:
            try:
                return msgspec.json.decode(answer or b"{}", type=kind)
            except (msgspec.DecodeError, ValueError, RecursionError):
                log.error("Cognito's answer is not understood", operation=operation)
                # Without the cause: it would quote the answer.
                raise unavailable() from None
        if 400 <= status < 500:
            raise _refusal(operation, answer)
        log.warning("Cognito fails", operation=operation, status=status)
        raise unavailable()


def secret_hash(secret: bytes, username: str, client_id: str) -> str:
    """What proves that the caller knows the app client's secret: HMAC-SHA256 of user name and client id, in base64."""
    return base64.b64encode(hmac.digest(secret, (username + client_id).encode(), hashlib.sha256)).decode()


def _refusal(operation: str, answer: bytes) -> CognitoRefusal:
    try:
        error = msgspec.json.decode(answer, type=_Error)
    except (msgspec.DecodeError, ValueError, RecursionError):
        error = _Error()
    # Some of AWS's services write `com.amazonaws…#Name`.
    kind = error.kind.rpartition("#")[2] or "unknown"
    return CognitoRefusal(operation, kind, error.message or error.other_message or "")
