"""Octets → whole PDUs, from the first octet of a connection to its last."""

from smpp_daemon.protocol.codec import HEADER
from smpp_daemon.protocol.constants import DEFAULT_MAX_PDU, HEADER_LENGTH
from smpp_daemon.protocol.errors import FramingError

PREFIX_OCTETS = 64


class Framer:
    """Cuts a stream at command_length (SMPP 3.4 §3.2).

    Keeps at most one incomplete PDU, never longer than `max_pdu`, and reserves nothing ahead of the octets that came.
    """

    __slots__ = ("_max_pdu", "_need", "_partial")

    def __init__(self, max_pdu: int = DEFAULT_MAX_PDU) -> None:
        self._max_pdu = max_pdu
        self._partial = bytearray()
        self._need = HEADER_LENGTH

    @property
    def buffered(self) -> int:
        """Octets of the incomplete PDU held back."""
        return len(self._partial)

    @property
    def partial(self) -> bytes:
        """The octets held back."""
        return bytes(self._partial)

    def feed(self, data: bytes) -> tuple[bytes, list[tuple[int, int, int, int]]]:
        """Whole PDUs that `data` completes: one buffer, and the headers of the PDUs that lie in it back to back.

        A header is (command_length, command_id, command_status, sequence_number), so the second PDU starts where the
        first one's length ends. Raises `FramingError` for a command_length under 16 or over the cap; the stream is then
        lost for good.
        """
        partial = self._partial
        if partial:
            partial += data
            # Waiting for the known length keeps one-octet reads linear: the buffer is copied once per PDU.
            if len(partial) < self._need and len(partial) >= HEADER_LENGTH:
                return b"", []
            buffer = bytes(partial)
            partial.clear()
        else:
            buffer = data
        frames: list[tuple[int, int, int, int]] = []
        offset = 0
        size = len(buffer)
        unpack = HEADER.unpack_from
        append = frames.append
        limit = self._max_pdu
        self._need = HEADER_LENGTH
        while size - offset >= HEADER_LENGTH:
            header = unpack(buffer, offset)
            length = header[0]
            if not HEADER_LENGTH <= length <= limit:
                raise self._garbage(length, buffer, offset, frames)
            if size - offset < length:
                self._need = length
                break
            append(header)
            offset += length
        else:
            self._check_start(buffer, offset, frames)
        if offset < size:
            partial += buffer[offset:] if offset else buffer
        return buffer, frames

    def _check_start(self, buffer: bytes, offset: int, frames: list[tuple[int, int, int, int]]) -> None:
        """A length is judged as soon as its 4 octets are here: "HTTP" must not wait for 12 more that may never come."""
        if len(buffer) - offset >= 4:
            length = int.from_bytes(buffer[offset : offset + 4], "big")
            if not HEADER_LENGTH <= length <= self._max_pdu:
                raise self._garbage(length, buffer, offset, frames)

    @staticmethod
    def _garbage(length: int, buffer: bytes, offset: int, frames: list[tuple[int, int, int, int]]) -> FramingError:
        start = buffer[offset : offset + PREFIX_OCTETS]
        prefix = "".join(chr(octet) if 32 <= octet < 127 else f"\\x{octet:02x}" for octet in start)
        return FramingError(length, prefix, buffer, frames)
