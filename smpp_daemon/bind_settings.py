"""A channel's settings → what each of its binds is made of."""

import msgspec

from connectors.smpp.config import Bind, Hosts, SmppConfig, SmppCredentials, SmppHost
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.session import EsmeConfig
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.tls import TlsSettings, tls_settings

BIND_SECONDS = 10.0
UNBIND_SECONDS = 2.0

MODE_NAMES = {
    BindMode.TRANSCEIVER: "transceiver",
    BindMode.TRANSMITTER: "transmitter",
    BindMode.RECEIVER: "receiver",
}

_VERSIONS = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}
"""interface_version (SMPP 3.4 §5.2.4; 5.0 §4.7.13)."""

_MODES = {
    Bind.TRANSCEIVER: (BindMode.TRANSCEIVER,),
    Bind.TRANSMITTER: (BindMode.TRANSMITTER,),
    Bind.RECEIVER: (BindMode.RECEIVER,),
    Bind.PAIR: (BindMode.TRANSMITTER, BindMode.RECEIVER),
}


class BindSettings(msgspec.Struct, frozen=True):
    """One bind. `number` spreads it over the hosts; the two of a pair share it."""

    number: int
    hosts: Hosts
    session: EsmeConfig
    tls: TlsSettings | None

    def same_session(self, other: "BindSettings") -> bool:
        """Whether a session made with `other` needs no new bind: windows and timers change in place."""
        return self.tls == other.tls and _lasting(self.session) == _lasting(other.session)

    @property
    def home(self) -> SmppHost:
        """The host it prefers."""
        return self.hosts[self.number % len(self.hosts)]


def esme_config(
    config: SmppConfig, credentials: SmppCredentials, name: str, mode: BindMode = BindMode.TRANSCEIVER
) -> EsmeConfig:
    """A channel's settings → a session's."""
    return EsmeConfig(
        name=name,
        system_id=credentials.system_id,
        password=credentials.password,
        mode=mode,
        system_type=config.system_type,
        interface_version=_VERSIONS[config.interface_version],
        address_range=config.address_range,
        window=config.window,
        timers=TimerSettings(
            bind=BIND_SECONDS,
            enquire_link_interval=float(config.enquire_link_seconds),
            enquire_link_timeout=float(config.response_timeout_seconds),
            response=float(config.response_timeout_seconds),
            unbind=UNBIND_SECONDS,
        ),
    )


def bind_settings(config: SmppConfig, credentials: SmppCredentials, name: str) -> dict[int, BindSettings]:
    """Every bind a channel wants, by its id. A pair has two: 2n sends and 2n + 1 receives."""
    tls = tls_settings(config, credentials)
    wanted: dict[int, BindSettings] = {}
    modes = _MODES[config.bind]
    for number in range(config.binds):
        for place, mode in enumerate(modes):
            elsewhere = config.bind is Bind.PAIR and mode is BindMode.RECEIVER and config.receiver_hosts
            wanted[number * len(modes) + place] = BindSettings(
                number,
                config.receiver_hosts if elsewhere else config.hosts,
                esme_config(config, credentials, name, mode),
                tls,
            )
    return wanted


def _lasting(session: EsmeConfig) -> EsmeConfig:
    return msgspec.structs.replace(session, window=1, timers=TimerSettings())
