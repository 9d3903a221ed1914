"""The PDUs of one number, or of one account, as they pass: what `smppctl trace` shows.

A tap on the connections of an account. While nobody watches there is none, and a connection pays one comparison for
each read and write.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from connectors.sms_text.encoding import alphabet_of, decode_user_data
from connectors.sms_text.udh import split_user_data
from smpp_daemon.bind_health import moment
from smpp_daemon.protocol.codec import decode_body, encode
from smpp_daemon.protocol.constants import HEADER_LENGTH, RESPONSE_BIT, CommandId, EsmClass, Tag
from smpp_daemon.protocol.errors import FramingError, PduDecodeError
from smpp_daemon.protocol.framer import Framer
from smpp_daemon.protocol.pdu import BindRequest, DataSm, DeliverSm, Outbind, Pdu, SubmitMulti, SubmitSm
from smpp_daemon.protocol.status import describe
from smpp_daemon.reports import MASK, TracedPdu

MAX_WAITING = 1000
"""PDUs that wait for a reader; a reader that is slower loses the newest and is told how many."""

MAX_OPEN = 5000
_SKIPPED = frozenset({CommandId.ENQUIRE_LINK, CommandId.ENQUIRE_LINK_RESP})
_PAYLOAD = int(Tag.MESSAGE_PAYLOAD)


class Watch:
    """One reader. `number` without a plus or leading zeros, None for every PDU except enquire_link."""

    def __init__(self, number: str | None) -> None:
        self.number = number
        self._needle = number.encode("latin-1", "replace") if number is not None else b""
        self._waiting: deque[TracedPdu] = deque()
        self._some = asyncio.Event()
        self._dropped = 0

    def wants(self, command: int, body: bytes) -> bool:
        """Whether a request with this body is of interest; looks at octets first, because most PDUs are not."""
        if self.number is None:
            return command not in _SKIPPED
        if self._needle not in body:
            return False
        try:
            pdu, _ = decode_body(command, 0, body)
        except PduDecodeError:
            return True
        return self.number in _numbers(pdu)

    def add(self, pdu: TracedPdu) -> None:
        """Give the reader a PDU, unless too many wait already."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        if self._dropped:
            pdu = msgspec.structs.replace(pdu, dropped=self._dropped)
            self._dropped = 0
        self._waiting.append(pdu)
        self._some.set()

    async def next(self) -> TracedPdu:
        """The next PDU."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.popleft()


def plain_number(number: str) -> str:
    """`+251 91 100 0001`, `00251911000001` and `251911000001` are one number; a name stays as it is."""
    digits = number.replace(" ", "").replace("-", "")
    bare = digits.lstrip("+")
    return bare.lstrip("0") or bare if bare.isdigit() else number.strip()


class Tap:
    """The readers of one account. `changed` is called with whether there are any, when that changes."""

    def __init__(self, channel_id: str, name: Callable[[], str], wall: Callable[[], float]) -> None:
        self.watches: list[Watch] = []
        self._channel_id = channel_id
        self._name = name
        self._wall = wall

    def link(self, bind: int, host: str, max_pdu: int, held_back: bytes = b"") -> "LinkTap":
        """What one connection calls; `held_back` is the start of a PDU that it has read already."""
        return LinkTap(self, bind, host, max_pdu, held_back)

    def tell(
        self, tap: "LinkTap", direction: str, header: tuple[int, int, int, int], frame: bytes, since: float | None
    ) -> TracedPdu:
        """A PDU in words. `since` is when its request was seen, None for a request."""
        _, command, status, sequence = header
        now = self._wall()
        name, fields, text, octets = _in_words(command, status, sequence, frame)
        return TracedPdu(
            f"{moment(now)[:-1]}.{int(now * 1000) % 1000:03d}Z",
            self._channel_id,
            self._name(),
            tap.bind,
            tap.host,
            direction,
            name,
            sequence,
            status,
            describe(status).name,
            fields,
            text,
            octets.hex(),
            None if since is None else round((now - since) * 1000, 1),
        )

    def now(self) -> float:
        """Seconds since 1970."""
        return self._wall()


class LinkTap:
    """One connection's octets → the PDUs that somebody watches, with the responses to them."""

    def __init__(self, tap: Tap, bind: int, host: str, max_pdu: int, held_back: bytes) -> None:
        self.bind = bind
        self.host = host
        self._tap = tap
        self._framers = {"in": Framer(max_pdu), "out": Framer(max_pdu)}
        self._open: dict[tuple[str, int, int], tuple[float, list[Watch]]] = {}
        self._feed("in", held_back)

    def received(self, data: bytes) -> None:
        """Octets from the operator, before the session has them."""
        self._feed("in", data)

    def sent(self, data: bytes) -> None:
        """Octets to the operator."""
        self._feed("out", data)

    def _feed(self, direction: str, data: bytes) -> None:
        framer = self._framers.get(direction)
        if framer is None or not data:
            return
        try:
            buffer, frames = framer.feed(data)
        except FramingError as error:
            # The stream cannot be read from here on; the session says so and ends.
            del self._framers[direction]
            buffer, frames = error.buffer, error.frames
        offset = 0
        for header in frames:
            self._pdu(direction, header, buffer[offset : offset + header[0]])
            offset += header[0]

    def _pdu(self, direction: str, header: tuple[int, int, int, int], frame: bytes) -> None:
        _, command, _, sequence = header
        if command & RESPONSE_BIT:
            asked = "in" if direction == "out" else "out"
            found = self._open.pop((asked, command & ~RESPONSE_BIT, sequence), None)
            if found is None and command == CommandId.GENERIC_NACK:
                key = next((key for key in self._open if key[0] == asked and key[2] == sequence), None)
                found = self._open.pop(key) if key is not None else None
            watches = found[1] if found is not None else []
            if found is None:
                watches = [each for each in self._tap.watches if each.number is None and command not in _SKIPPED]
            if watches:
                told = self._tap.tell(self, direction, header, frame, found[0] if found is not None else None)
                for watch in watches:
                    watch.add(told)
            return
        body = frame[HEADER_LENGTH:]
        watches = [each for each in self._tap.watches if each.wants(command, body)]
        if not watches:
            return
        told = self._tap.tell(self, direction, header, frame, None)
        for watch in watches:
            watch.add(told)
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        self._open[direction, command, sequence] = (self._tap.now(), watches)


def _in_words(command: int, status: int, sequence: int, frame: bytes) -> tuple[str, dict[str, Any], str | None, bytes]:
    """Name, fields, user data as text, and the octets that may be shown."""
    try:
        name = CommandId(command).name.lower()
    except ValueError:
        return f"0x{command:08x}", {}, None, frame
    try:
        pdu, _ = decode_body(command, sequence, frame[HEADER_LENGTH:])
    except PduDecodeError as error:
        # What cannot be read may hold a password in a place nobody expects.
        secret = command in (CommandId.OUTBIND, *map(int, _BINDS))
        return name, {"unreadable": error.reason}, None, frame[:HEADER_LENGTH] if secret else frame
    if isinstance(pdu, BindRequest | Outbind):
        pdu = msgspec.structs.replace(pdu, password=MASK)
        frame = encode(pdu, sequence, status)
    return name, _fields(pdu), _text(pdu), frame


_BINDS = (CommandId.BIND_RECEIVER, CommandId.BIND_TRANSMITTER, CommandId.BIND_TRANSCEIVER)


def _fields(pdu: Pdu) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(pdu).items():
        if name == "mode":
            continue
        if name == "tlvs":
            shown |= {_tag(tag): octets.hex() for tag, octets in value}
        elif isinstance(value, bytes):
            shown[name] = value.hex()
        else:
            shown[name] = msgspec.to_builtins(value)
    return shown


def _tag(tag: int) -> str:
    try:
        return Tag(tag).name.lower()
    except ValueError:
        return f"0x{tag:04x}"


def _text(pdu: Pdu) -> str | None:
    if not isinstance(pdu, SubmitSm | DeliverSm | DataSm | SubmitMulti):
        return None
    if isinstance(pdu, SubmitMulti):
        data = pdu.short_message or dict(pdu.tlvs).get(_PAYLOAD, b"")
    else:
        data = pdu.content
    header = None
    if pdu.esm_class & EsmClass.UDHI:
        header, data = split_user_data(data)
    return decode_user_data(data, header, alphabet_of(pdu.data_coding))


def _numbers(pdu: Pdu) -> set[str]:
    found = [getattr(pdu, name, "") for name in ("source_addr", "destination_addr", "esme_addr")]
    if isinstance(pdu, SubmitMulti):
        found += [each if isinstance(each, str) else each.address for each in pdu.destinations]
    return {plain_number(number) for number in found if number}
