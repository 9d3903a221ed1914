"""An SMTP server that receives what is sent, and fails in the ways that are asked for."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.settings import MailSettings
from tests.smpp.certificates import Authority


class Inbox:
    """What arrived. `answers` are given to the next mails instead of a yes; `refused` recipients are unknown.

    While `holding`, a mail is taken and the server's answer to it is not given.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.over_tls: list[bool] = []
        self.answers: list[str] = []
        self.refused: dict[str, str] = {}
        self.holding = False
        self.held = threading.Event()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.recipients.append(list(envelope.rcpt_tos))
        self.over_tls.append(session.ssl is not None)
        if self.holding:
            self.held.set()
            await asyncio.sleep(3600)
        return "250 OK"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@contextmanager
def smtp_server(inbox: Inbox, port: int, **options: Any) -> Iterator[None]:
    """Serve on loopback while the block runs."""
    # Not the loop of production: aiosmtpd's STARTTLS needs the one of the standard library.
    controller = Controller(
        inbox, hostname="127.0.0.1", port=port, loop=asyncio.SelectorEventLoop(), decode_data=False, **options
    )
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def mail_settings(port: int, **changes: Any) -> MailSettings:
    return MailSettings(
        **{
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_security": "none",
            "sender": "Turumba <no-reply@turumba.test>",
            **changes,
        }
    )


def server_tls(authority: Authority, folder: Path, *names: str) -> ssl.SSLContext:
    signed = authority.sign(*names)
    (folder / "certificate.pem").write_text(signed.certificate)
    (folder / "key.pem").write_text(signed.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def knows_only(username: bytes, password: bytes) -> Any:
    """An authenticator of aiosmtpd."""

    def check(*arguments: Any) -> AuthResult:
        data = arguments[4]
        assert isinstance(data, LoginPassword)
        right = (data.login, data.password) == (username, password)
        return AuthResult(success=right, handled=right)

    return check
