"""show, errors, server, and how accounts and daemons are named."""

import shutil
from pathlib import Path

import pytest

from app.lib.metrics import render
from smpp_daemon.history import MAX_STATUSES, ReceiptLag, Refusals, Totals, Trend
from smpp_daemon.simulator import Rule, Script, Simulator, SimulatorSettings
from tests.smpp.daemon_harness import World, bound, daemon_settings, eventually, open_world, running
from tests.smpp.smppctl_process import answer, done, smppctl


async def test_show_tells_everything_about_one_account(world: World) -> None:
    path = world.settings.smppd.admin_socket
    rules = [Rule("", receipt_delay=0.05)]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port, rate={"per_second": 500, "burst": 50}, default_from="TEST")
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(50)
            await eventually(lambda: len(world.results.receipts) == 50 and not account.in_memory)
            await eventually(lambda: account.trend.last_minute(2e9).receipts == 0)
            shown = await answer("show", "tester", socket=path)
            status = shown["status"]
            assert (status["accepted"], status["receipts"], status["unbound_seconds"]) == (50, 50, None)
            assert status["queue"]["bulk"] == 0
            assert status["queue"]["consumers"] == 2
            assert status["receipt_lag_p50_ms"] is not None
            assert status["oldest_seconds"] is None
            assert [event["state"] for event in shown["history"][0]["events"]] == ["bound"]
            assert (shown["settings"]["default_from"], shown["settings"]["password"]) == ("TEST", "***")
            words = await done("show", "tester", socket=path)
            for expected in ("queue high / bulk", "receipt lag", "last states", f"127.0.0.1:{operator.port}", "TEST"):
                assert expected in words
            assert "secret" not in words
            await operator.stop()
            await eventually(lambda: account.keepers[0].last_error)
            words = await done("show", "tester", socket=path)
            assert "bind 0: " in words


async def test_errors_are_counted_with_their_meaning_whatever_the_number(world: World) -> None:
    """field problem 23: any command_status is counted and named, and ends nothing."""
    path = world.settings.smppd.admin_socket
    rules = [Rule("0001", status="RINVDSTADR"), Rule("0002", status=0x55F), Rule("0003", status="RINVDSTADR")]
    async with Simulator(SimulatorSettings(script=Script(rules=rules))) as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            account = await bound(daemon, world)
            await world.send(10)
            await eventually(lambda: len(world.results.results) == 10)
            (found,) = await answer("errors", "operator", socket=path)
            assert found["accepted"] == 7
            assert [(each["name"], each["total"], each["last_hour"]) for each in found["statuses"]] == [
                ("RINVDSTADR", 2, 2),
                ("0x0000055F", 1, 1),
            ]
            assert found["statuses"][0]["example"] == "+251911000003"
            words = " ".join((await done("errors", socket=path)).split())
            assert "not valid for this operator" in words
            assert "Example: +251911000002" in words
            assert account.keepers[0].reconnects == 0
            exported = render().decode()
            assert 'turumba_smpp_command_status_total{status="RINVDSTADR"}' in exported
            assert 'turumba_smpp_command_status_total{status="other"}' in exported


async def test_accounts_are_named_by_id_name_or_system_id_and_doubts_are_answered(
    environment: dict[str, str], daemon_database_url: str, tmp_path: Path
) -> None:
    settings = daemon_settings(environment, daemon_database_url, tmp_path)
    path = settings.smppd.admin_socket
    async with Simulator() as operator, open_world(settings) as one, open_world(settings) as other:
        await one.make_channel(operator.port)
        await other.make_channel(operator.port)
        await other.change(name="Second Operator")
        async with running(settings) as daemon:
            await bound(daemon, one)
            await bound(daemon, other)
            for word in ("operator", str(one.channel_id), "OPERATOR"):
                assert (await answer("show", word, socket=path))["status"]["channel_id"] == str(one.channel_id)
            assert (await answer("show", "second", socket=path))["status"]["name"] == "Second Operator"
            code, _, err = await smppctl("show", "tester", socket=path)
            assert code == 1
            assert str(one.channel_id) in err
            assert str(other.channel_id) in err
            code, _, err = await smppctl("pause", "nobody", socket=path)
            assert code == 1
            assert "No account here is called 'nobody'" in err
            assert "Second Operator" in err
            code, out, _ = await smppctl("status", socket=path)
            assert (code, out.count("TRX")) == (0, 2)


async def test_several_daemons_are_asked_together(
    environment: dict[str, str], daemon_database_url: str, make_database: object, tmp_path: Path
) -> None:
    assert callable(make_database)
    elsewhere = await make_database()
    one, other = (
        daemon_settings(environment, url, tmp_path, TURUMBA_SMPPD_ADMIN_SOCKET=str(tmp_path / "run" / f"{name}.sock"))
        for name, url in (("a", daemon_database_url), ("b", elsewhere))
    )
    folder = str(tmp_path / "run")
    async with Simulator() as operator, open_world(one) as first, open_world(other) as second:
        await first.make_channel(operator.port)
        await second.make_channel(operator.port)
        await second.change(name="the other")
        async with running(one) as daemon, running(other) as another:
            await bound(daemon, first)
            await bound(another, second)
            code, out, err = await smppctl("status", socket=folder)
            assert (code, err) == (0, "")
            assert out.count("smppd ") == 2
            assert "the other" in out
            code, out, _ = await smppctl("status", "--json", socket=f"{tmp_path}/run/a.sock:{tmp_path}/run/b.sock")
            assert (code, out.count("\n")) == (0, 2)
            assert (await answer("show", "the other", socket=folder))["status"]["channel_id"] == str(second.channel_id)
            assert "2 of 2 binds up" in (await smppctl("check", socket=folder))[1]
    shutil.rmtree(folder)
    code, _, err = await smppctl("show", "operator", socket=folder)
    assert (code, "no socket" in err) == (2, True)


async def test_server_says_when_nobody_may_bind_to_us(world: World) -> None:
    async with running(world.settings):
        code, _, err = await smppctl("server", socket=world.settings.smppd.admin_socket)
    assert (code, "TURUMBA_SMPPD_LISTEN" in err) == (1, True)


def test_statuses_are_forgotten_before_they_fill_the_memory() -> None:
    refusals = Refusals()
    for status in range(1000, 1000 + MAX_STATUSES + 5):
        refusals.add(status, "1", 100.0)
    refusals.add(1300, "2", 5000.0)
    counts = refusals.counts(5000.0)
    assert len(counts) == MAX_STATUSES
    assert (counts[0].status, counts[0].last_hour, counts[0].example) == (1300, 1, "2")
    assert {each.last_hour for each in counts[1:]} == {0}


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_trend_is_what_was_added_lately(seconds: int) -> None:
    trend = Trend(0.0)
    for at in range(seconds, 7201, seconds):
        trend.sample(float(at), Totals(receipts=at, unknown=at // 3600))
    assert abs(trend.last_minute(7200.0).receipts - 60) <= seconds
    assert abs(trend.within(3600.0, 7200.0).receipts - 3600) <= 60
    assert trend.within(600.0, 7200.0).unknown == 1


def test_the_lag_of_receipts_is_found_in_either_notation() -> None:
    lag = ReceiptLag()
    lag.accepted("0A", 100.0)
    lag.accepted(None, 100.0)
    lag.received("12", 101.0)
    assert lag.percentile(0.5) is None
    lag.received("0000000010", 130.0)
    lag.received("10", 150.0)
    assert lag.percentile(0.5) == 30.0
