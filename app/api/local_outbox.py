"""`/local/outbox`: the mails of an installation on one's own machine, for who has no SMTP server at hand."""

import re
from datetime import UTC
from html import escape

from litestar import Controller, MediaType, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from app.api.deps import Container
from app.domain.mails.repository import Mail, newest_mails
from app.domain.mails.service import open_body
from app.lib.crypto import CryptoError, Envelope

MOST = 50

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 46rem; margin: 0 auto; padding: 1rem; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
article { border: 1px solid #8886; border-radius: .5rem; margin: 1rem 0; padding: .8rem 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .2rem; }
p { margin: 0; opacity: .75; font-size: .9rem; }
pre { font: 1rem/1.5 ui-monospace, monospace; white-space: pre-wrap; margin: .8rem 0 0; }
.failed { color: #c22; opacity: 1; }
"""
_LINK = re.compile(r"https?://[^\s<>&\"']+(?:&amp;[^\s<>&\"']+)*")


class LocalOutboxController(Controller):
    """Served only where `TURUMBA_MAIL_OUTBOX_PAGE` is true: whoever sees it can be anybody."""

    path = "/local/outbox"
    opt = {"public": True, "identity": True}
    include_in_schema = False

    @get("/", media_type=MediaType.HTML)
    async def show(self, container: NamedDependency[Container]) -> Response[str]:
        """The newest 50 mails, sent or not."""
        if not container.settings.mail.outbox_page:
            raise NotFoundException()
        async with container.database.reading(identity=True) as session:
            mails = await newest_mails(session, MOST)
        sends = bool(container.settings.mail.smtp_host)
        return Response(_page([_article(mail, container.envelope, sends) for mail in mails]), headers=_HEADERS)


def _page(articles: list[str]) -> str:
    content = "".join(articles) or "<p>No mail yet. Register a user, and the code for their address is here.</p>"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Outbox · Turumba</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        '<header><h1>Outbox</h1><a href="/local/outbox">Reload</a></header>\n'
        f"{content}\n</body>\n</html>\n"
    )


def _article(mail: Mail, envelope: Envelope, sends: bool) -> str:
    try:
        body = _linked(escape(open_body(envelope, mail)))
    except CryptoError:
        body = "(sealed with an encryption key that this installation no longer has)"
    at = mail.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    failure = f'<p class="failed">{escape(mail.error)}</p>\n' if mail.error else ""
    return (
        f"<article>\n<h2>{escape(mail.subject)}</h2>\n"
        f"<p>to {escape(mail.recipient)} · <time>{at}</time> · {_state(mail, sends)}</p>\n"
        f"{failure}<pre>{body}</pre>\n</article>\n"
    )


def _linked(escaped: str) -> str:
    return _LINK.sub(lambda found: f'<a href="{found[0]}">{found[0]}</a>', escaped)


def _state(mail: Mail, sends: bool) -> str:
    if mail.sent_at is not None:
        return "sent"
    if mail.failed_at is not None:
        return "given up"
    if not sends:
        return "not sent: no SMTP server is configured"
    return "waiting" if not mail.attempts else f"waiting, {mail.attempts} tries"
