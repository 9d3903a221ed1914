"""`smsc-sim` as a process: ready line, kill -9, SIGTERM, bad options."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smpp_daemon.protocol.pdu import SubmitSm
from smpp_daemon.protocol.status import RALYBND, RINVDSTADR
from smpp_daemon.simulator.journal import Accepted, read_records
from tests.smpp.simulated_esme import Esme

COMMAND = (sys.executable, "-m", "smpp_daemon.simulator.main")
MESSAGE = SubmitSm(source_addr="DEMO", destination_addr="251911000100", registered_delivery=1, short_message=b"Hello")


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--listen", "127.0.0.1:0", *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        host, _, port = json.loads(line)["listening"].rpartition(":")
        assert host == "127.0.0.1"
        yield process, int(port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_nothing_answered_is_lost_by_kill_9(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    async with running("--journal", str(journal), "--receipt-delay", "30") as (process, port):
        esme = await Esme.connect(port)
        await esme.submit_all([MESSAGE] * 300)
        process.kill()
        await process.wait()
        await esme.until(lambda: esme.lost)
    answered = {answer.message_id for answer in esme.answers.values()}
    assert answered == {record.id for record in read_records(journal) if isinstance(record, Accepted)}
    async with running("--journal", str(journal)) as (_, port):
        again = await Esme.connect(port)
        await again.until(lambda: len(again.receipts) == 300)
        assert {receipt.short_message.split()[0] for receipt in again.receipts} == {
            f"id:{message_id}".encode() for message_id in answered
        }
        await again.close()


async def test_sigterm_unbinds_and_ends_cleanly() -> None:
    async with running("--stats", "0.05") as (process, port):
        esme = await Esme.connect(port)
        esme.submit(MESSAGE, "t")
        await esme.until(lambda: len(esme.receipts) == 1)
        process.terminate()
        await esme.until(lambda: esme.unbound and esme.lost)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0
        assert b"accepted 1 " in errors
        last = errors.splitlines()[-1]
        assert last.startswith(b"end: sessions 0  accepted 1 ")
        assert b"unbound 1 dropped 0" in last


async def test_sighup_reads_the_script_again_and_keeps_the_old_one_when_it_is_wrong(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("rules: [{suffix: '0', status: RSYSERR}]")
    async with running("--script", str(script), "--receipt-delay", "none", "--max-binds", "1") as (process, port):
        assert process.stderr is not None
        esme = await Esme.connect(port)
        script.write_text("rules: [{suffix: '0', status: RINVDSTADR}]")
        process.send_signal(signal.SIGHUP)
        assert b"script read" in await asyncio.wait_for(process.stderr.readline(), 10)
        esme.submit(MESSAGE, "new")
        script.write_text("rulez: []")
        process.send_signal(signal.SIGHUP)
        assert b"the old script stays" in await asyncio.wait_for(process.stderr.readline(), 10)
        esme.submit(MESSAGE, "kept")
        await esme.until(lambda: len(esme.answers) == 2)
        assert {answer.status for answer in esme.answers.values()} == {RINVDSTADR}
        # What the command line says holds for every script.
        assert (await Esme.connect(port)).refused == RALYBND
        await esme.close()


async def test_options_say_what_scripts_say() -> None:
    options = ("--drop-every", "3", "--ghost", "60", "--messages", "500", "--seed", "1", "--queue-full-above", "2")
    async with running(*options, "--receipt-delay", "60") as (_, port):
        esme = await Esme.connect(port)
        await esme.until(lambda: len(esme.receipts) >= 3)
        for token in range(3):
            esme.submit(MESSAGE, token)
            await esme.until(lambda token=token: token in esme.answers or esme.lost)  # type: ignore[misc]
        await esme.until(lambda: esme.lost)
        assert [answer.status for answer in esme.answers.values()] == [0, 0]
        assert (await Esme.connect(port)).refused == RALYBND


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "nowhere"), b"HOST:PORT"),
        (("--receipt-delay", "soon"), b"seconds or `none`"),
        (("--refuse-binds", "MAYBE"), b"command_status"),
        (("--throttle-above", "0"), b"more than 0"),
        (("--stats", "-1"), b"more than 0"),
        (("--drop-every", "0"), b"--drop-every"),
        (("--tls-key", "README.md"), b"--tls-certificate"),
    ],
)
async def test_bad_options_are_explained(options: tuple[str, str], message: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert message in errors


async def test_a_taken_port_is_explained() -> None:
    async with running() as (_, port):
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--listen", f"127.0.0.1:{port}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 1
        assert b"cannot serve on" in errors
