"""What the server and its processes tell each other: requests, photos and results.

A photo or a result of many bytes is a file in the folder of the server, and only its
path is sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from colorizenet.colorizer import Colorizer
from colorizenet.imaging.notices import Notice
from colorizenet.imaging.resampling import network_shape
from colorizenet.options import Options, Output
from colorizenet.suggestions import Suggestion

__all__ = [
    "Answer",
    "ColorizeMessage",
    "ColorizeRequest",
    "ColorizedPhoto",
    "Content",
    "Loader",
    "OpenMessage",
    "PhotoHeader",
    "SuggestRequest",
    "SuggestedColors",
    "WorkerFailure",
]

Content = bytes | Path
"""The bytes of a file, or its path in the folder of the server."""

Loader = Callable[[], Colorizer]
"""Loads a model. It is called in each process, so it must be picklable."""


@dataclass(frozen=True, kw_only=True)
class ColorizeRequest:
    """How one photo is to be colorized and written, and by which model."""

    options: Options = Options()
    output: Output = Output()
    variants: int = 1
    """Number of colorings of the photo."""
    variant: int | None = None
    """The number of the one that is wanted, 1 to ``variants``; None: all."""
    preview: int | None = None
    """Longest side of the result in pixels, which is a small picture of the first page
    with 8 bits and without metadata; None: the result is as the photo."""
    model: str | None = None
    """A key of ``JobQueue.models``; None is the default model."""

    @property
    def packed(self) -> bool:
        """Whether the result is a ZIP file of several variants."""
        return self.variants > 1 and self.variant is None


@dataclass(frozen=True, kw_only=True)
class ColorizedPhoto:
    """A finished photo and how long its stages took."""

    content: Content
    """The result."""
    packed: bool
    """Whether the result is a ZIP file of several variants."""
    format: str
    """Format of the result, or of the variants in the ZIP file: a key of
    ``FORMATS``."""
    width: int
    """Width of the photo in pixels, upright."""
    height: int
    """Height of a page of the photo in pixels, upright."""
    seconds: Mapping[str, float]
    """Duration of the stages queue, decode, color and encode."""
    warnings: tuple[Notice, ...] = ()
    """What was lost or assumed, each in one line."""


@dataclass(frozen=True, kw_only=True)
class SuggestRequest:
    """The place of a photo for which likely colors are wanted."""

    x: float
    """Position as a fraction of the width."""
    y: float
    """Position as a fraction of the height."""
    n: int
    """Number of colors."""
    model: str | None = None
    """As in ``ColorizeRequest``."""
    options: Options = Options()
    """How the photo is colorized; decides how much work that is."""
    output: Output = Output()
    """As in ``ColorizeRequest``; nothing is written."""


@dataclass(frozen=True, kw_only=True)
class SuggestedColors:
    """Likely colors, and how long the stages took."""

    suggestions: tuple[Suggestion, ...]
    """The most likely color first."""
    seconds: Mapping[str, float]
    """Duration of the stages queue, decode and color."""


class PhotoHeader(NamedTuple):
    """What decides how much work and memory a photo needs."""

    shape: tuple[int, int]
    """Height and width of a page."""
    pages: int
    format: str
    """A key of ``FORMATS``."""
    bytes_per_pixel: int
    """Size of a decoded pixel with all its channels."""
    item_bytes: int
    """Size of one channel."""
    streams: bool = False
    """Whether the file is decoded row by row, and never in memory as a whole."""

    @property
    def pixel_count(self) -> int:
        """The number of pixels of all pages together."""
        return self.shape[0] * self.shape[1] * self.pages

    def network_pixels(self, short: int, multiple: int) -> int:
        """The number of pixels of the network input of one page."""
        height, width = network_shape(self.shape, short, multiple)
        return height * width


class OpenMessage(NamedTuple):
    """Asks a process to open a photo. The answer is a ``PhotoHeader``."""

    content: Content
    memory: int | None
    """Bytes that the process may take for it, besides the file; None: any number."""
    first_page: bool = False
    """Whether the other pages of a TIFF are ignored."""


class ColorizeMessage(NamedTuple):
    """Asks a process to colorize the photo that it has opened, or for likely colors.
    The answer is a ``ColorizedPhoto`` or ``SuggestedColors``."""

    request: ColorizeRequest | SuggestRequest
    model: str
    """The key of ``JobQueue.models`` that answers."""
    memory: int | None
    """As in ``OpenMessage``."""
    target: Path
    """Where the result is written if it is large. The server deletes it."""
    spool_bytes: int
    """A result of more bytes is large."""
    stream_above: int
    """A photo of more pixels is colorized in strips, and is never in memory as a
    whole."""


class WorkerFailure(NamedTuple):
    """The answer of a process where an error occurred that nobody expected."""

    report: str
    """The traceback."""


class Answer(NamedTuple):
    """What a process sends."""

    value: Any
    """What the message asked for, a ``RequestError`` or a ``WorkerFailure``."""
    ends: bool
    """Whether the process ends after this answer, and must be replaced."""
