"""Tokens of the pool that were not obtained through us, and whose user they turn out to be."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import register
from tests.integration.cognito.conftest import Pool
from tests.integration.cognito.test_cognito_api import PASSWORD, bearer, context, enter, new_email, post, refusal_of


@pytest.fixture(scope="module")
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool(secret=False)


def token_of(pool: Pool, email: str) -> str:
    token: str = pool.tokens(email, PASSWORD)["AccessToken"]
    return token


async def shown(api: httpx.AsyncClient, access_token: str) -> Any:
    answer = await context(api, access_token)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_unknown_user_of_the_pool_gets_an_account_named_after_them(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true", name=" Abebe Bikila ")
    token = token_of(pool, email)
    answers = await asyncio.gather(*(context(api, token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    seen = answers[0].json()
    assert (seen["user"]["email"], seen["user"]["full_name"]) == (email, "Abebe Bikila")
    assert seen["user"]["email_verified"]
    assert seen["active_account"]["name"] == "Abebe Bikila"
    assert {answer.json()["user"]["id"] for answer in answers} == {seen["user"]["id"]}
    # The same user as through us.
    assert (await shown(api, (await enter(api, email))["access_token"]))["user"]["id"] == seen["user"]["id"]


async def test_without_a_name_it_is_the_first_part_of_the_address(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true")
    assert (await shown(api, token_of(pool, email)))["user"]["full_name"] == email.partition("@")[0]


async def test_several_tokens_at_once_make_one_user(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true")
    tokens = [token_of(pool, email) for _ in range(5)]
    answers = await asyncio.gather(*(context(api, token) for token in tokens))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1
    listed = (await api.get("/v1/users/me/sessions", headers=bearer(tokens[0]))).json()["items"]
    assert len(listed) == 5


async def test_an_address_that_is_not_verified_is_nobodys(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.add(email, PASSWORD)
    answer = await context(api, token_of(pool, email))
    assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
    assert (await post(api, "login", 403, email=email, password=PASSWORD))["code"] == "email_not_verified"
    pool.verify(email)
    assert (await shown(api, token_of(pool, email)))["user"]["email"] == email


async def test_a_registration_that_broke_off_is_completed_by_the_first_log_in(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    email = new_email()
    # As when our process ended between Cognito's answer and our commit.
    attributes = [{"Name": "email", "Value": email}, {"Name": "name", "Value": "A Person"}]
    pool.admin.sign_up(ClientId=pool.client_id, Username=email, Password=PASSWORD, UserAttributes=attributes)
    again = {"email": email, "password": PASSWORD, "full_name": "A Person", "account_name": "An Account"}
    assert (await post(api, "register", 409, **again))["code"] == "email_taken"
    await post(api, "verify-email", 204, email=email, code="123456")
    pool.verify(email)
    tokens = await enter(api, email)
    seen = await shown(api, tokens["access_token"])
    assert (seen["user"]["full_name"], seen["active_account"]["name"]) == ("A Person", "A Person")


async def test_who_has_a_user_here_is_that_user(api: httpx.AsyncClient, client: httpx.AsyncClient, pool: Pool) -> None:
    local = await register(client)
    email = local["credentials"]["email"]
    again = {"email": email, "password": PASSWORD, "full_name": "A Thief", "account_name": "An Account"}
    assert (await post(api, "register", 409, **again))["code"] == "email_taken"

    pool.add(email, PASSWORD, email_verified="false")
    assert (await post(api, "login", 403, email=email, password=PASSWORD))["code"] == "email_not_verified"
    assert (await shown(api, local["tokens"]["access_token"]))["user"]["id"] == local["user"]["id"]

    pool.verify(email)
    seen = await shown(api, (await enter(api, email))["access_token"])
    assert (seen["user"]["id"], seen["active_account"]["id"]) == (local["user"]["id"], local["account"]["id"])
    assert seen["user"]["email_verified"]
    # Whoever had set the password here is out: nothing had proved that the address was theirs.
    assert await refusal_of(api, local["tokens"]["access_token"]) == "session_ended"
    await post(client, "refresh", 401, refresh_token=local["tokens"]["refresh_token"])
    await post(client, "login", 401, **local["credentials"])


async def test_an_address_is_not_handed_on_to_the_next_who_has_it(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true")
    await enter(api, email)
    pool.admin.admin_delete_user(UserPoolId=pool.id, Username=email)
    pool.add(email, PASSWORD, email_verified="true")
    assert (await post(api, "login", 403, email=email, password=PASSWORD))["code"] == "email_taken"
    answer = await context(api, token_of(pool, email))
    assert (answer.status_code, answer.json()["code"]) == (403, "email_taken")


async def test_who_never_verified_an_address_does_not_keep_it(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    body = {"email": email, "password": PASSWORD, "full_name": "A Person", "account_name": "An Account"}
    registered = await post(api, "register", 201, **body)
    # As pools do with users who never confirm.
    pool.admin.admin_delete_user(UserPoolId=pool.id, Username=email)
    pool.add(email, "another horse 7 battery", email_verified="true")
    tokens = await enter(api, email, "another horse 7 battery")
    assert (await shown(api, tokens["access_token"]))["user"]["id"] == registered["user"]["id"]


async def test_a_session_from_elsewhere_is_listed_and_ended_for_good(api: httpx.AsyncClient, pool: Pool) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true")
    theirs = pool.tokens(email, PASSWORD)
    ours = await enter(api, email)
    await shown(api, theirs["AccessToken"])
    listed = (await api.get("/v1/users/me/sessions", headers=bearer(ours["access_token"]))).json()["items"]
    assert len(listed) == 2
    other = next(each for each in listed if not each["current"])
    ended = await api.delete(f"/v1/users/me/sessions/{other['id']}", headers=bearer(ours["access_token"]))
    assert ended.status_code == 204
    assert await refusal_of(api, theirs["AccessToken"]) == "session_ended"
    # At Cognito the log-in goes on; here it has ended with all that comes from it.
    fresh = pool.admin.initiate_auth(
        ClientId=pool.client_id,
        AuthFlow="REFRESH_TOKEN_AUTH",
        AuthParameters={"REFRESH_TOKEN": theirs["RefreshToken"]},
    )["AuthenticationResult"]["AccessToken"]
    assert await refusal_of(api, fresh) == "session_ended"
    assert (await context(api, ours["access_token"])).status_code == 200
    assert (await context(api, token_of(pool, email))).status_code == 200


async def test_tokens_that_are_not_meant_for_us(
    api: httpx.AsyncClient, pool: Pool, make_pool: Callable[..., Pool]
) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true")
    assert await refusal_of(api, pool.tokens(email, PASSWORD)["IdToken"]) == "invalid_token"
    # Signed by the same key, as all of the emulator's are, for another pool.
    other = make_pool(secret=False)
    other.add(email, PASSWORD, email_verified="true")
    assert await refusal_of(api, token_of(other, email)) == "invalid_token"
    # Of this pool, for another application.
    client_id = pool.admin.create_user_pool_client(
        UserPoolId=pool.id, ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    tokens = pool.admin.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": PASSWORD},
    )["AuthenticationResult"]
    assert await refusal_of(api, tokens["AccessToken"]) == "invalid_token"


async def test_an_invitation_is_accepted_with_a_token_of_the_pool(
    api: httpx.AsyncClient, client: httpx.AsyncClient, pool: Pool
) -> None:
    email = new_email()
    pool.add(email, PASSWORD, email_verified="true")
    answer = await api.post("/v1/invitations/accept", json={"token": "unknown"}, headers=bearer(token_of(pool, email)))
    assert (answer.status_code, answer.json()["code"]) == (404, "invitation_not_found")
