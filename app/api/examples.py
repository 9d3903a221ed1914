"""Examples of what goes in and out, by the name of the component; a test holds each against its schema."""

from typing import Any

from app.api import (
    contact_examples,
    contact_job_examples,
    contact_merge_examples,
    group_message_examples,
    job_examples,
    opt_out_examples,
    template_examples,
)

Example = dict[str, Any]

ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
USER = "019ab0c2-7d10-7f52-8b11-90c4a1e37a02"
ROLE = "00000000-0000-7000-8000-000000000001"
CHANNEL = "019ab0c4-12aa-7b90-b3d5-6a1c0e55d103"
MESSAGE = "019ab0c6-5e01-7a77-8f3c-2d9b7c440404"
SMPP_ACCOUNT = "019ab0c8-0b3f-7d21-9c66-5e8a1f720505"
EVENT = "019ab0ca-33c8-7e14-a0f9-7b6d2c980606"
ENTRY = "019ab0cb-9f52-7c08-b5e1-1d4f8a360707"
_MADE = "2026-11-24T10:00:00Z"
_CHANGED = "2026-11-24T10:00:01.25Z"
_TIMES: Example = {"created_at": _MADE, "updated_at": _MADE}
_TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"  # noqa: S105 - says nothing
_PASSWORD = "correct horse battery staple"  # noqa: S105 - the reader's to replace

_USER: Example = {"id": USER, "email": "a@example.com", "full_name": "A Person", "email_verified": True, **_TIMES}
_ACCOUNT: Example = {
    "id": ACCOUNT,
    "name": "My Account",
    "parent_id": None,
    "status": "active",
    "suspended": False,
    "closes_at": None,
    "settings": {
        "time_zone": "Africa/Addis_Ababa",
        "default_country": "ET",
        "default_from": "DEMO",
        "quiet_hours": {"start": "21:00", "end": "08:00", "days": ["sat", "sun"]},
        "retention_days": 365,
        "language": "am",
        "group_message_approval_above": 1000,
    },
    **_TIMES,
}
_MEMBERSHIP: Example = {
    "id": ACCOUNT,
    "name": "My Account",
    "parent_id": None,
    "status": "active",
    "role": {"id": ROLE, "name": "owner"},
}
_HEALTH: Example = {"detail": "2 binds", "binds": []}
_SMPP_CONFIG: Example = {"hosts": [{"host": "127.0.0.1", "port": 2775}], "bind": "transceiver", "default_from": "DEMO"}
_CHANNEL: Example = {
    "id": CHANNEL,
    "account_id": ACCOUNT,
    "name": "Operator A",
    "type": "smpp",
    "config": _SMPP_CONFIG,
    "rate": {"per_second": 100, "burst": 20},
    "status": "active",
    "health": _HEALTH,
    **_TIMES,
}
_MESSAGE: Example = {
    "id": MESSAGE,
    "account_id": ACCOUNT,
    "channel_id": CHANNEL,
    "contact_id": None,
    "group_message_id": None,
    "template_id": None,
    "template_version": None,
    "direction": "outbound",
    "to": "+251911000100",
    "from": "DEMO",
    "text": "Hello",
    "status": "delivered",
    "lane": "high",
    "encoding": "gsm7",
    "segments": 1,
    "validity_seconds": None,
    "topic": None,
    "error": None,
    "content": None,
    "metadata": {"order": 17},
    "created_at": _MADE,
    "updated_at": _CHANGED,
    "sent_at": "2026-11-24T10:00:00.4Z",
    "delivered_at": _CHANGED,
}
_SMPP_ACCOUNT: Example = {
    "id": SMPP_ACCOUNT,
    "account_id": ACCOUNT,
    "name": "Till system",
    "system_id": "till-1",
    "channel_id": CHANNEL,
    "enabled": True,
    "allowed_networks": ["192.0.2.0/24"],
    "max_binds": 4,
    "rate_per_second": 50,
    "burst": None,
    "window": 10,
    "inbound_limit": 500,
    "receive_inbound": True,
    "default_from": "DEMO",
    "default_country": "ET",
    "default_alphabet": "gsm7",
    "lane": "high",
    "last_bound_at": None,
    **_TIMES,
}

PROBLEM: Example = {
    "type": "http://localhost:8080/problems/invalid-value",
    "title": "Invalid value",
    "status": 422,
    "detail": "The recipient must be an international number such as +251911000100.",
    "code": "invalid_value",
    "instance": "/v1/messages",
    "errors": [
        {
            "pointer": "/to",
            "code": "not_e164",
            "detail": "The recipient must be an international number such as +251911000100.",
        }
    ],
    "request_id": "019ab0cc-41d0-7bb2-8e55-0c9a7f610808",
}

EXAMPLES: dict[str, list[Example]] = {
    **contact_examples.EXAMPLES,
    **contact_job_examples.EXAMPLES,
    **contact_merge_examples.EXAMPLES,
    **job_examples.EXAMPLES,
    **opt_out_examples.EXAMPLES,
    **template_examples.EXAMPLES,
    **group_message_examples.EXAMPLES,
    "Problem": [PROBLEM],
    "Health": [{"status": "up", "dependencies": {"database": "up", "broker": "up"}}],
    "Registration": [
        {"email": "a@example.com", "password": _PASSWORD, "full_name": "A Person", "account_name": "My Account"}
    ],
    "Registered": [{"user": _USER, "account": _ACCOUNT}],
    "Login": [{"email": "a@example.com", "password": _PASSWORD}],
    "RefreshRequest": [{"refresh_token": "rt_F2m0JmB0xkq1f4gkqk0m2l3n4o5p6q7r8s9t0u1v2w3"}],
    "TokenPair": [
        {
            "access_token": _TOKEN,
            "refresh_token": "rt_F2m0JmB0xkq1f4gkqk0m2l3n4o5p6q7r8s9t0u1v2w3",
            "token_type": "Bearer",
            "expires_in": 900,
        }
    ],
    "User": [_USER],
    "AccountCreate": [
        {"name": "Branch", "parent_id": ACCOUNT, "settings": {"default_country": "ET"}},
        {"name": "Another company"},
    ],
    "AccountPatch": [
        {"name": "My Company"},
        {"settings": {"quiet_hours": {"start": "21:00", "end": "08:00"}, "default_from": None}},
    ],
    "Account": [_ACCOUNT],
    "OwnershipTransfer": [{"user_id": USER}],
    "Context": [
        {
            "user": _USER,
            "active_account": {"id": ACCOUNT, "name": "My Account"},
            "accounts": [{**_MEMBERSHIP, "permissions": {"messages": ["read", "send"]}}],
        }
    ],
    "BasicContext": [
        {
            "user": _USER,
            "api_key": None,
            "active_account": {"id": ACCOUNT, "name": "My Account"},
            "accounts": [_MEMBERSHIP],
        }
    ],
    "AuditEntry": [
        {
            "id": ENTRY,
            "account_id": ACCOUNT,
            "actor": {"type": "user", "id": USER, "name": "a@example.com"},
            "action": "created",
            "resource_type": "channel",
            "resource_id": CHANNEL,
            "before": None,
            "after": _CHANNEL,
            "ip": "192.0.2.7",
            "user_agent": "curl/8.14",
            "request_id": "019ab0cc-41d0-7bb2-8e55-0c9a7f610808",
            **_TIMES,
        }
    ],
    "ChannelCreate": [
        {"name": "Try it", "type": "sandbox"},
        {
            "name": "Operator A",
            "type": "smpp",
            "config": _SMPP_CONFIG,
            "credentials": {"system_id": "demo", "password": "secret"},
            "rate": {"per_second": 100, "burst": 20},
        },
    ],
    "ChannelPatch": [{"name": "Operator B"}, {"rate": {"per_second": 50}}, {"rate": None}],
    "Channel": [_CHANNEL],
    "ChannelTest": [{"ok": True, "detail": "The channel is ready.", "status": "active"}],
    "ChannelType": [
        {
            "type": "sandbox",
            "name": "Sandbox",
            "capabilities": {
                "recipients": "any",
                "sms_text": True,
                "sender": True,
                "receipts": True,
                "inbound": True,
            },
            "sent_by": "worker",
            "config": {"type": "object", "properties": {}},
            "credentials": {"type": "object", "properties": {}},
        }
    ],
    "MessageCreate": [
        {"channel_id": CHANNEL, "to": "+251911000100", "text": "Hello"},
        {
            "channel_id": CHANNEL,
            "to": "+251911000100",
            "from": "DEMO",
            "text": "Your code is 4711",
            "lane": "high",
            "validity_seconds": 300,
            "topic": "service",
            "metadata": {"order": 17},
        },
        {
            "channel_id": CHANNEL,
            "contact_id": contact_examples.CONTACT,
            "template_id": template_examples.TEMPLATE,
            "variables": {"CODE": "4711"},
        },
    ],
    "Message": [_MESSAGE],
    "MessageDetail": [
        {
            **_MESSAGE,
            "events": [
                {"at": _MADE, "status": "queued", "code": None, "detail": None, "provider_code": None},
                {"at": _CHANGED, "status": "delivered", "code": None, "detail": None, "provider_code": "000"},
            ],
            "parts": [{"number": 1, "provider_message_id": "4f1a", "status": "delivered"}],
            "attempts": [
                {
                    "number": 1,
                    "started_at": _MADE,
                    "ended_at": "2026-11-24T10:00:00.4Z",
                    "outcome": "sent",
                    "code": None,
                    "detail": None,
                    "provider_code": None,
                }
            ],
        }
    ],
    "MessageBatch": [
        {
            "messages": [
                {"channel_id": CHANNEL, "to": "+251911000100", "text": "Hello"},
                {"channel_id": CHANNEL, "to": "+251911000101", "text": "Hello"},
            ]
        }
    ],
    "MessageBatchResult": [
        {
            "items": [
                {"index": 0, "status": 201, "message": {**_MESSAGE, "status": "queued", "lane": "bulk"}},
                {"index": 1, "status": 422, "problem": PROBLEM},
            ],
            "accepted": 1,
            "rejected": 1,
        }
    ],
    "MessagePreview": [{"text": "Hello", "channel_type": "smpp"}, {"text": "Hello", "channel_id": CHANNEL}],
    "PreviewedMessage": [
        {
            "text": "It’s me",
            "encoding": "ucs2",
            "segments": 1,
            "length": 7,
            "per_segment": 70,
            "warnings": [{"index": 2, "character": "’", "code": "not_gsm7", "suggestion": "'"}],
            "replacements": [],
            "parts": ["It’s me"],
            "cost": None,
        }
    ],
    "SmppAccountCreate": [
        {"name": "Till system", "system_id": "till-1", "channel_id": CHANNEL},
        {
            "name": "Campaigns",
            "system_id": "campaigns",
            "channel_id": CHANNEL,
            "password": "s3cret-pass",
            "allowed_networks": ["192.0.2.0/24"],
            "rate_per_second": 50,
            "default_country": "ET",
            "lane": "bulk",
        },
    ],
    "SmppAccountPatch": [{"enabled": False}, {"rate_per_second": None}, {"channel_id": CHANNEL}],
    "SmppAccount": [_SMPP_ACCOUNT],
    "SmppAccountMade": [{**_SMPP_ACCOUNT, "password": "kJ7wQ2pX9sVb"}],
    "EventPage": [
        {
            "items": [
                {
                    "id": EVENT,
                    "account_id": ACCOUNT,
                    "type": "channel.connected",
                    "subject_id": CHANNEL,
                    "data": {"channel_id": CHANNEL, "name": "Operator A", "status": "active"},
                    **_TIMES,
                }
            ],
            "next_cursor": None,
            "resume_cursor": "k6hwb3NpdGlvbgHEEAGasMo",
        }
    ],
}
