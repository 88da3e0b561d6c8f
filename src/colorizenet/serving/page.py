"""The page: photographs in, a slider between before and after, and the files to take home.

Gradio makes the page and moves the uploads; pictures are opened by our own decoder only, by the
same ``Service`` that the API uses. Gradio has many routes: those that the page needs are let
through, and of what they are sent, no path that is not an upload and no URL.
"""

import asyncio
import contextlib
import html
import json
import os
import re
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from fastapi import FastAPI
from gradio import themes
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from colorizenet.imaging.formats import FORMATS
from colorizenet.serving.jobs import Choices, Refusal, Service

__all__ = ["Page"]

SAMPLES = ("dust-bowl-home", "moose", "cameraman", "nagasaki-boats-1865", "temple", "astronaut")
"""Which of the sample photographs are offered, by file name."""
_SCREEN = 1600
"""The longest side, in pixels, of what the page shows; what is downloaded is whole."""
_KEPT = 3600.0
"""Seconds that uploads and results stay."""
_ROOM = 20
"""Times ``max_bytes`` that uploads and results may take of the disk."""
_TOGETHER = 2
"""Photographs of one visitor worked on at once."""

_READ = re.compile(
    r"/|/config|/theme\.css|/manifest\.json|/favicon\.ico|/(assets|static|samples)(/[\w@.+~-]+)+|/results/[\w-]+/[^/\\]+"
    r"|/gradio_api/(upload_progress|queue/data|startup-events|heartbeat/\w+)"
)
"""The only paths of Gradio that are let through, and uploads; results and samples are ours."""
_SENT = re.compile(r"/gradio_api/(upload|cancel|reset|queue/join)")
_UPLOADED = "/gradio_api/file="
_JSON_BYTES = 1_000_000


class Page:
    """The page of one server, an ASGI application; what it keeps on the disk is gone when it closes."""

    def __init__(self, service: Service, stopping: asyncio.Event) -> None:
        self._service, self._stopping = service, stopping
        # Gradio's uploads go here, and nothing else is ever there but our results.
        self._folder = Path(tempfile.mkdtemp(prefix="colorizenet-")).resolve()
        (self._folder / "results").mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(self._folder)
        self._shell = FastAPI(openapi_url=None)
        self._shell.mount("/results", StaticFiles(directory=self._folder / "results"))
        samples = _samples()
        if samples:
            self._shell.mount("/samples", StaticFiles(directory=samples))
        offered = [name for name in SAMPLES if samples and (samples / f"{name}.jpg").is_file()]
        thumbnails = (
            f"#sample-{number} {{ background-image: url(samples/{name}.jpg) }}"
            for number, name in enumerate(offered)
        )
        gr.mount_gradio_app(
            self._shell,
            self._blocks(samples, offered),
            path="/",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=service.limits.max_bytes,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            theme=_theme(),
            css_paths=Path(__file__).with_name("page.css"),
            head=f"{_HEAD}<style>{''.join(thumbnails)}</style>",
        )

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While it is open, old files are deleted; after it, all of them."""
        cleaning = asyncio.create_task(self._keep_clean())
        try:
            async with self._shell.router.lifespan_context(self._shell):
                yield
        finally:
            cleaning.cancel()
            shutil.rmtree(self._folder, ignore_errors=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        known = _READ if scope["method"] in ("GET", "HEAD") else _SENT
        if not (known.fullmatch(path) or self._is_upload(path)) or ".." in path.split("/"):
            raise Refusal(404, "there is nothing here; the API is described at /docs")
        if path == "/gradio_api/upload":
            await self._make_sure_of_room()
            receive = _bounded(receive, _ROOM * self._service.limits.max_bytes)
        elif scope["method"] == "POST":
            receive = _once(self._checked(await _body(_bounded(receive, _JSON_BYTES))), receive)
        if not path.startswith("/gradio_api/heartbeat/"):
            await self._shell(scope, receive, send)
            return
        ended = False

        async def noted(message: Message) -> None:
            nonlocal ended
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        # It lasts as long as the visitor stays; when the server stops, the visitor has to leave.
        beating = asyncio.create_task(self._shell(scope, receive, noted))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({beating, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not beating.done():
            beating.cancel()
            await asyncio.wait({beating})
            if not ended:
                await send({"type": "http.response.body", "body": b""})

    def _is_upload(self, path: str) -> bool:
        return path.startswith(_UPLOADED) and self._holds(path.removeprefix(_UPLOADED))

    def _holds(self, path: object) -> bool:
        """Whether a path is that of a file below our folder, and of nothing else by another name."""
        if not isinstance(path, str) or "\0" in path:
            return False
        return (
            Path(path).resolve() == Path(path)
            and Path(path).is_relative_to(self._folder)
            and Path(path).is_file()
        )

    def _checked(self, body: bytes) -> bytes:
        """What an event of the page sends, if every file it names is an upload; addresses are taken out."""

        def check(value: Any) -> Any:
            if isinstance(value, list):
                return [check(each) for each in value]
            if not isinstance(value, dict):
                return value
            if "path" in value and not self._holds(value["path"]):
                raise Refusal(
                    403, "only files that were uploaded here are opened; choose them anew"
                )
            return {name: check(each) for name, each in value.items() if name != "url"}

        try:
            return json.dumps(check(json.loads(body))).encode()
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "this is not what the page sends; load it anew") from error

    async def _make_sure_of_room(self) -> None:
        def used() -> int:
            return sum(found.st_size for _, found in _below(self._folder))

        if await asyncio.to_thread(used) > _ROOM * self._service.limits.max_bytes:
            raise Refusal(
                503,
                "there is no room for more photographs just now; try again later",
                retry_after=60,
            )

    async def _keep_clean(self) -> None:
        def clean() -> None:
            for path, found in _below(self._folder):
                if found.st_mtime < time.time() - _KEPT and path != self._folder / "results":
                    with contextlib.suppress(OSError):  # a folder that holds something yet
                        path.rmdir() if path.is_dir() else path.unlink()

        while True:
            await asyncio.sleep(_KEPT / 10)
            await asyncio.to_thread(clean)

    def _blocks(self, samples: Path | None, offered: Sequence[str]) -> gr.Blocks:
        service = self._service
        endings = [ending for kind in FORMATS.values() if kind.loader for ending in kind.suffixes]
        preferred = service.models[service.default].card.size
        with gr.Blocks(title="ColorizeNet", analytics_enabled=False, fill_width=True) as blocks:
            _markup(_TITLE, "title")
            with gr.Row(equal_height=False):
                with gr.Column(scale=2, min_width=300, elem_id="choices"):
                    files = gr.File(
                        label="Your photographs",
                        file_count="multiple",
                        file_types=["image", *endings],
                        height=190,
                        elem_id="files",
                    )
                    buttons: list[gr.Button] = []
                    if offered:
                        _markup("<h2>or one of these</h2>", "or")
                        with gr.Row(elem_id="samples"):
                            for number, name in enumerate(offered):
                                title = re.sub(r"-\d+$", "", name).replace("-", " ").capitalize()
                                buttons.append(
                                    gr.Button(
                                        title, elem_id=f"sample-{number}", min_width=90, size="sm"
                                    )
                                )
                    strength = gr.Slider(
                        0,
                        2,
                        1,
                        step=0.05,
                        label="Strength",
                        info="0 is gray, 1 what the model predicts",
                        elem_id="strength",
                    )
                    with gr.Accordion("More settings", open=False, elem_id="more"):
                        size = gr.Slider(
                            64,
                            768,
                            preferred,
                            step=32,
                            label="Size of what the network sees",
                            info=f"Short side in pixels; the model prefers {preferred}",
                            elem_id="size",
                        )
                        model = gr.Dropdown(
                            list(service.models),
                            value=service.default,
                            label="Model",
                            elem_id="model",
                        )
                    again = gr.Button(
                        "Color again", variant="primary", interactive=False, elem_id="again"
                    )
                with gr.Column(scale=5, min_width=300, elem_id="results-column"):
                    results = _markup(_EMPTY, "results")
            chosen = gr.State([])
            settings = [strength, size, model]
            common: dict[str, Any] = {
                "outputs": [chosen, again, results],
                "api_visibility": "private",
                "show_progress": "hidden",
                "concurrency_limit": None,
            }
            latest: dict[str, Any] = {"trigger_mode": "always_last"}
            files.upload(self._color, [files, *settings], **common)
            files.clear(lambda: ([], gr.Button(interactive=False), _EMPTY), None, **common)
            for button, name in zip(buttons, offered, strict=True):
                assert samples is not None
                button.click(
                    partial(self._color, [str(samples / f"{name}.jpg")]), settings, **common
                )
            again.click(self._color, [chosen, *settings], **common, **latest)
            strength.release(self._color, [chosen, *settings], **common, **latest)
            size.release(self._color, [chosen, *settings], **common, **latest)
        blocks.queue(max_size=service.limits.queue, api_open=False)
        return blocks

    async def _color(
        self, paths: Sequence[str] | None, strength: float, size: int, model: str
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Color files one after the other and tell of each as it is done."""
        paths = list(paths or [])
        if not paths:
            yield [], gr.Button(interactive=False), _EMPTY
            return
        choices = Choices(strength=strength, size=int(size), model=model)
        folder = self._folder / "results" / secrets.token_urlsafe(16)
        folder.mkdir()
        names = _names([Path(path) for path in paths])
        places = asyncio.Semaphore(_TOGETHER)

        async def one(path: str, name: str) -> _Shown:
            async with places:
                return await self._one(Path(path), folder / name, choices)

        done: list[_Shown] = []
        yield paths, gr.Button(interactive=True), _shown(done, len(paths))
        tasks = [
            asyncio.create_task(one(path, name)) for path, name in zip(paths, names, strict=True)
        ]
        try:
            for task in tasks:
                done.append(await task)
                if len(done) < len(tasks):
                    yield paths, gr.Button(interactive=True), _shown(done, len(paths))
        finally:
            for task in tasks:
                task.cancel()
        archive = ""
        written = [each.result for each in done if each.result]
        if len(written) > 1:
            archive = await asyncio.to_thread(_zipped, folder, written)
        yield paths, gr.Button(interactive=True), _shown(done, len(paths), archive)

    async def _one(self, path: Path, target: Path, choices: Choices) -> "_Shown":
        name = path.name
        try:
            with self._service.receiving() as count:
                count(path.stat().st_size)
                encoded = await asyncio.to_thread(path.read_bytes)
                while True:
                    try:
                        done = await self._service.colorize(encoded, choices, screen=_SCREEN)
                        break
                    except Refusal as refusal:
                        if refusal.retry_after is None or self._stopping.is_set():
                            raise
                        await asyncio.sleep(refusal.retry_after)
        except Refusal as refusal:
            return _Shown(name, error=refusal.detail)
        except OSError:
            return _Shown(name, error="the photograph is no longer here; choose it again")
        target = target.with_suffix(_suffix(path, done.format))
        small = "jpg" if done.before.startswith(b"\xff\xd8") else "webp"
        before, after = (
            target.with_name(f"{target.stem}.{when}.{small}") for when in ("before", "after")
        )

        def write() -> None:
            for file, content in (
                (target, done.encoded),
                (before, done.before),
                (after, done.after),
            ):
                file.write_bytes(content)

        await asyncio.to_thread(write)
        about = f"{done.width} x {done.height} pixels, {done.bits} bits, {done.format.upper()}, {_bytes(len(done.encoded))}"
        return _Shown(name, target, before, after, about, shape=(done.width, done.height))


@dataclass(frozen=True)
class _Shown:
    """One photograph on the page: the files of its result, or why there are none."""

    name: str
    result: Path | None = None
    before: Path | None = None
    after: Path | None = None
    about: str = ""
    shape: tuple[int, int] = (1, 1)
    error: str = ""


def _markup(content: str, elem_id: str) -> gr.Markdown:
    """HTML of ours as it is. Gradio's component for HTML needs a browser that evaluates strings, which we forbid."""
    return gr.Markdown(content, elem_id=elem_id, sanitize_html=False, latex_delimiters=[])


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each result that no other has."""
    taken: set[str] = set()
    names = []
    for path in paths:
        candidates = [
            f"{path.stem}-color",
            *(f"{path.stem}-color-{n}" for n in range(2, len(paths) + 2)),
        ]
        name = next(each for each in candidates if each.casefold() not in taken)
        taken.add(name.casefold())
        names.append(f"{name}{path.suffix}")
    return names


def _suffix(path: Path, format: str) -> str:
    known = FORMATS[format].suffixes
    return path.suffix if path.suffix.lower() in known else known[0]


def _zipped(folder: Path, written: Sequence[Path]) -> str:
    archive = folder / "photographs-in-color.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in written:
            file.write(path, path.name)
    return _address(archive)


def _bytes(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{max(1, round(number / 1e3))} kB"


def _address(path: Path | None) -> str:
    assert path is not None
    return f"results/{quote(path.parent.name)}/{quote(path.name)}"


def _shown(done: Sequence[_Shown], total: int, archive: str = "") -> str:
    """What the page shows of so many photographs, as HTML."""
    failed = sum(1 for each in done if each.error)
    if len(done) < total:
        told = f"Coloring {len(done) + 1} of {total} …" if total > 1 else "Coloring …"
        bar = f"<progress max='{total}'{f' value={len(done)}' if total > 1 else ''} aria-label='Progress'></progress>"
    else:
        told, bar = f"{total - failed} of {total} in color" if total > 1 else "", ""
    get = (
        f"<a class='cn-get' id='zip' href='{archive}' download>Download all (zip)</a>"
        if archive
        else ""
    )
    head = (
        f"<div class='cn-head'><p role='status'>{told}</p>{bar}{get}</div>"
        if told or bar or get
        else ""
    )
    cards = "".join(_card(each) for each in done)
    return f"{head}<div class='cn-cards{' cn-many' if total > 1 else ''}'>{cards}</div>"


def _card(shown: _Shown) -> str:
    name = html.escape(shown.name, quote=True)
    if shown.error:
        told = html.escape(shown.error[:1].upper() + shown.error[1:])
        return f"<div class='cn-error' role='alert'><strong>{name}</strong><p>{told}.</p></div>"
    width, height = shown.shape
    return f"""<figure class='cn-card'>
<div class='cn-compare' style='aspect-ratio: {width} / {height}; --ratio: {width / height:.4f}'>
<img src='{_address(shown.after)}' alt='{name} in color'>
<img class='cn-before' src='{_address(shown.before)}' alt='{name} as it was'>
<span class='cn-line' aria-hidden='true'></span>
<input type='range' min='0' max='100' value='50' aria-label='How much of {name} is shown as it was'
 oninput="this.parentNode.style.setProperty('--at', this.value + '%')">
</div>
<figcaption><span><strong>{name}</strong><br>{shown.about}</span>
<a class='cn-get' href='{_address(shown.result)}' download>Download</a></figcaption>
</figure>"""


def _below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What a folder holds, files before their folders; what is gone meanwhile is left out."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            yield path, path.stat()


def _samples() -> Path | None:
    """The sample photographs: inside the package, or beside it in a checkout."""
    here = Path(__file__).parent
    return next(
        (path for path in (here / "samples", here.parents[1] / "samples") if path.is_dir()), None
    )


def _bounded(receive: Receive, limit: int) -> Receive:
    """The same body, refused once it is longer than that."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise Refusal(
                413, f"this is more than the {limit:,} bytes that are taken here; send less"
            )
        return message

    return counted


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """A body that was read already; after it, what comes."""
    waiting = [body]

    async def replayed() -> Message:
        return {"type": "http.request", "body": waiting.pop()} if waiting else await receive()

    return replayed


def _theme() -> themes.Base:
    font = [themes.Font("system-ui"), themes.Font("sans-serif")]
    mono = [themes.Font("ui-monospace"), themes.Font("monospace")]
    theme = themes.Base(
        primary_hue="orange",
        secondary_hue="orange",
        neutral_hue="stone",
        radius_size="sm",
        font=font,
        font_mono=mono,
    )
    # White on Gradio's own orange cannot be read by everybody.
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        slider_color="*primary_600",
    )


_TITLE = """<h1>ColorizeNet</h1>
<p>Gives gray photographs likely colors. Their size, their light and what their files carry stay as they were, and
nothing is sent anywhere but to this server.</p>"""

_EMPTY = """<div class='cn-empty'><p>The photograph appears here, gray and in color.</p></div>"""

_HEAD = """<meta name="description" content="Gray photographs in color">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E
%3Crect width='8' height='16' fill='%23777'/%3E%3Crect x='8' width='8' height='16' fill='%23d9772b'/%3E%3C/svg%3E">"""
