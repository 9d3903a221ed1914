"""`Idempotency-Key` on every POST: the same request within 24 hours gets the same answer, and its work is done once.

The answer is stored by the transaction that does the work, in one of two ways:

* As a rule the unit of work is opened here, around the handler, and the `session` dependency gives it out. The answer
  is held back, stored, committed along with the work, and only then sent. An answer that refuses (4xx) is stored
  without the work; one that is not final (`app.domain.idempotency.service.is_final`) is not stored.
* Routes with `opt={"idempotency": "handed over"}` do their work in transactions of their own: many requests share one
  there, or no connection may be held while a password is hashed. Their handlers give away the answer, for it to be
  stored by the transaction that makes it true (`answered_with`, `answers_in`). What they did not give away is stored
  here, after the work. With `"tried first"` a stored answer is not even looked for before the handler has failed to
  store its own: on the hot path nearly every key is new. With `"streamed"` the body is not read here, for it is too
  large to be held: the handler says what it was (`told`) once it has read it; a stored answer is looked for after that.

Without the header nothing happens here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec
from litestar import Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPRequestEvent, Message, Receive, Scope, Send
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import OPENED_SESSION, Container
from app.api.guards import requires
from app.api.problems import app_error_response, http_exception_response, unexpected_response
from app.api.requests import ApiRequest
from app.domain.idempotency.repository import find_answer, insert_answers, try_lock_key
from app.domain.idempotency.schemas import NOBODY, Answer, IdempotencyKey, StoredAnswer
from app.domain.idempotency.service import KeyedRequest, digest_of, is_final, key_in_use
from app.domain.identity.schemas import Caller
from app.lib.errors import AppError, Malformed, Unavailable

T = TypeVar("T")

MAX_KEY_LENGTH = 255
MAX_ROUTE_LENGTH = 500
"""A longer path is known by its digest: an index row has room for 2.7 kB."""

REPLAYED = "Idempotency-Replayed"
KEPT_HEADERS = frozenset(
    {"cache-control", "content-disposition", "content-language", "content-type", "etag", "last-modified", "link"}
    | {"location", "retry-after", "vary"}
)
"""What a handler says about its answer. The rest is about one transmission: X-Request-Id, RateLimit-*, lengths."""

HANDED_OVER = "handed over"
TRIED_FIRST = "tried first"
"""Like `HANDED_OVER`, for handlers that change nothing before or besides the transaction that stores their answer."""

STREAMED = "streamed"
"""Like `TRIED_FIRST`, for handlers that read the body in pieces; they undo what they did when they are refused."""

_KEYED = "keyed_request"
_WAIT_SECONDS = 5.0


def answered_with(request: ApiRequest, respond: Callable[[T], Response[T]]) -> Callable[[T], StoredAnswer] | None:
    """What makes, of a result, the answer to store along with it; None for a request without a key.

    For handlers of routes with `HANDED_OVER` or `TRIED_FIRST`; `respond` makes the answer that is sent.
    """
    keyed: KeyedRequest | None = request.scope["state"].get(_KEYED)
    if keyed is None:
        return None

    def answer(result: T) -> StoredAnswer:
        response = respond(result)
        headers = {name.lower(): str(value) for name, value in response.headers.items()}
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        body = b""
        if result is not None:
            kept.setdefault("content-type", "application/json")
            body = msgspec.json.encode(result)
        status = response.status_code or request.route_handler.status_code
        keyed.offered = keyed.seal(Answer(status, kept, body))
        return keyed.offered

    return answer


def answers_in(
    request: ApiRequest, headers_of: Callable[[msgspec.Struct | None], dict[str, str]] = lambda _: {}
) -> Callable[[AsyncSession, msgspec.Struct | None], Awaitable[None]]:
    """What stores, in a unit of work, the answer that a result makes with the status of the route and its headers.

    For handlers of routes with `opt={"idempotency": "handed over"}` whose services open units of work of their own. It
    is called at the end of the one that does the work, and raises `Conflict` (`idempotency_key_in_use`) when another
    request with the key was faster. Without a key it does nothing.
    """
    answered: Callable[[msgspec.Struct | None], StoredAnswer] | None
    answered = answered_with(request, lambda result: Response(result, headers=headers_of(result)))

    async def store(session: AsyncSession, result: msgspec.Struct | None) -> None:
        if answered is None:
            return
        answer = answered(result)
        if not await insert_answers(session, [answer]):
            answer.refused = True
            raise key_in_use()

    return store


def told(request: ApiRequest, parts: Iterable[bytes]) -> None:
    """Say what a request was whose body was read by the handler; see `STREAMED`. Without a key it does nothing."""
    keyed: KeyedRequest | None = request.scope["state"].get(_KEYED)
    if keyed is not None:
        keyed.tell(digest_of([request.scope["query_string"], *parts]))


class Idempotency(ASGIMiddleware):
    """Goes after authentication. `most_at_once` bounds how many requests with a key hold a connection each.

    More than half of the pool must not be theirs: handlers may need a second connection.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, most_at_once: int) -> None:
        self._turns = asyncio.Semaphore(max(1, most_at_once))
        self._running: set[IdempotencyKey] = set()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answer as before, refuse, or let the request be worked on and store its answer.

        Problems: 400 `bad_idempotency_key`, 409 `idempotency_key_in_use`, 422 `idempotency_key_reused`.
        """
        if scope.get("method") != "POST":
            await next_app(scope, receive, send)
            return
        keys = [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if not keys:
            await next_app(scope, receive, send)
            return
        request: ApiRequest = ApiRequest(scope, receive, send)
        try:
            held = await self._answer(request, keys, next_app)
        except Exception as error:
            # Here and not by Litestar, which has been told already that the answer that was held back has begun.
            held = await _refusal(request, error)
        await held.send(send)

    async def _answer(self, request: ApiRequest, keys: list[bytes], next_app: ASGIApp) -> "HeldAnswer":
        keyed = await _keyed_request(request, keys)
        if keyed.key in self._running:
            raise key_in_use()
        self._running.add(keyed.key)
        try:
            way = request.route_handler.opt.get("idempotency")
            if way in (HANDED_OVER, TRIED_FIRST, STREAMED):
                return await self._handed_over(request, keyed, next_app, look_first=way == HANDED_OVER)
            return await self._around(request, keyed, next_app)
        finally:
            self._running.discard(keyed.key)

    async def _around(self, request: ApiRequest, keyed: KeyedRequest, next_app: ASGIApp) -> "HeldAnswer":
        """Let the handler work in a unit of work that is opened here, and store its answer there."""
        container: Container = request.app.state.container
        held = HeldAnswer()
        identity = bool(request.route_handler.opt.get("identity"))
        try:
            async with (
                _Turn(self._turns),
                container.database.unit_of_work(keyed.key.account_id, identity=identity) as session,
            ):
                free = await try_lock_key(session, keyed.key)
                stored = await find_answer(session, keyed.key)
                if stored is None:
                    if not free:
                        raise key_in_use()
                    await _work(request, keyed, next_app, session, held)
        except _NothingToStoreError:
            return held
        return held if stored is None else await _again(request, keyed, stored)

    async def _handed_over(
        self, request: ApiRequest, keyed: KeyedRequest, next_app: ASGIApp, *, look_first: bool
    ) -> "HeldAnswer":
        """Let the handler hand its answer over to the transaction that does its work; store here what it refuses."""
        stored = await _look_up(request, keyed) if look_first else None
        if stored is None:
            request.scope["state"][_KEYED] = keyed
            held = HeldAnswer()
            streamed = request.route_handler.opt.get("idempotency") == STREAMED
            await next_app(request.scope, request.receive if streamed else await _body_again(request), held.take)
            stored = await _settle(request, keyed, held)
            if stored is None:
                return held
        return await _again(request, keyed, stored)


class HeldAnswer:
    """An answer on its way out that is held back until it may leave."""

    def __init__(self, status: int = 0, headers: list[tuple[bytes, bytes]] | None = None, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers or []
        self.body = bytearray(body)

    async def take(self, message: Message) -> None:
        """Where the application sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            self.body += message["body"]

    async def send(self, send: Send) -> None:
        """Let it go."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": False})

    def answer(self) -> Answer:
        """As it is stored."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.headers}
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        return Answer(self.status, kept, bytes(self.body))


class _NothingToStoreError(Exception):
    """The answer is not final: what was done for it is undone."""


class _Turn:
    """A turn to hold a connection; raises `Unavailable` when there was none for so long."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("Too many requests are being worked on; try again.", retry_after=1.0) from error

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()


async def _work(
    request: ApiRequest, keyed: KeyedRequest, next_app: ASGIApp, session: AsyncSession, held: HeldAnswer
) -> None:
    """The handler's work and its answer in `session`. Raises `_NothingToStoreError` when neither should stay."""
    savepoint = await session.begin_nested()
    request.scope["state"][OPENED_SESSION] = session
    await next_app(request.scope, await _body_again(request), held.take)
    if not is_final(held.status):
        raise _NothingToStoreError
    if held.status < 400:
        await savepoint.commit()
    else:
        await savepoint.rollback()
    await insert_answers(session, [keyed.seal(held.answer())])


async def _look_up(request: ApiRequest, keyed: KeyedRequest) -> StoredAnswer | None:
    container: Container = request.app.state.container
    async with container.database.unit_of_work(keyed.key.account_id) as session:
        return await find_answer(session, keyed.key)


async def _settle(request: ApiRequest, keyed: KeyedRequest, held: HeldAnswer) -> StoredAnswer | None:
    """Store an answer that was not handed over; the one to give instead when another was stored meanwhile."""
    if keyed.offered is not None and keyed.offered.refused:
        return await _look_up(request, keyed)
    if not keyed.known or not is_final(held.status) or (keyed.offered is not None and held.status < 400):
        return None
    container: Container = request.app.state.container
    async with container.database.unit_of_work(keyed.key.account_id) as session:
        if await insert_answers(session, [keyed.seal(held.answer())]):
            return None
    return await _look_up(request, keyed)


async def _again(request: ApiRequest, keyed: KeyedRequest, stored: StoredAnswer) -> HeldAnswer:
    """A stored answer, for a caller who may make the request; raises `InvalidValue` when it answers another one."""
    await request.route_handler.authorize_connection(connection=request)
    answer = keyed.open(stored)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((REPLAYED.lower().encode(), b"true"))
    if answer.status != 204:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return HeldAnswer(answer.status, headers, answer.body)


async def _refusal(request: ApiRequest, error: Exception) -> HeldAnswer:
    if isinstance(error, AppError):
        response = app_error_response(request, error)
    elif isinstance(error, HTTPException):
        response = http_exception_response(request, error)
    else:
        response = unexpected_response(request, error)
    held = HeldAnswer()
    await response.to_asgi_response(app=None, request=request)(request.scope, request.receive, held.take)
    return held


async def _keyed_request(request: ApiRequest, keys: list[bytes]) -> KeyedRequest:
    """Raises `Malformed`, and Litestar's error for a body that is too large."""
    key = keys[0].decode("latin-1")
    if len(keys) > 1 or not 1 <= len(key) <= MAX_KEY_LENGTH or not all("!" <= character <= "~" for character in key):
        raise Malformed(
            f"Idempotency-Key must be one value of 1 to {MAX_KEY_LENGTH} visible ASCII characters, such as a UUID.",
            code="bad_idempotency_key",
        )
    scope = request.scope
    caller: Caller | None = scope.get("user")
    account_id = NOBODY if caller is None else caller.account_id
    digest = None
    if request.route_handler.opt.get("idempotency") != STREAMED:
        content_type = request.headers.get("content-type", "").encode()
        digest = digest_of([content_type, scope["query_string"], await request.body()])
    container: Container = request.app.state.container
    return KeyedRequest(IdempotencyKey(account_id, _route(request, caller), key), digest, container.envelope)


def _route(request: ApiRequest, caller: Caller | None) -> str:
    path = request.scope["path"]
    if len(path) > MAX_ROUTE_LENGTH or not (path.isascii() and path.isprintable()):
        path = digest_of([path.encode(errors="surrogatepass")]).hex()
    route = f"POST {path}"
    if caller is None or any(isinstance(guard, requires) for guard in request.route_handler.resolve_guards()):
        return route
    # What a route does for its caller only, another caller of the account must not be shown.
    return f"{route} as {'key' if caller.api_key_id else 'user'}:{caller.api_key_id or caller.user_id}"


async def _body_again(request: ApiRequest) -> Receive:
    """A `receive` that gives the body once more, then goes on with the connection."""
    body = await request.body()
    given = False

    async def receive() -> Any:
        nonlocal given
        if given:
            return await request.receive()
        given = True
        return HTTPRequestEvent(type="http.request", body=body, more_body=False)

    return receive
