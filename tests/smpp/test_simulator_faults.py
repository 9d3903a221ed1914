"""What befalls connections to the simulated SMSC: cut, unbound, half-open, refused, ghosts, garbage, TLS."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smpp_daemon.protocol.codec import encode
from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.events import Failure, SessionFailed
from smpp_daemon.protocol.pdu import BindRequest, SubmitSm
from smpp_daemon.protocol.status import RALYBND, RBINDFAIL
from smpp_daemon.protocol.timers import TimerSettings
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings, TlsFiles
from smpp_daemon.simulator.script import Binds, Drop, Garbage, HalfOpen, Traffic, Unbinding
from tests.smpp.certificates import Authority
from tests.smpp.simulated_esme import Esme

MESSAGE = SubmitSm(source_addr="DEMO", destination_addr="251911000100", short_message=b"Hello")
IMPATIENT = TimerSettings(enquire_link_interval=0.05, enquire_link_timeout=0.05)


def simulator(script: Script, **settings: Any) -> Simulator:
    return Simulator(SimulatorSettings(script=script, **settings))


async def until(condition: Callable[[], bool]) -> None:
    """For what the simulator's side of a socket learns some turns of the loop later."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def submit(esme: Esme, count: int) -> None:
    for token in range(count):
        esme.submit(MESSAGE, token)


async def test_a_session_is_cut_at_its_nth_submit_and_the_answers_are_lost() -> None:
    async with simulator(Script(drop=Drop(every=10)), receipt_delay=None) as operator:
        for round_number in (1, 2):
            esme = await Esme.connect(operator.port)
            submit(esme, 30)
            await esme.until(lambda esme=esme: esme.lost)  # type: ignore[misc]
            assert not esme.unbound
            assert operator.accepted == 10 * round_number
            assert len(esme.answers) < 10


async def test_a_session_is_cut_after_its_nth_submit_was_answered() -> None:
    async with simulator(Script(drop=Drop(every=10, answered=True)), receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port, window=5)
        # One at a time, so that no reset meets answers that the client has not read yet.
        for token in range(9):
            esme.submit(MESSAGE, token)
            await esme.until(lambda token=token: token in esme.answers)  # type: ignore[misc]
        esme.submit(MESSAGE, 9)
        await esme.until(lambda: esme.lost)
        assert 9 in esme.answers
        assert operator.accepted == 10


async def test_a_session_is_cut_some_time_after_its_bind() -> None:
    async with simulator(Script(drop=Drop(seconds=0.05))) as operator:
        esme = await Esme.connect(operator.port)
        await esme.until(lambda: esme.lost)
        await until(lambda: operator.statistics.dropped == 1)
        assert not esme.unbound


async def test_connections_are_refused_for_a_while_after_a_drop() -> None:
    async with simulator(Script(drop=Drop(every=1, refuse_for=60))) as operator:
        esme = await Esme.connect(operator.port)
        submit(esme, 1)
        await esme.until(lambda: esme.lost)
        again = await Esme.connect(operator.port)
        assert again.lost
        assert again.bound is None
        operator.refuse_connections(0)
        assert (await Esme.connect(operator.port)).bound is not None


async def test_a_share_of_sessions_is_spared() -> None:
    async with simulator(Script(seed=4, drop=Drop(every=1, probability=0.5)), receipt_delay=None) as operator:
        spared = 0
        for _ in range(20):
            esme = await Esme.connect(operator.port)
            submit(esme, 2)
            await esme.until(lambda esme=esme: esme.lost or len(esme.answers) == 2)  # type: ignore[misc]
            spared += not esme.lost
            await esme.close()
        assert 3 < spared < 17


@pytest.mark.parametrize("unbinding", [Unbinding(every=5), Unbinding(seconds=0.05)], ids=["submits", "seconds"])
async def test_the_operator_unbinds(unbinding: Unbinding) -> None:
    async with simulator(Script(unbind=unbinding), receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port)
        submit(esme, 5)
        await esme.until(lambda: esme.unbound)
        assert len(esme.answers) == 5
        await esme.until(lambda: esme.lost)
        await until(lambda: operator.statistics.unbound == 1)
        assert operator.statistics.dropped == 0


async def test_a_half_open_session_is_silent_while_tcp_stays_up() -> None:
    async with simulator(Script(half_open=HalfOpen(every=3)), receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port, timers=IMPATIENT)
        submit(esme, 3)
        await esme.until(lambda: any(isinstance(event, SessionFailed) for event in esme.events))
        assert not esme.lost
        assert esme.answers == {}
        failure = esme.events[-1]
        assert isinstance(failure, SessionFailed)
        assert failure.failure is Failure.LINK_DEAD
        assert operator.accepted == 3


async def test_a_half_open_session_ends_by_itself() -> None:
    async with simulator(Script(half_open=HalfOpen(every=1, lasts=0.05))) as operator:
        esme = await Esme.connect(operator.port)
        submit(esme, 1)
        await esme.until(lambda: esme.lost)
        assert not esme.unbound


async def test_a_half_open_session_does_not_keep_the_simulator_from_stopping() -> None:
    async with simulator(Script(half_open=HalfOpen(seconds=0.0))) as operator:
        esme = await Esme.connect(operator.port, timers=IMPATIENT)
        await esme.until(lambda: any(isinstance(event, SessionFailed) for event in esme.events))
        await operator.stop()
        await esme.until(lambda: esme.lost)


async def test_receipts_of_a_half_open_session_go_elsewhere() -> None:
    async with simulator(Script(half_open=HalfOpen(every=2, lasts=0.1))) as operator:
        esme = await Esme.connect(operator.port)
        other = await Esme.connect(operator.port)
        message = SubmitSm(destination_addr="1", registered_delivery=1)
        esme.submit(message, 1)
        esme.submit(message, 2)
        await other.until(lambda: len(other.receipts) == 2)
        await other.close()


async def test_a_dropped_session_leaves_a_ghost() -> None:
    async with simulator(Script(binds=Binds(ghost=60))) as operator:
        esme = await Esme.connect(operator.port)
        assert operator.drop_connections("demo") == 1
        await esme.until(lambda: esme.lost)
        assert (await Esme.connect(operator.port)).refused == RALYBND
        assert (await Esme.connect(operator.port, system_id="other")).bound is not None


async def test_a_ghost_goes_by_itself() -> None:
    async with simulator(Script(binds=Binds(ghost=0.2))) as operator:
        esme = await Esme.connect(operator.port)
        operator.drop_connections()
        await esme.until(lambda: esme.lost)
        while (again := await Esme.connect(operator.port)).bound is None:
            assert again.refused == RALYBND
            await again.close()
        await again.close()


async def test_a_session_that_unbinds_leaves_no_ghost() -> None:
    async with simulator(Script(binds=Binds(ghost=60))) as operator:
        esme = await Esme.connect(operator.port)
        esme.session.unbind(esme.loop.time())
        esme.flush()
        await esme.until(lambda: esme.lost)
        await until(lambda: operator.statistics.sessions == 0)
        assert (await Esme.connect(operator.port)).bound is not None


async def test_binds_beyond_the_maximum_are_refused() -> None:
    async with simulator(Script(binds=Binds(max_binds=2, beyond="RBINDFAIL", ghost=60))) as operator:
        first = await Esme.connect(operator.port)
        assert (await Esme.connect(operator.port, mode=BindMode.RECEIVER)).bound is not None
        assert (await Esme.connect(operator.port)).refused == RBINDFAIL
        assert (await Esme.connect(operator.port, system_id="other")).bound is not None
        # A ghost takes a place like a session.
        await first.close()
        await until(lambda: operator.statistics.dropped == 1)
        assert (await Esme.connect(operator.port)).refused == RBINDFAIL


@pytest.mark.parametrize("send", ["http", "amqp", "random", "0000000f00000000"])
async def test_garbage_after_some_pdus(send: str) -> None:
    async with simulator(Script(garbage=Garbage(after=3, send=send)), receipt_delay=None) as operator:
        esme = await Esme.connect(operator.port)
        # The bind was the first of the three.
        for token in range(2):
            esme.submit(MESSAGE, token)
            await esme.until(lambda token=token: token in esme.answers)  # type: ignore[misc]
        await esme.until(lambda: esme.session.state.name == "ERROR")
        failure = esme.events[-1]
        assert isinstance(failure, SessionFailed)
        assert failure.failure is Failure.GARBAGE
        await esme.close()


async def test_bind_resp_and_the_first_message_come_in_one_segment() -> None:
    """The simulator's side of field problem 28."""
    script = Script(coalesce_bind=True, traffic=Traffic(rate=0.001, texts=("first",)))
    async with simulator(script) as operator:
        reader, writer = await asyncio.open_connection("127.0.0.1", operator.port)
        writer.write(encode(BindRequest(BindMode.TRANSCEIVER, "demo", "x"), 1))
        octets = await asyncio.wait_for(reader.read(65536), 10)
        assert octets[4:8].hex() == "80000009"
        behind = octets[int.from_bytes(octets[:4], "big") :]
        assert behind[4:8].hex() == "00000005"
        assert behind.endswith(b"first")
        writer.close()
        await writer.wait_closed()


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    authority = Authority()
    for name in ("server", "client"):
        signed = authority.sign("localhost")
        (tmp_path / f"{name}.pem").write_text(signed.certificate)
        (tmp_path / f"{name}.key").write_text(signed.key)
    (tmp_path / "ca.pem").write_text(authority.certificate)
    tls = TlsFiles(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    async with simulator(Script(), tls=tls) as operator:
        esme = await Esme.connect(operator.port, tls=context)
        await esme.submit_all([SubmitSm(destination_addr="1", registered_delivery=1)] * 20)
        await esme.until(lambda: len(esme.receipts) == 20)
        await esme.close()

        anonymous = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        anonymous.check_hostname = False
        nobody = None
        try:
            nobody = await Esme.connect(operator.port, tls=anonymous)
        except OSError as error:
            assert isinstance(error, ssl.SSLError | ConnectionError)
        assert nobody is None or (nobody.bound is None and nobody.lost)


async def test_a_certificate_that_is_none_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "server.pem").write_text("no certificate")
    with pytest.raises(OSError, match="PEM"):
        await simulator(Script(), tls=TlsFiles(tmp_path / "server.pem")).start()
