"""A message as short messages on its channel: counted as it will be sent, with the parameters of the channel."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from app.domain.messages.events import SmsOptions
from app.lib.errors import FieldError
from connectors.smpp.config import SmppConfig
from connectors.smpp.parameters import parameter_octets, written_value
from connectors.smpp.text import text_options, written_text
from connectors.sms_text.segments import Count, count

NO_OPTIONS = SmsOptions()


def carries_options(config: msgspec.Struct) -> bool:
    """Whether a channel with this configuration sends more than texts: data, flash, parameters."""
    return isinstance(config, SmppConfig)


def counter_of(config: msgspec.Struct | None) -> Callable[[str], Count]:
    """What counts texts on a channel with this configuration; None is any channel."""
    if not isinstance(config, SmppConfig):
        return count
    counted = partial(count, **text_options(config))
    return (lambda text: counted(written_text(text, config))) if config.substitute_characters else counted


def count_text(text: str, config: msgspec.Struct | None) -> Count:
    """Encoding and number of segments of one text on a channel with this configuration; None is any channel."""
    return counter_of(config)(text)


def with_metadata(
    options: SmsOptions, metadata: dict[str, Any], config: msgspec.Struct, errors: list[FieldError]
) -> SmsOptions:
    """`options` with the parameters that the channel makes of a message's metadata; what is wrong goes to `errors`.

    A parameter that the message brings itself is left alone.
    """
    if not isinstance(config, SmppConfig) or not config.metadata_tlvs:
        return options
    own = {tag for tag, _ in options.tlvs}
    found: list[tuple[int, bytes]] = []
    for name, source in config.metadata_tlvs.items():
        if source.tag in own:
            continue
        value = metadata.get(name)
        pointer = f"/metadata/{name.replace('~', '~0').replace('/', '~1')}"
        if value is None:
            if source.required:
                errors.append(FieldError(pointer, "missing_field", "This channel needs it of every message."))
            continue
        try:
            found.append((source.tag, parameter_octets(source.kind, written_value(value))))
        except ValueError as error:
            errors.append(FieldError(pointer, "invalid_value", f"{name} {error}."))
    return msgspec.structs.replace(options, metadata_tlvs=tuple(sorted(found))) if found else options
