"""Read pictures from files and bytes: the one reader of the whole package.

Formats are recognized by content, and only those of ``FORMATS`` are decoded. libvips
decodes most of them, with every loader switched off that its authors consider unsafe
for untrusted files; OpenCV decodes PNM, BMP and JPEG 2000. With the extra ``formats``,
Pillow's plugins decode HEIC and JPEG XL, and tifffile the TIFF files that libvips
cannot read.

Conventions:
    Pictures come out upright (the EXIF orientation is applied) and in sRGB (an embedded
    ICC profile is honored, otherwise sRGB is assumed). What cannot be honored is listed
    in ``warnings``, or is an ``ImageError``.
"""

import os
from pathlib import Path

import numpy as np

from colorizenet.errors import ImageError, quote
from colorizenet.files import open_for_reading
from colorizenet.imaging.image import Image
from colorizenet.imaging.imagefile import MAX_PIXELS, ImageFile, Strip
from colorizenet.imaging.libvips import limit_threads
from colorizenet.imaging.plain import decode_plain

__all__ = [
    "MAX_PIXELS",
    "ImageFile",
    "Strip",
    "limit_threads",
    "open_image",
    "read_image",
    "read_rgb8",
]

_BYTES_NAME = "the picture"
"""The name in messages of a picture that is given as bytes."""


def open_image(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    first_page: bool = False,
) -> ImageFile:
    """Read the header of a file, or of the bytes of one. Raises ``ImageError``.

    ``name`` stands for the file in messages, by default its path. With ``first_page``
    the other pages of a TIFF are ignored.
    """
    if isinstance(source, bytes):
        return ImageFile(source, name or _BYTES_NAME, max_pixels, first_page=first_page)
    name = name or quote(os.fspath(source))
    try:
        file = open_for_reading(source)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{name} cannot be read: {reason}; give a picture file") from error
    try:
        return ImageFile(file, name, max_pixels, first_page=first_page)
    except OSError as error:
        file.close()
        raise ImageError(f"{name} cannot be read: {error.strerror}; give a picture file") from error
    except BaseException:
        file.close()
        raise


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """Decode a file, or the bytes of one, with its metadata. Raises ``ImageError``."""
    with open_image(source, name=name, max_pixels=max_pixels) as file:
        return file.read()


def read_rgb8(
    source: str | os.PathLike[str] | bytes,
    *,
    min_side: int | None = None,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Decode a file, or the bytes of one, to sRGB ``(H, W, 3)`` uint8. Raises
    ``ImageError``.

    The reader of training and evaluation: gray is expanded, alpha is ignored, 16 bits
    are cut to 8, and of several pages the first is read. With ``min_side`` a JPEG is
    decoded at 1/2, 1/4 or 1/8 of its size, as small as its short side allows; it may
    still be much larger. As fast as OpenCV for small 8-bit JPEG, PNG and WebP files in
    sRGB.
    """
    if isinstance(source, bytes):
        encoded, name = source, name or _BYTES_NAME
    else:
        name = name or quote(os.fspath(source))
        try:
            encoded = Path(source).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ImageError(f"{name} cannot be read: {reason}; give a picture file") from error
    pixels = decode_plain(encoded, name, max_pixels=max_pixels, min_side=min_side)
    if pixels is not None:
        return pixels
    with open_image(encoded, name=name, max_pixels=max_pixels, first_page=True) as file:
        return file.read_rgb8(min_side=min_side)
