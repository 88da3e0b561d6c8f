"""The HTML of the results: a card per photo with a slider between before and after."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

__all__ = ["EMPTY", "Result", "describe_photo", "render_error", "render_results"]

EMPTY = "<div class='cn-empty'><p>The photo appears here, before and after.</p></div>"
"""What the page shows before the first photo."""


@dataclass(frozen=True)
class Result:
    """One photo on the page: the files of its result, or the error."""

    name: str
    """Name of the uploaded file."""
    file: Path | None = None
    """The result, for download."""
    before: Path | None = None
    """A small copy of the original."""
    after: Path | None = None
    """A small copy of the result."""
    description: str = ""
    """Size, depth and format of the result."""
    warnings: tuple[str, ...] = ()
    """What was lost or assumed, each in one line."""
    shape: tuple[int, int] = (1, 1)
    """Width and height."""
    error: str = ""
    """Why there is no result."""


def describe_photo(width: int, height: int, bits: int, format: str, size: int) -> str:
    """Size, depth, format and number of bytes of a photo, as a line for a person."""
    bytes_ = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
    return f"{width} x {height} pixels, {bits} bits, {format.upper()}, {bytes_}"


def render_results(results: Sequence[Result], total: int, archive: Path | None = None) -> str:
    """The results so far of ``total`` photos, with their progress and a link to the
    archive."""
    failed = sum(1 for each in results if each.error)
    status, bar = "", ""
    if len(results) < total:
        status = f"Colorizing {len(results) + 1} of {total} …" if total > 1 else "Colorizing …"
        value = f" value={len(results)}" if total > 1 else ""
        bar = f"<progress max='{total}'{value} aria-label='Progress'></progress>"
    elif total > 1:
        status = f"{total - failed} of {total} photos colorized"
    link = ""
    if archive:
        link = f"<a class='cn-get' id='zip' href='{_url(archive)}' download>Download all (zip)</a>"
    head = ""
    if status or bar or link:
        head = f"<div class='cn-head'><p role='status'>{status}</p>{bar}{link}</div>"
    cards = "".join(_render_card(each) for each in results)
    return f"{head}<div class='cn-cards{' cn-many' if total > 1 else ''}'>{cards}</div>"


def render_error(title: str, error: str) -> str:
    """An error as sentences: the parts of a message are separated by semicolons."""
    name = html.escape(title, quote=True)
    sentences = _make_sentences(error)
    return f"<div class='cn-error' role='alert'><strong>{name}</strong><p>{sentences}</p></div>"


def _make_sentences(message: str) -> str:
    parts = (part.strip() for part in message.rstrip(".").split(";"))
    return html.escape(". ".join(part[:1].upper() + part[1:] for part in parts)) + "."


def _render_card(result: Result) -> str:
    if result.error:
        return render_error(result.name, result.error)
    name = html.escape(result.name, quote=True)
    width, height = result.shape
    warnings = "".join(
        f"<br><span class='cn-warning'>{_make_sentences(each)}</span>" for each in result.warnings
    )
    return f"""<figure class='cn-card'>
<div class='cn-compare' style='aspect-ratio: {width} / {height}; --ratio: {width / height:.4f}'>
<img src='{_url(result.after)}' alt='{name}, colorized'>
<img class='cn-before' src='{_url(result.before)}' alt='{name}, original'>
<span class='cn-line' aria-hidden='true'></span>
<input type='range' min='0' max='100' value='50' aria-label='Original part of {name}, in percent'
 oninput="this.parentNode.style.setProperty('--at', this.value + '%')">
</div>
<figcaption><span><strong>{name}</strong><br>{result.description}{warnings}</span>
<a class='cn-get' href='{_url(result.file)}' download>Download</a></figcaption>
</figure>"""


def _url(path: Path | None) -> str:
    assert path is not None
    return f"results/{quote(path.parent.name)}/{quote(path.name)}"
