"""check: one line and an exit code for a monitoring system."""

import json
from typing import Any

import msgspec
import pytest

from smpp_daemon.bind_health import BindHealth, BindState
from smpp_daemon.reports import AccountStatus, DaemonStatus, QueueStatus, RateStatus
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from smpp_daemon.smppctl.assessment import Level, Thresholds, assess
from tests.smpp.daemon_harness import World, bound, eventually, running
from tests.smpp.smppctl_process import done, smppctl


def bind(state: BindState = BindState.BOUND, **more: Any) -> BindHealth:
    window = {"used": 0, "size": 10}
    return BindHealth(
        0, "host:2775", "transceiver", state, "2026-11-24T10:00:00Z", window, more.pop("last_error", None), **more
    )


def account(*binds: BindHealth, **more: Any) -> AccountStatus:
    counters = (
        *("queued", "in_flight", "unpublished", "submitted", "accepted", "refused", "unknown", "late"),
        *("throttled", "receipts", "inbound", "reconnects"),
    )
    made: dict[str, Any] = dict.fromkeys(counters, 0) | {
        "channel_id": "c",
        "account_id": "a",
        "name": "Alpha",
        "system_id": "s",
        "state": "active",
        "detail": "",
        "binds": list(binds),
        "rate": RateStatus(0, None, None),
        "response_p50_ms": None,
        "response_p99_ms": None,
    }
    return AccountStatus(**(made | more))


def daemon(*accounts: AccountStatus, **more: Any) -> DaemonStatus:
    known: dict[str, Any] = {"database": True, "rabbitmq": True, "accounts": list(accounts)} | more
    return DaemonStatus("2026-11-24T10:00:00Z", "2026-11-24T09:00:00Z", **known)


DOWN = bind(BindState.WAITING, last_error="RALYBND, retry in 95 s (try 4). The operator still holds an old session.")
QUEUE = QueueStatus("2026-11-24T10:00:00Z", 0, 12, 0)


@pytest.mark.parametrize(
    ("subject", "level", "words"),
    [
        (daemon(account(bind())), Level.OK, "1 of 1 binds up, 1 account"),
        (daemon(), Level.OK, "0 of 0 binds up, 0 accounts"),
        (daemon(account(bind(), DOWN)), Level.WARNING, "Alpha: 1 of 2 binds up (bind 0: RALYBND, retry in 95 s"),
        (daemon(account(DOWN, unbound_seconds=59)), Level.WARNING, "no bind for 59s"),
        (daemon(account(DOWN, unbound_seconds=61)), Level.CRITICAL, "no bind for 1m (bind 0: RALYBND"),
        (daemon(account(bind(), hold="paused", held_since="now")), Level.WARNING, "paused by an operator since now"),
        (daemon(account(hold="drained", held_since="now")), Level.WARNING, "drained by an operator"),
        (daemon(account(bind(), unknown_10_minutes=3)), Level.WARNING, "3 unknown in 10 min"),
        (daemon(account(bind(), unknown_10_minutes=50)), Level.CRITICAL, "50 unknown in 10 min"),
        (daemon(account(bind(), oldest_seconds=301)), Level.WARNING, "oldest message waits 5m"),
        (daemon(account(bind(), oldest_seconds=7200)), Level.CRITICAL, "oldest message waits 2h"),
        (daemon(account(bind(certificate_days=29))), Level.WARNING, "certificate ends in 29 d"),
        (daemon(account(bind(client_certificate_days=-1))), Level.CRITICAL, "certificate ends in -1 d"),
        (daemon(account(bind(certificate_days=31))), Level.OK, "binds up"),
        (daemon(account(bind()), database=False), Level.CRITICAL, "PostgreSQL not connected"),
        (daemon(account(bind()), rabbitmq=False), Level.CRITICAL, "RabbitMQ not connected"),
        (daemon(account(DOWN, unbound_seconds=99, queue=QUEUE)), Level.CRITICAL, "no bind"),
    ],
)
def test_what_is_wrong_is_told_in_words_with_its_level(subject: DaemonStatus, level: Level, words: str) -> None:
    found = assess([subject], Thresholds())
    assert found.level is level
    line = found.line(Thresholds())
    assert line.startswith(f"SMPP {level.name} - ")
    assert words in line
    assert "\n" not in line
    assert line.count("|") == 1


def test_a_queue_that_nobody_consumes_is_an_alarm() -> None:
    """field problem 16: RabbitMQ may end a consumer without a word; messages that wait for nobody are critical."""
    found = assess([daemon(account(bind(), queue=QUEUE))], Thresholds())
    assert (found.level, found.problems[0].words) == (Level.CRITICAL, "Alpha: 12 batches wait and nobody consumes them")
    attended = msgspec.structs.replace(QUEUE, consumers=2)
    assert assess([daemon(account(bind(), queue=attended))], Thresholds()).level is Level.OK


def test_the_worst_comes_first_and_figures_follow_the_form_of_plugins() -> None:
    several = daemon(account(bind(certificate_days=20), unknown_10_minutes=2), account(DOWN, unbound_seconds=100))
    line = assess([several], Thresholds()).line(Thresholds(unknown=(5, 9)))
    words, _, figures = line.partition(" | ")
    assert words.startswith("SMPP CRITICAL - Alpha: no bind for 1m")
    assert figures.split() == [
        "binds=1;;;0;2",
        "rate=0",
        "queue=0",
        "oldest=0s;300;1800",
        "unknown=2;5;9",
        "throttled=0",
        "receipts=0",
        "certificate=20;30:;7:",
    ]


async def test_the_command_says_so_and_ends_with_the_code(world: World) -> None:
    path = world.settings.smppd.admin_socket
    code, out, _ = await smppctl("check", socket=path)
    assert (code, "There is no socket" in out, out.count("\n")) == (2, True, 1)
    code, _, err = await smppctl("check", "--unknown", "many", socket=path)
    assert (code, "two numbers" in err) == (3, True)
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as running_daemon:
            account_ = await bound(running_daemon, world)
            code, out, _ = await smppctl("check", socket=path)
            assert (code, out.startswith("SMPP OK - 1 of 1 binds up, 1 account | binds=1;;;0;1 ")) == (0, True)
            code, out, _ = await smppctl("check", "nobody", socket=path)
            assert (code, out.startswith("SMPP UNKNOWN - No account here is called 'nobody'")) == (3, True)
            await done("pause", "operator", socket=path)
            code, out, _ = await smppctl("check", "operator", "--json", socket=path)
            assert (code, json.loads(out)["state"]) == (1, "WARNING")
            await done("resume", "operator", socket=path)
            await operator.stop()
            await eventually(lambda: account_.trend.unbound_since)
            code, out, _ = await smppctl("check", "--no-bind", "0", socket=path)
            assert (code, out.startswith("SMPP CRITICAL - operator: no bind for")) == (2, True)


async def test_a_ghost_session_is_named_with_its_next_try(world: World) -> None:
    """field problem 18: RALYBND is a state of its own with a wait, not "bound", wherever an operator looks."""
    path = world.settings.smppd.admin_socket
    async with Simulator(SimulatorSettings(script=Script(bind_status="RALYBND"))) as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as running_daemon:
            await eventually(lambda: running_daemon.accounts and running_daemon.accounts[0].keepers[0].last_error)
            code, out, _ = await smppctl("status", socket=path)
            assert (code, "RALYBND" in out, "0 of 1 binds up" in out) == (1, True, True)
            code, out, _ = await smppctl("check", "--no-bind", "0", socket=path)
            assert (code, "RALYBND" in out) == (2, True)
