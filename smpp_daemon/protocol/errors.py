"""Two families say whose fault it is: `LocalProtocolError` is our caller's bug, `RemoteProtocolError` is the peer's."""


class LocalProtocolError(Exception):
    """Our own side asked for something that the session or the PDU format does not allow. Nothing was written."""


class PduEncodeError(LocalProtocolError):
    """A field cannot be put on the wire: too long for SMPP 3.4, out of range, or with a NUL inside a C-Octet String."""


class RemoteProtocolError(Exception):
    """The peer broke SMPP."""


class PduDecodeError(RemoteProtocolError):
    """One PDU cannot be read; the link itself is sound.

    `status` is the command_status to answer with, `sequence` the number to echo.
    """

    def __init__(self, reason: str, *, command: int, sequence: int, status: int) -> None:
        super().__init__(f"{reason} (command 0x{command:08x}, sequence {sequence})")
        self.reason = reason
        self.command = command
        self.sequence = sequence
        self.status = status


class FramingError(RemoteProtocolError):
    """command_length is impossible: the stream cannot be followed any further (SMPP 3.4 §3.2).

    `prefix` is the printable start of what came instead, which tells an operator "this port speaks HTTP".
    `buffer` and `frames` hold the complete PDUs that arrived in front of the garbage, as `Framer.feed` returns them.
    """

    def __init__(self, length: int, prefix: str, buffer: bytes, frames: list[tuple[int, int, int, int]]) -> None:
        super().__init__(f"command_length {length} is not possible; the data begins with {prefix!r}")
        self.length = length
        self.prefix = prefix
        self.buffer = buffer
        self.frames = frames
