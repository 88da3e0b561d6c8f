"""How one photo is opened, colorized and encoded in a process of the server.

Small photos are decoded as a whole. Large ones are colorized in strips, as on the
command line, and previews are reduced while they are decoded.
"""

import io
import itertools
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import numpy as np

from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.errors import UnwritableImageError
from colorizenet.files import open_for_reading
from colorizenet.imaging.conversion import split_pages
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.notices import Notice
from colorizenet.imaging.reading import ImageFile, open_image
from colorizenet.imaging.resampling import resize
from colorizenet.imaging.toning import is_colored
from colorizenet.imaging.warnings import list_losses
from colorizenet.imaging.writing import choose_format, encode_image
from colorizenet.merging import describe_colors
from colorizenet.serving.errors import RequestError
from colorizenet.serving.messages import (
    ColorizedPhoto,
    ColorizeMessage,
    ColorizeRequest,
    Content,
    PhotoHeader,
    SuggestedColors,
    SuggestRequest,
)
from colorizenet.session import Session

__all__ = [
    "PreviewCache",
    "colorize_photo",
    "describe_photo",
    "is_streamed",
    "open_photo",
    "readable_formats",
    "reduced_shape",
    "suggest_colors",
]

_NAME = "the picture"
"""The name of a photo in messages."""
_FORMAT_NAMES = {"webp": "WebP"}
"""Formats whose names are not in capitals."""
_PREVIEW_QUALITY = 90
_SUGGESTION_SIDE = 2048
"""Colors for a place of a photo that is streamed are found in a copy of this size."""


def readable_formats() -> list[str]:
    """The formats that the server reads: those whose size libvips reads from the
    header."""
    return [name for name, kind in FORMATS.items() if kind.loader]


def open_photo(content: Content, *, first_page: bool = False) -> ImageFile:
    """Open a file by its header alone. ``first_page``: ignore other pages of a TIFF."""
    if isinstance(content, bytes):
        start = content[:64]
    else:
        with open_for_reading(content) as file:
            start = file.read(64) or b""
    if detect_format(start) not in readable_formats():
        names = [_FORMAT_NAMES.get(name, name.upper()) for name in readable_formats()]
        raise RequestError(
            415,
            "unsupported",
            f"the file is not a photo in a supported format; expected "
            f"{', '.join(names[:-1])} or {names[-1]}; convert it first",
            values={"formats": ", ".join(names)},
        )
    return open_image(content, name=_NAME, max_pixels=sys.maxsize, first_page=first_page)


def describe_photo(file: ImageFile) -> PhotoHeader:
    """What decides how much work and memory a photo needs."""
    channels = (3 if file.has_color else 1) + file.has_alpha
    size = file.dtype.itemsize
    return PhotoHeader(file.shape, file.pages, file.format, channels * size, size, file.streams)


def is_streamed(pixel_count: int, format: str, stream_above: int) -> bool:
    """Whether a photo is colorized in strips. ``format`` is that of the result."""
    return pixel_count > stream_above and bool(FORMATS[format].saver)


def reduced_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of a picture whose longest side is reduced to ``side``."""
    scale = min(1.0, side / max(shape))
    height, width = (max(1, round(length * scale)) for length in shape)
    return height, width


class PreviewCache:
    """The last preview of a process, for a client who changes hints or the strength.

    The photo is not decoded again, and the network runs only if its answer changes.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._session: Session | None = None

    def open(self, file: ImageFile, digest: bytes, side: int, colorizer: Colorizer) -> Session:
        """A small copy of a photo. ``digest`` is of the bytes of the file; empty: there
        is none."""
        key = (digest, side, colorizer.sha256)
        if self._session is None or not digest or key != self._key:
            image = Image(_read_reduced(file, side), format="jpeg")
            self._key, self._session = key, colorizer.session(image)
        return self._session


def colorize_photo(
    file: ImageFile,
    colorizer: Colorizer,
    message: ColorizeMessage,
    cache: PreviewCache,
    digest: bytes = b"",
) -> ColorizedPhoto:
    """Decode, colorize and encode a photo. ``digest``: as in ``PreviewCache.open``."""
    request = message.request
    assert isinstance(request, ColorizeRequest)
    if request.preview:
        session = partial(cache.open, file, digest, request.preview, colorizer)
        return _colorize_preview(file, colorizer, request, session, message)
    fit = choose_format(file, request.output.format)
    format = request.output.format or fit.format
    if is_streamed(file.pixel_count, format, message.stream_above):
        return _colorize_strips(file, colorizer, request, format, message)
    return _colorize_whole(file, colorizer, request, format, message)


def _colorize_whole(
    file: ImageFile,
    colorizer: Colorizer,
    request: ColorizeRequest,
    format: str,
    message: ColorizeMessage,
) -> ColorizedPhoto:
    """Colorize a photo that is decoded as a whole."""
    clock = _Clock()
    image = file.read()
    clock.stop("decode")
    variants = _color_variants(image, colorizer, request)
    colorized = next(variants)
    clock.stop("color")
    colored = any(is_colored(page) for page in split_pages(image))
    warnings = _list_warnings(file, request, format, colored=colored, note=colorized.note)
    pictures = (
        encode_image(each, format, quality=request.output.quality)
        for each in itertools.chain([colorized], variants)
    )
    content = _collect(pictures, request, format, message)
    clock.stop("encode")
    return _describe_result(file, request, content, format, clock, warnings)


def _colorize_strips(
    file: ImageFile,
    colorizer: Colorizer,
    request: ColorizeRequest,
    format: str,
    message: ColorizeMessage,
) -> ColorizedPhoto:
    """Colorize a photo in strips, into a file. It is decoded anew for each step."""
    output = request.output
    if (fit := choose_format(file, format)).reason:
        raise UnwritableImageError(
            f"{file.name} cannot be written as {format}: {fit.reason}; choose {fit.format}"
        )
    clock = _Clock()
    reduced = colorizer.reduce(file, request.options)
    clock.stop("decode")
    answers = _predict_variants(reduced, colorizer, request)
    clock.stop("color")
    note = describe_colors(request.options, output)
    colored = any(is_colored(page) for page in reduced.pages)
    warnings = _list_warnings(file, request, format, colored=colored, note=note)

    def write(target: BinaryIO, chroma: Chroma) -> None:
        colorizer.merger.write(
            target,
            file,
            chroma,
            request.options,
            format=format,
            quality=output.quality,
            note=note,
        )

    with message.target.open("w+b") as target:
        if not request.packed:
            write(target, answers[0])
        else:
            with zipfile.ZipFile(target, "w") as archive:
                for number, chroma in enumerate(answers, 1):
                    entry = zipfile.ZipInfo(_name_variant(number, format))
                    with tempfile.TemporaryFile() as picture:
                        write(picture, chroma)
                        picture.seek(0)
                        with archive.open(entry, "w", force_zip64=True) as packed:
                            shutil.copyfileobj(picture, packed)
    clock.stop("encode")
    return _describe_result(file, request, message.target, format, clock, warnings)


def _colorize_preview(
    file: ImageFile,
    colorizer: Colorizer,
    request: ColorizeRequest,
    open_session: Callable[[], Session],
    message: ColorizeMessage,
) -> ColorizedPhoto:
    """Colorize a small copy of the first page of a photo."""
    clock = _Clock()
    session = open_session()
    clock.stop("decode")
    if request.variants == 1:
        variants = iter([session(request.options)])
    else:
        assert isinstance(session.picture, Image)
        variants = _color_variants(session.picture, colorizer, request)
    colorized = next(variants)
    clock.stop("color")
    format = request.output.format or "jpeg"
    pictures = (
        encode_image(
            replace(each, note=""), format, quality=request.output.quality or _PREVIEW_QUALITY
        )
        for each in itertools.chain([colorized], variants)
    )
    content = _collect(pictures, request, format, message)
    clock.stop("encode")
    return _describe_result(file, request, content, format, clock)


def suggest_colors(
    file: ImageFile, colorizer: Colorizer, request: SuggestRequest, stream_above: int
) -> SuggestedColors:
    """Decode a photo, and find likely colors for a place."""
    clock = _Clock()
    streamed = file.pixel_count > stream_above
    image = Image(_read_reduced(file, _SUGGESTION_SIDE)) if streamed else file.read()
    clock.stop("decode")
    suggestions = colorizer.suggest(image, request.x, request.y, request.n)
    clock.stop("color")
    return SuggestedColors(suggestions=tuple(suggestions), seconds=clock.seconds)


class _Clock:
    """Measures the stages of the work on a photo."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        """End a stage, which began with the end of the one before."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _read_reduced(file: ImageFile, side: int) -> np.ndarray:
    """Decode the first page to sRGB ``(h, w, 3)`` uint8, reduced to a longest side."""
    height, width = reduced_shape(file.shape, side)
    deep = file.dtype == np.float32
    pixels = file.read_rgb8() if deep else file.reduce_rgb8(min(height, width))
    return pixels if pixels.shape[:2] == (height, width) else resize(pixels, height, width)


def _color_variants(
    image: Image, colorizer: Colorizer, request: ColorizeRequest
) -> Iterator[Image]:
    """The colorings of a photo, each made when it is needed."""
    options = request.options
    if request.variants == 1:
        variants = iter([colorizer(image, options)])
    else:
        answers = _predict_variants(image, colorizer, request)
        variants = (colorizer.apply(image, chroma, options) for chroma in answers)
    for colorized in variants:
        yield colorized if request.output.provenance else replace(colorized, note="")


def _predict_variants(
    picture: object, colorizer: Colorizer, request: ColorizeRequest
) -> list[Chroma]:
    """The answers of the network that are wanted."""
    answers = colorizer.predict(picture, request.options, count=request.variants)
    return answers if request.variant is None else [answers[request.variant - 1]]


def _list_warnings(
    file: ImageFile, request: ColorizeRequest, format: str, *, colored: bool, note: str
) -> list[Notice]:
    """What is lost or assumed. The pixels of the file must have been read."""
    fit = choose_format(file, request.output.format)
    text = f"{fit.reason}: {format} is written"
    substituted = [Notice(text, "format-changed", format=format)] if fit.reason else []
    losses = list_losses(file, format, colored=colored, note=note)
    return [*file.warnings, *substituted, *losses]


def _collect(
    pictures: Iterable[bytes], request: ColorizeRequest, format: str, message: ColorizeMessage
) -> Content:
    """The one picture that is wanted, or a ZIP file of all; a file if it is large."""
    content = _pack(pictures, format) if request.packed else next(iter(pictures))
    if len(content) <= message.spool_bytes:
        return content
    message.target.write_bytes(content)
    return message.target


def _pack(pictures: Iterable[bytes], format: str) -> bytes:
    """A ZIP file of variant-1.png and so on, the same bytes at any time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # stored, for pictures are compressed
        for number, encoded in enumerate(pictures, 1):
            archive.writestr(zipfile.ZipInfo(_name_variant(number, format)), encoded)
    return packed.getvalue()


def _name_variant(number: int, format: str) -> str:
    return f"variant-{number}{FORMATS[format].suffixes[0]}"


def _describe_result(
    file: ImageFile,
    request: ColorizeRequest,
    content: Content,
    format: str,
    clock: _Clock,
    warnings: Iterable[Notice] = (),
) -> ColorizedPhoto:
    height, width = file.shape
    return ColorizedPhoto(
        content=content,
        packed=request.packed,
        format=format,
        width=width,
        height=height,
        seconds=clock.seconds,
        warnings=tuple(warnings),
    )
