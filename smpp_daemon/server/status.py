"""What `smppctl server` shows: the listeners and every bind of this process.

`ServerStatus` is made by `smpp_daemon.server.server.SmppServer.status()`. Kept apart, because smppctl reads these
structs too, and must not load a database and a broker for it.
"""

import msgspec


class ListenerStatus(msgspec.Struct, frozen=True):
    """`address` is `host:port` as it listens; `certificate_expires_at` is RFC 3339, None without TLS."""

    address: str
    tls: bool
    certificate_expires_at: str | None = None


class ServedBind(msgspec.Struct, frozen=True):
    """One bind. `mode` is transmitter, receiver or transceiver, `peer` is `address:port`, `since` is RFC 3339.

    `unanswered_submits` wait for our answer, `unanswered_deliveries` for the application's, of at most `window`. The
    counters are of this bind: `throttled` are submits refused for speed, `refused` those refused for other reasons.
    """

    system_id: str
    account_id: str
    mode: str
    peer: str
    tls: bool
    since: str
    unanswered_submits: int
    unanswered_deliveries: int
    window: int
    submitted: int
    refused: int
    throttled: int
    delivered: int


class ServerStatus(msgspec.Struct, frozen=True):
    """`connections` counts those not bound as well; `waiting` is what receivers here have still to be sent."""

    listeners: list[ListenerStatus]
    connections: int
    waiting: int
    binds: list[ServedBind]
