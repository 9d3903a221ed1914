"""What Schemathesis needs to know to get anywhere: a tenant of its own, some real ids, and a new tenant when it has
logged itself out, suspended or deleted the one it had. Loaded by the `schemathesis` process of `test_fuzz.py`.
"""

import os
import secrets
import threading
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
from schemathesis.generation.modes import GenerationMode

BASE = os.environ["TURUMBA_TEST_FUZZ_URL"]
_AUTHORIZATION = "Authorization"


class Tenant:
    """Who the fuzzer is: the owner of an account with a channel. It heals: a token that ceased to work is replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ids: dict[str, str] = {}
        self.token = ""
        self.renew()

    def renew(self) -> None:
        """Register anew, unless what there is still works."""
        with self._lock:
            if self.token and self._works():
                return
            email = f"{secrets.token_hex(8)}@example.com"
            credentials = {"email": email, "password": "correct horse battery staple"}
            registered = post("/v1/auth/register", {**credentials, "full_name": "F", "account_name": "F"})
            token = post("/v1/auth/login", credentials)["access_token"]
            ids = {"account_id": registered["account"]["id"], "user_id": registered["user"]["id"]}
            for name in (
                "channel_id",
                "message_id",
                "smpp_account_id",
                "contact_id",
                "merge_id",
                "group_id",
                "segment_id",
                "attribute_id",
                "job_id",
                "template_id",
                "group_message_id",
                "opt_out_id",
                "keyword_id",
                "role_id",
                "key_id",
                "invitation_id",
            ):
                make(ids, name, token)
            # Only now: other threads would lock it out while it is being made.
            self.token, self.ids = token, ids

    def replace(self, used: dict[str, Any]) -> None:
        """Make anew what a DELETE of these ids has ended."""
        with self._lock:
            for name, value in used.items():
                if self.ids.get(name) == value and name not in ("account_id", "user_id"):
                    try:
                        make(self.ids, name, self.token)
                    except requests.HTTPError:
                        # Locked out meanwhile: whoever notices it next makes everything anew.
                        return

    def _works(self) -> bool:
        answer = requests.get(f"{BASE}/v1/context", headers=_headers(self.token), timeout=30)
        return answer.status_code == 200 and all(
            account["status"] == "active" for account in answer.json()["accounts"][:1]
        )


def make(ids: dict[str, str], name: str, token: str) -> None:
    """Make one thing for whoever has the token, and note its id."""
    if name == "merge_id":
        ids[name] = _merge(token)
        return
    unique, channel = secrets.token_hex(6), ids.get("channel_id")
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "channel_id": ("/v1/channels", {"name": unique, "type": "sandbox"}),
        "message_id": ("/v1/messages", {"channel_id": channel, "to": "+251911000100", "text": "Hello"}),
        "smpp_account_id": ("/v1/smpp-accounts", {"name": unique, "system_id": unique, "channel_id": channel}),
        "contact_id": ("/v1/contacts", {"first_name": unique, "tags": ["vip"]}),
        "group_id": ("/v1/contact-groups", {"name": unique}),
        "segment_id": ("/v1/segments", {"name": unique, "filter": {"field": "tags", "op": "eq", "value": "vip"}}),
        "attribute_id": ("/v1/contact-attributes", {"key": f"a{unique}", "type": "text"}),
        "job_id": (
            "/v1/contacts/bulk",
            {"action": "add_tags", "tags": ["a"], "filter": {"field": "tags", "op": "exists", "value": True}},
        ),
        "template_id": ("/v1/templates", {"name": unique, "body": "Hi {FIRST_NAME}"}),
        "group_message_id": (
            "/v1/group-messages",
            {"name": unique, "channel_id": channel, "audience": {"tags": ["vip"]}, "text": "Hi {FIRST_NAME}"},
        ),
        "opt_out_id": ("/v1/opt-outs", {"address": f"{unique}@example.com", "channel_class": "email"}),
        "keyword_id": ("/v1/opt-out-keywords", {"action": "help", "words": [unique]}),
        "role_id": ("/v1/roles", {"name": unique, "permissions": {"messages": ["read"]}}),
        "key_id": ("/v1/api-keys", {"name": unique, "role": "viewer"}),
        "invitation_id": ("/v1/invitations", {"email": f"{unique}@example.com", "role": "viewer"}),
    }
    ids[name] = post(*made[name], token)["id"]


def _merge(token: str) -> str:
    """A merge of two new contacts."""
    kept, other = [post("/v1/contacts", {"first_name": name}, token)["id"] for name in "AB"]
    post(f"/v1/contacts/{kept}/merge", {"contact_ids": [other]}, token)
    query = {"contact_id": kept}
    answer = requests.get(f"{BASE}/v1/contact-merges", params=query, headers=_headers(token), timeout=30)
    answer.raise_for_status()
    return str(answer.json()["items"][0]["id"])


def post(path: str, body: dict[str, Any], token: str = "") -> Any:
    """The JSON of an answer; raises for a refusal."""
    answer = requests.post(BASE + path, json=body, headers=_headers(token), timeout=30)
    answer.raise_for_status()
    return answer.json()


def _headers(token: str) -> dict[str, str]:
    return {_AUTHORIZATION: f"Bearer {token}"} if token else {}


TENANT = Tenant()


@schemathesis.auth(cache_by_key=None, refresh_interval=None)
class Login:
    """The token of the moment."""

    def get(self, case: schemathesis.Case[Any], ctx: schemathesis.AuthContext) -> str:
        return TENANT.token

    def set(self, case: schemathesis.Case[Any], data: str, ctx: schemathesis.AuthContext) -> None:
        case.headers[_AUTHORIZATION] = f"Bearer {data}"


def shorten(query: Any) -> None:
    """Take the longest parameters out of a query beyond 64 KiB: the server answers those itself, without a document."""
    if not isinstance(query, dict):
        return
    sizes = {name: len(quote(str(value), errors="replace")) for name, value in query.items()}
    while sum(sizes.values()) > 48 * 1024:
        longest = max(sizes, key=lambda name: sizes[name])
        del sizes[longest], query[longest]


@schemathesis.hook
def map_case(ctx: schemathesis.HookContext, case: schemathesis.Case[Any]) -> schemathesis.Case[Any]:
    """Half of what is meant to be accepted is about things that exist, so that more than 404 is reached."""
    shorten(case.query)
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return case
    # An account nobody belongs to is 403, a version nobody has 412: the interesting part begins behind them.
    for name in ("X-Account-Id", "If-Match"):
        if name in case.headers and hash(case.headers[name]) % 8:
            del case.headers[name]
    for values in (case.path_parameters, case.body):
        if isinstance(values, dict):
            for name, real in TENANT.ids.items():
                if isinstance(values.get(name), str) and hash(values[name]) % 2:
                    values[name] = real
    return case


@schemathesis.hook
def after_call(ctx: schemathesis.HookContext, case: schemathesis.Case[Any], response: schemathesis.Response) -> None:
    """After an operation that has locked its caller out somebody else goes on, and what was deleted is made anew."""
    if response.status_code in (401, 403) and case.headers.get(_AUTHORIZATION) == f"Bearer {TENANT.token}":
        TENANT.renew()
    elif response.status_code == 204 and case.method.upper() == "DELETE":
        TENANT.replace(case.path_parameters or {})
