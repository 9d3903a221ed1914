"""Examples of opt-outs, the consent ledger and keywords; see app.api.examples."""

from typing import Any

Example = dict[str, Any]

OPT_OUT = "019ab0d2-17e4-7b31-9d02-7c5e1a3f0e0e"
KEYWORDS = "019ab0d3-52b6-7e90-a4c8-0b6d8e2a0f0f"
CONSENT_EVENT = "019ab0d4-8f10-7a46-b1e7-3d9c5f7b1010"
_ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
_CHANNEL = "019ab0c4-12aa-7b90-b3d5-6a1c0e55d103"
_MESSAGE = "019ab0c6-5e01-7a77-8f3c-2d9b7c440404"
_MADE = "2026-11-24T10:00:00Z"
_TIMES: Example = {"created_at": _MADE, "updated_at": _MADE}

_CONSENT: Example = {
    "account_id": _ACCOUNT,
    "channel_class": "sms",
    "address": "+251911000100",
    "topic": "all",
    "source": "keyword",
    "message_id": _MESSAGE,
    "channel_id": _CHANNEL,
    "text": "Stop!",
    "actor": None,
    "detail": None,
    **_TIMES,
}
_BY_HAND: Example = {
    "message_id": None,
    "channel_id": None,
    "text": None,
    "topic": "marketing",
    "source": "manual",
    "actor": {"type": "user", "id": "019ab0c2-7d10-7f52-8b11-90c4a1e37a02", "name": "a@example.com"},
    "detail": "Called the help desk.",
}

EXAMPLES: dict[str, list[Example]] = {
    "OptOutCreate": [
        {"address": "+251911000199", "channel_class": "sms"},
        {
            "address": "b@example.com",
            "channel_class": "email",
            "topic": "marketing",
            "detail": "Called the help desk.",
        },
    ],
    "OptOut": [{"id": OPT_OUT, **_CONSENT}, {"id": OPT_OUT, **_CONSENT, **_BY_HAND}],
    "ConsentEvent": [{"id": CONSENT_EVENT, "opt_out_id": OPT_OUT, "change": "opted_out", **_CONSENT}],
    "KeywordSetCreate": [
        {"action": "stop", "words": ["STOP NEWS"], "topic": "marketing", "reply": "No more news from us."},
        {"action": "help", "words": ["WHO"], "channel_id": _CHANNEL, "language": "en", "reply": "This is DEMO."},
        {"action": "help", "channel_class": "telegram", "replaces_built_in": True},
    ],
    "KeywordSetPatch": [{"words": ["STOP NEWS", "NO NEWS"]}, {"reply": None}],
    "KeywordSet": [
        {
            "id": KEYWORDS,
            "account_id": _ACCOUNT,
            "action": "stop",
            "words": ["stop news"],
            "channel_class": None,
            "channel_id": None,
            "language": "en",
            "topic": "marketing",
            "reply": "No more news from us.",
            "replaces_built_in": False,
            **_TIMES,
        }
    ],
}
