"""The page as an ASGI application, with the lifetime of its files and of its
connections."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

import colorizenet
from colorizenet.serving.jobs import JobQueue
from colorizenet.serving.page.blocks import build_blocks, build_head, build_theme
from colorizenet.serving.page.filters import (
    check_route,
    filter_event,
    limit_body,
    read_body_size,
)
from colorizenet.serving.page.storage import Storage

__all__ = ["Page"]

SAMPLES = ("dust-bowl-home", "moose", "cameraman", "nagasaki-boats-1865", "temple", "astronaut")
"""The sample photos that the page offers, by file name."""


class Page:
    """The page of one server: an ASGI application. Its files are in the folder of the
    queue."""

    def __init__(self, queue: JobQueue, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._storage = Storage(queue.folder.path / "page", queue.limits)
        # Gradio has no other way to say where uploads go.
        os.environ["GRADIO_TEMP_DIR"] = str(self._storage.folder)
        self._app = FastAPI(openapi_url=None)
        self._app.mount("/results", StaticFiles(directory=self._storage.results))
        folder = _find_samples()
        samples: list[Path] = []
        if folder:
            self._app.mount("/samples", StaticFiles(directory=folder))
            samples = [folder / f"{name}.jpg" for name in SAMPLES]
            samples = [path for path in samples if path.is_file()]
        gr.mount_gradio_app(
            self._app,
            build_blocks(queue, self._storage, samples, stopping),
            path="/",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=queue.limits.max_bytes,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            theme=build_theme(),
            css_paths=Path(__file__).with_name("page.css"),
            head=build_head(samples),
        )

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Delete old files while the page is open."""
        deleting = asyncio.create_task(self._storage.delete_old_files())
        try:
            async with self._app.router.lifespan_context(self._app):
                yield
        finally:
            deleting.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        check_route(scope["method"], path, self._storage)
        if path == "/gradio_api/upload":
            size = read_body_size(scope, self._storage.max_bytes)
            async with self._storage.reserve(size):
                await self._app(scope, limit_body(receive, size), send)
        elif path.startswith("/gradio_api/heartbeat/"):
            await self._respond_until_stopping(scope, receive, send)
        elif scope["method"] == "POST":
            await self._app(scope, await filter_event(receive, self._storage), send)
        else:
            await self._app(scope, receive, send)

    async def _respond_until_stopping(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that lasts as long as the visitor stays, but end it with the
        server."""
        ended = False

        async def forward(message: Message) -> None:
            nonlocal ended
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        responding = asyncio.ensure_future(self._app(scope, receive, forward))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({responding, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not responding.done():
            responding.cancel()
            await asyncio.wait({responding})
            if not ended:
                await send({"type": "http.response.body", "body": b""})


def _find_samples() -> Path | None:
    """The folder of the sample photos: inside the installed package, or in a
    checkout."""
    package = Path(colorizenet.__file__).parent
    candidates = (package / "samples", package.parents[1] / "samples")
    return next((path for path in candidates if path.is_dir()), None)
