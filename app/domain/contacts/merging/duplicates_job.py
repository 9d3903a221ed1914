"""The job that looks for duplicates among all contacts of an account.

Once through the contacts in the order of their ids: what each has in common with its duplicates goes into a table, as
digests. Then through the digests in their order: those that several contacts have are the groups of the result. Both
walks are made of steps with a bound, and go on where the last one ended. The digests are removed at the end.
"""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.likeness import keys_of, score_of
from app.domain.contacts.merging.schemas import DuplicateReason
from app.domain.contacts.stores.contract import AddressType, Contact, ContactStores
from app.domain.jobs.contract import JobFile, JobRun
from app.lib.spreadsheets import csv_bytes

KIND = "contacts.duplicates"
BATCH = 1_000
"""Contacts that are read in one step."""

GROUPS = 200
"""Groups that are written in one step: at most 20,000 lines."""

MOST_MEMBERS = 100
"""Contacts of one group that the result names; the column `size` says how many there are."""

_TIDIED = 20_000
_COLUMNS = ("group", "reason", "score", "size", "contact_id", "first_name", "last_name", "phone", "email")
_LETTERS = {
    DuplicateReason.SAME_NUMBER: b"p",
    DuplicateReason.SAME_MAILBOX: b"m",
    DuplicateReason.SAME_NAME: b"n",
}
_REASONS = {letter: reason for reason, letter in _LETTERS.items()}

_ADD = text(
    """
    INSERT INTO contact_duplicate_keys (job_id, digest, contact_id, account_id)
    SELECT :job_id, digest, contact_id, :account_id
    FROM unnest(CAST(:digests AS bytea[]), CAST(:ids AS uuid[])) AS k(digest, contact_id)
    ON CONFLICT DO NOTHING
    """
)
_GROUPS = text(
    """
    SELECT digest, count(*) AS size, (array_agg(contact_id ORDER BY contact_id))[1:CAST(:members AS integer)] AS members
    FROM contact_duplicate_keys
    WHERE job_id = :job_id AND account_id = :account_id AND digest > :after
    GROUP BY digest HAVING count(*) > 1
    ORDER BY digest LIMIT :most
    """
)
_TIDY = text(
    """
    DELETE FROM contact_duplicate_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM contact_duplicate_keys WHERE job_id = :job_id AND account_id = :account_id LIMIT :most
    ))
    """
)


class Counts(msgspec.Struct):
    """The result of the job: how many groups, and how many contacts they have together (some are in several)."""

    groups: int = 0
    contacts: int = 0


class ContactDuplicates:
    """`contacts.duplicates`: there is nothing in the spec."""

    kind = KIND

    def __init__(self, stores: ContactStores) -> None:
        self._stores = stores

    async def run(self, job: JobRun) -> None:
        """Do what is left."""
        if job.checkpoint is None:
            await self._begin(job)
        while (place := job.checkpoint or {}).get("phase") == "read":
            await self._read(job, place)
        while (place := job.checkpoint or {}).get("phase") == "write":
            await self._write(job, place)
        while (job.checkpoint or {}).get("phase") == "tidy":
            await self._tidy(job)

    async def _begin(self, job: JobRun) -> None:
        async with job.step() as step:
            step.total = await self._stores.of(step.session, job.account_id).count(None)
            await step.append(JobFile.RESULT, csv_bytes([_COLUMNS]))
            step.result = msgspec.to_builtins(Counts())
            step.checkpoint = {"phase": "read", "after": None}

    async def _read(self, job: JobRun, place: dict[str, Any]) -> None:
        after = None if place["after"] is None else UUID(place["after"])
        async with job.step() as step:
            people = await self._stores.of(step.session, job.account_id).recipients(None, after, BATCH)
            pairs = [
                (_digest(key, reason), each.id) for each in people for key, reason in sorted(keys_of(each).items())
            ]
            if pairs:
                digests, ids = [digest for digest, _ in pairs], [contact_id for _, contact_id in pairs]
                keys = {"job_id": job.id, "account_id": job.account_id}
                await step.session.execute(_ADD, {**keys, "digests": digests, "ids": ids})
            step.done = len(people)
            if len(people) == BATCH:
                step.checkpoint = {"phase": "read", "after": str(people[-1].id)}
            else:
                step.total = job.done + len(people)
                step.checkpoint = {"phase": "write", "after": "", "group": 0}

    async def _write(self, job: JobRun, place: dict[str, Any]) -> None:
        async with job.step() as step:
            found = await self._groups(step.session, job, bytes.fromhex(place["after"]))
            store = self._stores.of(step.session, job.account_id)
            counts = msgspec.convert(step.result or {}, Counts)
            number = int(place["group"])
            for start in range(0, len(found), 20):
                some = found[start : start + 20]
                there = await store.get({each for row in some for each in row.members})
                lines: list[Sequence[str]] = []
                for row in some:
                    members = [there[each] for each in row.members if each in there]
                    # Merged or deleted since they were read.
                    if len(members) < 2:
                        continue
                    number += 1
                    counts.groups += 1
                    counts.contacts += row.size
                    lines += _lines(number, row.digest, row.size, members)
                if lines:
                    await step.append(JobFile.RESULT, csv_bytes(lines))
            step.result = msgspec.to_builtins(counts)
            more = len(found) == GROUPS
            step.checkpoint = (
                {"phase": "write", "after": found[-1].digest.hex(), "group": number} if more else {"phase": "tidy"}
            )

    async def _groups(self, session: AsyncSession, job: JobRun, after: bytes) -> Sequence[Any]:
        keys = {"job_id": job.id, "account_id": job.account_id, "after": after}
        return (await session.execute(_GROUPS, {**keys, "members": MOST_MEMBERS, "most": GROUPS})).all()

    async def _tidy(self, job: JobRun) -> None:
        async with job.step() as step:
            keys = {"job_id": job.id, "account_id": job.account_id, "most": _TIDIED}
            removed: Any = await step.session.execute(_TIDY, keys)
            if removed.rowcount < _TIDIED:
                step.checkpoint = {"phase": "done"}


def _digest(key: str, reason: DuplicateReason) -> bytes:
    # 96 bits: two different keys of ten million contacts are alike once in 10^14 accounts.
    return _LETTERS[reason] + hashlib.blake2b(key.encode(), digest_size=12).digest()


def _lines(number: int, digest: bytes, size: int, members: Sequence[Contact]) -> list[Sequence[str]]:
    reason = _REASONS[digest[:1]]
    lines: list[Sequence[str]] = []
    for contact in members:
        first: dict[AddressType, str] = {}
        for address in contact.addresses:
            first.setdefault(address.type, address.value)
        lines.append(
            (
                *(str(number), reason.value, str(score_of([reason])), str(size), str(contact.id)),
                *(contact.first_name, contact.last_name),
                *(first.get(AddressType.PHONE, ""), first.get(AddressType.EMAIL, "")),
            )
        )
    return lines
