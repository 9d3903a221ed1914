"""Examples of imports and bulk actions; see app.api.examples."""

from typing import Any

from app.api.contact_examples import CONTACT, GROUP

Example = dict[str, Any]

_MAPPING: Example = {"Phone": "phone", "Name": "first_name", "City": "attributes.city", "Tags": "tags"}

EXAMPLES: dict[str, list[Example]] = {
    "ImportOptions": [
        {"mapping": {"Phone": "phone", "Name": "first_name", "City": "attributes.city"}},
        {
            "mapping": _MAPPING,
            "on_match": "update",
            "group_ids": [GROUP],
            "tags": ["fair-2026"],
            "country": "ET",
            "create_attributes": {"attributes.city": "text"},
        },
    ],
    "ImportPreviewOptions": [{}, {"country": "ET", "mapping": _MAPPING}],
    "ImportPreview": [
        {
            "format": "csv",
            "encoding": "utf-8",
            "delimiter": ";",
            "columns": [
                {"name": "Phone", "samples": ["0911000001"], "target": "phone", "suggestion": None, "type": None},
                {
                    "name": "City",
                    "samples": ["Addis Ababa"],
                    "target": None,
                    "suggestion": "attributes.city",
                    "type": "text",
                },
            ],
            "mapping": {"Phone": "phone"},
            "create_attributes": {},
            "rows": [
                {
                    "line": 2,
                    "cells": ["0911000001", "Addis Ababa"],
                    "contact": {
                        "first_name": None,
                        "last_name": None,
                        "language": None,
                        "timezone": None,
                        "status": None,
                        "notes": None,
                        "addresses": [{"type": "phone", "value": "+251911000001"}],
                        "tags": [],
                        "attributes": {},
                    },
                    "problems": [],
                },
                {
                    "line": 3,
                    "cells": ["unknown", "Adama"],
                    "contact": None,
                    "problems": [
                        {
                            "column": "Phone",
                            "code": "bad_phone",
                            "detail": "an international phone number such as +251911000100 is needed",
                        }
                    ],
                },
            ],
        }
    ],
    "BulkAction": [
        {
            "filter": {"field": "last_inbound_at", "op": "gte", "value": "now-30d"},
            "action": "add_tags",
            "tags": ["engaged"],
        },
        {"ids": [CONTACT], "action": "add_to_group", "group_id": GROUP},
        {"ids": [CONTACT], "action": "set_attributes", "attributes": {"city": "Adama", "visits": None}},
        {"ids": [CONTACT], "action": "set_status", "status": "archived"},
    ],
}
