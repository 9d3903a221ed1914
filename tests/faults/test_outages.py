"""Something is down when a message is posted: it is sent once that is back, or refused in a way a client can handle."""

import asyncio
from typing import Any

import pytest

from smpp_daemon.protocol.status import RBINDFAIL
from smpp_daemon.simulator.server import Simulator, SimulatorSettings
from tests.faults.conftest import World

pytestmark = pytest.mark.timeout(180)


async def post(world: World, to: str) -> dict[str, Any]:
    body = {"channel_id": world.channel, "to": to, "text": "Hello"}
    answer = await world.client.post("/v1/messages", json=body, headers=world.headers)
    assert answer.status_code == 201, answer.text
    message: dict[str, Any] = answer.json()
    return message


async def delivered(world: World, message: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            now: dict[str, Any] = await world.get(f"/v1/messages/{message['id']}")
            if now["status"] == "delivered":
                return now
            assert now["status"] in ("queued", "sent"), now
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["smppd", "rabbitmq", "relay", "worker", "smsc-sim"])
async def test_a_message_posted_during_the_outage_of(name: str, world: World) -> None:
    process = world.stack.process(name)
    await process.stop()
    message = await post(world, "+251911000300")
    assert message["status"] == "queued"
    await process.start()
    assert len((await delivered(world, message))["attempts"]) == 1


async def test_an_operator_that_refuses_the_bind(world: World) -> None:
    async with Simulator(SimulatorSettings(refuse_binds=RBINDFAIL)) as refusing:
        port = refusing.port
        config = {"config": {"hosts": [{"host": "127.0.0.1", "port": port}]}}
        changed = await world.client.patch(f"/v1/channels/{world.channel}", json=config, headers=world.headers)
        assert changed.status_code == 200, changed.text
        message = await post(world, "+251911000301")
        async with asyncio.timeout(60):
            while not refusing.statistics.binds_refused:
                await asyncio.sleep(0.05)
            while (await world.get(f"/v1/channels/{world.channel}"))["status"] not in ("connecting", "error"):
                await asyncio.sleep(0.05)
    async with Simulator(SimulatorSettings(port=port)) as accepting:
        await delivered(world, message)
        assert [accepted.destination for accepted in accepting.recent] == ["251911000301"]


async def test_the_database_is_down(world: World) -> None:
    first = await post(world, "+251911000302")
    postgres = world.stack.process("postgres")
    await postgres.stop()
    try:
        message = {"channel_id": world.channel, "to": "+251911000303", "text": "Hello"}
        for method, path, body in (
            ("POST", "/v1/messages", message),
            # As a whole, not 503 for each item of a 200: the client sends the batch again.
            ("POST", "/v1/messages/batch", {"messages": [message, message]}),
            ("GET", "/v1/messages", None),
            ("POST", "/v1/auth/login", {"email": "a@example.com", "password": "x" * 12}),
        ):
            answer = await world.client.request(method, path, json=body, headers=world.headers)
            assert answer.status_code == 503, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["code"] == "unavailable"
            assert "Traceback" not in answer.text
        ready = await world.client.get("/health/ready")
        assert (ready.status_code, ready.json()["dependencies"]["database"]) == (503, "down")
        assert (await world.client.get("/health/live")).status_code == 200
    finally:
        await postgres.start()
    await delivered(world, first)
    async with asyncio.timeout(60):
        while (await world.client.get("/health/ready")).status_code != 200:
            await asyncio.sleep(0.1)
    await delivered(world, await post(world, "+251911000304"))
