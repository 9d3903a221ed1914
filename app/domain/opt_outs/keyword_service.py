"""Sets of keywords of an account. Nothing here commits: the unit of work does."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.service import AuditTrail
from app.domain.messages.preparing import check_text
from app.domain.opt_outs.classes import Topic
from app.domain.opt_outs.keywords import ALWAYS_STOP, MAX_WORD, Action, normalise
from app.domain.opt_outs.models import KeywordSet
from app.domain.opt_outs.places import place_of
from app.domain.opt_outs.repository import KeywordRepository
from app.domain.opt_outs.schemas import KeywordSetCreate, KeywordSetOut, KeywordSetPatch, keyword_set_out
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at, check_version

MAX_SETS = 200
"""How many sets one account may have: all of them are read when a short message comes."""


class KeywordService:
    """The sets of one account, inside one unit of work.

    Methods raise `NotFound` for a set of another account as for none, `InvalidValue` with pointers into the body, and
    `Conflict` (`word_taken`) when another set that counts in the same place has one of the words.
    """

    def __init__(
        self, session: AsyncSession, account_id: UUID, audit: AuditTrail, *, clock: Clock, new_id: NewId
    ) -> None:
        self._session = session
        self._account_id = account_id
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._sets = KeywordRepository(session, Scope(account_id))

    async def page(self, query: ListQuery) -> Page[KeywordSetOut]:
        """One page of the sets."""
        page = await self._sets.page(query)
        return Page([keyword_set_out(each) for each in page.items], page.next_cursor, page.total)

    async def get(self, keyword_id: UUID) -> KeywordSetOut:
        """One set."""
        return keyword_set_out(await self._find(keyword_id))

    async def create(self, data: KeywordSetCreate) -> KeywordSetOut:
        """A new set. Raises `Conflict` when the account has as many as it may (`too_many_keyword_sets`)."""
        errors: list[FieldError] = []
        now = self._clock()
        keywords = KeywordSet(
            id=self._new_id(),
            account_id=self._account_id,
            action=data.action.value,
            words=_words(data.words, errors),
            channel_class=None if data.channel_class is None else data.channel_class.value,
            channel_id=data.channel_id,
            language=data.language,
            topic=data.topic.value,
            reply=None if data.reply is None else check_text(data.reply, errors),
            replaces_built_in=data.replaces_built_in,
            created_at=now,
            updated_at=now,
        )
        await self._check_place(keywords, errors)
        _check(keywords, errors)
        if errors:
            raise InvalidValue.of(errors)
        await self._sets.lock()
        others = await self._sets.all()
        if len(others) >= MAX_SETS:
            detail = f"An account has at most {MAX_SETS} sets of keywords; delete some."
            raise Conflict(detail, code="too_many_keyword_sets")
        _check_free(keywords, others)
        await self._sets.add(keywords)
        made = keyword_set_out(keywords)
        await self._audit.record(self._account_id, "created", "opt_out_keywords", made.id, after=made)
        return made

    async def patch(
        self, keyword_id: UUID, data: KeywordSetPatch, if_match: Collection[str] | None = None
    ) -> KeywordSetOut:
        """Change what is sent. A change of nothing keeps the version."""
        await self._sets.lock()
        keywords = await self._find(keyword_id, for_update=True)
        check_version(keywords.updated_at, if_match, "set of keywords")
        errors: list[FieldError] = []
        before = keyword_set_out(keywords)
        for name, value in _changes(data, errors).items():
            setattr(keywords, name, value)
        _check(keywords, errors)
        if errors:
            self._session.expire(keywords)
            raise InvalidValue.of(errors)
        if keyword_set_out(keywords) == before:
            return before
        _check_free(keywords, await self._sets.all())
        keywords.updated_at = changed_at(self._clock(), before.updated_at)
        await self._sets.save()
        after = keyword_set_out(keywords)
        await self._audit.record(self._account_id, "updated", "opt_out_keywords", after.id, before=before, after=after)
        return after

    async def delete(self, keyword_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End a set: its words mean what is built in again."""
        keywords = await self._find(keyword_id, for_update=True)
        check_version(keywords.updated_at, if_match, "set of keywords")
        before = keyword_set_out(keywords)
        await self._sets.delete(keywords)
        await self._audit.record(self._account_id, "deleted", "opt_out_keywords", keyword_id, before=before)

    async def _find(self, keyword_id: UUID, *, for_update: bool = False) -> KeywordSet:
        found = await self._sets.find(keyword_id, for_update=for_update)
        if found is None:
            raise NotFound("There is no such set of keywords.")
        return found

    async def _check_place(self, keywords: KeywordSet, errors: list[FieldError]) -> None:
        if keywords.channel_id is None:
            return
        place = await place_of(self._session, self._account_id, keywords.channel_id)
        if place is None or place.channel.deleted_at is not None:
            errors.append(FieldError("/channel_id", "not_found", "There is no such channel in this account."))
        elif keywords.channel_class not in (None, place.channel_class.value):
            detail = f"The channel is one of the class {place.channel_class}."
            errors.append(FieldError("/channel_class", "not_allowed", detail))


def _changes(data: KeywordSetPatch, errors: list[FieldError]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if isinstance(data.words, tuple):
        changes["words"] = _words(data.words, errors)
    if isinstance(data.language, str) or data.language is None:
        changes["language"] = data.language
    if isinstance(data.topic, Topic):
        changes["topic"] = data.topic.value
    if isinstance(data.reply, str):
        changes["reply"] = check_text(data.reply, errors)
    elif data.reply is None:
        changes["reply"] = None
    if isinstance(data.replaces_built_in, bool):
        changes["replaces_built_in"] = data.replaces_built_in
    return changes


def _words(given: Iterable[str], errors: list[FieldError]) -> list[str]:
    """The words as they are compared, each once."""
    words: dict[str, None] = {}
    for index, text in enumerate(given):
        word = normalise(text)
        if word:
            words[word] = None
        else:
            detail = f"A keyword has letters or digits, and {MAX_WORD} characters at most."
            errors.append(FieldError(f"/words/{index}", "not_a_keyword", detail))
    return list(words)


def _check(keywords: KeywordSet, errors: list[FieldError]) -> None:
    """What keeps the fields from going together."""
    stop = keywords.action == Action.STOP
    if not keywords.words and not keywords.replaces_built_in and not errors:
        errors.append(FieldError("/words", "missing_field", "A set has words, or replaces the built-in ones."))
    if stop and keywords.replaces_built_in:
        detail = "Who says STOP is heard: operators and the law demand that the usual words work on every channel."
        errors.append(FieldError("/replaces_built_in", "not_allowed", detail))
    if keywords.action == Action.HELP and keywords.topic != Topic.ALL:
        errors.append(FieldError("/topic", "not_allowed", "HELP is about no topic."))
    if not stop or keywords.topic != Topic.ALL:
        reserved = [word for word in keywords.words if word in ALWAYS_STOP]
        if reserved:
            detail = f"These words always end all messages, whoever says them: {', '.join(reserved)}."
            errors.append(FieldError("/words", "reserved_word", detail))


def _check_free(keywords: KeywordSet, others: Iterable[KeywordSet]) -> None:
    for other in others:
        same_place = (other.channel_id, other.channel_class) == (keywords.channel_id, keywords.channel_class)
        taken = set(other.words) & set(keywords.words)
        if other.id != keywords.id and same_place and taken:
            raise Conflict(f"Another set has these words already: {', '.join(sorted(taken))}.", code="word_taken")
