"""Pictures as callers have them: images, arrays, paths, bytes and PIL images."""

import io
import os
import sys
from typing import Any

import numpy as np

from colorizenet.errors import ImageError
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.tiff import ORIENTATION

__all__ = ["Source", "check_array", "convert_like", "open_picture", "split_pages"]

Source = Image | np.ndarray | str | bytes | os.PathLike[str] | Any
"""An ``Image``, an array, a path, encoded bytes, or a PIL image."""

_TIFF_MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I;16B")
"""Modes that PIL writes as TIFF without a loss."""


def open_picture(picture: Any) -> Image | np.ndarray:
    """A caller's picture as an ``Image``, or as a valid array if it is an array.

    Raises ``ImageError`` for a picture that cannot be used, and ``TypeError`` for an
    object that is not a picture.
    """
    if isinstance(picture, Image):
        return picture
    if isinstance(picture, np.ndarray):
        return check_array(picture)
    if isinstance(picture, str | bytes | os.PathLike):
        return read_image(picture)
    if _is_pil(picture):
        return _from_pil(picture)
    raise TypeError(
        f"a picture is an Image, a NumPy array, a path, encoded bytes or a PIL image, "
        f"not {type(picture).__name__}"
    )


def _is_pil(picture: Any) -> bool:
    """Whether an object is a PIL image, found without importing PIL."""
    module = sys.modules.get("PIL.Image")  # a caller with a PIL image has imported it
    return module is not None and isinstance(picture, module.Image)


def _from_pil(picture: Any) -> Image:
    """A PIL image as gray or RGB, 8 or 16 bits, upright and in sRGB, with its alpha.
    Floats, and 16 bits in the order of another machine, are taken as they are.

    Raises ``ImageError`` for integers of 32 bits that 8 bits cannot hold, which PIL
    would cut.
    """
    picture.load()  # PIL turns TIFF files by itself when it decodes them
    mode = picture.mode
    low, high = picture.getextrema() if mode == "I" else (0, 255)
    if low < 0 or high > 255:
        raise ImageError(
            f"a PIL image of mode I has values from {low} to {high}, and 0 to 255 are expected; "
            "convert it to mode I;16, L or RGB first"
        )
    orientation, profile = _read_orientation(picture), picture.info.get("icc_profile")
    known = mode not in ("F", "I;16L", "I;16N") and 0 not in picture.size
    if known and (mode == "CMYK" or orientation != 1 or profile):
        return _read_as_file(picture, orientation, profile)
    alpha = mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
    gray = mode in ("1", "L", "LA", "La")
    if mode == "F":  # PIL has no color of floats
        return Image(np.rint(check_array(np.asarray(picture)) * 65535).astype(np.uint16))
    if mode.startswith("I;16"):
        return Image(np.asarray(picture).astype(np.uint16))
    array = np.asarray(
        picture.convert(("LA" if gray else "RGBA") if alpha else "L" if gray else "RGB")
    )
    if not alpha:
        return Image(array)
    pixels = array[..., 0] if gray else array[..., :3]
    return Image(np.ascontiguousarray(pixels), np.ascontiguousarray(array[..., -1]))


def _read_orientation(picture: Any) -> int:
    """The orientation in the EXIF of a PIL image, 1 where it has none."""
    try:
        found = picture.getexif().get(ORIENTATION)
    except Exception:  # PIL has many errors for damaged EXIF
        return 1
    return found if found in range(2, 9) else 1


def _read_as_file(picture: Any, orientation: int, profile: bytes | None) -> Image:
    """Read a PIL image as a TIFF file, so that its orientation and its profile count,
    and inks become sRGB as in other files."""
    exif = sys.modules["PIL.Image"].Exif()
    exif[ORIENTATION] = orientation
    keyed = "transparency" in picture.info  # by a color or an index of the palette
    if picture.mode == "La":
        picture = picture.convert("LA")
    elif picture.mode == "I":
        picture = picture.convert("L")
    elif keyed or picture.mode not in _TIFF_MODES:
        clear = keyed or picture.mode.endswith(("A", "a"))
        picture = picture.convert("RGBA" if clear else "RGB")
    encoded = io.BytesIO()
    picture.save(encoded, "TIFF", compression="raw", exif=exif, icc_profile=profile)
    read = read_image(encoded.getvalue(), max_pixels=picture.width * picture.height)
    return Image(read.pixels, read.alpha)


def convert_like(result: Any, picture: Any) -> Any:
    """A result as a PIL image where the picture was one; otherwise unchanged."""
    if not _is_pil(picture) or not isinstance(result, Image):
        return result
    pixels = result.pixels
    if pixels.dtype == np.uint16:  # PIL has no 16-bit color
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if result.alpha is not None:
        pixels = np.dstack([pixels, result.alpha])
    return sys.modules["PIL.Image"].fromarray(pixels)


def split_pages(picture: Image | np.ndarray) -> list[np.ndarray]:
    """The pixels of each page. Raises ``ImageError`` as ``check_array`` does."""
    if isinstance(picture, np.ndarray):
        return [picture]
    return [check_array(page) for page in np.split(picture.pixels, picture.pages)]


def check_array(array: np.ndarray) -> np.ndarray:
    """The same array. Raises ``ImageError`` for a wrong shape, dtype or range."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise ImageError(
            f"an array of shape {array.shape} is not a picture; give (H, W) or (H, W, 3)"
        )
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype in (np.float32, np.float64):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError(
                "a picture of floats has values outside 0..1 or not finite; scale it to 0..1"
            )
        return array
    raise ImageError(
        f"a picture of {array.dtype} is not supported; give uint8, uint16, or floats in 0..1"
    )
