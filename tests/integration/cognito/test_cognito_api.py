"""The routes in front of an emulated user pool, with and without a client secret."""

import secrets
import time
from typing import Any

import asyncpg
import httpx
import pytest
from moto.cognitoidp.utils import cognito_totp

from tests.conftest import Registered, register
from tests.integration.cognito.conftest import Pool

PASSWORD = "correct horse 7 battery"


def new_email() -> str:
    return f"{secrets.token_hex(6)}@example.com"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def post(api: httpx.AsyncClient, route: str, status: int, **body: Any) -> Any:
    answer = await api.post(f"/v1/auth/{route}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def enter(api: httpx.AsyncClient, email: str, password: str = PASSWORD) -> dict[str, Any]:
    tokens: dict[str, Any] = await post(api, "login", 200, email=email, password=password)
    return tokens


async def context(api: httpx.AsyncClient, access_token: str) -> httpx.Response:
    return await api.get("/v1/context", headers=bearer(access_token))


async def refusal_of(api: httpx.AsyncClient, access_token: str) -> str:
    answer = await context(api, access_token)
    assert answer.status_code == 401, answer.text
    code: str = answer.json()["code"]
    return code


@pytest.fixture
async def person(api: httpx.AsyncClient) -> dict[str, Any]:
    """A user who registered through us and confirmed the address."""
    email = new_email()
    registered: dict[str, Any] = await post(
        api, "register", 201, email=email, password=PASSWORD, full_name="A Person", account_name="An Account"
    )
    await post(api, "verify-email", 204, email=email, code="123456")
    return registered


async def test_from_registering_to_logging_out(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    body = {"email": email.upper(), "password": PASSWORD, "full_name": "A Person", "account_name": "An Account"}
    registered = await post(api, "register", 201, **body)
    assert registered["user"]["email"] == email
    assert not registered["user"]["email_verified"]
    assert (await post(api, "register", 409, **body))["code"] == "email_taken"
    # Whether it is confirmed is told after the right password only.
    wrong = await post(api, "login", 401, email=email, password="wrong password 1")
    unknown = await post(api, "login", 401, email=new_email(), password=PASSWORD)
    assert wrong["code"] == unknown["code"] == "invalid_credentials"
    assert wrong["detail"] == unknown["detail"]
    assert (await post(api, "login", 403, email=email, password=PASSWORD))["code"] == "email_not_verified"

    await post(api, "verify-email", 204, email=email, code="123456")
    answer = await api.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    shown = (await context(api, tokens["access_token"])).json()
    assert shown["user"]["id"] == registered["user"]["id"]
    assert shown["user"]["email_verified"]
    assert shown["active_account"] == {"id": registered["account"]["id"], "name": "An Account"}
    assert shown["accounts"][0]["role"]["name"] == "owner"

    refreshed = await post(api, "refresh", 200, refresh_token=tokens["refresh_token"])
    assert refreshed["refresh_token"] != tokens["refresh_token"]
    assert refreshed["access_token"] != tokens["access_token"]
    assert (await context(api, refreshed["access_token"])).status_code == 200

    await post(api, "logout", 204, refresh_token=refreshed["refresh_token"])
    # Both, though Cognito signed them for an hour.
    assert await refusal_of(api, refreshed["access_token"]) == "session_ended"
    assert await refusal_of(api, tokens["access_token"]) == "session_ended"
    after = await post(api, "refresh", 401, refresh_token=refreshed["refresh_token"])
    assert after["code"] == "invalid_refresh_token"
    await post(api, "logout", 204, refresh_token=refreshed["refresh_token"])
    await post(api, "logout", 204, refresh_token="ct_unknown")


async def test_a_refresh_token_betrays_its_thief(api: httpx.AsyncClient, person: dict[str, Any]) -> None:
    tokens = await enter(api, person["user"]["email"])
    good = await post(api, "refresh", 200, refresh_token=tokens["refresh_token"])
    again = await post(api, "refresh", 401, refresh_token=tokens["refresh_token"])
    assert again["code"] == "invalid_refresh_token"
    assert (await post(api, "refresh", 401, refresh_token=good["refresh_token"]))["code"] == "invalid_refresh_token"
    assert await refusal_of(api, good["access_token"]) == "session_ended"


async def test_cognitos_own_refresh_token_is_not_given_out(
    api: httpx.AsyncClient, pool: Pool, person: dict[str, Any]
) -> None:
    tokens = await enter(api, person["user"]["email"])
    assert tokens["refresh_token"].startswith("ct_")
    # Neither the one nor the other works in the other's place.
    raw = pool.tokens(person["user"]["email"], PASSWORD)["RefreshToken"] if not pool.client_secret else "raw"
    for token in (raw, f"ct_{raw}", tokens["refresh_token"][:-2], tokens["refresh_token"] + "AA"):
        assert (await post(api, "refresh", 401, refresh_token=token))["code"] == "invalid_refresh_token"
    with pytest.raises(pool.admin.exceptions.NotAuthorizedException):
        pool.admin.initiate_auth(
            ClientId=pool.client_id,
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": tokens["refresh_token"]},
        )
    assert (await context(api, tokens["access_token"])).status_code == 200


async def test_what_cognito_ended_is_not_refreshed(api: httpx.AsyncClient, pool: Pool, person: dict[str, Any]) -> None:
    tokens = await enter(api, person["user"]["email"])
    pool.admin.admin_user_global_sign_out(UserPoolId=pool.id, Username=person["user"]["email"])
    refused = await post(api, "refresh", 401, refresh_token=tokens["refresh_token"])
    assert refused["code"] == "invalid_refresh_token"
    assert await refusal_of(api, tokens["access_token"]) == "session_ended"


async def test_sessions_are_listed_and_ended(api: httpx.AsyncClient, person: dict[str, Any]) -> None:
    first = await enter(api, person["user"]["email"])
    second = await enter(api, person["user"]["email"])
    headers = bearer(second["access_token"])
    listed = (await api.get("/v1/users/me/sessions", headers=headers)).json()["items"]
    assert [each["current"] for each in listed].count(True) == 1
    other = next(each for each in listed if not each["current"])
    assert (await api.delete(f"/v1/users/me/sessions/{other['id']}", headers=headers)).status_code == 204
    assert await refusal_of(api, first["access_token"]) == "session_ended"
    assert (await post(api, "refresh", 401, refresh_token=first["refresh_token"]))["code"] == "invalid_refresh_token"
    assert (await context(api, second["access_token"])).status_code == 200


async def test_a_forgotten_password(api: httpx.AsyncClient, pool: Pool, person: dict[str, Any]) -> None:
    email = person["user"]["email"]
    tokens = await enter(api, email)
    await post(api, "forgot-password", 202, email=email)
    # Of an address that nobody has, not even the form of an address.
    await post(api, "forgot-password", 202, email=new_email())
    await post(api, "forgot-password", 202, email="nobody")
    wrong = {"code": "moto-confirmation-code:0", "password": "another horse 7 battery"}
    for address in (email, "nobody"):
        refused = await post(api, "reset-password", 422, email=address, **wrong)
        assert [(each["pointer"], each["code"]) for each in refused["errors"]] == [("/code", "invalid_code")]
    weak = await post(api, "reset-password", 422, email=email, code="123456", password="short")
    assert [(each["pointer"], each["code"]) for each in weak["errors"]] == [("/password", "weak_password")]

    await post(api, "reset-password", 204, email=email, code="123456", password="another horse 7 battery")
    assert await refusal_of(api, tokens["access_token"]) == "session_ended"
    await post(api, "login", 401, email=email, password=PASSWORD)
    await enter(api, email, "another horse 7 battery")


async def test_changing_the_password_ends_the_other_sessions(api: httpx.AsyncClient, person: dict[str, Any]) -> None:
    email, new = person["user"]["email"], "another horse 7 battery"
    other, mine = await enter(api, email), await enter(api, email)
    headers = bearer(mine["access_token"])

    async def change(current: str, password: str) -> httpx.Response:
        body = {"current_password": current, "new_password": password}
        return await api.post("/v1/auth/change-password", json=body, headers=headers)

    refused = await change("wrong password 1", new)
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        ("/current_password", "wrong_password")
    ]
    refused = await change(PASSWORD, "short")
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        ("/new_password", "weak_password")
    ]
    assert (await change(PASSWORD, new)).status_code == 204
    assert await refusal_of(api, other["access_token"]) == "session_ended"
    assert (await context(api, mine["access_token"])).status_code == 200
    await enter(api, email, new)


async def test_the_pool_may_want_better_passwords_than_we_do(
    api: httpx.AsyncClient, pool: Pool, person: dict[str, Any]
) -> None:
    policy = {"MinimumLength": 10, "RequireNumbers": True}
    kept = pool.admin.describe_user_pool(UserPoolId=pool.id)["UserPool"]["Policies"]
    pool.admin.update_user_pool(UserPoolId=pool.id, Policies={"PasswordPolicy": policy})
    try:
        body = {"email": new_email(), "password": "no number at all", "full_name": "A", "account_name": "B"}
        refused = await post(api, "register", 422, **body)
        assert [(each["pointer"], each["code"]) for each in refused["errors"]] == [("/password", "weak_password")]
    finally:
        pool.admin.update_user_pool(UserPoolId=pool.id, Policies=kept)


async def test_a_second_factor_of_the_pool(api: httpx.AsyncClient, pool: Pool, person: dict[str, Any]) -> None:
    email = person["user"]["email"]
    tokens = await enter(api, email)
    secret = pool.admin.associate_software_token(AccessToken=tokens["access_token"])["SecretCode"]

    def code_now() -> str:
        """A code that is still good in a moment: the emulator takes that of the very step only."""
        while time.time() % 30 > 25:
            time.sleep(0.2)
        code: str = cognito_totp(secret).generate(int(time.time())).decode()
        return code

    pool.admin.verify_software_token(AccessToken=tokens["access_token"], UserCode=code_now())
    pool.admin.admin_set_user_mfa_preference(
        UserPoolId=pool.id, Username=email, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
    )
    missing = await post(api, "login", 401, email=email, password=PASSWORD)
    assert missing["code"] == "second_factor_required"
    wrong = await post(api, "login", 401, email=email, password=PASSWORD, code="000000")
    assert wrong["code"] == "invalid_code"
    given = await post(api, "login", 200, email=email, password=PASSWORD, code=code_now())
    assert (await context(api, given["access_token"])).status_code == 200
    await post(api, "refresh", 200, refresh_token=given["refresh_token"])


async def test_a_temporary_password_is_a_challenge_we_do_not_offer(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.admin.admin_create_user(
        UserPoolId=pool.id, Username=email, TemporaryPassword=PASSWORD, MessageAction="SUPPRESS"
    )
    assert (await post(api, "login", 401, email=email, password=PASSWORD))["code"] == "challenge_required"


async def test_what_is_written_down(api: httpx.AsyncClient, person: dict[str, Any], database_url: str) -> None:
    tokens = await enter(api, person["user"]["email"])
    log = await api.get("/v1/audit-log", headers=bearer(tokens["access_token"]))
    assert {"created", "email_verified", "logged_in"} <= {each["action"] for each in log.json()["items"]}
    connection = await asyncpg.connect(database_url)
    try:
        row = await connection.fetchrow(
            "SELECT password_hash, cognito_subject FROM users WHERE email = $1", person["user"]["email"]
        )
        stored = await connection.fetch("SELECT token_hash FROM refresh_tokens")
    finally:
        await connection.close()
    assert row is not None
    assert row["password_hash"] is None
    assert row["cognito_subject"]
    assert tokens["refresh_token"].encode() not in [each["token_hash"] for each in stored]


async def test_log_ins_with_our_own_passwords_go_on_until_they_end(
    api: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    """People who were logged in when Cognito was switched on."""
    local: Registered = await register(client)
    assert (await context(api, local["tokens"]["access_token"])).status_code == 200
    refreshed = await post(api, "refresh", 200, refresh_token=local["tokens"]["refresh_token"])
    body = {"current_password": local["credentials"]["password"], "new_password": "another horse 7 battery"}
    headers = bearer(refreshed["access_token"])
    assert (await api.post("/v1/auth/change-password", json=body, headers=headers)).status_code == 204
    await post(api, "logout", 204, refresh_token=refreshed["refresh_token"])
    assert await refusal_of(api, refreshed["access_token"]) == "session_ended"
    # There is no new one, though.
    body = {"email": local["credentials"]["email"], "password": "another horse 7 battery"}
    assert (await post(api, "login", 401, **body))["code"] == "invalid_credentials"


async def test_without_cognito_its_tokens_are_nobodys(
    api: httpx.AsyncClient, client: httpx.AsyncClient, person: dict[str, Any]
) -> None:
    tokens = await enter(api, person["user"]["email"])
    assert await refusal_of(client, tokens["access_token"]) == "invalid_token"
    assert (await post(client, "refresh", 401, refresh_token=tokens["refresh_token"]))["code"] == (
        "invalid_refresh_token"
    )


async def test_the_routes_are_the_same_wherever_people_log_in(
    api: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    async def operations(of: httpx.AsyncClient) -> set[tuple[str, str, str, str]]:
        document = (await of.get("/v1/openapi.json")).json()
        return {
            (path, method, operation["operationId"], str(operation.get("requestBody")))
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }

    assert await operations(api) == await operations(client)


async def test_an_answer_is_given_again_for_its_key(api: httpx.AsyncClient, person: dict[str, Any]) -> None:
    tokens = await enter(api, person["user"]["email"])
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    body = {"refresh_token": tokens["refresh_token"]}
    first = await api.post("/v1/auth/refresh", json=body, headers=headers)
    again = await api.post("/v1/auth/refresh", json=body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    # Not a second use of the token, which would end the session.
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (200, first.json())
    assert (await context(api, first.json()["access_token"])).status_code == 200
