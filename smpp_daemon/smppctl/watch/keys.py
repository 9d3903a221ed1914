"""Octets of a terminal → keys."""

from enum import StrEnum


class Key(StrEnum):
    """Keys that are no character. A character is itself."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    ENTER = "enter"
    ESCAPE = "escape"
    BACKSPACE = "backspace"
    INTERRUPT = "interrupt"


_SEQUENCES = {
    "A": Key.UP,
    "B": Key.DOWN,
    "H": Key.HOME,
    "F": Key.END,
    "1~": Key.HOME,
    "4~": Key.END,
    "5~": Key.PAGE_UP,
    "6~": Key.PAGE_DOWN,
}
_SINGLE = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.BACKSPACE,
    "\b": Key.BACKSPACE,
    "\x03": Key.INTERRUPT,
    "\x04": Key.INTERRUPT,
}


def keys(octets: bytes) -> list[str]:
    """What one read of the terminal holds; what is not known is left out.

    A terminal sends a sequence in one piece, so an escape at the end is the escape key.
    """
    text = octets.decode("utf-8", "ignore")
    found: list[str] = []
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character != "\x1b":
            found.append(_SINGLE.get(character, character))
            continue
        if text[place : place + 1] not in ("[", "O"):
            found.append(Key.ESCAPE)
            continue
        end = place + 1
        while end < len(text) and not (text[end].isalpha() or text[end] == "~"):
            end += 1
        known = _SEQUENCES.get(text[place + 1 : end + 1])
        if known is not None:
            found.append(known)
        place = end + 1
    return [key for key in found if len(key) > 1 or key.isprintable()]
