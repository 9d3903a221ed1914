"""`/v1/unsubscribe`: the page behind the links in e-mails, and the one click (RFC 8058)."""

import base64
import hashlib
from html import escape

from litestar import Controller, MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.api.deps import Container
from app.api.idempotency import HANDED_OVER
from app.api.requests import ApiRequest
from app.domain.opt_outs.classes import Topic
from app.domain.opt_outs.unsubscribe import Subscription, read_token, unsubscribe

_STYLE = """
:root { color-scheme: light dark; font: 18px/1.5 system-ui, sans-serif; }
body { max-width: 30rem; margin: 0 auto; padding: 2rem 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; }
button { font: inherit; font-weight: 600; width: 100%; min-height: 3rem; padding: .6rem 1rem; border: 0;
  border-radius: .5rem; background: #0b57d0; color: #fff; cursor: pointer; }
button:focus-visible { outline: 3px solid #f9ab00; outline-offset: 2px; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex, nofollow",
}

_CLICKED = b"One-Click"
_MAX_FORM = 4096

_WHAT = {
    Topic.ALL: "messages",
    Topic.MARKETING: "marketing messages",
    Topic.SERVICE: "service messages",
}


class UnsubscribeController(Controller):
    """For whoever has a link: the token in it says whom it is about, and nothing else is asked."""

    path = "/v1/unsubscribe"
    opt = {"public": True}
    include_in_schema = False

    @get("/{token:str}", media_type=MediaType.HTML)
    async def show(self, token: FromPath[str], container: NamedDependency[Container]) -> Response[str]:
        """Ask once more. Changes nothing: mail scanners and previews follow links by themselves."""
        subscription = read_token(container.envelope, token)
        return _unknown() if subscription is None else _question(subscription)

    # It opens its own unit of work: whose data it changes stands in the token.
    @post("/{token:str}", media_type=MediaType.HTML, status_code=200, opt={"idempotency": HANDED_OVER})
    async def end(
        self, token: FromPath[str], request: ApiRequest, container: NamedDependency[Container]
    ) -> Response[str]:
        """Opt out at once, as often as it is asked. The form must say `List-Unsubscribe=One-Click` (RFC 8058 §3.2)."""
        subscription = read_token(container.envelope, token)
        if subscription is None:
            return _unknown()
        body = await request.body()
        if len(body) > _MAX_FORM or _CLICKED not in body:
            return _question(subscription, status=400)
        async with container.database.unit_of_work(subscription.account_id) as session:
            done = await unsubscribe(session, subscription, container.new_id, container.people)
        if not done:
            return _unknown()
        what = _WHAT[subscription.topic]
        return _page(
            "You are unsubscribed",
            f"<p>No more {what} will be sent to <strong>{escape(subscription.address)}</strong>.</p>\n",
        )


def _question(subscription: Subscription, status: int = 200) -> Response[str]:
    what = _WHAT[subscription.topic]
    return _page(
        "Unsubscribe",
        f"<p>Should no more {what} be sent to <strong>{escape(subscription.address)}</strong>?</p>\n"
        '<form method="post">\n<input type="hidden" name="List-Unsubscribe" value="One-Click">\n'
        '<button type="submit">Unsubscribe</button>\n</form>\n',
        status,
    )


def _unknown() -> Response[str]:
    return _page(
        "This link does not work",
        "<p>It may be incomplete, or too old. Open it from the message once more, or copy the whole of it; otherwise"
        " answer the message and ask its sender to stop.</p>\n",
        404,
    )


def _page(title: str, content: str, status: int = 200) -> Response[str]:
    return Response(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"{content}</main>\n</body>\n</html>\n",
        status_code=status,
        media_type=MediaType.HTML,
        headers=_HEADERS,
    )
