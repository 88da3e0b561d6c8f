"""The ASGI application: access checks, security headers, and the way to the API or the
page.

``App`` sees every request first. It checks who may use the server, answers everybody
else, and adds the headers that protect a browser. Errors are problem documents (RFC
9457). The server never fetches a URL, and never opens a path that comes from a client.
"""

import asyncio
import logging
import signal
import socket
import uuid
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.types import Message, Receive, Scope, Send

from colorizenet.errors import ConfigError, quote
from colorizenet.serving.access import Access
from colorizenet.serving.api import INTERNAL_ERROR, create_api
from colorizenet.serving.connections import MAX_HEADER_BYTES, Server, limit_body_time
from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import JobQueue, Limits
from colorizenet.serving.messages import Loader
from colorizenet.serving.schemas import (
    NOTICES_HEADER,
    SIZE_HEADER,
    WARNINGS_HEADER,
    Health,
    problem_response,
)
from colorizenet.serving.static import PageFiles

__all__ = ["App", "create_server", "serve"]

_MAX_REQUESTS = 256
"""Requests of any kind that are answered at once."""
_API_PATHS = (
    "/v1/",
    "/healthz",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/static-offline-docs/",
)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCUMENTATION_POLICY = (
    # FastAPI's documentation has an inline script and an inline style.
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"

_log = logging.getLogger("colorizenet.serving.http")


class App:
    """The server as an ASGI application: access checks around the API and the page."""

    def __init__(
        self, queue: JobQueue, *, access: Access | None = None, with_page: bool = False
    ) -> None:
        self.queue, self.access = queue, access or Access()
        self.page = PageFiles() if with_page else None
        """The page, if it is served."""
        self.stopping = asyncio.Event()
        """Set when the server begins to stop."""
        self.api = create_api(queue, has_token=self.access.token is not None, health=self.health)
        self._answer_foreign_page = CORSMiddleware(
            self._answer,
            allow_origins=sorted(self.access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=[
                "Server-Timing",
                "Retry-After",
                SIZE_HEADER,
                WARNINGS_HEADER,
                NOTICES_HEADER,
            ],
        )
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.api(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        status = 0

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                security = _security_headers(scope["path"])
                message["headers"] = [*message.get("headers", []), *security]
            await send(message)

        origin = Headers(scope=scope).get("origin")
        allowed = origin in self.access.origins
        self._requests += 1
        try:
            await (self._answer_foreign_page if allowed else self._answer)(scope, receive, respond)
        finally:
            self._requests -= 1
            route = _route(scope["path"])
            self.queue.metrics.requests.labels(route, status or "disconnected").inc()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, begun = scope["path"], False

        async def respond(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        async def respond_with_error(error: RequestError, instance: str | None = None) -> None:
            if not begun:  # a response that has begun cannot become another one
                await problem_response(error, instance=instance)(scope, receive, send)

        try:
            self._check(scope)
            if path.startswith(_API_PATHS):
                await self.api(scope, limit_body_time(receive, self.queue.limits), respond)
            else:
                await self._respond_with_page(scope, receive, respond)
        except RequestError as error:
            await respond_with_error(error)
        except Exception:
            # An error of the server goes to the log; the client gets a name to find it
            # by.
            instance = scope.get("instance", uuid.uuid4().urn)
            _log.exception("%s %s failed (%s)", scope["method"], quote(path), instance)
            await respond_with_error(INTERNAL_ERROR, instance)

    def health(self) -> Health:
        """Whether the server accepts requests, and whether it has a page."""
        return Health(
            status="stopping" if self.stopping.is_set() else "ready",
            page="ready" if self.page else "off",
        )

    def _check(self, scope: Scope) -> None:
        """Raise ``RequestError`` where the headers of a request are reason enough."""
        # A load balancer would take a server without an answer for dead.
        if self._requests > _MAX_REQUESTS and scope["path"] != "/healthz":
            raise self.queue.overloaded(
                f"the server is answering {_MAX_REQUESTS} requests, which is its limit"
            )
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > MAX_HEADER_BYTES:
            raise RequestError(
                431,
                "invalid-request",
                f"the headers have {size:,} bytes and the limit is {MAX_HEADER_BYTES:,}; "
                "send fewer or shorter headers",
            )
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.access.check(scope["method"], scope["path"], headers)

    async def _respond_with_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = quote(scope["path"])
        if self.page is not None:
            try:
                await self.page(scope, receive, send)
            except HTTPException as error:
                if error.status_code == 405:
                    raise RequestError(
                        405,
                        "method-not-allowed",
                        f"{path} is only for reading; see /docs for the API",
                        headers=error.headers,
                    ) from error
                raise _make_missing_error(path) from error
        elif scope["path"] != "/":
            raise _make_missing_error(path)
        else:
            await RedirectResponse("/docs")(scope, receive, send)


def _make_missing_error(path: str) -> RequestError:
    return RequestError(404, "not-found", f"{path} does not exist; see /docs for the API")


def _security_headers(path: str) -> list[tuple[bytes, bytes]]:
    policy = _PAGE_POLICY
    if path.startswith(("/docs", "/redoc", "/static-offline-docs/")):
        policy = _DOCUMENTATION_POLICY
    elif path.startswith(_API_PATHS):
        policy = _API_POLICY
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _route(path: str) -> str:
    """The route of a path as the metrics name it; few, whatever clients send."""
    if path in ("/v1/colorize", "/v1/suggest", "/v1/models", "/v1/info", "/healthz", "/metrics"):
        return path
    return "docs" if path.startswith(_API_PATHS) else "page"


def create_server(app: App) -> Server:
    """The server that runs an application, with the limits of its queue."""
    return Server(app, app.queue.limits, app.stopping)


def serve(
    loaders: Mapping[str, Loader],
    *,
    limits: Limits,
    access: Access,
    host: str,
    port: int,
    with_page: bool,
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; requests that have arrived by then are finished.

    ``loaders`` load the models that clients may choose from, by name. ``announce`` is
    called with the URL as soon as clients can connect.
    """
    with _listen(host, port) as listening:
        # Their warnings are about malformed requests, which concern the sender only.
        for name in ("uvicorn.error", "python_multipart"):
            logging.getLogger(name).setLevel(logging.ERROR)
        app = App(JobQueue(loaders, limits), access=access, with_page=with_page)
        address = f"[{host}]" if ":" in host else host
        announce(f"http://{address}:{listening.getsockname()[1]}")
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal again after an orderly shutdown; exit with
            # status 0.
            signal.signal(number, lambda *_: None)
        create_server(app).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address. ``ConfigError`` where that is impossible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot listen on {quote(host)}:{port}: {reason}; choose another --host or --port"
        ) from error
