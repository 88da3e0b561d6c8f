"""Connections: time limits, bodies of requests, clients that disconnect, and orderly
shutdown."""

import asyncio
import logging
import math
import socket
import sys
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractContextManager, aclosing
from functools import partial
from types import FrameType
from typing import Any, TypeVar, cast

import h11
import uvicorn
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from colorizenet.errors import quote
from colorizenet.serving.errors import RequestError
from colorizenet.serving.limits import Limits
from colorizenet.serving.messages import Content
from colorizenet.serving.schemas import problem_response
from colorizenet.serving.storage import Incoming, measure_content

__all__ = [
    "MAX_HEADER_BYTES",
    "PhotoResponse",
    "Server",
    "limit_body_time",
    "read_photo",
    "run_while_connected",
]

MAX_HEADER_BYTES = 32_768
"""Size of the headers of one request."""
_SHUTDOWN_GRACE = 0.3
"""Seconds for a request that is on its way when the server stops."""

_OPTIONS_BYTES = 1 << 16
"""Bytes of the part ``options`` of a form at most; 128 hints take 13,000."""
_PART_BYTES = 1 << 18
"""Bytes of a result that are handed to the connection at once."""
_PROGRESS_BYTES = 4096
"""Bytes of a response that a client must read in each ``Limits.idle_timeout``."""
_UNSENT_OPTION = {"linux": 25, "darwin": 0x201}.get(sys.platform)
"""TCP_NOTSENT_LOWAT, which limits what the system holds that cannot be sent yet.

Without it that is megabytes, and the progress of a slow client remains unseen."""

T = TypeVar("T")


async def read_photo(request: Request, incoming: Incoming, limits: Limits) -> tuple[Content, bytes]:
    """The photo in a request, its whole body or the file of its form, and the part
    ``options`` of the form, empty if there is none.

    Raises ``RequestError`` where there is no photo, or one that is too large.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_bytes:
        raise limits.make_size_error(int(declared))
    options = b""
    try:
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            options = await _read_form(request, incoming)
        else:
            async for chunk in _read_chunks(request, incoming):
                await incoming.write(chunk)
    except MultiPartException as error:
        raise RequestError(
            400,
            "invalid-request",
            f"the form is malformed ({quote(error.message)}); "
            "send one file named `file`, and the settings in the URL or as `options`",
        ) from error
    content = await incoming.finish()
    if not content:
        raise RequestError(
            400, "empty", "the request contains no photo; send the bytes of one as its body"
        )
    return content, options


def limit_body_time(receive: Receive, limits: Limits) -> Receive:
    """``receive`` of a request with limits on the time that its body may take.

    Raises ``RequestError`` where the next part does not arrive within
    ``limits.idle_timeout``, or the whole not within ``limits.timeout``.
    """
    complete = False
    end: float | None = None

    async def receive_in_time() -> Message:
        nonlocal complete, end
        if complete:  # what follows is the disconnection
            return await receive()
        now = asyncio.get_running_loop().time()
        end = end or now + limits.timeout
        try:
            async with asyncio.timeout(min(limits.idle_timeout, end - now)):
                message = await receive()
        except TimeoutError:
            raise RequestError(
                408, "slow-upload", "the photo arrived too slowly or incompletely; send it again"
            ) from None
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


async def _read_chunks(request: Request, incoming: Incoming) -> AsyncGenerator[bytes]:
    async for chunk in request.stream():
        incoming.count(len(chunk))
        yield chunk


async def _read_form(request: Request, incoming: Incoming) -> bytes:
    """Read the file of a form into ``incoming``, and return its part ``options``."""
    # Some clients send JSON as a field, others as a file.
    parser = _FormParser(
        request.headers, _read_chunks(request, incoming), max_files=2, max_fields=1
    )
    parser.incoming = incoming
    try:
        form = await parser.parse()
    except UnicodeError as error:  # of an odd charset in the header
        raise RequestError(
            400,
            "invalid-request",
            f"the form cannot be read ({quote(error)}); send it as UTF-8, without a charset",
        ) from error
    try:
        if not isinstance(form.get("file"), UploadFile):
            raise RequestError(
                400,
                "invalid-request",
                "the form has no file named `file`; send the photo under that name",
            )
        names = [name for name, _ in form.multi_items()]
        if len(set(names)) < len(names) or set(names) - {"file", "options"}:
            raise RequestError(
                400,
                "invalid-request",
                f"the form has the parts {quote(', '.join(names))[:200]}; "
                "send one `file`, and at most one `options`",
            )
        options = form.get("options", "")
        if isinstance(options, UploadFile):
            return await options.read()
        encoded = options.encode("utf-8", "replace")
        _check_options(len(encoded))
        return encoded
    finally:
        await form.close()


def _check_options(size: int) -> None:
    if size > _OPTIONS_BYTES:
        raise RequestError(
            413,
            "invalid-setting",
            f"`options` has more than {_OPTIONS_BYTES:,} bytes; send fewer hints",
        )


class _FormParser(MultiPartParser):
    """Reads a form whose file goes to ``incoming`` while it arrives."""

    incoming: Incoming

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is not None:
            first = part.field_name not in (name for name, _ in self.items)
            photo = part.field_name == "file" and first
            part.file = _Part(part.file, part.field_name, self.incoming if photo else None)


class _Part(UploadFile):
    """A file of a form. The photo goes to ``incoming``, ``options`` are kept, and what
    is rejected in the end is not."""

    def __init__(self, plain: UploadFile, name: str, incoming: Incoming | None) -> None:
        super().__init__(plain.file, size=0, filename=plain.filename, headers=plain.headers)
        self._name, self._incoming = name, incoming

    async def write(self, data: bytes) -> None:
        """Add bytes to the part."""
        if self._incoming is not None:
            await self._incoming.write(data)
        elif self._name == "options":
            _check_options((self.size or 0) + len(data))
            await super().write(data)


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


class PhotoResponse(Response):
    """A response that is sent in parts, each when the client has read most of those
    before it.

    So ``holding`` is left when the client has received the result, and not when the
    server has copied it to the connection.
    """

    def __init__(
        self, content: Content, *, holding: AbstractContextManager[None], **more: Any
    ) -> None:
        super().__init__(content if isinstance(content, bytes) else b"", **more)
        self._content, self._holding = content, holding
        self.headers["Content-Length"] = str(measure_content(content))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        with self._holding:
            await send(start | {"headers": self.raw_headers})
            # Where ``send`` fails, the file is closed before ``holding`` deletes it.
            async with aclosing(self._read_parts()) as parts:
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _read_parts(self) -> AsyncGenerator[bytes]:
        if isinstance(self._content, bytes):
            for at in range(0, len(self._content), _PART_BYTES):
                yield self._content[at : at + _PART_BYTES]
        else:
            with await asyncio.to_thread(self._content.open, "rb") as file:
                while part := await asyncio.to_thread(file.read, _PART_BYTES):
                    yield part


class _TimeoutProtocol(H11Protocol):
    """HTTP/1.1 with time limits for headers, for the next request, and for reading a
    response, and with a limit on connections.

    uvicorn itself waits for these forever. The body of a request, and the work on it,
    have limits of their own. A client that reads slowly is not disconnected as long as
    it reads at least ``_PROGRESS_BYTES`` in each ``idle_timeout``.
    """

    def __init__(self, *arguments: Any, limits: Limits, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._limits = limits
        self._unsent = 0
        self._drained = False

    @property
    def answered(self) -> bool:
        """Whether no request is being received or answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a request, and has sent all responses."""
        return self.answered and not self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if _UNSENT_OPTION is not None:
            connected = transport.get_extra_info("socket")
            connected.setsockopt(socket.IPPROTO_TCP, _UNSENT_OPTION, _PART_BYTES // 8)
        self._restart_timer()
        open_ones = [
            each
            for each in self.connections
            if isinstance(each, _TimeoutProtocol) and not each.transport.is_closing()
        ]
        if len(open_ones) > self._limits.connections:
            # Those that wait for a request go first, then those whose response is only
            # waiting to be read. So a health check gets through.
            answered = (each for each in open_ones if each is not self and each.answered)
            victim = min(
                answered, key=lambda each: (not each.idle, each._timer.when()), default=self
            )
            victim.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:  # a request has begun
            self._restart_timer()

    def send_400_response(self, msg: str) -> None:
        """Disconnect after what is no HTTP, with a problem document where that is
        possible. Called while the error is handled."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # no response has begun
            status, detail = 400, "the request is no valid HTTP; correct the program that sent it"
            if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431:
                limit = f"the limit is {MAX_HEADER_BYTES:,} bytes"
                status, detail = 431, f"the headers are too long and {limit}; send shorter ones"
            response = problem_response(RequestError(status, "invalid-request", detail))
            headers = [*response.raw_headers, (b"connection", b"close")]
            head = h11.Response(status_code=response.status_code, headers=headers)
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def resume_writing(self) -> None:
        self._drained = True
        super().resume_writing()

    def on_response_complete(self) -> None:
        self._restart_timer()
        super().on_response_complete()

    def _restart_timer(self, unsent: int = 0) -> None:
        if hasattr(self, "_timer"):
            self._timer.cancel()
        self._unsent = unsent
        self._drained = False
        self._timer = self.loop.call_later(self._limits.idle_timeout, self._check_progress)

    def _check_progress(self) -> None:
        """Disconnect a client that has read nothing, or sent nothing, for too long."""
        unsent = self.transport.get_write_buffer_size()
        working = not self.answered
        # While a response is being sent, what was read is replaced, maybe by as much.
        changed = self._drained or unsent != self._unsent
        reading = changed if working else unsent <= self._unsent - _PROGRESS_BYTES
        first = self._unsent == 0
        if (working and not unsent) or (unsent and (first or reading)):
            self._restart_timer(unsent)
        elif unsent or not self._unsent:
            self.transport.abort()
        else:  # the client has just read the last of a response
            self._restart_timer()

    def shutdown(self) -> None:
        """Finish the current request. Without one, wait a moment for one that is on its
        way."""
        if self.answered:
            self._timer.cancel()
            self._timer = self.loop.call_later(_SHUTDOWN_GRACE, super().shutdown)
        else:
            super().shutdown()


class Server(uvicorn.Server):
    """Runs an ASGI application. When it is stopped, it finishes the requests that have
    arrived; a second Ctrl-C ends them.

    ``stopping`` is set as soon as the server begins to stop.
    """

    def __init__(self, app: ASGIApp, limits: Limits, stopping: asyncio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast(Any, partial(_TimeoutProtocol, limits=limits)),
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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self.force_exit:  # each request that ends so would have a traceback
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)
