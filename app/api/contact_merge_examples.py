"""Examples of merges, duplicates and erasure; see app.api.examples."""

from typing import Any

from app.api.contact_examples import CONTACT
from app.api.contact_examples import EXAMPLES as CONTACTS

Example = dict[str, Any]

MERGE = "019ab0d6-3d19-7b64-a5f0-6e2c9d010f05"
OTHER = "019ab0d4-0a31-7c52-9d18-4b7e2f600e06"
_ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
_USER = "019ab0c2-7d10-7f52-8b11-90c4a1e37a02"
_MADE = "2026-11-24T10:00:00Z"

EXAMPLES: dict[str, list[Example]] = {
    "ContactMergeRequest": [{"contact_ids": [OTHER]}],
    "ContactMerge": [
        {
            "id": MERGE,
            "account_id": _ACCOUNT,
            "contact_id": CONTACT,
            "merged_ids": [OTHER],
            "contacts": [
                {
                    "id": OTHER,
                    "first_name": "Abebe",
                    "last_name": None,
                    "addresses": [{"type": "whatsapp", "value": "+251911000001"}],
                    "created_at": _MADE,
                }
            ],
            "state": "done",
            "undo_until": "2026-12-24T10:00:00Z",
            "undone_at": None,
            "created_by": {"type": "user", "id": _USER},
            "created_at": _MADE,
            "updated_at": _MADE,
        }
    ],
    "Duplicates": [
        {
            "items": [
                {"contact": CONTACTS["Contact"][0], "score": 95, "reasons": ["same_number", "same_name"]},
            ]
        }
    ],
    "ErasureRequest": [{}, {"reason": "Ticket 4711", "forget_opt_outs": False}],
}
