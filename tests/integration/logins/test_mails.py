"""Mails on their way through a real SMTP server, and what happens when it does not work."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
import structlog
from sqlalchemy import text
from structlog.testing import LogCapture, capture_logs

from app.domain.mails.delivery import MAX_ATTEMPTS, WAITS, deliver_due
from app.domain.mails.repository import Mail
from app.domain.mails.rewrap import rewrap_mails
from app.domain.mails.service import open_body, queue_mail
from app.domain.mails.smtp import Mailer
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from app.settings import MailSettings
from scheduler.jobs.mails import MailDelivery
from scheduler.jobs.upkeep import prune
from tests.integration.logins.conftest import change, mails_to
from tests.integration.logins.smtp_server import (
    Inbox,
    free_port,
    knows_only,
    mail_settings,
    server_tls,
    smtp_server,
)
from tests.smpp.certificates import Authority

ROOT = Path(__file__).parents[3]
TO = "someone@example.com"
DUE = "UPDATE mails SET next_attempt_at = now() WHERE sent_at IS NULL"


@pytest.fixture(scope="module")
async def post(make_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Database]:
    """A database in which only these mails wait."""
    database = Database(await make_database(), process="test-mails", pool_size=4)
    yield database
    await database.close()


@pytest.fixture(autouse=True)
async def empty(post: Database) -> None:
    await change(post, "DELETE FROM mails")


async def queue(post: Database, envelope: Envelope, to: str = TO, subject: str = "A code", body: str = "123") -> None:
    async with post.unit_of_work() as session:
        await queue_mail(session, envelope, new_id, to=to, subject=subject, body=body)


async def stored(post: Database, to: str = TO) -> Mail:
    (mail,) = await mails_to(post, to)
    return mail


async def test_a_mail_arrives_as_it_was_written(post: Database, envelope: Envelope) -> None:
    inbox, port = Inbox(), free_port()
    await queue(post, envelope, subject="Ein Schlüssel\r\nBcc: victim@example.com", body="ኮድ: 123456\n.\nlast")
    with smtp_server(inbox, port):
        mailer = Mailer(mail_settings(port))
        assert await deliver_due(post, envelope, mailer) == 1
        assert await deliver_due(post, envelope, mailer) == 0
    mail = await stored(post)
    assert mail.sent_at is not None
    assert (mail.attempts, mail.failed_at, mail.error) == (1, None, None)
    (message,) = inbox.mails
    assert inbox.recipients == [[TO]]
    assert message["Subject"] == "Ein Schlüssel Bcc: victim@example.com"
    assert message["Bcc"] is None
    assert message["From"] == "Turumba <no-reply@turumba.test>"
    assert message["To"] == TO
    assert message["Message-ID"] == f"<{mail.id}@turumba.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == mail.created_at.replace(microsecond=0)
    assert message.get_content_type() == "text/plain"
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == "ኮድ: 123456\n.\nlast"


async def test_what_is_rolled_back_is_not_sent(post: Database, envelope: Envelope) -> None:
    with pytest.raises(RuntimeError):
        async with post.unit_of_work() as session:
            await queue_mail(session, envelope, new_id, to=TO, subject="A", body="B")
            raise RuntimeError
    assert await mails_to(post, TO) == []


async def test_with_starttls_nothing_goes_out_in_clear(post: Database, envelope: Envelope, tmp_path: Path) -> None:
    inbox, port, authority = Inbox(), free_port(), Authority()
    trusting = ssl.create_default_context(cadata=authority.certificate)
    settings = mail_settings(port, smtp_host="localhost", smtp_security="starttls")
    await queue(post, envelope)
    with smtp_server(inbox, port):
        assert await deliver_due(post, envelope, Mailer(settings, trusting)) == 0
    mail = await stored(post)
    assert (mail.sent_at, mail.failed_at, mail.attempts) == (None, None, 1)
    assert "STARTTLS" in str(mail.error)

    with smtp_server(inbox, port, tls_context=server_tls(authority, tmp_path, "localhost"), require_starttls=True):
        assert await deliver_due(post, envelope, Mailer(settings, trusting)) == 0, "not due yet"
        await change(post, DUE)
        assert await deliver_due(post, envelope, Mailer(settings)) == 0, "nobody we trust"
        assert "certificate" in str((await stored(post)).error)
        await change(post, DUE)
        assert await deliver_due(post, envelope, Mailer(settings, trusting)) == 1
    assert inbox.over_tls == [True]
    assert (await stored(post)).error is None


async def test_a_server_that_wants_a_log_in(post: Database, envelope: Envelope, tmp_path: Path) -> None:
    inbox, port, authority = Inbox(), free_port(), Authority()
    trusting = ssl.create_default_context(cadata=authority.certificate)
    settings = mail_settings(port, smtp_host="localhost", smtp_security="starttls", smtp_username="turumba")
    await queue(post, envelope)
    options = {
        "tls_context": server_tls(authority, tmp_path, "localhost"),
        "auth_required": True,
        "authenticator": knows_only(b"turumba", b"hunter2"),
    }
    with smtp_server(inbox, port, **options):
        wrong = msgspec.structs.replace(settings, smtp_password="hunter3")
        with capture_logs() as logs:
            assert await deliver_due(post, envelope, Mailer(wrong, trusting)) == 0
        mail = await stored(post)
        assert mail.failed_at is None, "ours to mend"
        assert str(mail.error).startswith("535")
        assert "hunter3" not in f"{mail.error}{logs}"
        await change(post, DUE)
        right = msgspec.structs.replace(settings, smtp_password="hunter2")
        assert await deliver_due(post, envelope, Mailer(right, trusting)) == 1
    assert len(inbox.mails) == 1


async def test_a_failing_server_is_tried_again_later_and_not_for_ever(post: Database, envelope: Envelope) -> None:
    inbox, port = Inbox(), free_port()
    await queue(post, envelope)
    waits = []
    with smtp_server(inbox, port):
        mailer = Mailer(mail_settings(port))
        for attempt in range(1, MAX_ATTEMPTS + 1):
            inbox.answers = ["451 Come back later"]
            await change(post, DUE)
            assert await deliver_due(post, envelope, mailer) == 0
            mail = await stored(post)
            assert mail.attempts == attempt
            assert mail.error == "451 Come back later"
            async with post.reading() as session:
                waits.append(await session.scalar(text("SELECT next_attempt_at - updated_at FROM mails")))
        assert [wait.total_seconds() for wait in waits[:-1] if wait] == list(WAITS)
        assert (await stored(post)).failed_at is not None
        await change(post, DUE)
        assert await deliver_due(post, envelope, mailer) == 0
    assert inbox.mails == []


@pytest.mark.parametrize("where", ["recipient", "message"])
async def test_what_is_refused_for_good_is_given_up_and_the_next_mail_goes_on(
    post: Database, envelope: Envelope, where: str
) -> None:
    inbox, port = Inbox(), free_port()
    await queue(post, envelope)
    await queue(post, envelope, to="next@example.com")
    if where == "recipient":
        inbox.refused[TO] = "550 No such mailbox"
    else:
        inbox.answers = ["554 We do not like it"]
    with smtp_server(inbox, port):
        assert await deliver_due(post, envelope, Mailer(mail_settings(port))) == 1
    refused = await stored(post)
    assert refused.failed_at is not None
    assert str(refused.error)[:3] in ("550", "554")
    assert inbox.recipients == [["next@example.com"]]


async def test_mails_wait_for_a_server_that_is_down(post: Database, envelope: Envelope) -> None:
    inbox, port = Inbox(), free_port()
    for number in range(3):
        await queue(post, envelope, to=f"{number}@example.com")
    mailer = Mailer(mail_settings(port))
    assert await deliver_due(post, envelope, mailer) == 0
    attempts = [(await stored(post, f"{number}@example.com")).attempts for number in range(3)]
    assert sorted(attempts) == [0, 0, 1], "one try is enough to know"
    with smtp_server(inbox, port):
        await change(post, DUE)
        assert await deliver_due(post, envelope, mailer) == 3
    assert sorted(inbox.recipients) == [["0@example.com"], ["1@example.com"], ["2@example.com"]]


async def test_two_schedulers_send_each_mail_once(post: Database, envelope: Envelope) -> None:
    inbox, port = Inbox(), free_port()
    for number in range(8):
        await queue(post, envelope, to=f"{number}@example.com")
    with smtp_server(inbox, port):
        mailer = Mailer(mail_settings(port))
        sent = await asyncio.gather(*(deliver_due(post, envelope, mailer) for _ in range(3)))
    assert sum(sent) == 8
    assert sorted(inbox.recipients) == [[f"{number}@example.com"] for number in range(8)]


@asynccontextmanager
async def scheduler(environment: dict[str, str], port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    variables = {
        **environment,
        "TURUMBA_MAIL_SMTP_HOST": "127.0.0.1",
        "TURUMBA_MAIL_SMTP_PORT": str(port),
        "TURUMBA_MAIL_SMTP_SECURITY": "none",
    }
    command = (sys.executable, "-c", "from scheduler.main import main; main()")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={**os.environ, **variables})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def test_a_scheduler_that_is_killed_while_it_sends_loses_no_mail(
    post: Database, envelope: Envelope, environment: dict[str, str]
) -> None:
    own = {
        **environment,
        "TURUMBA_DATABASE_URL": post.engine.url.render_as_string(hide_password=False).replace("+asyncpg", ""),
    }
    inbox, port = Inbox(), free_port()
    await queue(post, envelope)
    inbox.holding = True
    with smtp_server(inbox, port):
        async with scheduler(own, port) as process:
            assert await asyncio.to_thread(inbox.held.wait, 60), "the mail is at the server, unanswered"
            process.kill()
            await process.wait()
        assert (await stored(post)).sent_at is None
        inbox.holding = False
        async with scheduler(own, port), asyncio.timeout(60):
            while (await stored(post)).sent_at is None:
                await asyncio.sleep(0.05)
    identities = [mail["Message-ID"] for mail in inbox.mails]
    assert len(identities) == 2, "it came twice"
    assert len(set(identities)) == 1, "and says so"


async def test_a_body_that_does_not_open_is_given_up(post: Database, envelope: Envelope) -> None:
    await queue(post, Envelope({"lost": bytes(32)}))
    assert await deliver_due(post, envelope, Mailer(mail_settings(free_port()))) == 0
    mail = await stored(post)
    assert mail.failed_at is not None
    assert "'lost' is not configured" in str(mail.error)


async def test_waiting_bodies_move_to_a_new_key(post: Database, envelope: Envelope) -> None:
    old = bytes(range(32))
    await queue(post, Envelope({"old": old}), body="123456")
    both = Envelope({"new": bytes(32), "old": old})
    assert await rewrap_mails(post, both) == 1
    assert await rewrap_mails(post, both) == 0
    assert open_body(Envelope({"new": bytes(32)}), await stored(post)) == "123456"


@pytest.mark.parametrize("page", [True, False])
async def test_without_a_server_the_log_tells_of_mails_and_shows_them_only_where_the_page_does(
    post: Database, envelope: Envelope, monkeypatch: pytest.MonkeyPatch, page: bool
) -> None:
    logged = LogCapture()
    logger = structlog.wrap_logger(None, [logged], structlog.make_filtering_bound_logger(0))
    monkeypatch.setattr("scheduler.jobs.mails.log", logger)
    job = MailDelivery(MailSettings(outbox_page=page), envelope)
    await queue(post, envelope, subject="A code", body="Your code is 123456")
    await change(
        post,
        "INSERT INTO mails (id, recipient, subject, body, created_at) VALUES"
        " (:id, 'old@example.com', 'Old', '', now() - interval '1 hour')",
        id=UUID(int=1),
    )
    await job.deliver_mails(post)
    await job.deliver_mails(post)
    (line,) = logged.entries
    assert (line["event"], line["to"], line["subject"]) == ("mail waits in the local outbox", TO, "A code")
    assert ("123456" in str(line)) is page
    mail = await stored(post)
    assert (mail.sent_at, mail.attempts) == (None, 0)


async def test_old_mails_are_forgotten(post: Database, envelope: Envelope) -> None:
    await queue(post, envelope)
    await queue(post, envelope, to="young@example.com")
    await change(post, "UPDATE mails SET created_at = now() - interval '169 hours' WHERE recipient = :to", to=TO)
    await prune(post)
    assert await mails_to(post, TO) == []
    assert len(await mails_to(post, "young@example.com")) == 1
