"""A terminal as `watch` wants it: keys at once and unseen, a screen of its own, and everything as before afterwards."""

import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Keyboard:
    """`wait` tells what is ready: keys, a resize, or whatever else was given to look at."""

    def __init__(self, descriptor: int, resized: socket.socket) -> None:
        self._descriptor = descriptor
        self._resized = resized

    def wait(self, other: socket.socket, seconds: float) -> bytes:
        """Octets of keys, empty when only the window, `other` or the time has something to say.

        Raises EOFError when the terminal is gone.
        """
        ready, _, _ = select.select([self._descriptor, self._resized.fileno(), other.fileno()], [], [], seconds)
        for each in (self._resized, other):
            if each.fileno() in ready:
                each.recv(4096)
        if self._descriptor not in ready:
            return b""
        octets = os.read(self._descriptor, 1024)
        if not octets:
            raise EOFError
        return octets


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Keys come one by one and are not shown; SIGTERM and a hang-up end the program in order."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    resized, waker = socket.socketpair()
    waker.setblocking(False)
    handlers = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: None)
    wakeup = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        # Ctrl-C is a key like others, and Ctrl-Z would leave a terminal that nobody can use.
        changed = termios.tcgetattr(descriptor)
        changed[3] &= ~termios.ISIG
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        yield Keyboard(descriptor, resized)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resized.close()
        waker.close()


def _end(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
