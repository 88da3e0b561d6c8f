"""Encode pictures, with the metadata they carry, and write them to files."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from colorizenet.errors import ImageError, quote
from colorizenet.files import write_atomically
from colorizenet.imaging import codecs, metadata, tiff
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import ImageFile, shorten_error

__all__ = ["FormatChoice", "choose_format", "encode_image", "encode_strips", "write_image"]


@dataclass(frozen=True)
class FormatChoice:
    """The format in which a picture can be written, and why it is not the one that was wanted."""

    format: str
    reason: str = ""


def choose_format(picture: ImageFile | Image, wanted: str | None = None) -> FormatChoice:
    """The format to write a picture in: the one wanted, by default its own; PNG or TIFF where that cannot hold it."""
    chosen = wanted or picture.format
    kind = FORMATS[chosen]
    image = isinstance(picture, Image)
    height, width = (
        (picture.pixels.shape[0] // picture.pages, picture.pixels.shape[1])
        if image
        else picture.shape
    )
    dtype = picture.pixels.dtype if image else picture.dtype
    alpha = picture.alpha is not None if image else picture.alpha
    # A limit of 2 GB of a chunk, and no more rows than PNG's 31 bits
    lossless = (
        "tiff"
        if picture.pages > 1 or dtype.kind == "f" or height * width > 8 * metadata.IN_MEMORY
        else "png"
    )
    if not kind.written:
        return FormatChoice(lossless, f"{chosen} cannot hold it in color")
    if dtype.kind == "f" and chosen != "tiff":
        return FormatChoice("tiff", f"{chosen} holds no floating point")
    if picture.pages > 1 and chosen != "tiff":
        return FormatChoice("tiff", f"{chosen} holds one page and it has {picture.pages}")
    if max(height, width) > kind.longest:
        return FormatChoice(
            lossless,
            f"{chosen} holds sides of up to {kind.longest:,} pixels and it has {width} x {height}",
        )
    if alpha and not kind.alpha:
        return FormatChoice(lossless, f"{chosen} holds no transparency")
    if dtype == np.uint16 and not kind.deep:
        return FormatChoice(lossless, f"{chosen} holds 8 bits and it has 16")
    return FormatChoice(chosen)


def encode_image(image: Image, format: str | None = None, *, quality: int | None = None) -> bytes:
    """The bytes of a file of ``format`` (a key of ``FORMATS``), by default the one it came in.

    ``quality``, 1 to 100, is for the lossy ones; the others keep every pixel.
    """
    chosen = format or image.format
    fit = choose_format(image, chosen)
    if fit.reason:
        others = "png or tiff" if fit.format == "png" else fit.format
        raise ImageError(
            f"the picture cannot be written as {chosen}: {fit.reason}; choose {others}"
        )
    kind = FORMATS[chosen]
    made = image.pixels if image.pixels.ndim == 3 else image.pixels[..., None]
    if image.alpha is not None:
        made = np.concatenate([made, image.alpha[..., None]], axis=-1)
    try:
        vips = metadata.attach_metadata(metadata.to_vips(made), image, note=image.note)
        if not kind.saver:
            block = tiff.exif_block(metadata.read_exif_tags(vips))
            carried: dict[str, Any] = {"icc_profile": metadata.read_srgb_profile(), "exif": block}
            if vips.get_typeof("xmp-data"):
                carried["xmp"] = vips.get("xmp-data")
            return codecs.encoded(
                made, chosen, quality or kind.quality, {k: v for k, v in carried.items() if v}
            )
        encoded = getattr(vips, f"{kind.saver}_buffer")(
            **metadata.options(vips, image.compression, chosen, quality)
        )
    except pyvips.Error as error:
        raise _cannot(image.pixels.shape, chosen, shorten_error(error)) from error
    exif = metadata.read_exif_tags(vips) if chosen == "tiff" else {}  # the others have it already
    if not exif:
        return encoded
    file = io.BytesIO(encoded)
    tiff.add_tags(file, exif)
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
) -> None:
    """Write a picture whose pixels come in strips, from top to bottom, so that it never is whole in memory.

    ``strips``: (n, W, 3), or 4 with alpha, of the picture's dtype, n being ``rows`` but for the last; ``file`` is open
    for reading and writing and empty.
    """
    height, width = picture.shape[0] * picture.pages, picture.shape[1]
    blank = metadata.make_blank(width, height, 4 if picture.alpha else 3, picture.dtype)
    try:
        if format == "tiff" and picture.compression == "none" and picture.pages == 1:
            # Nothing is left for libvips to do but to copy the rows, several times
            vips = metadata.attach_metadata(blank, picture, note=note)
            file.write(
                metadata.make_tiff_header(
                    vips, rows, **metadata.options(vips, "none", format, quality)
                )
            )
            for strip in strips:
                file.write(np.ascontiguousarray(strip).data)
        else:
            with metadata.Rows(
                metadata.make_tiff_header(blank, rows, bigtiff=True), strips
            ) as source:
                loaded = pyvips.Image.tiffload_source(source, access="sequential", fail_on="error")
                vips = metadata.attach_metadata(loaded, picture, note=note)
                options = metadata.options(vips, picture.compression, format, quality)
                target = pyvips.Target.new_to_descriptor(file.fileno())
                getattr(vips, f"{FORMATS[format].saver}_target")(target, **options)
    except pyvips.Error as error:
        raise _cannot((height, width), format, shorten_error(error)) from error
    if format == "tiff":
        tiff.add_tags(file, metadata.read_exif_tags(vips))


def write_image(path: str | os.PathLike[str], image: Image, *, quality: int | None = None) -> None:
    """Write a file whose ending says its format; it appears whole or not at all."""
    path = Path(path)
    chosen = next(
        (name for name, kind in FORMATS.items() if path.suffix.lower() in kind.suffixes), None
    )
    if chosen is None or not FORMATS[chosen].written:
        endings = ", ".join(kind.suffixes[0] for kind in FORMATS.values() if kind.written)
        raise ImageError(f"{quote(path)} names no format we write; end it in one of {endings}")
    encoded = encode_image(image, chosen, quality=quality)
    try:
        write_atomically(path, encoded)
    except OSError as error:
        raise ImageError(
            f"{quote(path)} cannot be written: {error.strerror}; choose another place"
        ) from error


def _cannot(shape: tuple[int, ...], format: str, reason: str) -> ImageError:
    return ImageError(
        f"the picture of {shape[1]} x {shape[0]} cannot be written as {format} ({reason}); "
        "choose another format, or make room"
    )
