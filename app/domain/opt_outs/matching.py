"""What a text asks for, by the sets of an account and what is built in."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from app.domain.opt_outs.classes import ChannelClass, Topic
from app.domain.opt_outs.keywords import Action, built_in_action


class KeywordRule(msgspec.Struct, frozen=True, kw_only=True):
    """A set of an account as it is matched; `words` are normalised."""

    id: UUID
    action: Action
    words: frozenset[str]
    topic: Topic = Topic.ALL
    channel_class: ChannelClass | None = None
    channel_id: UUID | None = None
    reply: str | None = None
    replaces_built_in: bool = False


class Match(msgspec.Struct, frozen=True):
    """What a text asks for; `rule` is None for what is built in."""

    action: Action
    topic: Topic
    rule: KeywordRule | None = None


class Keywords:
    """What counts on one channel: the account's sets, the most particular first, and then what is built in."""

    def __init__(self, rules: Iterable[KeywordRule], channel_class: ChannelClass, channel_id: UUID) -> None:
        self._rules = _in_order(
            [
                rule
                for rule in rules
                if rule.channel_id in (None, channel_id) and rule.channel_class in (None, channel_class)
            ]
        )
        self._replaced = {rule.action for rule in self._rules if rule.replaces_built_in} - {Action.STOP}

    def match(self, word: str, languages: frozenset[str]) -> Match | None:
        """What a normalised text asks for, None when it is an ordinary one."""
        for rule in self._rules:
            if word in rule.words:
                return Match(rule.action, rule.topic, rule)
        action = built_in_action(word, languages)
        if action is None or action in self._replaced:
            return None
        return Match(action, Topic.ALL)


def _in_order(rules: Sequence[KeywordRule]) -> list[KeywordRule]:
    return sorted(rules, key=lambda rule: (rule.channel_id is None, rule.channel_class is None, rule.id))
