"""What one process of the server does: it opens a photo, and then colorizes it.

The process loads the models once, and then answers the messages of its connection, one
at a time, until the connection is closed. Decoders of image files can crash, can take
all memory and cannot be interrupted. In a process of its own such a photo harms nobody
else: the server kills the process, or finds it dead, and starts another one.

Memory is limited by what the system counts as the data of the process, where the system
can do that (Linux). A photo that needs more gets an error, or ends its process.
"""

import io
import itertools
import os
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyvips

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError, ImageError
from colorizenet.imaging.conversion import split_pages
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import ImageFile, open_image
from colorizenet.imaging.resampling import network_shape
from colorizenet.imaging.toning import is_colored
from colorizenet.imaging.warnings import list_losses
from colorizenet.imaging.writing import choose_format, encode_image
from colorizenet.options import Options, Output
from colorizenet.serving.errors import RequestError
from colorizenet.suggestions import Suggestion

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None

__all__ = [
    "Answer",
    "ColorizeMessage",
    "ColorizeRequest",
    "ColorizedPhoto",
    "Loader",
    "OpenMessage",
    "PhotoHeader",
    "SuggestRequest",
    "SuggestedColors",
    "WorkerFailure",
    "readable_formats",
    "run_worker",
]

_KEPT_BYTES = 150_000_000
"""A process that keeps more memory than this after a photo is replaced."""

Loader = Callable[[], Colorizer]
"""Loads a model. It is called in each process, so it must be picklable."""


@dataclass(frozen=True, kw_only=True)
class ColorizeRequest:
    """How one photo is to be colorized and written, and by which model."""

    options: Options = Options()
    output: Output = Output()
    variants: int = 1
    """Number of colorings of the photo; several are one ZIP file."""
    model: str | None = None
    """A key of ``JobQueue.models``; None is the default model."""


@dataclass(frozen=True, kw_only=True)
class ColorizedPhoto:
    """A finished photo and how long its stages took."""

    encoded: bytes
    """The bytes of the result's file; of several variants, those of a ZIP file."""
    format: str
    """Format of the result, or of the variants in the ZIP file: a key of
    ``FORMATS``."""
    width: int
    height: int
    bits: int
    """Bits per channel: 8, 16 or 32."""
    seconds: Mapping[str, float]
    """Duration of the stages queue, decode, color and encode."""
    warnings: tuple[str, ...] = ()
    """What was lost or assumed, each in one line."""
    preview_before: bytes = b""
    """A small JPEG or WebP of the original; empty unless previews were requested."""
    preview_after: bytes = b""
    """A small JPEG or WebP of the result; empty unless previews were requested."""


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

    encoded: bytes
    memory: int | None
    """Bytes that the process may take for it, besides the file; None: any number."""


class ColorizeMessage(NamedTuple):
    """Asks a process to colorize the photo that it has opened, or for likely colors.
    The answer is a ``ColorizedPhoto`` or ``SuggestedColors``."""

    request: ColorizeRequest | SuggestRequest
    default_model: str
    preview: int | None
    """Longest side of the previews in pixels; None: no previews."""
    memory: int | None
    """As in ``OpenMessage``."""


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


def run_worker(connection: Connection, loaders: Mapping[str, Loader], folder: Path) -> None:
    """Load the models, and send an ``Answer`` to each message until the connection is
    closed. The first answer needs no message.

    ``folder`` is for temporary files: libvips writes some for large photos.
    """
    # The server decides when a process ends: Ctrl-C, and the signals of a service
    # manager, reach all processes, and requests that have arrived are finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    pyvips.cache_set_max(0)  # libvips would keep clients' photos in memory
    cv2.setNumThreads(1)  # there is one process per photo
    with suppress(EOFError, OSError):  # the server has ended
        try:
            worker = _Worker({name: load() for name, load in loaders.items()})
        except Exception:
            return connection.send(Answer(WorkerFailure(traceback.format_exc()), True))
        connection.send(Answer(None, False))
        while True:
            answer = worker.answer(connection.recv())
            ends = worker.has_grown()
            connection.send(Answer(answer, ends))
            del answer
            if ends:
                return None


class _Worker:
    """The models, and the photo that is open."""

    def __init__(self, models: Mapping[str, Colorizer]) -> None:
        self._models = models
        self._file: ImageFile | None = None
        self._encoded_bytes = 0
        self._data_bytes = _read_data_bytes()

    def answer(self, message: Any) -> Any:
        """Answer one message; errors are answers, too."""
        try:
            if isinstance(message, OpenMessage):
                self._file = None
                self._encoded_bytes = len(message.encoded)
                self._limit_memory(message.memory)
                self._file = _open(message.encoded)
                return _describe(self._file)
            assert isinstance(message, ColorizeMessage) and self._file is not None
            self._limit_memory(message.memory)
            file, self._file = self._file, None
            model = self._models[message.request.model or message.default_model]
            if isinstance(message.request, SuggestRequest):
                return _suggest(file, model, message.request)
            return _colorize(file, model, message.request, message.preview)
        except RequestError as error:
            return error
        except (ImageError, ConfigError) as error:
            if "out of memory" in str(error).lower():  # of libvips
                return _memory_error()
            return RequestError(422, str(error))
        except MemoryError:
            return _memory_error()
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                return _memory_error()
            return WorkerFailure(traceback.format_exc())
        except Exception:
            return WorkerFailure(traceback.format_exc())
        finally:
            self._limit_memory(None)

    def has_grown(self) -> bool:
        """Whether the process has kept much memory of finished photos, which would be
        missing for the next ones."""
        if self._file is not None or self._data_bytes is None:
            return False
        return (_read_data_bytes() or 0) > self._data_bytes + _KEPT_BYTES

    def _limit_memory(self, number: int | None) -> None:
        """Limit the data of this process to what it had after its start, the file, and
        so many bytes."""
        if resource is None or self._data_bytes is None:
            return
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        soft = most if number is None else self._data_bytes + self._encoded_bytes + number
        if most != resource.RLIM_INFINITY:
            soft = min(soft, most)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, most))


def readable_formats() -> list[str]:
    """The formats that the server reads: those whose size libvips reads from the
    header."""
    return [name for name, kind in FORMATS.items() if kind.loader]


def _read_data_bytes() -> int | None:
    """What the system counts as the data of this process, or None where it does
    not."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmData:")), None)
    return 1024 * int(line.split()[1]) if line else None


def _memory_error() -> RequestError:
    return RequestError(
        413, "the photo needs more memory than one photo may take; use a smaller photo"
    )


def _open(encoded: bytes) -> ImageFile:
    """Open a file by its header alone."""
    if detect_format(encoded) not in readable_formats():
        names = [name.upper() for name in readable_formats()]
        raise RequestError(
            415,
            f"the file is not a photo in a supported format; expected "
            f"{', '.join(names[:-1])} or {names[-1]}; convert it first",
        )
    return open_image(encoded, max_pixels=sys.maxsize)


def _describe(file: ImageFile) -> PhotoHeader:
    channels = (3 if file.has_color else 1) + file.has_alpha
    size = file.dtype.itemsize
    return PhotoHeader(file.shape, file.pages, file.format, channels * size, size)


def _colorize(
    file: ImageFile, colorizer: Colorizer, request: ColorizeRequest, preview: int | None
) -> ColorizedPhoto:
    """Decode, colorize and encode one photo."""
    times = [time.perf_counter()]
    image = file.read()
    times.append(time.perf_counter())
    variants = _color_variants(image, colorizer, request)
    colorized = next(variants)
    times.append(time.perf_counter())
    fit = choose_format(image, request.output.format)
    format = request.output.format or fit.format
    colored = any(is_colored(page) for page in split_pages(image))
    warnings = [*image.warnings, *([f"{fit.reason}: {format} is written"] if fit.reason else [])]
    warnings += list_losses(file, format, colored=colored, note=colorized.note)
    encoded = encode_image(colorized, format, quality=request.output.quality)
    if request.variants > 1:
        files = (encode_image(each, format, quality=request.output.quality) for each in variants)
        encoded = _pack(itertools.chain([encoded], files), FORMATS[format].suffixes[0])
    before, after = (
        _encode_preview(each, preview) if preview else b"" for each in (image, colorized)
    )
    times.append(time.perf_counter())
    height, width = image.pixels.shape[:2]
    return ColorizedPhoto(
        encoded=encoded,
        format=format,
        width=width,
        height=height,
        bits=8 * image.pixels.dtype.itemsize,
        seconds=dict(zip(("decode", "color", "encode"), np.diff(times).tolist(), strict=True)),
        warnings=tuple(warnings),
        preview_before=before,
        preview_after=after,
    )


def _color_variants(
    image: Image, colorizer: Colorizer, request: ColorizeRequest
) -> Iterator[Image]:
    """The colorings of a photo, each made when it is needed."""
    options, count = request.options, request.variants
    if count == 1:
        variants = iter([colorizer(image, options)])
    else:
        answers = colorizer.predict(image, options, count=count)
        variants = (colorizer.apply(image, chroma, options) for chroma in answers)
    for colorized in variants:
        yield colorized if request.output.provenance else replace(colorized, note="")


def _pack(files: Iterable[bytes], ending: str) -> bytes:
    """A ZIP file of variant-1.png and so on, the same bytes at any time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # stored, for pictures are compressed
        for number, encoded in enumerate(files, 1):
            archive.writestr(zipfile.ZipInfo(f"variant-{number}{ending}"), encoded)
    return packed.getvalue()


def _suggest(file: ImageFile, colorizer: Colorizer, request: SuggestRequest) -> SuggestedColors:
    """Decode a photo, and find likely colors for a place."""
    times = [time.perf_counter()]
    image = file.read()
    times.append(time.perf_counter())
    suggestions = colorizer.suggest(image, request.x, request.y, request.n)
    times.append(time.perf_counter())
    return SuggestedColors(
        suggestions=tuple(suggestions),
        seconds={"decode": times[1] - times[0], "color": times[2] - times[1]},
    )


def _encode_preview(image: Image, side: int) -> bytes:
    """A small copy that any browser shows: JPEG, or WebP where there is
    transparency."""
    height, width = image.pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def shrink(plane: np.ndarray) -> np.ndarray:
        largest = {"uint8": 255, "uint16": 65535}.get(plane.dtype.name, 1)
        bytes_ = plane if largest == 255 else (plane * (255 / largest)).astype(np.uint8)
        return cv2.resize(bytes_, size, interpolation=cv2.INTER_AREA)

    small = Image(shrink(image.pixels), None if image.alpha is None else shrink(image.alpha))
    return encode_image(small, "jpeg" if small.alpha is None else "webp", quality=88)
