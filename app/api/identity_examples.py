"""Examples of users, roles, invitations and API keys; see app.api.examples."""

from typing import Any

from app.api.examples import ACCOUNT, ROLE, USER

Example = dict[str, Any]

OWN_ROLE = "019ab0ce-20b4-7f6a-8d11-4c7e2a9b0a0a"
KEY = "019ab0cf-5c77-7a02-9e30-6b1d8f4c0b0b"
INVITATION = "019ab0d0-88e2-7d4b-a6f2-2e9c5b7d0c0c"
SESSION = "019ab0d1-b3a9-7c15-8b44-9f0a1c6e0d0d"
_MADE = "2026-11-24T10:00:00Z"
_TIMES: Example = {"created_at": _MADE, "updated_at": _MADE}
_PASSWORD = "correct horse battery staple"  # noqa: S105 - the reader's to replace
_ANOTHER = "another horse battery staple"
_CODE = "123456"

_ROLE: Example = {
    "id": OWN_ROLE,
    "name": "support",
    "system": False,
    "permissions": {"messages": ["read", "send"], "contacts": ["read"]},
    **_TIMES,
}
_REF: Example = {"id": OWN_ROLE, "name": "support"}
_USER: Example = {"id": USER, "email": "b@example.com", "full_name": "B Person", "email_verified": True, **_TIMES}
_KEY: Example = {
    "id": KEY,
    "name": "ci",
    "prefix": "tk_ab12",
    "role": _REF,
    "permissions": {"messages": ["read", "send"], "contacts": ["read"]},
    "allowed_networks": ["192.0.2.0/24"],
    "expires_at": "2027-11-24T00:00:00Z",
    "last_used_at": None,
    "last_used_ip": None,
    "created_by": USER,
    **_TIMES,
}

EXAMPLES: dict[str, list[Example]] = {
    "EmailRequest": [{"email": "b@example.com"}],
    "CodeRequested": [{"detail": "If this address needs a code, one is on its way."}],
    "EmailVerification": [{"email": "b@example.com", "code": _CODE}],
    "PasswordReset": [{"email": "b@example.com", "code": _CODE, "password": _ANOTHER}],
    "PasswordChange": [{"current_password": _PASSWORD, "new_password": _ANOTHER}],
    "Profile": [{**_USER, "default_account_id": ACCOUNT}],
    "ProfilePatch": [{"full_name": "Another Name"}, {"default_account_id": ACCOUNT}, {"default_account_id": None}],
    "Member": [{**_USER, "role": _REF, "joined_at": _MADE}],
    "MemberPatch": [{"role": "operator"}, {"role_id": OWN_ROLE}],
    "Session": [
        {
            "id": SESSION,
            "current": True,
            "ip": "192.0.2.7",
            "user_agent": "curl/8.14",
            "last_used_at": _MADE,
            "expires_at": "2026-12-24T10:00:00Z",
            **_TIMES,
        }
    ],
    "SecondFactor": [{"enabled": True, "pending": False, "confirmed_at": _MADE, "recovery_codes_left": 10}],
    "SecondFactorSetup": [
        {
            "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
            "uri": "otpauth://totp/Turumba:b%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Turumba",
        }
    ],
    "SecondFactorCode": [{"code": _CODE}],
    "RecoveryCodes": [{"recovery_codes": ["k3vq-7d2m-x9ph", "w8tn-4r6c-z2bj"]}],
    "PermissionResource": [
        {
            "resource": "messages",
            "actions": [{"action": "send", "permission": "messages:send", "description": "Send messages."}],
        }
    ],
    "RoleCreate": [{"name": "support", "permissions": {"messages": ["read", "send"], "contacts": ["read"]}}],
    "RolePatch": [{"name": "help desk"}, {"permissions": {"messages": ["read"]}}],
    "Role": [_ROLE],
    "InvitationCreate": [
        {"email": "b@example.com", "role": "operator"},
        {"email": "b@example.com", "role_id": OWN_ROLE},
    ],
    "Invitation": [
        {
            "id": INVITATION,
            "email": "b@example.com",
            "role": _REF,
            "invited_by": USER,
            "expires_at": "2026-12-01T10:00:00Z",
            "accepted_at": None,
            **_TIMES,
        }
    ],
    "Acceptance": [
        {"token": "ti_9sQ4x0Wn2YkLr7Tz", "full_name": "B Person", "password": _PASSWORD},
        {"token": "ti_9sQ4x0Wn2YkLr7Tz"},
    ],
    "Accepted": [
        {
            "user": _USER,
            "account": {
                "id": ACCOUNT,
                "name": "My Account",
                "parent_id": None,
                "status": "active",
                "role": {"id": ROLE, "name": "operator"},
                "permissions": {"messages": ["read", "send"]},
            },
        }
    ],
    "ApiKeyCreate": [
        {"name": "ci", "role": "operator"},
        {"name": "reports", "role_id": OWN_ROLE, "expires_at": "2027-11-24T00:00:00Z"},
        {"name": "till", "permissions": {"messages": ["send"]}, "allowed_networks": ["192.0.2.0/24"]},
    ],
    "ApiKey": [_KEY],
    "NewApiKey": [{**_KEY, "secret": "tk_ab12f8Jq0sVx3LmN7cRb2TgYwKzDhPe5uA9iQoXl4M"}],
}
