"""Examples of templates; see app.api.examples."""

from typing import Any

Example = dict[str, Any]

TEMPLATE = "019ab0d2-14f0-7b3c-9a6e-5d7f3b2c0e0e"
VERSION = "019ab0d2-14f0-7b3c-9a6e-5d7f3b2c0f0f"
_ACCOUNT = "019ab0c2-7d10-7c3e-9a54-3f1f6d2b8e01"
_MADE = "2026-11-24T10:00:00Z"
_TIMES: Example = {"created_at": _MADE, "updated_at": _MADE}
_BODY = "Hi {FIRST_NAME}, your code is {CODE}"
_FALLBACK: Example = {"strategy": "default", "values": {"FIRST_NAME": "friend"}}
_WHATSAPP: Example = {
    "template": "login_code",
    "language": "en_US",
    "category": "authentication",
    "body": ["{CODE}"],
    "buttons": [{"type": "url", "index": 0, "parameter": "{CODE}"}],
}
_EMAIL: Example = {"subject": "Your code, {FIRST_NAME|title}", "html": "<p>Your code is <b>{CODE}</b></p>"}
_LANGUAGES: Example = {"am": {"body": "ሰላም {FIRST_NAME}፣ ኮድዎ {CODE} ነው"}}
_CONTENT: Example = {
    "body": _BODY,
    "language": "en",
    "fallback": {**_FALLBACK, "strategies": {}},
    "languages": _LANGUAGES,
    "variants": {},
}
_WARNING: Example = {
    "pointer": "/body",
    "code": "no_fallback",
    "detail": "Without a value for CODE the message fails.",
    "variable": "CODE",
    "character": None,
    "index": 30,
    "suggestion": None,
}
_LENGTH: Example = {
    "language": "en",
    "channel": "sms",
    "characters": 32,
    "encoding": "gsm7",
    "segments": 1,
    "per_segment": 160,
}
_CONTACT: Example = {"first_name": "Abebe", "language": "am", "attributes": {"city": "Addis Ababa"}}
_SHOWN: Example = {
    "outcome": "rendered",
    "variable": None,
    "reason": None,
    "detail": None,
    "version": 1,
    "kind": "sms",
    "language": "en",
    "text": "Hi friend, your code is 4711",
    "subject": None,
    "html": None,
    "whatsapp": None,
    "variables": ["FIRST_NAME", "CODE"],
    "missing": ["FIRST_NAME"],
    "encoding": "gsm7",
    "segments": 1,
    "length": 28,
    "per_segment": 160,
    "warnings": [],
}

EXAMPLES: dict[str, list[Example]] = {
    "TemplateCreate": [
        {"name": "Code", "body": _BODY, "fallback": _FALLBACK},
        {
            "name": "Code everywhere",
            "body": _BODY,
            "language": "en",
            "fallback": {"strategy": "skip", "values": {"FIRST_NAME": "friend"}, "strategies": {"CODE": "fail"}},
            "languages": _LANGUAGES,
            "variants": {"sms": {"text": "Code: {CODE}"}, "email": _EMAIL, "whatsapp": _WHATSAPP},
        },
    ],
    "TemplatePatch": [
        {"body": "Hello {FIRST_NAME|title}, your code is {CODE}"},
        {"fallback": {"values": {"FIRST_NAME": None}}, "languages": {"am": None}},
        {"name": "Login code", "language": None},
    ],
    "Template": [
        {
            "id": TEMPLATE,
            "account_id": _ACCOUNT,
            "name": "Code",
            "version": 1,
            **_CONTENT,
            "variables": ["FIRST_NAME", "CODE"],
            "warnings": [_WARNING],
            "lengths": [_LENGTH],
            **_TIMES,
        }
    ],
    "TemplateVersion": [
        {
            "id": VERSION,
            "template_id": TEMPLATE,
            "version": 1,
            **_CONTENT,
            "variables": ["FIRST_NAME", "CODE"],
            **_TIMES,
        }
    ],
    "TemplatePreview": [
        {"body": _BODY, "fallback": _FALLBACK, "variables": {"CODE": 4711}},
        {
            "body": "{FIRST_NAME}, in {CITY} it costs {PRICE|number:2}",
            "variables": {"PRICE": 1234.5},
            "contact": _CONTACT,
            "channel_type": "smpp",
        },
        {"body": _BODY, "contact_id": "01890000-0000-7000-8000-000000000001"},
    ],
    "TemplatePreviewRequest": [
        {"variables": {"CODE": "4711"}},
        {"variables": {"CODE": "4711"}, "contact": _CONTACT, "channel_type": "email", "version": 1},
        {"variables": {"CODE": "4711"}, "contact_id": "01890000-0000-7000-8000-000000000001"},
    ],
    "PreviewedTemplate": [_SHOWN],
}
