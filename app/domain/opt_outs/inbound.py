"""STOP, START and HELP from contacts, heard before anything else sees their messages, in the transaction that stores
them.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.opt_outs.addresses import canonical_address, country_of
from app.domain.opt_outs.changes import Proof, Wish, change_consent
from app.domain.opt_outs.classes import Source, Topic
from app.domain.opt_outs.keywords import Action, languages_for, normalise
from app.domain.opt_outs.listeners import NOBODY, OptStateListener
from app.domain.opt_outs.matching import Keywords, Match
from app.domain.opt_outs.places import Place, place_of
from app.domain.opt_outs.replies import Reply, send_replies
from app.domain.opt_outs.repository import rules_of
from app.lib.ids import NewId


class Heard(msgspec.Struct, frozen=True):
    """A message of a contact. `id` is the one it is stored under."""

    id: UUID
    sender: str
    to: str
    text: str


class _Understood(msgspec.Struct, frozen=True):
    """What one of them asks for; `address` is None where nothing can be sent to, such as a short number."""

    message: Heard
    address: str | None
    match: Match


async def hear_keywords(
    session: AsyncSession,
    account_id: UUID,
    channel_id: UUID,
    messages: Sequence[Heard],
    new_id: NewId,
    listener: OptStateListener = NOBODY,
) -> dict[UUID, Action]:
    """Do what these messages of one channel, in their order, ask for; which of them asked for something.

    Nothing is read from the database unless a text is as short as a keyword.
    """
    words = [(message, word) for message in messages if (word := normalise(message.text))]
    if not words:
        return {}
    place = await place_of(session, account_id, channel_id)
    if place is None:
        return {}
    keywords = Keywords(await rules_of(session, account_id), place.channel_class, channel_id)
    understood = [found for message, word in words if (found := _understand(place, keywords, message, word))]
    if not understood:
        return {}
    wishes = [_wish(place, each) for each in understood if each.match.action is not Action.HELP]
    await change_consent(session, account_id, [each for each in wishes if each is not None], new_id, listener)
    replies = [
        Reply(rule.id, each.match.action, each.address, each.message.to, rule.reply)
        for each in understood
        if each.address is not None and (rule := each.match.rule) is not None and rule.reply is not None
    ]
    await send_replies(session, account_id, place, replies, new_id)
    return {each.message.id: each.match.action for each in understood}


def _understand(place: Place, keywords: Keywords, message: Heard, word: str) -> _Understood | None:
    address = canonical_address(place.channel_class, message.sender, place.tenant.country)
    country = None if address is None else country_of(place.channel_class, address)
    match = keywords.match(word, languages_for(country or place.tenant.country, place.tenant.language))
    return None if match is None else _Understood(message, address, match)


def _wish(place: Place, understood: _Understood) -> Wish | None:
    message, match = understood.message, understood.match
    if understood.address is None:
        return None
    stop = match.action is Action.STOP
    # Who starts again without naming a topic wants everything.
    topic = match.topic if stop or match.topic is not Topic.ALL else None
    proof = Proof(source=Source.KEYWORD, message_id=message.id, channel_id=place.channel.id, text=message.text)
    return Wish((place.channel_class, understood.address), topic, stop, proof)
