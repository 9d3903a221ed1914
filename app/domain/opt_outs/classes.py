"""What an opt-out is about: a class of channels, and a topic of messages."""

from enum import StrEnum


class ChannelClass(StrEnum):
    """Channels that reach a person at the same address; who opts out of one of them opts out of the class."""

    SMS = "sms"
    EMAIL = "email"
    TELEGRAM = "telegram"
    WHATSAPP = "whatsapp"
    MESSENGER = "messenger"


class Topic(StrEnum):
    """What somebody does not want. `all` is everything; a message itself is about one of the others."""

    ALL = "all"
    MARKETING = "marketing"
    SERVICE = "service"


class MessageTopic(StrEnum):
    """What a message is about; one that does not say is `service`."""

    MARKETING = "marketing"
    SERVICE = "service"


class Source(StrEnum):
    """How an opt-out, or its end, came about."""

    KEYWORD = "keyword"
    MANUAL = "manual"
    API = "api"
    UNSUBSCRIBE_LINK = "unsubscribe_link"
    PROVIDER = "provider"
    IMPORT = "import"


Address = tuple[ChannelClass, str]
"""Where somebody is reached: the class, and the address in the form of `app.domain.opt_outs.addresses`."""

_OWN_CLASS = {
    "email": ChannelClass.EMAIL,
    "telegram": ChannelClass.TELEGRAM,
    "whatsapp": ChannelClass.WHATSAPP,
    "messenger": ChannelClass.MESSENGER,
}


def class_of(channel_type: str) -> ChannelClass:
    """The class of a channel type. A type that is not a class of its own sends short messages."""
    return _OWN_CLASS.get(channel_type, ChannelClass.SMS)
