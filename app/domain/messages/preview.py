"""What a text becomes as short messages, before anything is sent."""

from uuid import UUID

import msgspec

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.preparing import check_text
from app.domain.messages.schemas import MessagePreview, PreviewOut, PreviewReplacement, PreviewWarning
from app.lib.errors import FieldError, InvalidValue
from connectors import registry
from connectors.smpp.config import SmppConfig
from connectors.smpp.text import national_language, text_options
from connectors.sms_text.national import NationalLanguage
from connectors.sms_text.segments import TextOptions, TextTooLongError, part_texts, segment
from connectors.sms_text.warnings import Replacement, substitute, warnings


async def preview_message(data: MessagePreview, account_id: UUID, channels: ChannelDirectory) -> PreviewOut:
    """The preview of a text for one of the account's channels, or for none in particular.

    Raises `InvalidValue`, `Unavailable`.
    """
    errors: list[FieldError] = []
    config = await _config(data, account_id, channels, errors)
    text = check_text(data.text, errors)
    if errors:
        raise InvalidValue.of(errors)
    options: TextOptions = {}
    national: NationalLanguage | None = None
    replaced: list[Replacement] = []
    if isinstance(config, SmppConfig):
        options, national = text_options(config), national_language(config)
        if config.substitute_characters:
            text, replaced = substitute(text, national)
        if options["style"] == "payload":
            # The SMSC cuts what is longer than a segment, and says nowhere how; its parts hold as much as these.
            options["style"] = "udh8"
    try:
        cut = segment(text, reference=0, **options)
    except TextTooLongError as error:
        raise InvalidValue.at("/text", "too_long", str(error)) from error
    return PreviewOut(
        text=text,
        encoding=cut.encoding,
        segments=len(cut.segments),
        length=cut.length,
        per_segment=cut.per_segment,
        warnings=[PreviewWarning(**msgspec.structs.asdict(each)) for each in warnings(text, national)],
        replacements=[PreviewReplacement(**msgspec.structs.asdict(each)) for each in replaced],
        parts=part_texts(cut),
        cost=None,
    )


async def _config(
    data: MessagePreview, account_id: UUID, channels: ChannelDirectory, errors: list[FieldError]
) -> msgspec.Struct | None:
    if data.channel_type is not None and registry.get(data.channel_type) is None:
        known = ", ".join(sorted(each.type for each in registry.connectors()))
        errors.append(FieldError("/channel_type", "not_allowed", f"Channel types: {known}."))
        return None
    if data.channel_id is None:
        return None
    channel = await channels.get(account_id, data.channel_id)
    if channel is None or channel.deleted:
        errors.append(FieldError("/channel_id", "not_found", "There is no such channel in this account."))
        return None
    if data.channel_type not in (None, channel.type):
        errors.append(FieldError("/channel_type", "not_allowed", f"The channel is of type {channel.type}."))
    return channel.config
