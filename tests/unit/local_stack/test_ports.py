import os
import random
import socket
from collections.abc import Iterator

import pytest

from deploy.local import ports
from deploy.local.errors import LocalError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_a_port_is_free_until_someone_listens(listener: socket.socket) -> None:
    port = port_of(listener)
    assert not ports.is_free(port)
    listener.close()
    assert ports.is_free(port)


def test_a_listener_on_all_addresses_takes_the_port() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.is_free(port_of(server))


def test_a_connection_in_time_wait_does_not_take_the_port(listener: socket.socket) -> None:
    port = port_of(listener)
    with socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        accepted.close()  # the side that closes first is the one left in TIME_WAIT
        assert client.recv(1) == b""
    listener.close()
    assert ports.is_free(port)


def test_the_preferred_port_is_chosen_when_it_is_free(listener: socket.socket) -> None:
    port = port_of(listener)
    listener.close()
    assert ports.choose(port, set(), random.Random(1)) == port


def test_another_port_is_chosen_when_the_preferred_one_is_taken(listener: socket.socket) -> None:
    chosen = ports.choose(port_of(listener), set(), random.Random(1))
    assert chosen != port_of(listener)
    assert ports.is_free(chosen)


def test_a_port_that_is_promised_already_is_not_chosen() -> None:
    first = ports.choose(None, set(), random.Random(1))
    assert ports.choose(first, {first}, random.Random(1)) != first


def test_the_holder_of_a_port_is_named(listener: socket.socket) -> None:
    holder = ports.holder(port_of(listener))
    assert holder is not None
    assert holder.endswith(f"(pid {os.getpid()})")


def test_a_taken_public_port_is_explained(listener: socket.socket) -> None:
    port = port_of(listener)
    with pytest.raises(LocalError) as caught:
        ports.require_free(port, "TURUMBA_API_PORT", "make run")
    text = str(caught.value)
    assert f"Port {port} is taken by" in text
    assert f"pid {os.getpid()}" in text
    assert f"TURUMBA_API_PORT={port + 1} make run" in text
