"""An operator at its worst and processes that die, for as long as wanted; then the books are compared."""

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path

import asyncpg

from smpp_daemon.simulator.journal import Accepted, Acknowledged, Originated, Record, Refused, read_records
from tests.faults.conftest import World

LONG = "A text that needs three parts, because it says the same again and again. " * 5
"""365 characters: three segments."""

BAD = """
seed: {seed}
response_delay: {{percentiles: {{0: 0.001, 50: 0.005, 95: 0.05, 100: 0.6}}}}
late_by: {{min: 5.5, max: 7}}
statuses: {{RSYSERR: 0.001, RX_T_APPN: 0.001, RINVDSTADR: 0.001}}
answers: {{never: 0.001, late: 0.001, twice: 0.01, unknown_sequence: 0.0005, generic_nack: 0.0005}}
throttle: {{rate: 400, burst: 40}}
queue_full: 0.0001
receipts:
  delay: {{min: 0.05, max: 1}}
  states: {{UNDELIV: 0.02}}
  before_response: 0.05
  duplicate: 0.05
  held_back: 0.05
  held_back_by: 1
  intermediate: 0.1
  intermediate_after: 0.02
  other_bind: 0.5
  data_sm: 0.05
traffic:
  rate: 3
  texts: ["ok", "STOP", "{long}"]
  sources: ["251911000001", "251911000002", "251911000003"]
  destination: "8080"
  concatenation: udh16
  out_of_order: 0.3
  duplicate: 0.05
binds: {{max_binds: 3, ghost: {ghost}}}
drop: {{seconds: {{min: 4, max: 12}}, probability: 0.7}}
unbind: {{seconds: 9, probability: 0.3}}
malformed: {{stray_nul: 0.01, truncated_tlv: 0.01, unknown_tlv: 0.01, sm_length: 0.002}}
coalesce_bind: true
"""

INBOUND_SECONDS = 60.0

CALM = "receipts: {delay: 0.05}\n"


class Chaos:
    """`world`'s operator follows `script`, which is written here and read again on SIGHUP."""

    def __init__(self, world: World, script: Path, seed: int, *, rate: float = 150, ghost: float = 0) -> None:
        self.world = world
        self.sent: dict[str, int] = {}
        self.incidents: Counter[str] = Counter()
        self._script = script
        self._chance = random.Random(seed)
        self._seed = seed
        self._rate = rate
        self._ghost = ghost
        self._number = 0

    async def run(self, seconds: float, incidents: tuple[str, ...], every: tuple[float, float]) -> None:
        """Send all the time, and let one of `incidents` happen every so many seconds."""
        self._behave(BAD.format(seed=self._seed, long=LONG.strip(), ghost=self._ghost))
        sending = asyncio.create_task(self._send(seconds))
        end = time.monotonic() + seconds
        try:
            turn = 0
            while time.monotonic() < end:
                await asyncio.sleep(self._chance.uniform(*every))
                await self._let_happen(incidents[turn % len(incidents)])
                turn += 1
        finally:
            await sending
        self._behave(CALM)

    async def settle(self, seconds: float) -> None:
        """Wait until every message has ended, and every receipt and every inbound message was taken."""
        try:
            await self.world.until(
                lambda counts: (
                    sum(n for status, n in counts.items() if status != "received") >= len(self.sent)
                    and not {"queued", "sent"} & {status for status, n in counts.items() if n}
                ),
                seconds,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self._stuck()}") from None

    async def _stuck(self) -> str:
        """What is known of some messages that do not end."""
        rows = await self._fetch(
            """
            SELECT m.recipient, m.status, m.created_at, m.sent_at,
                   ARRAY(SELECT (p.number, p.total, p.provider_message_id, p.status)::text FROM message_parts p
                         WHERE p.message_id = m.id) AS parts,
                   ARRAY(SELECT (a.attempt, a.outcome, a.code)::text FROM message_attempts a
                         WHERE a.message_id = m.id) AS attempts,
                   ARRAY(SELECT (e.status, e.code)::text FROM message_events e WHERE e.message_id = m.id) AS events
            FROM messages m
            WHERE m.channel_id = CAST($1::text AS uuid) AND m.status IN ('queued', 'sent') LIMIT 5
            """
        )
        wanted = {row["recipient"] for row in rows}
        seen: list[Record] = [
            record
            for record in read_records(self.world.journal)
            if isinstance(record, Accepted | Refused) and f"+{record.destination}" in wanted
        ]
        numbers = {record.number for record in seen if isinstance(record, Accepted)}
        seen += [
            record
            for record in read_records(self.world.journal)
            if isinstance(record, Acknowledged) and record.number in numbers
        ]
        return "\n".join([*(str(dict(row)) for row in rows), *map(str, seen)])

    async def compare(self) -> dict[str, int]:
        """The operator's journal and the database, message by message. Returns figures for people."""
        accepted: dict[str, int] = defaultdict(int)
        refused: Counter[str] = Counter()
        originated: Counter[tuple[str, str]] = Counter()
        receipts = 0
        for record in read_records(self.world.journal):
            if isinstance(record, Accepted):
                accepted[f"+{record.destination}"] += 1
            elif isinstance(record, Refused):
                refused[f"+{record.destination}"] += 1
            elif isinstance(record, Acknowledged):
                receipts += 1
            elif isinstance(record, Originated) and record.part == 1:
                originated[(f"+{record.source}", record.text)] += 1
        rows = await self._rows()
        assert {row["recipient"] for row in rows} == set(self.sent), "a message is missing or was stored twice"
        assert len(rows) == len(self.sent)
        twice, lost, wrong = [], [], []
        for row in rows:
            parts, seen = self.sent[row["recipient"]], accepted.get(row["recipient"], 0)
            unknown = row["status"] == "unknown" or row["was_unknown"]
            if seen > parts and not unknown:
                twice.append((row["recipient"], row["status"], parts, seen))
            if seen < parts and row["status"] in ("delivered", "sent"):
                lost.append((row["recipient"], row["status"], parts, seen))
            if row["status"] == "failed" and not seen and not refused[row["recipient"]] and not unknown:
                wrong.append((row["recipient"], row["error"]))
        assert not twice, f"submitted more often than stored: {twice[:5]} of {len(twice)}"
        assert not lost, f"delivered without having been submitted: {lost[:5]} of {len(lost)}"
        assert not wrong, f"failed although nobody refused it: {wrong[:5]} of {len(wrong)}"
        inbound = await self._all_inbound(originated)
        return {
            "messages": len(rows),
            "submitted_parts": sum(accepted.values()),
            "refused": sum(refused.values()),
            "receipts": receipts,
            "inbound": sum(inbound.values()),
            "inbound_twice": sum(inbound.values()) - sum(originated.values()),
            "unknown_settled": sum(row["was_unknown"] and row["status"] != "unknown" for row in rows),
            **Counter(row["status"] for row in rows),
            **self.incidents,
        }

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _all_inbound(self, originated: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """What contacts wrote, as stored, once all of it is there: the operator sends again what was not answered."""
        deadline = time.monotonic() + INBOUND_SECONDS
        while True:
            inbound = await self._inbound()
            missing = {key: n - inbound.get(key, 0) for key, n in originated.items() if inbound.get(key, 0) < n}
            if not missing:
                return inbound
            assert time.monotonic() < deadline, f"messages from contacts that were lost: {missing}"
            await asyncio.sleep(0.5)

    def _behave(self, text: str) -> None:
        self._script.write_text(text)
        pid = self.world.stack.process("smsc-sim").pid
        if pid is not None:
            os.kill(pid, signal.SIGHUP)

    async def _send(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            started = time.monotonic()
            count = max(1, round(self._rate / 2))
            text = LONG.strip() if self._chance.random() < 0.2 else "Hello"
            recipients = [self._recipient() for _ in range(count)]
            parts = 3 if text != "Hello" else 1
            self.sent.update(dict.fromkeys(recipients, parts))
            lane = "high" if self._chance.random() < 0.3 else "bulk"
            assert await self.world.send(recipients, text, lane=lane) == count
            await asyncio.sleep(max(0.0, started + 0.5 - time.monotonic()))

    def _recipient(self) -> str:
        self._number += 1
        return f"+25197{self._number:07d}"

    async def _let_happen(self, incident: str) -> None:
        self.incidents[incident] += 1
        name, _, how = incident.partition(":")
        process = self.world.stack.process(name)
        await (process.stop() if how == "stop" else process.kill())
        await process.start()

    async def _rows(self) -> list[asyncpg.Record]:
        return await self._fetch(
            """
            SELECT m.recipient, m.status, m.error::text AS error,
                   EXISTS (SELECT FROM message_events e WHERE e.message_id = m.id AND e.status = 'unknown')
                   OR EXISTS (SELECT FROM message_attempts a WHERE a.message_id = m.id AND a.outcome = 'unknown')
                   AS was_unknown
            FROM messages m WHERE m.channel_id = CAST($1::text AS uuid) AND m.direction = 'outbound'
            """
        )

    async def _inbound(self) -> dict[tuple[str, str], int]:
        rows = await self._fetch(
            "SELECT sender, body, count(*) AS n FROM messages"
            " WHERE channel_id = CAST($1::text AS uuid) AND direction = 'inbound' GROUP BY 1, 2"
        )
        return {(row["sender"], row["body"]): row["n"] for row in rows}

    async def _fetch(self, statement: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.world.stack.environment["TURUMBA_DATABASE_URL"])
        try:
            return await connection.fetch(statement, self.world.channel)
        finally:
            await connection.close()
