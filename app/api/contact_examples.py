"""Examples of contacts, groups, segments and attributes; see app.api.examples."""

from typing import Any

Example = dict[str, Any]

CONTACT = "019ab0d4-0a31-7c52-9d18-4b7e2f600e01"
GROUP = "019ab0d4-5c7e-7a90-b2f4-8e1d3a700e02"
SEGMENT = "019ab0d5-1f08-7e36-8c41-2a9f6b800e03"
ATTRIBUTE = "019ab0d5-77b2-7d04-a7e3-5c0d8e900e04"
_ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
_CHANNEL = "019ab0c4-12aa-7b90-b3d5-6a1c0e55d103"
_MADE = "2026-11-24T10:00:00Z"
_TIMES: Example = {"created_at": _MADE, "updated_at": _MADE}
_FILTER: Example = {
    "and": [
        {"field": "tags", "op": "contains", "value": "vip"},
        {"not": {"field": "last_outbound_at", "op": "gte", "value": "now-7d"}},
    ]
}

_CONTACT: Example = {
    "id": CONTACT,
    "account_id": _ACCOUNT,
    "first_name": "Abebe",
    "last_name": "Bekele",
    "language": "am",
    "timezone": "Africa/Addis_Ababa",
    "phone": "+251911000001",
    "email": "abebe@example.com",
    "addresses": [
        {
            "type": "phone",
            "value": "+251911000001",
            "primary": True,
            "opted_out": ["marketing"],
            "last_inbound": {_CHANNEL: _MADE},
        },
        {"type": "email", "value": "abebe@example.com", "primary": True, "opted_out": [], "last_inbound": {}},
    ],
    "tags": ["vip"],
    "attributes": {"city": "Addis Ababa", "visits": 3},
    "groups": [GROUP],
    "status": "active",
    "notes": None,
    "last_inbound_at": _MADE,
    "last_outbound_at": None,
    **_TIMES,
}
_GROUP: Example = {
    "id": GROUP,
    "account_id": _ACCOUNT,
    "name": "Newsletter",
    "description": "Who reads it.",
    "size": 12,
    **_TIMES,
}
_SEGMENT: Example = {
    "id": SEGMENT,
    "account_id": _ACCOUNT,
    "name": "Quiet regulars",
    "description": None,
    "filter": _FILTER,
    "count": 12,
    **_TIMES,
}
_ATTRIBUTE: Example = {
    "id": ATTRIBUTE,
    "account_id": _ACCOUNT,
    "key": "city",
    "name": "City",
    "type": "text",
    **_TIMES,
}

EXAMPLES: dict[str, list[Example]] = {
    "ContactCreate": [
        {"first_name": "Abebe", "phone": "+251911000001", "tags": ["vip"], "attributes": {"city": "Addis Ababa"}},
        {
            "first_name": "Sara",
            "language": "am",
            "timezone": "Africa/Addis_Ababa",
            "addresses": [
                {"type": "phone", "value": "+251911000002"},
                {"type": "phone", "value": "+251911000003", "primary": True},
                {"type": "telegram", "value": "@sara_ab"},
            ],
            "groups": [GROUP],
            "notes": "Prefers to be called.",
        },
    ],
    "ContactPatch": [
        {"tags": ["vip", "press"], "attributes": {"city": None, "visits": 4}},
        {"phone": "+251911000004", "notes": None},
        {"groups": [GROUP]},
    ],
    "NewContactAddress": [{"type": "phone", "value": "+251911000001", "primary": True}],
    "Contact": [_CONTACT],
    "ContactSearch": [
        {"filter": _FILTER, "sort": "last_name", "limit": 100},
        {
            "filter": {
                "or": [
                    {"field": "phone", "op": "startswith", "value": "+2519"},
                    {"field": "email", "op": "exists", "value": True},
                ]
            }
        },
    ],
    "ContactGroupCreate": [{"name": "Newsletter", "description": "Who reads it."}],
    "ContactGroupPatch": [{"name": "Readers"}, {"description": None}],
    "ContactGroup": [_GROUP],
    "GroupMembers": [{"contact_ids": [CONTACT]}],
    "GroupMembersAdded": [{"added": 1}],
    "GroupMembersRemoved": [{"removed": 1}],
    "SegmentCreate": [{"name": "Quiet regulars", "filter": _FILTER}],
    "SegmentPatch": [{"name": "Regulars"}, {"filter": {"field": "tags", "op": "contains", "value": "vip"}}],
    "Segment": [_SEGMENT],
    "SegmentPreviewRequest": [{"filter": _FILTER}],
    "SegmentPreview": [{"count": 12, "sample": [_CONTACT]}],
    "SegmentExplainRequest": [{"contact_id": CONTACT}],
    "SegmentExplanation": [
        {
            "matches": True,
            "explanation": {
                "holds": True,
                "and": [
                    {"holds": True, "field": "tags", "op": "contains", "value": "vip", "actual": ["vip"]},
                    {
                        "holds": True,
                        "not": {
                            "holds": False,
                            "field": "last_outbound_at",
                            "op": "gte",
                            "value": "2026-11-17T10:00:00Z",
                            "actual": None,
                        },
                    },
                ],
            },
        }
    ],
    "Explanation": [
        {"holds": True, "field": "tags", "op": "contains", "value": "vip", "actual": ["vip"]},
    ],
    "ContactAttributeCreate": [{"key": "city", "name": "City", "type": "text"}, {"key": "birthday", "type": "date"}],
    "ContactAttributePatch": [{"name": "Town"}],
    "ContactAttribute": [_ATTRIBUTE],
}
