"""What befalls one connection: cut, unbound, half-open, garbage. Built only when the script asks for it."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Literal, TypeAlias

from smpp_daemon.simulator.chances import happens
from smpp_daemon.simulator.script import Drop, HalfOpen, Script, Unbinding
from smpp_daemon.simulator.spread import compile_latency

Hazard: TypeAlias = Literal["drop", "unbind", "half_open", "garbage"]

RANDOM_OCTETS = 64

_NAMED = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "amqp": b"AMQP\x00\x00\x09\x01",
}


def garbage_octets(send: str, random: Random) -> bytes:
    """The octets of `Garbage.send`; random ones begin with a command_length beyond every limit."""
    if send == "random":
        return b"\xff" + random.randbytes(RANDOM_OCTETS - 1)
    return _NAMED[send] if send in _NAMED else bytes.fromhex(send)


class Hazards:
    """Counts one session's submits and PDUs, holds its timers, and says what is due.

    `strike` is called when a timer has run out. Draws are made once for each session, when it binds.
    """

    __slots__ = ("_after", "_at", "_pdus", "_strike", "_submits", "_timers")

    def __init__(self, script: Script, random: Random, strike: Callable[[Hazard], None]) -> None:
        self._strike = strike
        self._submits = 0
        self._pdus = 0
        self._after = None if script.garbage is None else script.garbage.after
        self._at: list[tuple[int, Hazard]] = []
        self._timers: list[asyncio.TimerHandle] = []
        occasions: list[tuple[Hazard, Drop | Unbinding | HalfOpen | None]] = [
            ("drop", script.drop),
            ("unbind", script.unbind),
            ("half_open", script.half_open),
        ]
        loop = asyncio.get_running_loop()
        for hazard, occasion in occasions:
            if occasion is None or not (occasion.probability == 1 or happens(occasion.probability, random)):
                continue
            if occasion.every is not None:
                self._at.append((occasion.every, hazard))
            if occasion.seconds is not None:
                self._timers.append(loop.call_later(compile_latency(occasion.seconds)(random), strike, hazard))
        self._at.sort()

    def admit(self, submits: int) -> int:
        """How many of so many submits this session still takes before something befalls it."""
        if self._at:
            submits = min(submits, self._at[0][0] - self._submits)
        self._submits += submits
        return submits

    def due(self, pdus: int) -> Hazard | None:
        """What happens now, after so many further PDUs were read."""
        self._pdus += pdus
        if self._at and self._submits >= self._at[0][0]:
            return self._at.pop(0)[1]
        if self._after is not None and self._pdus >= self._after:
            self._after = None
            return "garbage"
        return None

    def cancel(self) -> None:
        """The session is over."""
        for timer in self._timers:
            timer.cancel()
        self._at.clear()
        self._after = None


def hazardous(script: Script) -> bool:
    """Whether the script has anything that befalls connections."""
    return any(occasion is not None for occasion in (script.drop, script.unbind, script.half_open, script.garbage))
