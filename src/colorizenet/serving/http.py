"""The HTTP API, and the page beside it: one process, one port.

What a client may do is settled before its request reaches anything else, in ``App``: who may
ask (token, host, origin), what is answered to the rest, and the headers that keep a browser safe.
Errors are problem documents (RFC 9457) with a sentence for a person. No URL is fetched and no
path comes from a client.
"""

import asyncio
import base64
import contextlib
import hmac
import ipaddress
import logging
import math
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import cv2
import prometheus_client
import pyvips
import uvicorn
from fastapi import FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from colorizenet import __version__
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError, quote
from colorizenet.imaging.formats import FORMATS
from colorizenet.serving.jobs import Choices, Colored, Limits, Refusal, Service

__all__ = ["Access", "App", "Server", "is_loopback", "problem", "serve"]

_IDLE = 15.0
"""Seconds for the headers of a request, and between two parts of its body."""
_HEADER_BYTES = 32_768
_AT_ONCE = 256
"""Requests of any kind under way at once."""
_API = ("/v1/", "/healthz", "/metrics", "/docs", "/redoc", "/openapi.json", "/static-offline-docs/")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}
_PAGE_POLICY = (
    # Gradio's page is made of inline scripts and styles; nothing but this server may be asked for anything.
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"

_STARTING = "<!doctype html><title>ColorizeNet</title><p style='font:1.2em sans-serif;margin:3em'>The page is starting …"

_log = logging.getLogger("colorizenet.serving.http")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask."""

    token: str | None = None
    """What a client must send: as a bearer token, or as the password of any user (for the page)."""
    hosts: frozenset[str] | None = None
    """The names this server goes by; None takes any. A page elsewhere that has its own name lead here is refused."""
    origins: frozenset[str] = frozenset()
    """Origins whose pages may use the API (CORS)."""


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str = Field(examples=["Unsupported Media Type"])
    status: int = Field(examples=[415])
    detail: str = Field(
        examples=["the file is not a picture that is read here; send jpeg or png or tiff or webp"]
    )
    instance: str | None = Field(None, description="Names one occurrence in the server's log.")


class Health(BaseModel):
    """Whether the server takes requests, and whether its page is there."""

    status: Literal["ready", "stopping"]
    page: Literal["ready", "starting", "off"]


class ModelInfo(BaseModel):
    """One model of this server."""

    name: str = Field(examples=["default"])
    default: bool
    sha256: str
    parameters: int
    size: int = Field(
        description="The short side, in pixels, of what it sees where none is asked for."
    )
    license: str
    metrics: dict[str, float] = Field(description="Measured quality.")
    limitations: str = Field(description="What it is known to get wrong.")


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is of this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def problem(
    refusal: Refusal, *, instance: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A refusal as a client reads it."""
    told = Problem(
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=refusal.detail,
        instance=instance,
    )
    extra = dict(headers or {})
    if refusal.retry_after is not None:
        extra["Retry-After"] = str(refusal.retry_after)
    content = told.model_dump_json(exclude_none=True)
    return Response(content, refusal.status, extra, media_type="application/problem+json")


class App:
    """The door: every request comes through here, and goes on to the API or to the page (an ASGI application)."""

    def __init__(
        self, service: Service, *, access: Access | None = None, with_page: bool = False
    ) -> None:
        self.service, self.access = service, access or Access()
        self.with_page = with_page
        self.page: ASGIApp | None = None
        """The page, once Gradio has been imported."""
        self.stopping = asyncio.Event()
        self.api = _api(service, self)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.api(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        of_api = scope["path"].startswith(_API)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *self._headers(scope["path"])]
            await send(message)

        async def refuse(refusal: Refusal, **more: Any) -> None:
            if not status:
                await problem(refusal, **more)(scope, receive, answer)

        self._under_way += 1
        try:
            sent = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
            }
            unwelcome = self._unwelcome(scope, sent)
            if unwelcome:
                challenge = "Bearer" if scope["path"].startswith(("/v1/", "/metrics")) else "Basic"
                asked = (
                    {"WWW-Authenticate": f'{challenge} realm="ColorizeNet"'}
                    if unwelcome.status == 401
                    else None
                )
                await refuse(unwelcome, headers=asked)
            elif of_api:
                await self.api(scope, receive, answer)
            else:
                await self._answer_with_page(scope, receive, answer)
        except Refusal as refusal:
            await refuse(refusal)
        except Exception:
            # The border to clients: what is ours to mend goes to the log, under a name that its client is told too.
            instance = scope.get("instance", uuid.uuid4().urn)
            _log.exception("%s %s failed (%s)", scope["method"], quote(scope["path"]), instance)
            await refuse(_FAULT, instance=instance)
        finally:
            self._under_way -= 1
            route = (
                scope["path"]
                if scope["path"] in ("/v1/colorize", "/v1/models", "/healthz", "/metrics")
                else ""
            )
            self.service.requests.labels(
                route or ("docs" if of_api else "page"), status or "gone"
            ).inc()

    def _unwelcome(self, scope: Scope, sent: Mapping[str, str]) -> Refusal | None:
        """Why a request is not listened to, by its headers alone."""
        if self._under_way > _AT_ONCE:
            return self.service.busy(f"more than {_AT_ONCE} requests are under way")
        if sum(len(name) + len(value) for name, value in sent.items()) > _HEADER_BYTES:
            return Refusal(431, f"the headers are longer than {_HEADER_BYTES:,} bytes; send fewer")
        host = sent.get("host", "")
        if self.access.hosts is not None and _host(f"//{host}") not in self.access.hosts:
            return Refusal(
                421,
                f"this server is not {quote(host)}; use one of {', '.join(sorted(self.access.hosts))}",
            )
        origin = sent.get("origin")
        foreign = (
            origin is not None
            and origin not in self.access.origins
            and origin.partition("://")[2] != host
        )
        if foreign and scope["method"] not in ("GET", "HEAD"):
            return Refusal(
                403, f"pages of {quote(origin)} may not use this server; its keeper can allow them"
            )
        if (
            self.access.token is not None
            and scope["path"] != "/healthz"
            and scope["method"] != "OPTIONS"
        ):
            given = _token(sent.get("authorization", ""))
            if not hmac.compare_digest(given.encode(), self.access.token.encode()):
                return Refusal(
                    401, "this server asks for a token; send it as: Authorization: Bearer TOKEN"
                )
        return None

    def _headers(self, path: str) -> list[tuple[bytes, bytes]]:
        api_only = path.startswith(("/v1/", "/healthz", "/metrics", "/openapi.json"))
        policy = {"Content-Security-Policy": _API_POLICY if api_only else _PAGE_POLICY}
        return [
            (name.lower().encode(), value.encode())
            for name, value in {**_HEADERS, **policy}.items()
        ]

    async def _answer_with_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.page is not None:
            await self.page(scope, receive, send)
        elif scope["path"] != "/":
            raise Refusal(
                404, f"there is nothing at {quote(scope['path'])}; the API is described at /docs"
            )
        elif self.with_page:
            await HTMLResponse(_STARTING, headers={"Refresh": "1"})(scope, receive, send)
        else:
            await RedirectResponse("/docs")(scope, receive, send)

    async def keep_page(self) -> None:
        """Import Gradio beside the API, which answers already, and keep the page until the server stops."""

        def build() -> Any:
            from colorizenet.serving import page as ui

            return ui.Page(self.service, self.stopping)

        try:
            page = await asyncio.to_thread(build)
        except Exception:
            # A foreign border: whatever Gradio stumbles over, the API goes on.
            _log.exception("there is no page; leave it out with --no-ui, or see what Gradio says")
            self.with_page = False
            return
        async with page.open():
            self.page = page
            await self.stopping.wait()


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # such as [
        return None


_FAULT = Refusal(
    500, "the server has a fault that is not yours; tell its keeper the instance named here"
)


def _token(authorization: str) -> str:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(given, validate=True).decode().partition(":")[2]
    return given if scheme.lower() == "bearer" else ""


def _api(service: Service, app: App) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keeping = asyncio.create_task(app.keep_page()) if app.with_page else None
        yield
        app.stopping.set()
        if keeping:
            await keeping
        await asyncio.to_thread(service.close)

    api = FastAPIOffline(
        title="ColorizeNet",
        version=__version__,
        summary="Turns gray photographs into color ones.",
        description="The result has the size, the depth, the format and the metadata of the photograph, and its own "
        "lightness: only color is added. Errors are problem documents (RFC 9457).",
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Security(HTTPBearer(auto_error=False))] if app.access.token else [],
    )
    if app.access.origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(app.access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Server-Timing", "Retry-After"],
        )

    @api.exception_handler(Refusal)
    async def of_ours(_: Request, refusal: Refusal) -> Response:
        return problem(refusal)

    @api.exception_handler(ClientDisconnect)
    async def of_one_who_left(_: Request, __: Exception) -> Response:
        return problem(
            Refusal(400, "the connection ended before the picture did")
        )  # for the figures; nobody reads it

    @api.exception_handler(Exception)
    async def of_a_fault(request: Request, _: Exception) -> Response:
        # Starlette raises the fault again once this is sent, and so the log gets it.
        request.scope["instance"] = instance = uuid.uuid4().urn
        return problem(_FAULT, instance=instance)

    @api.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        sentence = {
            404: f"there is nothing at {quote(request.url.path)}; the API is described at /docs",
            405: f"{quote(request.method)} is not for {quote(request.url.path)}; see /docs for what is",
        }.get(error.status_code, str(error.detail))
        return problem(Refusal(error.status_code, sentence), headers=error.headers)

    @api.exception_handler(RequestValidationError)
    async def of_settings(_: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()
        )
        return problem(
            Refusal(
                422, f"the settings are not understood: {faults}; see /docs for what they may be"
            )
        )

    Settings = create_model(  # noqa: N806 (a class, made of what this server offers)
        "Settings",
        __config__=ConfigDict(extra="forbid"),
        strength=(
            Annotated[
                float,
                Field(
                    ge=0, le=2, description="How much color: 0 is gray, 1 what the model predicts."
                ),
            ],
            1.0,
        ),
        size=(
            Annotated[
                int | None,
                Field(
                    ge=32, le=2048, description="Short side, in pixels, of what the network sees."
                ),
            ],
            None,
        ),
        format=(
            Annotated[
                Literal[tuple(name for name, kind in FORMATS.items() if kind.written)] | None,  # type: ignore[valid-type]
                Field(
                    description="Format of the result; that of the photograph where none is asked for."
                ),
            ],
            None,
        ),
        model=(
            Annotated[Literal[tuple(service.models)], Field(description="One of /v1/models.")],  # type: ignore[valid-type]
            service.default,
        ),
    )
    picture = {"schema": {"type": "string", "format": "binary"}}
    pictures = {f"image/{name}": picture for name in FORMATS}
    problems: dict[int | str, dict[str, Any]] = {
        status: {
            "description": told,
            "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
        }
        for status, told in {
            400: "There is no picture in the request, or its form is not understood.",
            401: "A token is asked for.",
            403: "The page that asks is not allowed to.",
            408: "The body came too slowly.",
            413: "Too many bytes, or too many pixels.",
            415: "Not a picture that is read here.",
            421: "The server does not go by that name.",
            422: "A setting is wrong, or the picture is damaged or cannot be what was asked for.",
            503: "No place is free, or it took too long: try again after `Retry-After` seconds.",
        }.items()
    }

    @api.post(
        "/v1/colorize",
        summary="Color one photograph",
        response_class=Response,
        responses={
            200: {
                "description": "The photograph in color.",
                "content": pictures,
                "headers": {
                    "Server-Timing": {
                        "description": "Milliseconds by stage.",
                        "schema": {"type": "string"},
                    }
                },
            },
            **problems,
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "The file itself, or a form with one file.",
                "content": {
                    **pictures,
                    "application/octet-stream": picture,
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "properties": {"file": {"type": "string", "format": "binary"}},
                            "required": ["file"],
                            "additionalProperties": False,
                        }
                    },
                },
            }
        },
    )
    async def colorize(request: Request, settings: Annotated[Settings, Query()]) -> Response:  # type: ignore[valid-type]
        """
        Send the file as the body, or as the one file of a form:

            curl --data-binary @1921.jpg 'http://127.0.0.1:8000/v1/colorize?strength=1.2' -o 1921-color.jpg
            curl -F file=@1921.tif 'http://127.0.0.1:8000/v1/colorize?format=png' -o 1921-color.png
        """
        started = time.perf_counter()
        with service.receiving() as count:
            encoded = await _body(request, service.limits, count)
            received = time.perf_counter() - started
            service.took("receive", received)
            done = await _while_there(
                request, service.colorize(encoded, Choices(**settings.model_dump()))
            )
        stages = {"receive": received, **done.seconds}
        timing = ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in stages.items())
        return Response(
            done.encoded, media_type=f"image/{done.format}", headers={"Server-Timing": timing}
        )

    @api.get(
        "/v1/models",
        summary="The models to choose from",
        responses={s: problems[s] for s in (401, 403, 421)},
    )
    async def models() -> list[ModelInfo]:
        return [
            ModelInfo(
                name=name,
                default=name == service.default,
                sha256=model.sha256,
                **{
                    key: getattr(model.card, key)
                    for key in ("parameters", "size", "license", "metrics", "limitations")
                },
            )
            for name, model in service.models.items()
        ]

    @api.get("/healthz", summary="Whether the server is ready", responses={503: {"model": Health}})
    async def healthz(response: Response) -> Health:
        response.status_code = 503 if app.stopping.is_set() else 200
        page = "ready" if app.page else "starting" if app.with_page else "off"
        return Health(status="stopping" if app.stopping.is_set() else "ready", page=page)

    @api.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        text = prometheus_client.generate_latest(service.registry)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return api


async def _body(request: Request, limits: Limits, count: Callable[[int], None]) -> bytes:
    """The picture in a request: its whole body, or the one file of its form."""
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed) > limits.max_bytes:
        raise limits.too_large()

    async def chunks() -> AsyncGenerator[bytes]:
        stream = request.stream()
        while True:
            async with asyncio.timeout(min(_IDLE, limits.seconds)):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            count(len(chunk))
            yield chunk

    try:
        async with asyncio.timeout(limits.seconds):
            if (
                not request.headers.get("content-type", "")
                .lower()
                .startswith("multipart/form-data")
            ):
                return b"".join([chunk async for chunk in chunks()])
            form = await _Form(request.headers, chunks(), max_files=1, max_fields=0).parse()
            try:
                sent = form.get("file")
                if not isinstance(sent, UploadFile):
                    raise Refusal(
                        400, "the form has no file named `file`; send the picture as that"
                    )
                return await sent.read()
            finally:
                await form.close()
    except MultiPartException as error:
        raise Refusal(
            400,
            f"the form is not understood ({quote(error.message)}); send one file named `file`, settings in the URL",
        ) from error
    except TimeoutError:
        raise Refusal(408, "the picture came too slowly or not whole; send it again") from None


class _Form(MultiPartParser):
    spool_max_size = (
        sys.maxsize
    )  # what is read is bounded already, and a client's picture has no business on a disk


async def _while_there(request: Request, work: Coroutine[Any, Any, Colored]) -> Colored:
    """What ``work`` gives, unless its client leaves: then it is cancelled."""

    async def leave() -> None:
        await request.receive()  # the body is read, and all that can come is that nobody is there

    working, leaving = asyncio.create_task(work), asyncio.create_task(leave())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


class _Protocol(H11Protocol):
    """HTTP/1.1 that waits for nobody: headers, the next request and the reading of an answer have their time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._impatience = self.loop.call_later(_IDLE, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        self._impatience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:  # a request has begun, and has limits of its own
            self._impatience.cancel()

    def on_response_complete(self) -> None:
        self._impatience.cancel()
        self._impatience = self.loop.call_later(_IDLE, self._lose_patience)
        super().on_response_complete()

    def _lose_patience(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        """What has arrived is answered; a connection without a request gets a moment for one that is on its way."""
        if self.cycle is None or self.cycle.response_complete:
            self._impatience.cancel()
            self._impatience = self.loop.call_later(0.3, super().shutdown)
        else:
            super().shutdown()


class Server(uvicorn.Server):
    """Runs an ``App``; told to stop, it finishes what has arrived."""

    def __init__(self, app: App) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            timeout_graceful_shutdown=math.ceil(app.service.limits.seconds) + 1,
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.stopping.set()
        await super().shutdown(sockets)


def serve(
    models: Mapping[str, Colorizer],
    *,
    limits: Limits,
    access: Access,
    host: str,
    port: int,
    with_page: bool,
    told: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted by then is finished. ``told`` gets the address."""
    listening = _listening(host, port)
    pyvips.cache_set_max(0)  # it would keep clients' pictures
    cv2.setNumThreads(1)  # every place is one thread
    for foreign in ("uvicorn.error", "pyvips"):
        logging.getLogger(foreign).setLevel(
            logging.ERROR
        )  # what is odd about a request is its sender's affair
    app = App(Service(models, limits), access=access, with_page=with_page)
    shown = f"[{host}]" if ":" in host else host
    told(f"http://{shown}:{listening.getsockname()[1]}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda *_: None
        )  # uvicorn raises it once more when it has ended, in good order
    Server(app).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{quote(host)}:{port} cannot be listened on: {reason}; choose --host and --port"
        ) from error
