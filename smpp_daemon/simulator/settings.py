"""What a simulator is started with; what it does to messages is its script."""

import ssl
from pathlib import Path
from typing import Literal

import msgspec

from smpp_daemon.protocol.status import ROK
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.simulator.script import Script


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files: the server's certificate with its chain, its key (None: in the same file), and the CA that must have
    signed the client's certificate (None: clients need none).
    """

    certificate: Path
    key: Path | None = None
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later. Raises OSError (`ssl.SSLError` is one) for a file that is missing or no such thing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class SimulatorSettings(msgspec.Struct, frozen=True):
    """`port` 0 takes a free one; any credentials pass while `system_id` and `password` are None.

    `receipt_delay`: seconds from the acceptance to the receipt, None for no receipts at all. `throttle_above`:
    submit_sm a second, over all sessions, beyond which the answer is RTHROTTLED. `receipt_window`: deliver_sm without
    an answer on one session. `pending_limit`: receipts owed before further messages get RMSGQFUL. `keep`: how many of
    the last accepted messages `Simulator.recent` holds. `first_number`: where message ids start; None derives it from
    the clock, so that a simulator without a journal repeats no id. `retry_seconds`: when a deliver_sm that was refused
    or not answered is sent again.
    """

    host: str = "127.0.0.1"
    port: int = 0
    system_id: str | None = None
    password: str | None = None
    receipt_delay: float | None = 0.0
    journal: Path | None = None
    ids: Literal["hex", "decimal"] = "hex"
    refuse_binds: int = ROK
    throttle_above: float | None = None
    receipt_window: int = 100
    pending_limit: int = 500_000
    keep: int = 10_000
    first_number: int | None = None
    timers: TimerSettings = TimerSettings(response=30.0)
    script: Script = Script()
    tls: TlsFiles | None = None
    retry_seconds: float = 5.0
