"""Examples of group messages; see app.api.examples."""

from typing import Any

Example = dict[str, Any]

GROUP_MESSAGE = "019ab0d6-3c10-7b3c-9a6e-5d7f3b2c1e1e"
_ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
_CHANNEL = "019ab0c4-12aa-7b90-b3d5-6a1c0e55d103"
_GROUP = "019ab0ce-50c2-7f4d-8b0a-6e5c1b2d0a0a"
_SEGMENT = "019ab0cf-61d3-705e-8c1b-7f6d2c3e0b0b"
_TEMPLATE = "019ab0d2-14f0-7b3c-9a6e-5d7f3b2c0e0e"
_CONTACT = "019ab0cd-4fb1-7e3c-9a9f-5d4b0a1c0909"
_MESSAGE = "019ab0c6-5e01-7a77-8f3c-2d9b7c440404"
_USER = "019ab0c1-1a10-7c3e-9a54-3f1f6d2b8e02"
_MADE = "2026-11-24T10:00:00Z"
_AUDIENCE: Example = {
    "group_ids": [_GROUP],
    "tags": ["vip"],
    "addresses": ["+251911000100"],
    "exclude": {"tags": ["staff"]},
}
_QUIET: Example = {"start": "21:00", "end": "08:00", "days": None}
_FALLBACK: Example = {"strategy": "default", "values": {"FIRST_NAME": "friend"}, "strategies": {}}
_PROGRESS: Example = {
    "total": 12000,
    "waiting": 8500,
    "queued": 400,
    "sent": 900,
    "delivered": 2100,
    "read": 0,
    "failed": 60,
    "skipped": 40,
    "unknown": 0,
    "expired": 0,
    "canceled": 0,
}
_CREATE: Example = {
    "name": "News in November",
    "channel_id": _CHANNEL,
    "audience": _AUDIENCE,
    "text": "Hi {FIRST_NAME}, our winter offers are here.",
    "fallback": {"strategy": "default", "values": {"FIRST_NAME": "friend"}},
}

EXAMPLES: dict[str, list[Example]] = {
    "GroupMessageCreate": [
        _CREATE,
        {
            "name": "Reminder",
            "channel_id": _CHANNEL,
            "audience": {
                "segment_ids": [_SEGMENT],
                "contact_ids": [_CONTACT],
                "exclude": {"group_ids": [_GROUP], "segment_ids": [_SEGMENT], "contact_ids": [_CONTACT]},
            },
            "template_id": _TEMPLATE,
            "variables": {"CODE": "4711"},
            "from": "DEMO",
            "rate": 50,
            "quiet_hours": {"start": "21:00", "end": "08:00"},
            "send_at": "2099-01-01T06:00:00Z",
            "topic": "service",
            "error_limit": {"percent": 20, "after": 50},
        },
    ],
    "GroupMessagePatch": [
        {"text": "Hello {FIRST_NAME|title}, our winter offers are here."},
        {"name": "News in December", "channel_id": _CHANNEL, "rate": None, "send_at": None},
        {"template_id": _TEMPLATE, "variables": {"CODE": "4711"}},
        {"audience": {"segment_ids": [_SEGMENT], "exclude": {"contact_ids": [_CONTACT]}}},
    ],
    "GroupMessage": [
        {
            "id": GROUP_MESSAGE,
            "account_id": _ACCOUNT,
            "name": "News in November",
            "channel_id": _CHANNEL,
            "audience": _AUDIENCE,
            "text": _CREATE["text"],
            "fallback": _FALLBACK,
            "template_id": None,
            "variables": {},
            "from": None,
            "rate": None,
            "quiet_hours": _QUIET,
            "send_at": None,
            "topic": "marketing",
            "validity_seconds": None,
            "metadata": {},
            "error_limit": {"percent": 20, "after": 100},
            "status": "running",
            "progress": _PROGRESS,
            "paused_because": None,
            "approval": {
                "state": "approved",
                "requested_by": {"type": "user", "id": _USER, "name": "selam@example.org"},
                "requested_at": _MADE,
                "decided_by": {"type": "user", "id": _CONTACT, "name": "abebe@example.org"},
                "decided_at": _MADE,
                "reason": None,
            },
            "created_at": _MADE,
            "updated_at": _MADE,
            "started_at": _MADE,
            "ended_at": None,
        }
    ],
    "GroupMessageReject": [{"reason": "The price is last month's."}, {}],
    "GroupMessageProgress": [
        {
            "status": "running",
            "progress": _PROGRESS,
            "paused_because": None,
            "failures": [{"class": "recipient", "code": "receipt_failed", "count": 60}],
            "skipped": {"opted_out": 30, "no_address": 10},
        }
    ],
    "GroupMessageStanding": [{"status": "running", "progress": _PROGRESS, "paused_because": None}],
    "GroupRecipient": [
        {
            "contact_id": _CONTACT,
            "address": "+251911000100",
            "status": "delivered",
            "message_id": _MESSAGE,
            "reason": None,
            "detail": None,
            "error": None,
        },
        {
            "contact_id": _CONTACT,
            "address": None,
            "status": "skipped",
            "message_id": None,
            "reason": "no_address",
            "detail": None,
            "error": None,
        },
    ],
    "GroupMessagePreflight": [
        {
            "total": 12000,
            "needs_approval": True,
            "looked_at": 5000,
            "exact": False,
            "recipients": {
                "will_get_it": 11400,
                "quiet_now": 0,
                "repeated": 0,
                "no_address": 240,
                "opted_out": 360,
                "blocked": 0,
                "archived": 0,
                "excluded": 0,
                "missing_variable": 0,
                "unusable_value": 0,
                "too_long": 0,
            },
            "segments": 11400,
            "rate": 100,
            "duration_seconds": 114,
            "samples": [
                {
                    "contact_id": _CONTACT,
                    "address": "+251911000100",
                    "text": "Hi Abebe, our winter offers are here.",
                    "encoding": "gsm7",
                    "segments": 1,
                }
            ],
            "warnings": [],
        }
    ],
}
