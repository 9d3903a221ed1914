"""Examples of what goes in and out about long work, by the name of the component."""

from typing import Any

Example = dict[str, Any]

ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
USER = "019ab0c2-7d10-7f52-8b11-90c4a1e37a02"
JOB = "019ab0cd-2c41-7a3d-8e17-6f0b9d530909"

JOB_OUT: Example = {
    "id": JOB,
    "account_id": ACCOUNT,
    "kind": "contacts.import",
    "status": "succeeded",
    "total": 1200,
    "done": 1187,
    "failed": 13,
    "error": None,
    "error_file": f"/v1/jobs/{JOB}/errors",
    "result": {"created": 1000, "updated": 187},
    "result_file": None,
    "cancel_requested": False,
    "created_by": {"type": "user", "id": USER},
    "created_at": "2026-11-24T10:00:00Z",
    "updated_at": "2026-11-24T10:00:03.25Z",
    "started_at": "2026-11-24T10:00:00.1Z",
    "ended_at": "2026-11-24T10:00:03.25Z",
    "expires_at": "2026-12-01T10:00:03.25Z",
}

EXAMPLES: dict[str, list[Example]] = {"Job": [JOB_OUT]}
