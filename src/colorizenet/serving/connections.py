"""Connections: time limits, bodies of requests, clients that disconnect, and orderly
shutdown."""

import asyncio
import math
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

import uvicorn
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from colorizenet.errors import ConfigError, quote
from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import Limits

__all__ = ["MAX_HEADER_BYTES", "Server", "listen", "read_photo", "run_while_connected"]

MAX_HEADER_BYTES = 32_768
"""Size of the headers of one request."""
_SHUTDOWN_GRACE = 0.3
"""Seconds for a request that is on its way when the server stops."""

T = TypeVar("T")


async def read_photo(request: Request, limits: Limits, count: Callable[[int], None]) -> bytes:
    """The photo in a request: its whole body, or the one file of its form.

    ``count`` is called with the size of each part that arrives, and may raise.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_bytes:
        raise limits.file_too_large
    form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    chunks = _read_chunks(request, limits, count)
    try:
        async with asyncio.timeout(limits.timeout):
            encoded = (
                await _read_form(request, chunks)
                if form
                else b"".join([chunk async for chunk in chunks])
            )
    except MultiPartException as error:
        raise RequestError(
            400,
            f"the form is malformed ({quote(error.message)}); "
            "send one file named `file`, and the settings in the URL",
        ) from error
    except TimeoutError:
        raise RequestError(
            408, "the photo arrived too slowly or incompletely; send it again"
        ) from None
    if not encoded:
        raise RequestError(400, "the request contains no photo; send the bytes of one as its body")
    return encoded


async def _read_chunks(
    request: Request, limits: Limits, count: Callable[[int], None]
) -> AsyncGenerator[bytes]:
    stream = request.stream()
    while True:
        async with asyncio.timeout(min(limits.idle_timeout, limits.timeout)):
            chunk = await anext(stream, None)
        if chunk is None:
            return
        count(len(chunk))
        yield chunk


async def _read_form(request: Request, chunks: AsyncGenerator[bytes]) -> bytes:
    form = await _FormParser(request.headers, chunks, max_files=1, max_fields=0).parse()
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise RequestError(
                400, "the form has no file named `file`; send the photo under that name"
            )
        return await file.read()
    finally:
        await form.close()


class _FormParser(MultiPartParser):
    # The size is limited elsewhere, and a client's photo must not be written to the
    # disk.
    spool_max_size = sys.maxsize


async def run_while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled where the client disconnects.

    The body of the request must have been read. Raises ``ClientDisconnect``.
    """
    working = asyncio.create_task(work)
    # After the body, the only message that can follow is the one about the
    # disconnection.
    disconnecting = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        disconnecting.cancel()
        working.cancel()


class _TimeoutProtocol(H11Protocol):
    """HTTP/1.1 with time limits for headers, for the next request, and for reading a
    response.

    uvicorn itself waits for these forever. A request that has begun has limits of its
    own.
    """

    def __init__(self, *arguments: Any, idle_timeout: float, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._idle_timeout = idle_timeout

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self._idle_timeout, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:  # a request has begun
            self._timer.cancel()

    def on_response_complete(self) -> None:
        self._timer.cancel()
        self._timer = self.loop.call_later(self._idle_timeout, self._abort)
        super().on_response_complete()

    def _abort(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        """Finish the current request. Without one, wait a moment for one that is on its
        way."""
        if self.cycle is None or self.cycle.response_complete:
            self._timer.cancel()
            self._timer = self.loop.call_later(_SHUTDOWN_GRACE, super().shutdown)
        else:
            super().shutdown()


class Server(uvicorn.Server):
    """Runs an ASGI application. When it is stopped, it finishes the requests that have
    arrived.

    ``stopping`` is set as soon as the server begins to stop.
    """

    def __init__(self, app: ASGIApp, limits: Limits, stopping: asyncio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast(Any, partial(_TimeoutProtocol, idle_timeout=limits.idle_timeout)),
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                timeout_graceful_shutdown=math.ceil(limits.timeout) + 1,
            )
        )
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address. ``ConfigError`` where that is impossible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot listen on {quote(host)}:{port}: {reason}; choose another --host or --port"
        ) from error
