"""Rotating the encryption key of a living installation."""

import base64
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from sqlalchemy import text

from app.lib.crypto import Envelope, parse_keys
from app.lib.db import Database
from app.settings import read_settings
from tests.conftest import register, serve_app

OLD = "old:" + base64.b64encode(bytes(32)).decode()
NEW = "new:" + base64.b64encode(bytes(range(32))).decode()


def turumba(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("turumba")), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_rotation_end_to_end(make_database: Callable[[], Awaitable[str]], environment: dict[str, str]) -> None:
    url = await make_database()
    before = {**environment, "TURUMBA_DATABASE_URL": url, "TURUMBA_ENCRYPTION_KEYS": OLD}
    channel = {
        "name": "Operator",
        "type": "smpp",
        "config": {"hosts": [{"host": "127.0.0.1", "port": 2775}]},
        "credentials": {"system_id": "demo", "password": "hunter2"},
    }
    async with serve_app(read_settings(before)) as client:
        someone = await register(client)
        created = await client.post("/v1/channels", json=channel, headers=someone["headers"])
        assert created.status_code == 201, created.text

    both = {**before, "TURUMBA_ENCRYPTION_KEYS": f"{NEW},{OLD}"}
    first = turumba("keys", "rewrap", **both)
    # The signing key, the channel's credentials, the code for the user's address and the mail that carries it.
    assert (first.returncode, first.stdout) == (0, "4 secrets are under the active key now.\n"), first.stderr
    assert turumba("keys", "rewrap", **both).stdout == "0 secrets are under the active key now.\n"

    after = read_settings({**before, "TURUMBA_ENCRYPTION_KEYS": NEW})
    async with serve_app(after) as client:
        # The token signed before the rotation still verifies, and new ones can be signed.
        context = await client.get("/v1/context", headers=someone["headers"])
        assert context.status_code == 200, context.text
        assert (await client.post("/v1/auth/login", json=someone["credentials"])).status_code == 200
    database = Database(url, process="test", pool_size=1)
    async with database.reading() as session:
        row = (await session.execute(text("SELECT id, credentials FROM channels"))).one()
    await database.close()
    opened = Envelope(parse_keys(NEW)).decrypt(row.credentials, f"channel:{row.id}:credentials")
    assert b"hunter2" in opened

    missing = turumba("keys", "rewrap", **{**before, "TURUMBA_ENCRYPTION_KEYS": OLD})
    assert missing.returncode != 0
    assert "'new' is not configured" in missing.stderr
    assert "hunter2" not in missing.stderr


async def test_settings_are_listed_and_mistakes_explained() -> None:
    listed = turumba("settings")
    assert listed.returncode == 0
    assert "TURUMBA_DATABASE_URL" in listed.stdout
    wrong = turumba("relay", TURUMBA_DATABASE_URL="mysql://x", TURUMBA_BROKER_URL="amqp://x", TURUMBA_LOG_LVEL="info")
    assert wrong.returncode != 0
    assert "TURUMBA_ENCRYPTION_KEYS: required" in wrong.stderr
    assert "did you mean TURUMBA_LOG_LEVEL" in wrong.stderr
    assert "Traceback" not in wrong.stderr


async def test_a_database_that_is_away_is_told_in_words(environment: dict[str, str]) -> None:
    result = turumba("migrate", **{**environment, "TURUMBA_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"})
    assert result.returncode != 0
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.stderr


async def test_an_api_without_a_database_answers_503(environment: dict[str, str]) -> None:
    settings = read_settings({**environment, "TURUMBA_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"})
    async with serve_app(settings) as client:
        answers: list[httpx.Response] = [
            await client.get("/v1/context", headers={"Authorization": "Bearer x.y.z"}),
            await client.get("/health/ready"),
        ]
    assert answers[1].json()["dependencies"]["database"] == "down"
    assert answers[0].status_code in (401, 503)
