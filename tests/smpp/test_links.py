"""One bind against a real SMSC on a real socket: what it says, what it survives, what it leaves behind."""

import asyncio
import gc
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from connectors.smpp.config import Bind, SmppConfig, SmppCredentials, SmppHost
from smpp_daemon import transport
from smpp_daemon.bind_health import BindState
from smpp_daemon.bind_set import BindSet
from smpp_daemon.bind_settings import BindSettings, bind_settings
from smpp_daemon.caution import Caution
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.session import EsmeSession
from smpp_daemon.protocol.status import RALYBND, RBINDFAIL, RINVPASWD
from smpp_daemon.transport import Connection
from tests.smpp.daemon_harness import eventually
from tests.smpp.smsc import SWIFT, Holder, Smsc

LOGIN = SmppCredentials(system_id="tester", password="secret")


def config_for(*ports: int, **more: Any) -> SmppConfig:
    return SmppConfig(hosts=tuple(SmppHost(host="127.0.0.1", port=port) for port in ports), **more)


def settings_for(*ports: int, login: SmppCredentials = LOGIN, **more: Any) -> BindSettings:
    return bind_settings(config_for(*ports, **more), login, "test")[0]


@pytest.mark.parametrize(("version", "octet"), [("3.3", 0x33), ("3.4", 0x34), ("5.0", 0x50)], ids=["3.3", "3.4", "5.0"])
async def test_the_bind_says_what_the_channel_says(version: str, octet: int) -> None:
    async with Smsc() as smsc:
        settings = settings_for(
            smsc.port, system_type="VMA", interface_version=version, address_range="^2519", bind=Bind.RECEIVER
        )
        async with Holder(settings) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
        (request,) = smsc.binds
    assert request.mode is BindMode.RECEIVER
    assert (request.system_id, request.password, request.system_type) == ("tester", "secret", "VMA")
    assert (request.interface_version, request.address_range) == (octet, "^2519")


async def test_a_long_password_is_never_cut() -> None:
    """field problem 40: operators give out more than the standard's 8 characters, and whoever cuts cannot log in."""
    login = SmppCredentials(system_id="s" * 40, password="p" * 64)
    async with Smsc() as smsc, Holder(settings_for(smsc.port, login=login)) as keeper:
        await eventually(lambda: keeper.state is BindState.BOUND)
        assert (smsc.binds[0].system_id, smsc.binds[0].password) == ("s" * 40, "p" * 64)


def test_a_pair_is_a_transmitter_and_a_receiver_each_with_its_own_hosts() -> None:
    receivers = (SmppHost(host="rx.example", port=2776),)
    wanted = bind_settings(config_for(1, 2, bind=Bind.PAIR, binds=2, receiver_hosts=receivers), LOGIN, "test")
    assert [(index, bind.session.mode.name, bind.home.port) for index, bind in wanted.items()] == [
        (0, "TRANSMITTER", 1),
        (1, "RECEIVER", 2776),
        (2, "TRANSMITTER", 2),
        (3, "RECEIVER", 2776),
    ]
    same = bind_settings(config_for(1, 2, bind=Bind.PAIR), LOGIN, "test")
    assert same[0].hosts == same[1].hosts
    ordinary = bind_settings(config_for(1, receiver_hosts=receivers), LOGIN, "test")
    assert [bind.home.port for bind in ordinary.values()] == [1]


async def test_the_socket_has_keepalive_and_a_user_timeout() -> None:
    """field problem 20: a dead peer is noticed by TCP too, not after its usual quarter of an hour."""
    async with Smsc() as smsc, Holder(settings_for(smsc.port)) as keeper:
        await eventually(lambda: keeper.state is BindState.BOUND)
        assert keeper.connection is not None
        sock = keeper.connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
        options = {
            name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        }
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert options["TCP_NODELAY"]
    assert (options["TCP_KEEPIDLE"], options["TCP_KEEPINTVL"], options["TCP_KEEPCNT"]) == (30, 10, 3)
    assert options["TCP_USER_TIMEOUT"] == 30_000


async def test_a_peer_that_falls_silent_is_given_up_after_the_enquire_link() -> None:
    """field problem 20: half-open TCP; nothing is received, and nothing says so but enquire_link."""
    async with Smsc() as smsc:
        settings = settings_for(smsc.port, enquire_link_seconds=1, response_timeout_seconds=1)
        async with Holder(settings) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            first = keeper.connection
            smsc.silent = True
            await eventually(lambda: keeper.connection is not first, 5)
            assert any("enquire_link" in event.reason for event in keeper.events)
            smsc.silent = False
            await eventually(lambda: keeper.state is BindState.BOUND)
            assert keeper.reconnects == 1
            await eventually(lambda: keeper.health().enquire_rtt_ms is not None, 5)


async def test_a_peer_that_does_not_read_is_given_up_with_all_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """field problem 8: the writer is stuck on a socket that takes nothing; field problem 9: all requests are failed."""
    monkeypatch.setattr(transport, "DRAIN_SECONDS", 0.2)
    async with Smsc() as smsc:
        holder = Holder(settings_for(smsc.port, window=1000))
        async with holder as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            connection = keeper.connection
            assert connection is not None
            smsc.peers[0].transport.pause_reading()  # type: ignore[union-attr]
            body = bytes(8000)
            tokens = list(range(1000))
            written = 0
            while connection.room and written < 1000:
                written += connection.submit([body], [tokens[written]])
                await asyncio.sleep(0)
            assert connection.room == 0
            await eventually(lambda: holder.losses)
            assert "does not read" in holder.losses[0]
            assert [request.token for request in holder.unanswered] == tokens[:written]
            assert connection.room == 0


async def test_submitting_and_closing_at_once_ends_with_every_request_handed_back() -> None:
    """field problem 9: no request hangs between a submit and a close, and none is taken afterwards."""
    async with Smsc() as smsc:
        smsc.answers = False
        holder = Holder(settings_for(smsc.port, window=50))
        async with holder as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            connection = keeper.connection
            assert connection is not None
            assert connection.submit([b"\0" * 40] * 20, list(range(20))) == 20
            connection.close("closed by the test")
            assert (connection.room, connection.can_send) == (0, False)
            await eventually(lambda: holder.losses)
            assert [request.token for request in holder.unanswered] == list(range(20))
            assert connection.in_flight == 0


async def test_the_operators_unbind_is_answered_and_the_bind_comes_back_without_a_loop() -> None:
    """field problem 19: answer, close, reconnect after a short wait; the wait grows when it goes on like that."""
    async with Smsc() as smsc:
        holder = Holder(settings_for(smsc.port))
        async with holder as keeper:

            async def say_good_bye(times: int) -> None:
                await eventually(lambda: keeper.state is BindState.BOUND and bool(smsc.peers))
                peer = smsc.peers[0]
                peer.unbind()
                await eventually(lambda: peer not in smsc.peers)
                assert peer.session.state.name == "CLOSED"
                await eventually(lambda: keeper.reconnects == times)

            for times in range(1, 4):
                await say_good_bye(times)
            assert "the operator sent unbind" in [event.reason.split(",")[0].rstrip(".") for event in keeper.events]
            assert keeper.health().tries == 3
        assert smsc.connections <= 4


async def test_the_ghost_of_an_old_session_is_waited_out_with_words_that_count() -> None:
    """field problem 18: RALYBND is not "bound", and the tries are further apart than the operator's own timer."""
    refusals = 2

    def verdict(_: object) -> int:
        return RALYBND if len(smsc.binds) <= refusals else 0

    async with Smsc(verdict=verdict) as smsc:
        async with Holder(settings_for(smsc.port), delays=SWIFT) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            waits = [event for event in keeper.events if event.state is BindState.WAITING]
            assert len(waits) == refusals
            assert all("RALYBND" in event.reason for event in waits)
            assert keeper.health().tries == 2
            assert keeper.last_error is None
        assert len(smsc.binds) == refusals + 1


async def test_refused_credentials_are_an_error_in_words_and_no_other_bind_tries_them() -> None:
    """No lock-out: four binds with a wrong password are one refusal, not four."""
    async with Smsc(verdict=lambda _: RINVPASWD) as smsc:
        owner = Holder(settings_for(smsc.port))
        slow = Holder(settings_for(smsc.port), delays=type(SWIFT)(fatal=30.0)).links
        binds = BindSet("test", owner, lambda: None, slow)

        def received(connection: Connection, events: list[Any]) -> None:
            for keeper in binds.keepers:
                if keeper.connection is connection:
                    for event in events:
                        keeper.observe(event)

        def lost(connection: Connection, unanswered: object, reason: str) -> None:
            for keeper in binds.keepers:
                if keeper.connection is connection:
                    keeper.ended()

        owner.received, owner.lost = received, lost  # type: ignore[method-assign]
        binds.apply(config_for(smsc.port, binds=4), LOGIN)
        await eventually(lambda: any(keeper.state is BindState.ERROR for keeper in binds.keepers))
        failed = next(keeper for keeper in binds.keepers if keeper.state is BindState.ERROR)
        assert failed.last_error is not None
        assert failed.last_error.startswith("RINVPASWD, retry in 3")
        assert failed.last_error.endswith("(try 1). The password is wrong.")
        assert failed.health().retry_at is not None
        # The next one has its turn, and does not use it yet.
        await eventually(binds._caution._turn.locked)
        assert len(smsc.binds) == 1
        smsc.verdict = lambda _: 0
        binds.try_now()
        await eventually(lambda: all(keeper.state is BindState.BOUND for keeper in binds.keepers))
        assert Counter(request.password for request in smsc.binds) == {"secret": 5}
        await binds.stop()
        assert all(keeper.state is BindState.STOPPED for keeper in binds.keepers)


async def test_any_refusal_keeps_the_bind_trying() -> None:
    answers = [RBINDFAIL, 0x0000_04FF, 0]
    async with Smsc(verdict=lambda _: answers[min(len(smsc.binds), 3) - 1]) as smsc:
        async with Holder(settings_for(smsc.port)) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            reasons = " ".join(event.reason for event in keeper.events)
        assert "RBINDFAIL" in reasons
        assert "0x000004FF" in reasons


async def test_a_bind_moves_to_the_next_host_and_returns_to_its_own_when_that_is_back() -> None:
    async with Smsc() as own, Smsc() as other:
        port = own.port
        delays = type(SWIFT)(base=0.01, most=0.05, returning=0.05, returning_most=0.1)
        async with Holder(settings_for(port, other.port), delays=delays) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            assert (keeper.health().host, keeper.health().away) == (f"127.0.0.1:{port}", False)
            await own.stop()
            await eventually(lambda: keeper.state is BindState.BOUND and keeper.health().away)
            away = keeper.connection
            # It asks now and then, and a host that does not answer costs the session nothing.
            await eventually(lambda: keeper._route._misses >= 3)
            assert keeper.connection is away
            async with Smsc(port=port) as back:
                await eventually(lambda: bool(back.binds) and keeper.state is BindState.BOUND)
                assert keeper.health().host == f"127.0.0.1:{port}"
                # It said good-bye over there, and that was no failure.
                await eventually(lambda: not other.peers)
                assert (keeper.reconnects, keeper.last_error) == (1, None)


async def test_reconnecting_leaves_nothing_behind() -> None:
    """field problem 22: a new session object for each connection, and the old ones are gone with their sockets."""
    async with Smsc() as smsc, Holder(settings_for(smsc.port)) as keeper:
        await eventually(lambda: keeper.state is BindState.BOUND)

        async def cycle(number: int) -> None:
            await eventually(lambda: len(smsc.binds) == number and bool(smsc.peers))
            await eventually(lambda: keeper.state is BindState.BOUND)
            smsc.peers[0].transport.abort()  # type: ignore[union-attr]
            await eventually(lambda: len(smsc.binds) == number + 1)

        for number in range(1, 30):
            await cycle(number)
        before = _alive()
        for number in range(30, 130):
            await cycle(number)
        assert keeper.reconnects == 129
        after = _alive()
        assert after["sessions"] <= 2
        assert after["tasks"] == before["tasks"]
        assert after["descriptors"] <= before["descriptors"] + 1
        assert len(keeper.events) == 20


def _alive() -> dict[str, int]:
    gc.collect()
    kinds = Counter(type(each) for each in gc.get_objects())
    return {
        "sessions": max(kinds[EsmeSession], kinds[Connection]),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


async def test_stopping_while_nobody_answers_leaves_no_connection() -> None:
    async with Smsc() as smsc:
        smsc.silent = True
        for _ in range(10):
            async with Holder(settings_for(smsc.port)) as keeper:
                await eventually(lambda: keeper.state is BindState.BINDING)
            assert keeper.state is BindState.STOPPED
        await eventually(lambda: not smsc.peers)


async def test_one_bind_with_unproven_credentials_tries_and_the_others_wait_for_it() -> None:
    caution = Caution()
    async with Smsc() as smsc:
        smsc.silent = True
        first = Holder(settings_for(smsc.port), caution=caution)
        second = Holder(settings_for(smsc.port), caution=caution, index=1)
        async with first as one:
            await eventually(lambda: bool(smsc.peers))
            async with second as two:
                await eventually(lambda: bool(caution._turn._waiters))
                assert smsc.connections == 1
                await one.stop()
                await eventually(lambda: smsc.connections == 2)
            assert two.state is BindState.STOPPED
