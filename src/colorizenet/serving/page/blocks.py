"""The layout of the page and its events, as Gradio blocks."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes

from colorizenet.errors import ConfigError
from colorizenet.imaging.formats import FORMATS
from colorizenet.serving.jobs import JobQueue, readable_formats
from colorizenet.serving.page.coloring import colorize_files, create_folder, write_archive
from colorizenet.serving.page.controls import build_control, build_model_control, parse_controls
from colorizenet.serving.page.results import EMPTY, Result, render_error, render_results
from colorizenet.serving.page.storage import Storage
from colorizenet.serving.settings import offered_choices

__all__ = ["build_blocks", "build_head", "build_theme"]

_TITLE = """<h1>ColorizeNet</h1>
<p>Colorizes black-and-white photos. Size, lightness and metadata stay as they are. Photos are
sent to this server only, and deleted after an hour.</p>"""

_HEAD = """<meta name="description" content="Colorize black-and-white photos">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'
 viewBox='0 0 16 16'%3E%3Crect width='8' height='16' fill='%23777'/%3E
%3Crect x='8' width='8' height='16' fill='%23d9772b'/%3E%3C/svg%3E">"""

_FIRST_SETTINGS = ("strength",)
"""Settings that are always visible; the others are in a section that can be opened."""


def build_blocks(
    queue: JobQueue, storage: Storage, samples: Sequence[Path], stopping: asyncio.Event
) -> gr.Blocks:
    """The page: upload and settings on the left, results on the right."""
    with gr.Blocks(title="ColorizeNet", analytics_enabled=False, fill_width=True) as blocks:
        _html(_TITLE, "title")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_id="choices"):
                files = _build_upload()
                buttons = _build_sample_buttons(samples)
                settings = _build_settings(queue)
                again = gr.Button(
                    "Colorize again", variant="primary", interactive=False, elem_id="again"
                )
            with gr.Column(scale=5, min_width=300, elem_id="results-column"):
                results = _html(EMPTY, "results")
        chosen = gr.State([])
        colorize = partial(_colorize, queue, storage, stopping)
        event: dict[str, Any] = {
            "outputs": [chosen, again, results],
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_limit": None,
        }
        files.upload(colorize, [files, *settings], **event)
        files.clear(lambda: ([], gr.Button(interactive=False), EMPTY), None, **event)
        for button, path in zip(buttons, samples, strict=True):
            button.click(partial(colorize, [str(path)]), settings, **event)
        event["trigger_mode"] = "always_last"
        again.click(colorize, [chosen, *settings], **event)
        for slider in settings:
            if isinstance(slider, gr.Slider):
                slider.release(colorize, [chosen, *settings], **event)
    blocks.queue(max_size=queue.limits.queue, api_open=False)
    return blocks


def build_theme() -> themes.Base:
    """Gradio's plainest theme with fonts of the system, so that no font is
    downloaded."""
    theme = themes.Base(
        primary_hue="orange",
        secondary_hue="orange",
        neutral_hue="stone",
        radius_size="sm",
        font=[themes.Font("system-ui"), themes.Font("sans-serif")],
        font_mono=[themes.Font("ui-monospace"), themes.Font("monospace")],
    )
    # White text on Gradio's own orange has too little contrast.
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        slider_color="*primary_600",
    )


def build_head(samples: Sequence[Path]) -> str:
    """What goes into the HTML head: description, icon, and the images of the sample
    buttons."""
    thumbnails = (
        f"#sample-{number} {{ background-image: url(samples/{path.name}) }}"
        for number, path in enumerate(samples)
    )
    return f"{_HEAD}<style>{''.join(thumbnails)}</style>"


def _build_upload() -> gr.File:
    suffixes = [suffix for name in readable_formats() for suffix in FORMATS[name].suffixes]
    return gr.File(
        label="Your photos",
        file_count="multiple",
        file_types=["image", *suffixes],
        height=190,
        elem_id="files",
    )


def _build_sample_buttons(samples: Sequence[Path]) -> list[gr.Button]:
    if not samples:
        return []
    _html("<h2>Or try a sample</h2>", "or")
    with gr.Row(elem_id="samples"):
        return [
            gr.Button(_title(path), elem_id=f"sample-{number}", min_width=90, size="sm")
            for number, path in enumerate(samples)
        ]


def _build_settings(queue: JobQueue) -> list[Any]:
    """The controls in the order of ``control_names``."""
    choices = offered_choices()
    controls = {each.name: build_control(each) for each in choices if each.name in _FIRST_SETTINGS}
    with gr.Accordion("More settings", open=False, elem_id="more"):
        controls |= {
            each.name: build_control(each) for each in choices if each.name not in controls
        }
        model = build_model_control(queue)
    return [*(controls[each.name] for each in choices), model]


async def _colorize(
    queue: JobQueue,
    storage: Storage,
    stopping: asyncio.Event,
    paths: Sequence[str] | None,
    *settings: Any,
) -> AsyncGenerator[tuple[Any, ...]]:
    """Colorize files and update the page after each: the files, the button, and the
    results."""
    paths = list(paths or [])
    if not paths:
        yield [], gr.Button(interactive=False), EMPTY
        return
    enabled = gr.Button(interactive=True)
    try:
        request = parse_controls(*settings)
    except ConfigError as error:
        yield paths, enabled, render_error("Wrong setting", str(error))
        return
    results: list[Result] = []
    yield paths, enabled, render_results(results, len(paths))
    folder = create_folder(storage.results)
    photos = colorize_files(
        [Path(path) for path in paths], folder, request, queue, storage, stopping
    )
    async with contextlib.aclosing(photos):  # a visitor may leave before the last photo
        async for result in photos:
            results.append(result)
            if len(results) < len(paths):
                yield paths, enabled, render_results(results, len(paths))
    files = [each.file for each in results if each.file]
    archive = await write_archive(folder, files, storage) if len(files) > 1 else None
    yield paths, enabled, render_results(results, len(paths), archive)


def _html(content: str, elem_id: str) -> gr.Markdown:
    """Our own HTML, unchanged.

    Gradio's component for HTML evaluates strings as scripts, which the security policy
    of the page forbids.
    """
    return gr.Markdown(content, elem_id=elem_id, sanitize_html=False, latex_delimiters=[])


def _title(sample: Path) -> str:
    return re.sub(r"-\d+$", "", sample.stem).replace("-", " ").capitalize()
