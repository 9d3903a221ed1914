"""Leases of several processes against one bucket, in any order of events, with a clock that the test turns."""

import asyncio
import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.domain.limits.allowances import Allowance, kept
from app.domain.limits.leases import REFUSE_AT_MOST_SECONDS, Lease
from app.domain.limits.repository import Asked

PROCESSES = 3


class Bucket:
    """What the statement does to a row."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.balance = allowance.capacity
        self.at = 0.0

    def take(self, asked: Asked, now: float) -> float:
        refilled = self.allowance.rate * (now - self.at)
        self.balance = min(self.allowance.capacity, kept(self.balance) + asked.returned + refilled) - asked.wanted
        self.at = now
        return self.balance


class Processes(RuleBasedStateMachine):
    """Requests come to any of the processes; each is let in, refused, or waits for the next answer of the bucket."""

    @initialize(per_minute=st.sampled_from([1, 30, 600, 6_000, 120_000]), burst_seconds=st.sampled_from([1, 10, 60]))
    def begin(self, per_minute: int, burst_seconds: int) -> None:
        allowance = Allowance.of(per_minute, burst_seconds)
        assert allowance is not None
        self.allowance = allowance
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.bucket = Bucket(allowance)
        self.leases = [Lease("somebody", allowance) for _ in range(PROCESSES)]
        self.admitted = self.gave_up = 0
        self.pending: list[asyncio.Future[bool]] = []

    @rule(process=st.integers(0, PROCESSES - 1), requests=st.sampled_from([1, 3, 40, 500]))
    def request(self, process: int, requests: int) -> None:
        lease = self.leases[process]
        for _ in range(requests):
            if lease.take(self.now):
                self.admitted += 1
            elif not lease.refuses(self.now):
                waiter = self.loop.create_future()
                lease.waiting.append(waiter)
                self.pending.append(waiter)

    @rule(process=st.integers(0, PROCESSES - 1))
    def ask(self, process: int) -> None:
        lease = self.leases[process]
        waiting = len(lease.waiting)
        asked = lease.ask(self.now)
        assert asked.wanted >= waiting
        balance = self.bucket.take(asked, self.now)
        lease.settle(asked, balance, self.now)
        assert not lease.waiting, "everybody was counted, so everybody has an answer"
        if balance < 0:
            assert lease.refuses(self.now)
            refused = lease.standing(self.now, refused=True)
            assert refused.retry_after is not None
            assert math.isclose(
                refused.retry_after, self.allowance.seconds_until(kept(balance)), rel_tol=1e-6, abs_tol=1e-6
            )
            assert not lease.refuses(self.now + REFUSE_AT_MOST_SECONDS)

    @rule(process=st.integers(0, PROCESSES - 1))
    def give_up(self, process: int) -> None:
        if self.leases[process].waiting:
            self.gave_up += self.leases[process].waiting[0].cancel()

    @rule(seconds=st.sampled_from([0.001, 0.1, 0.3, 1.5, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def no_more_than_the_limit(self) -> None:
        if not hasattr(self, "loop"):
            return
        answered = [waiter for waiter in self.pending if waiter.done()]
        self.pending = [waiter for waiter in self.pending if not waiter.done()]
        self.admitted += sum(not waiter.cancelled() and waiter.result() for waiter in answered)
        held = sum(lease.tokens for lease in self.leases)
        most = self.allowance.capacity + self.allowance.rate * self.now
        assert self.admitted + held <= most + 1e-3
        # Tokens of those who gave up stay for the next ones, or go back.
        assert all(0 <= lease.tokens <= self.allowance.ahead + self.gave_up for lease in self.leases)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()


Processes.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestProcesses = Processes.TestCase
