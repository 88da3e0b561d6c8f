"""TIFF files that libvips cannot read, decoded with tifffile and imagecodecs.

Both are in the extra ``formats``.
"""

import io
import logging
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np
import pyvips

from colorizenet import color
from colorizenet.errors import DamagedImageError, ImageError
from colorizenet.imaging.codecs import CUT_SHORT, Decoded, make_error, shorten_reason
from colorizenet.imaging.sizes import read_size
from colorizenet.imaging.tifflayout import CIELAB, YCBCR, Layout, Page

__all__ = ["check_segment", "decode_tiff", "find_damaged_segment"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its errors are raised

_OLD_JPEG = 6
_PICTURES = {7: "jpegload", 34892: "jpegload", 50001: "webpload"} | dict.fromkeys(
    (34712, 34887, 34933, 50002, 52546), ""
)
"""Compressions whose strips and tiles are pictures with a size of their own, and the
operation of libvips that reads it; empty where ``read_size`` does."""
_PROFILE = 34675
_ASSOCIATED = 1
"""Kind of an extra sample: an alpha that the other channels were multiplied by."""
_SPARE_PIXELS = 1 << 16
_SPARE_TILE = 1 << 22


def decode_tiff(
    source: bytes | BinaryIO, name: str, layout: Layout, size: int, pages: int
) -> Decoded:
    """Decode the first ``pages`` of those that a layout chooses, stacked vertically,
    with the ICC profile of the first of them. Raises ``ImageError``.

    ``size`` is the length of the file. Integers of other depths become 8 or 16 bits;
    floating point becomes float32.
    """
    obstacle = layout.page.obstacle or "an unusual layout"
    if find_spec("tifffile") is None or find_spec("imagecodecs") is None:
        raise ImageError(
            f"{name} is a TIFF with {obstacle}, which needs the extra `formats`; "
            "pip install 'colorizenet[formats]'"
        )
    if find_damaged_segment(layout, size, pages) is not None:
        raise make_error(name, CUT_SHORT)
    import tifffile

    arrays: list[np.ndarray] = []
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    # libvips may have moved the position behind the buffer, which this makes empty.
    stream.seek(0, io.SEEK_END)
    stream.seek(0)
    try:
        for page in layout.pages[layout.first : layout.first + pages]:
            _check_segments(stream, page, name)
        stream.seek(0)
        with tifffile.TiffFile(stream) as file:
            for number in range(layout.first, layout.first + pages):
                found: Any = file.pages[number]
                arrays.append(_arrange(found, found.asarray(maxworkers=1)))
            first: Any = file.pages[layout.first]
            profile = first.tags.valueof(_PROFILE, b"")
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # A broad except: tifffile and the codecs that it calls have no common base.
        raise DamagedImageError(
            f"{name} is a TIFF with {obstacle} that cannot be decoded "
            f"({shorten_reason(error)}); "
            "it may be damaged: convert it with the program that wrote it"
        ) from error
    # CIELAB has become sRGB already.
    unconverted = layout.page.photometric not in CIELAB and isinstance(profile, bytes)
    return Decoded(np.concatenate(arrays), profile=profile if unconverted else b"")


def find_damaged_segment(layout: Layout, size: int, pages: int) -> int | None:
    """Find the first strip or tile of some pages that is missing or lies beyond the end
    of a file of ``size`` bytes."""
    before = 0
    for page in layout.pages[layout.first : layout.first + pages]:
        offsets, lengths = page.segments[:, 0], page.segments[:, 1]
        damaged = np.flatnonzero((lengths <= 0) | (offsets < 0) | (offsets > size - lengths))
        if damaged.size:
            return before + int(damaged[0])
        before += len(page.segments)
        if len(page.segments) < page.segment_count and page.compression != _OLD_JPEG:
            return before
    return None


def check_segment(page: Page, width: int, height: int, name: str) -> None:
    """Raise ``ImageError`` where the picture in a strip or tile is much larger than
    that.

    Some programs write the last strip too high.
    """
    if width * height > 4 * page.segment_shape[0] * page.segment_shape[1] + _SPARE_PIXELS:
        raise make_error(name, f" (a strip or tile holds {width} x {height} pixels)")


def _check_segments(stream: BinaryIO, page: Page, name: str) -> None:
    """Check the size of the strips or tiles, and of those that are pictures."""
    height, width = page.segment_shape
    if height * width > 4 * page.height * page.width + _SPARE_TILE:
        raise make_error(name, f" (its strips or tiles are of {width} x {height} pixels)")
    loader = _PICTURES.get(page.compression)
    if loader is None:
        return
    for offset, length in page.segments.tolist():
        stream.seek(offset)
        segment = stream.read(length)
        if loader:
            whole = page.jpeg_tables.removesuffix(b"\xff\xd9") + segment[2:]
            picture = whole if page.jpeg_tables else segment
            image = getattr(pyvips.Image, f"{loader}_buffer")(picture)
            check_segment(page, image.width, image.height, name)
        else:
            size = read_size(lambda at, count, segment=segment: segment[at : at + count])
            if size is not None:
                check_segment(page, *size, name)


def _arrange(page: Any, array: np.ndarray) -> np.ndarray:
    """Arrange decoded samples as ``(H, W, 1 to 4)`` of uint8, uint16 or float32."""
    if array.ndim == 2:
        array = array[..., None]
    elif int(page.planarconfig) == 2 and array.shape[0] == page.samplesperpixel:
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 3:
        raise ValueError(f"its pixels have the shape {array.shape}")
    photometric, depth = int(page.photometric), _depth(page)
    extra = 1 if page.extrasamples and array.shape[2] in (2, 4) else 0
    if photometric in CIELAB:
        return _convert_lab(array[..., :3], signed=photometric == 8)
    if photometric == 3:
        palette = np.moveaxis(np.asarray(page.colormap), 0, -1)
        return palette[array[..., 0]].astype(np.uint16)
    if photometric == 5 or array.shape[2] - extra not in (1, 3):
        raise ImageError(
            f"a TIFF with {array.shape[2]} channels in this compression is not supported; "
            "convert it to sRGB first"
        )
    associated = extra and int(page.extrasamples[0]) == _ASSOCIATED
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # the values are checked later
            array = array.astype(np.float32)
        array = _divide_by_alpha(array, 1) if associated else array
        return 1 - array if photometric == 0 else array
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"it holds {array.dtype} pixels, and 8 or 16 bits are expected")
    top, full = (1 << depth) - 1, 255 if array.dtype == np.uint8 else 65535
    if top != full:
        array = np.rint(array * np.float32(full / top)).clip(0, full).astype(array.dtype)
    if photometric == YCBCR and int(page.compression) not in (_OLD_JPEG, *_PICTURES):
        array = _convert_ycbcr(array, full)
    array = _divide_by_alpha(array, full) if associated else array
    return full - array if photometric == 0 else array


def _divide_by_alpha(array: np.ndarray, full: int) -> np.ndarray:
    """Undo the multiplication of the channels by the last one, the alpha."""
    colors, alpha = (part.astype(np.float32) for part in (array[..., :-1], array[..., -1:]))
    colors = np.divide(colors, alpha, out=np.zeros_like(colors), where=alpha > 0)
    if array.dtype.kind != "f":  # floats out of range are an error later
        colors = np.rint(colors * full).clip(0, full)
    return np.concatenate([colors.astype(array.dtype), array[..., -1:]], axis=-1)


def _convert_ycbcr(array: np.ndarray, full: int) -> np.ndarray:
    """Convert YCbCr of full range and ITU-R BT.601, the defaults of TIFF, to RGB."""
    y, cb, cr = (array[..., channel].astype(np.float32) for channel in range(3))
    cb, cr = cb - (full + 1) // 2, cr - (full + 1) // 2
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    converted = np.rint(rgb).clip(0, full).astype(array.dtype)
    return np.concatenate([converted, array[..., 3:]], axis=-1)


def _depth(page: Any) -> int:
    """Bits of a sample, the largest of all channels."""
    bits = page.bitspersample
    return int(max(bits)) if isinstance(bits, tuple) else int(bits)


def _convert_lab(array: np.ndarray, *, signed: bool) -> np.ndarray:
    """Convert CIELAB of 8 or 16 bits to sRGB, uint16."""
    deep = array.dtype.itemsize > 1
    lab = array.astype(np.float32)
    if array.shape[2] == 1:
        lab = np.dstack([lab, *[np.zeros_like(lab[..., 0])] * 2])
    full, half, unit = (65535, 32768, 256) if deep else (255, 128, 1)
    lab[..., 0] *= 100 / full
    ab = lab[..., 1:]
    if signed:
        ab[ab >= half] -= 2 * half
    elif array.shape[2] == 3:
        ab -= half
    ab /= unit
    rgb = np.clip(color.lab_to_rgb(lab), 0, 1)
    return np.rint(rgb * 65535).astype(np.uint16)
