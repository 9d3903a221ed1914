"""An ESME and an SMSC session back to back, with a clock that the test moves."""

from smpp_daemon.protocol.codec import HEADER, SubmitTemplate
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.events import BindRequested, Event
from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.session import EsmeConfig, EsmeSession, SmscConfig, SmscSession
from smpp_daemon.protocol.timers import TimerSettings

TEMPLATE = SubmitTemplate(SubmitSm(source_addr="SENDER", source_addr_ton=5, registered_delivery=1))


def body(number: int = 0) -> bytes:
    return TEMPLATE.body(b"2519%08d" % number, b"Hello %d" % number)


def frames(data: bytes) -> list[tuple[int, int, int, int]]:
    """The headers of whole PDUs."""
    found = []
    while data:
        found.append(HEADER.unpack_from(data))
        data = data[found[-1][0] :]
    return found


class Pair:
    def __init__(
        self,
        *,
        window: int = 10,
        mode: BindMode = BindMode.TRANSCEIVER,
        timers: TimerSettings | None = None,
        inbound_limit: int = 1000,
        bind: bool = True,
        now: float = 1000.0,
    ) -> None:
        self.now = now
        settings = timers or TimerSettings()
        self.esme = EsmeSession(
            EsmeConfig("smsc-a", "u", "secret", mode=mode, window=window, timers=settings, inbound_limit=inbound_limit),
            self.now,
        )
        self.smsc = SmscSession(
            SmscConfig("esme-1", window=window, timers=settings, inbound_limit=inbound_limit), self.now
        )
        if bind:
            self.bound = self.bind()

    def bind(self, status: int = 0) -> list[Event]:
        self.esme.bind(self.now)
        (event,) = self.to_smsc()
        assert isinstance(event, BindRequested)
        self.smsc.answer_bind(event.sequence, status, self.now)
        return self.to_esme()

    def to_smsc(self) -> list[Event]:
        return self.smsc.receive(self.esme.take_output(), self.now)

    def to_esme(self) -> list[Event]:
        return self.esme.receive(self.smsc.take_output(), self.now)
