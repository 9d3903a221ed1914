"""Names of component schemas: what a client's generated classes are called."""

import re

# Where the struct's own name says too little outside its module.
_NAMES = {
    "app.domain.messages.schemas.EventOut": "MessageEvent",
    "app.domain.events.schemas.EventOut": "Event",
    "PartOut": "MessagePart",
    "AttemptOut": "MessageAttempt",
    "PreviewOut": "PreviewedMessage",
    "MessageFailure": "MessageError",
    "BatchResult": "MessageBatchResult",
    "BatchItem": "MessageBatchResultItem",
    "Feed": "EventPage",
    "ProblemOut": "ImportProblem",
    "Tlv": "SmppParameter",
    "Rate": "ChannelRate",
    "ResourceOut": "PermissionResource",
    "ActionOut": "PermissionAction",
}


def public_name(name: str) -> str:
    """What msgspec calls a struct → what clients see: `ChannelOut` → `Channel`, `Page[ChannelOut]` → `ChannelPage`."""
    generic = re.fullmatch(r"Page_(.+)_", name) or re.fullmatch(r"Page\[(.+)\]", name)
    if generic:
        inner = generic[1]
        return "ObjectPage" if inner.startswith("dict") else f"{public_name(inner)}Page"
    known = _NAMES.get(name) or next((new for old, new in _NAMES.items() if old.replace(".", "_") == name), None)
    return known or name.rpartition(".")[2].removesuffix("Out")
