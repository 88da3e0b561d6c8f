"""Encode pictures, with the metadata they carry, and write them to files."""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import pyvips

from colorizenet.errors import ImageError, UnwritableImageError, quote
from colorizenet.files import write_atomically
from colorizenet.imaging import codecs
from colorizenet.imaging.embedding import Blocks, embed_blocks
from colorizenet.imaging.formats import FORMATS, find_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.imagefile import ImageFile
from colorizenet.imaging.libvips import fix_encoding_threads, from_array, shorten_error
from colorizenet.imaging.metadata import (
    build_blocks,
    make_blank,
    make_tiff_header,
    prepare_image,
)
from colorizenet.imaging.profiles import read_srgb_profile
from colorizenet.imaging.rows import open_rows

__all__ = [
    "FormatChoice",
    "choose_format",
    "encode_image",
    "encode_strips",
    "encode_training_jpeg",
    "is_subsampled",
    "write_image",
]

_WHOLE_PIXELS = 1 << 26
"""Up to so many pixels an encoder may hold the whole picture to make a smaller file."""
_THUMBNAIL_PIXELS = 1 << 17
"""Up to so many pixels, speed matters more than the size of the file."""
_HALF_CHROMA_PIXELS = 1_000_000
"""From so many pixels on a JPEG gets half the chroma resolution: the network predicts
chroma at a few hundred pixels, so nothing is lost."""
_PNG_PIXELS = 8 * _WHOLE_PIXELS
"""Up to so many pixels PNG is the lossless substitute, beyond it TIFF."""
_BIGTIFF_BYTES = 4_000_000_000


@dataclass(frozen=True)
class FormatChoice:
    """The format in which a picture can be written."""

    format: str
    """A key of ``FORMATS``."""
    reason: str = ""
    """Why this is not the wanted format; empty where it is."""


def choose_format(picture: ImageFile | Image, wanted: str | None = None) -> FormatChoice:
    """Choose the format to write a picture in: the wanted one, by default its own.

    PNG or TIFF where that cannot hold the picture.
    """
    chosen = wanted or picture.format
    format = FORMATS[chosen]
    height, width, dtype, has_alpha = _describe(picture)
    large = height * width > _PNG_PIXELS
    lossless = "tiff" if picture.pages > 1 or dtype.kind == "f" or large else "png"
    if not format.written:
        return FormatChoice(lossless, f"results are not written as {chosen}")
    if dtype.kind == "f" and chosen != "tiff":
        return FormatChoice("tiff", f"{chosen} holds no floating point")
    if picture.pages > 1 and chosen != "tiff":
        return FormatChoice("tiff", f"{chosen} holds one page and it has {picture.pages}")
    if max(height, width) > format.longest:
        return FormatChoice(
            lossless,
            f"{chosen} holds sides of up to {format.longest:,} pixels and it has "
            f"{width} x {height}",
        )
    if has_alpha and not format.alpha:
        return FormatChoice(lossless, f"{chosen} holds no transparency")
    if dtype == np.uint16 and not format.deep:
        return FormatChoice(lossless, f"{chosen} holds 8 bits and it has 16")
    return FormatChoice(chosen)


def encode_image(image: Image, format: str | None = None, *, quality: int | None = None) -> bytes:
    """Encode a picture as a file of ``format``, a key of ``FORMATS``, by default its
    own.

    ``quality``, 1 to 100, applies to lossy formats; the others keep every pixel. Raises
    ``UnwritableImageError`` where the format cannot hold the picture.
    """
    chosen = format or image.format
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"quality is {quote(quality)}; give a whole number from 1 to 100")
    choice = choose_format(image, chosen)
    if choice.reason:
        others = "png or tiff" if choice.format == "png" else choice.format
        raise UnwritableImageError(
            f"the picture cannot be written as {chosen}: {choice.reason}; choose {others}"
        )
    pixels = image.pixels if image.pixels.ndim == 3 else image.pixels[..., None]
    if image.alpha is not None:
        pixels = np.concatenate([pixels, image.alpha[..., None]], axis=-1)
    try:
        blocks = build_blocks(image, chosen, note=image.note)
        if not FORMATS[chosen].saver:
            metadata = _collect_blobs(blocks)
            return codecs.encode(pixels, chosen, quality or FORMATS[chosen].quality, metadata)
        prepared = prepare_image(from_array(pixels), image, chosen, blocks)
        save = getattr(prepared, f"{FORMATS[chosen].saver}_buffer")
        with _fix_threads(chosen):
            encoded = save(**choose_options(prepared, image, chosen, quality))
    except pyvips.Error as error:
        raise _make_error(image.pixels.shape, chosen, shorten_error(error)) from error
    file = io.BytesIO(encoded)
    embed_blocks(file, chosen, blocks)
    return file.getvalue()


def encode_strips(
    file: BinaryIO,
    picture: ImageFile,
    strips: Iterator[np.ndarray],
    rows: int,
    format: str,
    *,
    quality: int | None = None,
    note: str = "",
    options: dict[str, Any] | None = None,
) -> None:
    """Encode a picture whose pixels come in strips, so that it is never whole in
    memory.

    ``strips``, from top to bottom, are ``(n, W, 3)``, or ``(n, W, 4)`` with alpha, of
    the dtype of ``picture``; n is ``rows``, and less in the last strip of a page.
    ``file`` is empty and open for reading and writing. ``options`` override those given
    to libvips.
    """
    shape = height, width = picture.shape[0] * picture.pages, picture.shape[1]
    channels = 4 if picture.has_alpha else 3

    blocks = build_blocks(picture, format, note=note)

    def choose(image: pyvips.Image) -> dict[str, Any]:
        return choose_options(image, picture, format, quality) | (options or {})

    try:
        if format == "tiff" and picture.compression == "none" and picture.pages == 1:
            # libvips would only copy the rows, several times.
            blank = make_blank(width, height, channels, picture.dtype)
            prepared = prepare_image(blank, picture, format, blocks)
            file.write(make_tiff_header(prepared, rows, **choose(prepared)))
            for strip in strips:
                file.write(np.ascontiguousarray(strip).data)
        else:
            with open_rows(strips, shape, channels, picture.dtype) as image:
                prepared = prepare_image(image, picture, format, blocks)
                target = pyvips.Target.new_to_descriptor(file.fileno())
                save = getattr(prepared, f"{FORMATS[format].saver}_target")
                with _fix_threads(format):
                    save(target, **choose(prepared))
    except pyvips.Error as error:
        raise _make_error(shape, format, shorten_error(error)) from error
    embed_blocks(file, format, blocks)


def encode_training_jpeg(rgb: np.ndarray, *, quality: int) -> bytes:
    """Encode sRGB ``(H, W, 3)`` uint8 as a JPEG with full chroma (4:4:4) and no
    metadata.

    Raises ``ImageError`` for sides that JPEG cannot hold.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    try:
        written, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        written, encoded = False, np.empty(0, np.uint8)
    if not written:
        raise _make_error(rgb.shape, "jpeg", "its sides are too long")
    return encoded.tobytes()


def write_image(path: str | os.PathLike[str], image: Image, *, quality: int | None = None) -> None:
    """Write a picture to a file whose suffix names the format; it appears whole or not
    at all.

    Raises ``ImageError``.
    """
    path = Path(path)
    chosen = find_format(path.suffix)
    if chosen is None or not FORMATS[chosen].written:
        suffixes = ", ".join(format.suffixes[0] for format in FORMATS.values() if format.written)
        raise ImageError(
            f"{quote(path)} names no format that can be written; use one of {suffixes}"
        )
    encoded = encode_image(image, chosen, quality=quality)
    try:
        write_atomically(path, encoded)
    except OSError as error:
        raise ImageError(
            f"{quote(path)} cannot be written: {error.strerror}; choose another place"
        ) from error


def is_subsampled(picture: Image | ImageFile, format: str) -> bool:
    """Whether a file of ``format`` will store chroma at half size (4:2:0).

    JPEGs only; other formats that do so are left out.
    """
    height, width, *_ = _describe(picture)
    large = height * width * picture.pages >= _HALF_CHROMA_PIXELS
    return format == "jpeg" and large and not picture.metadata.jpeg_full_chroma


def choose_options(
    image: pyvips.Image, picture: Image | ImageFile, format: str, quality: int | None
) -> dict[str, Any]:
    """Choose the options with which libvips writes an image, made from a picture.

    A JPEG from a JPEG gets at least the quality and the chroma resolution of the
    source, unless ``quality`` is given.
    """
    pixels = image.width * image.height
    metadata, compression = picture.metadata, picture.compression
    # The other metadata are embedded later, because libvips would change them.
    keep = [kind for kind in ("exif", "xmp") if image.get_typeof(f"{kind}-data")]
    options: dict[str, Any] = {"keep": "|".join(["icc", *keep])}
    if image.bands >= 3:
        options["profile"] = "srgb"
    if FORMATS[format].quality:
        options["Q"] = quality or FORMATS[format].quality
    if format == "jpeg":
        options["Q"] = quality or max(options["Q"], metadata.jpeg_quality)
        options["subsample_mode"] = "on" if is_subsampled(picture, format) else "off"
        # Optimized tables make a file 3 % smaller, and need as long as the rest of
        # writing a thumbnail.
        options["optimize_coding"] = _THUMBNAIL_PIXELS < pixels <= _WHOLE_PIXELS
    elif format == "avif":
        options |= {"compression": "av1", "bitdepth": 12 if image.format == "ushort" else 8}
    elif format == "tiff":
        # libvips would leave out the alpha.
        if compression == "jpeg" and (image.format != "uchar" or image.bands == 4):
            compression = "deflate"
        options["compression"] = compression
        if compression in ("lzw", "deflate"):
            options["predictor"] = "float" if image.format == "float" else "horizontal"
        elif compression == "jpeg":
            options |= {"Q": quality or 92, "rgbjpeg": False}
        size = pixels * image.bands * {"uchar": 1, "ushort": 2}.get(str(image.format), 4)
        options["bigtiff"] = size > _BIGTIFF_BYTES
    return options


def _fix_threads(format: str) -> AbstractContextManager[None]:
    """Encode AVIF with as many threads on every machine: its bytes depend on them."""
    return fix_encoding_threads() if format == "avif" else nullcontext()


def _describe(picture: ImageFile | Image) -> tuple[int, int, np.dtype, bool]:
    """Return the height and width of a page, the dtype, and whether there is alpha."""
    if isinstance(picture, ImageFile):
        return (*picture.shape, picture.dtype, picture.has_alpha)
    height, width = picture.pixels.shape[:2]
    return height // picture.pages, width, picture.pixels.dtype, picture.alpha is not None


def _collect_blobs(blocks: Blocks) -> dict[str, bytes]:
    """Collect the metadata that HEIC and JPEG XL hold."""
    blobs = {
        "icc_profile": read_srgb_profile(),
        "exif": b"Exif\0\0" + blocks.exif if blocks.exif else b"",
        "xmp": blocks.xmp,
    }
    return {name: blob for name, blob in blobs.items() if blob}


def _make_error(shape: tuple[int, ...], format: str, reason: str) -> ImageError:
    return ImageError(
        f"the picture of {shape[1]} x {shape[0]} cannot be written as {format} ({reason}); "
        "choose another format, or make room"
    )
