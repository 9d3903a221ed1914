"""TCP options of every SMPP connection, in either direction."""

import socket
from typing import Any

USER_TIMEOUT_MILLISECONDS = 30_000
"""TCP_USER_TIMEOUT: unacknowledged octets end the connection after this, where TCP itself would try for 15 minutes."""

KEEPALIVE_SECONDS = 30


def tune(sock: Any) -> None:
    """No Nagle, keepalive, and a limit for octets that nobody acknowledges. Other sockets than TCP are left alone."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_SECONDS),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MILLISECONDS),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
