"""reload: what is stored against what runs."""

import json
from pathlib import Path

from smpp_daemon.simulator import Simulator
from tests.smpp.daemon_harness import World, bound, daemon_settings, eventually, open_world, running
from tests.smpp.smppctl_process import answer, done


async def test_differences_are_shown_field_by_field_and_taken_over_on_demand(
    environment: dict[str, str], daemon_database_url: str, tmp_path: Path
) -> None:
    # Nobody announces the change, and the daemon would look only in an hour.
    settings = daemon_settings(environment, daemon_database_url, tmp_path, TURUMBA_SMPPD_POLL_SECONDS="3600")
    path = settings.smppd.admin_socket
    async with Simulator() as operator, open_world(settings) as world:
        await world.make_channel(operator.port)
        async with running(settings) as daemon:
            account = await bound(daemon, world)
            assert "1 channel unchanged" in await done("reload", "--diff", socket=path)
            await _store(world, window=7, service_type="CMT")
            (change,) = await answer("reload", "--diff", socket=path)
            assert (change["action"], change["rebinds"]) == ("in place", [])
            assert {each["field"]: each["stored"] for each in change["changes"]}["window"] == 7
            await _store(world, password="another", system_type="VMA")
            (change,) = await answer("reload", "--diff", socket=path)
            assert (change["action"], change["rebinds"]) == ("rebind", [0])
            shown = await done("reload", "--diff", socket=path)
            assert "system_type" in shown
            assert "password" in shown
            assert "another" not in shown.replace("another one", "")
            assert "secret" not in shown
            assert account.config.window == 50
            assert "being taken over" in await done("reload", socket=path)
            await eventually(lambda: account.config.window == 7)
            await eventually(lambda: operator.statistics.binds == 2)
            await bound(daemon, world)
            assert "1 channel unchanged" in await done("reload", "--diff", socket=path)
            await world.database.execute("UPDATE channels SET status = 'paused' WHERE id = $1", world.channel_id)
            assert [each["action"] for each in await answer("reload", socket=path)] == ["stop"]
            await eventually(lambda: not daemon.accounts)
            assert [each["action"] for each in await answer("reload", "--diff", socket=path)] == ["stopped"]


async def _store(world: World, password: str | None = None, **config: object) -> None:
    """Changes the row as somebody with psql would."""
    document = json.dumps(await world.config() | config)
    await world.database.execute(
        "UPDATE channels SET config = $2, updated_at = clock_timestamp() WHERE id = $1", world.channel_id, document
    )
    if password is not None:
        sealed = world.sealed(password)
        await world.database.execute("UPDATE channels SET credentials = $2 WHERE id = $1", world.channel_id, sealed)
