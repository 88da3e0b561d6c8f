"""TIFF files that libvips cannot read, decoded with tifffile and imagecodecs.

Both are in the extra ``formats``.
"""

import io
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np

from colorizenet import color
from colorizenet.errors import ImageError, quote
from colorizenet.imaging import tiff
from colorizenet.imaging.codecs import Decoded
from colorizenet.imaging.tifflayout import Layout

__all__ = ["decode_tiff", "find_damaged_segment"]

_XMP, _IPTC, _PROFILE = 700, 33723, 34675
_UNIT_MILLIMETERS = {2: 25.4, 3: 10.0}
"""Millimeters of a unit of resolution: inch and centimeter."""


def decode_tiff(
    source: bytes | BinaryIO, name: str, layout: Layout, tags: tiff.Directory, size: int
) -> Decoded:
    """Decode the pages that a layout chooses, stacked vertically. Raises
    ``ImageError``.

    ``tags`` are those of the first page, and ``size`` is the length of the file.
    Integers of other depths become 8 or 16 bits; floating point becomes float32.
    """
    obstacle = layout.page.obstacle or "an unusual layout"
    if find_spec("tifffile") is None or find_spec("imagecodecs") is None:
        raise ImageError(
            f"{name} is a TIFF with {obstacle}, which needs the extra `formats`; "
            "pip install 'colorizenet[formats]'"
        )
    if find_damaged_segment(layout, size) is not None:
        raise ImageError(
            f"{name} is damaged or cut short and cannot be decoded (the file ends before its "
            "pixels do); get a complete copy of it"
        )
    import tifffile

    pages: list[np.ndarray] = []
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    # libvips may have moved the position behind the buffer, which this makes empty.
    stream.seek(0, io.SEEK_END)
    stream.seek(0)
    try:
        with tifffile.TiffFile(stream) as file:
            for number in range(layout.first, layout.first + layout.count):
                page: Any = file.pages[number]
                pages.append(_arrange(page, page.asarray(maxworkers=1)))
    except ImageError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # A broad except: tifffile and the codecs that it calls have no common base.
        raise ImageError(
            f"{name} is a TIFF with {obstacle} that cannot be decoded "
            f"({quote(str(error).splitlines()[0] if str(error) else type(error).__name__)}); "
            "it may be damaged: convert it with the program that wrote it"
        ) from error
    fields = {"xmp-data": _XMP, "iptc-data": _IPTC}
    blobs = {field: _read_blob(tags, tag) for field, tag in fields.items()}
    return Decoded(
        np.concatenate(pages),
        profile=_read_blob(tags, _PROFILE),
        metadata={field: blob for field, blob in blobs.items() if blob},
        resolution=_read_resolution(tags),
        orientation=int.from_bytes(_read_blob(tags, tiff.ORIENTATION), "little") or 1,
    )


def find_damaged_segment(layout: Layout, size: int) -> int | None:
    """Find the first strip or tile that is missing or lies beyond the end of a file of
    ``size`` bytes."""
    pages = layout.pages[layout.first : layout.first + layout.count]
    segments = [segment for page in pages for segment in page.segments]
    return next(
        (i for i, (at, length) in enumerate(segments) if not length or at + length > size), None
    )


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
    if photometric in (8, 9, 10):
        return _convert_lab(array[..., :3], signed=photometric == 8)
    if photometric == 3:
        palette = np.moveaxis(np.asarray(page.colormap), 0, -1)
        return palette[array[..., 0]].astype(np.uint16)
    if photometric == 5 or array.shape[2] - extra not in (1, 3):
        raise ImageError(
            f"a TIFF with {array.shape[2]} channels in this compression is not supported; "
            "convert it to sRGB first"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        return 1 - array if photometric == 0 else array
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"it holds {array.dtype} pixels, and 8 or 16 bits are expected")
    top, full = (1 << depth) - 1, 255 if array.dtype == np.uint8 else 65535
    if top != full:
        array = np.rint(array * np.float32(full / top)).clip(0, full).astype(array.dtype)
    return full - array if photometric == 0 else array


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


def _read_blob(tags: tiff.Directory, tag: int) -> bytes:
    _, value = tags.get(tag, (0, b""))
    return value if isinstance(value, bytes) else b""


def _read_resolution(tags: tiff.Directory) -> tuple[float, float] | None:
    """Pixels per millimeter, across and down; None where the file states none."""
    unit = _UNIT_MILLIMETERS.get(int.from_bytes(_read_blob(tags, 296), "little") or 2)
    sides = []
    for tag in (282, 283):
        value = _read_blob(tags, tag)
        above, below = int.from_bytes(value[:4], "little"), int.from_bytes(value[4:8], "little")
        if unit is None or not above or not below:
            return None
        sides.append(above / below / unit)
    return sides[0], sides[1]
