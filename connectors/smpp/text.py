"""A channel's choices about text, in the words of `connectors.sms_text`."""

from connectors.smpp.config import SmppConfig
from connectors.smpp.options import LongMessage
from connectors.sms_text import national
from connectors.sms_text.encoding import DefaultAlphabet
from connectors.sms_text.segments import Style, TextOptions
from connectors.sms_text.warnings import substitute

_STYLES: dict[LongMessage, Style] = {
    LongMessage.UDH: "udh8",
    LongMessage.UDH16: "udh16",
    LongMessage.SAR: "sar",
    LongMessage.PAYLOAD: "payload",
}


def text_options(config: SmppConfig) -> TextOptions:
    """What `segments.count` and `segments.segment` take for the texts of this channel."""
    default: DefaultAlphabet = config.default_alphabet.value
    return {
        "style": _STYLES[config.long_message],
        "national": national_language(config),
        "packed": config.gsm7_packed,
        "default_alphabet": default,
        "byte_order": config.ucs2_byte_order.value,
    }


def national_language(config: SmppConfig) -> national.NationalLanguage | None:
    """The language whose shift tables may be used, None when none may."""
    language = config.national_language
    return None if language is None else national.NationalLanguage[language.name]


def written_text(text: str, config: SmppConfig) -> str:
    """The text as it is sent: with typographic characters replaced where the channel asks for it."""
    return substitute(text, national_language(config))[0] if config.substitute_characters else text
