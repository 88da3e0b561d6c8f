"""A fast decoder for the common case: 8-bit JPEG, PNG, WebP and BMP files in sRGB.

Training decodes hundreds of small pictures per second. OpenCV opens those several times
faster than libvips and, for these files, returns the same pixels. Everything that
OpenCV would get wrong (color profiles that are not sRGB, CMYK, 16 bits, animation,
damage) is recognized by the header and left to ``imagefile.ImageFile``.

References:
    ITU T.81 and ICC.1 annex B (JPEG); W3C PNG, third edition; RFC 9649 (WebP).
"""

import zlib
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pyvips

from colorizenet.errors import ImageError
from colorizenet.imaging import tiff
from colorizenet.imaging.chunks import (
    SCAN,
    iterate_chunks,
    iterate_riff_chunks,
    iterate_segments,
)
from colorizenet.imaging.formats import detect_format
from colorizenet.imaging.loading import read_at
from colorizenet.imaging.profiles import is_srgb

__all__ = ["check_pixels", "choose_shrink", "decode_plain"]

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_LONGEST_PROFILE = 1 << 24  # bytes, of a compressed profile


@dataclass(frozen=True)
class _Header:
    """What the header of a plain file says."""

    height: int
    width: int
    channels: int = 3
    profile: bytes = b""


def decode_plain(
    encoded: bytes, name: str, *, max_pixels: int, min_side: int | None = None
) -> np.ndarray | None:
    """Decode a plain file to sRGB ``(H, W, 3)`` uint8, or return None if it is not one.

    EXIF orientation is applied, gray is expanded, alpha is ignored. With ``min_side`` a
    JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as small as its short side allows.
    """
    format = detect_format(encoded[:64])
    scans = {"jpeg": _scan_jpeg, "png": _scan_png, "webp": _scan_webp, "bmp": _scan_bmp}
    scan = scans.get(format or "")
    if scan is None:
        return None
    try:
        header = scan(encoded)
    except (IndexError, ValueError, zlib.error):
        return None
    if header is None or not _means_srgb(header):
        return None
    check_pixels(header.width, header.height, name, max_pixels)
    factor = 1
    if format == "jpeg" and min_side is not None:
        factor = choose_shrink(min(header.height, header.width), min_side)
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), _REDUCED[factor])
    except cv2.error:
        return None
    if pixels is None:
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def choose_shrink(short_side: int, min_side: float) -> int:
    """Return the largest of 1, 2, 4 and 8 that leaves a short side of ``min_side``."""
    return max((factor for factor in (2, 4, 8) if short_side >= min_side * factor), default=1)


def check_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    """Raise ``ImageError`` if a header claims more than ``max_pixels`` pixels."""
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} pixels and the limit is {max_pixels:,}; "
            "raise the limit if you trust the file, or reduce the picture"
        )


def _means_srgb(header: _Header) -> bool:
    if not header.profile:
        return True
    try:
        return is_srgb(header.profile, header.channels)
    except pyvips.Error:
        return False


def _scan_jpeg(encoded: bytes) -> _Header | None:
    """Read the size and the profile of a baseline or progressive JPEG of 8 bits."""
    if encoded.rfind(b"\xff\xd9") < 0:
        return None  # cut short
    size: tuple[int, int, int] | None = None
    parts: dict[int, bytes] = {}
    expected, marker = 0, 0
    for marker, at, length, (gap_start, gap_end) in iterate_segments(partial(read_at, encoded)):
        if gap_start < gap_end:  # unusual
            return None
        if marker in (0xC0, 0xC1, 0xC2):
            if encoded[at] != 8 or encoded[at + 5] not in (1, 3):
                return None
            height, width = (int.from_bytes(encoded[i : i + 2], "big") for i in (at + 1, at + 3))
            size = height, width, encoded[at + 5]
        elif marker == 0xE2 and encoded[at : at + 12] == b"ICC_PROFILE\0":
            parts[encoded[at + 12]] = encoded[at + 14 : at + length]
            expected = encoded[at + 13]
    if marker != SCAN or size is None or 0 in size or len(parts) != expected:
        return None
    return _Header(*size, profile=b"".join(parts[number] for number in sorted(parts)))


def _scan_png(encoded: bytes) -> _Header | None:
    """Read the size and the profile of a PNG of 8 bits, neither turned nor animated."""
    width, height = (int.from_bytes(encoded[at : at + 4], "big") for at in (16, 20))
    depth, color_type = encoded[24], encoded[25]
    if depth > 8 or 0 in (height, width):
        return None
    profile, ended = b"", False
    for kind, start, length in iterate_chunks(partial(read_at, encoded)):
        content = encoded[start : start + length] if kind in (b"eXIf", b"iCCP") else b""
        if kind == b"acTL" or (kind == b"eXIf" and _is_turned(content)):
            return None
        if kind == b"iCCP" and not profile:  # a second one is ignored
            first = content.index(b"\0") + 2  # after the name and the compression method
            profile = zlib.decompressobj().decompress(content[first:], _LONGEST_PROFILE)
        ended = kind == b"IEND"
    if not ended:
        return None
    return _Header(height, width, 1 if color_type in (0, 4) else 3, profile)


def _scan_webp(encoded: bytes) -> _Header | None:
    """Read the size and the profile of a WebP that is not turned or animated."""
    kind = encoded[12:16]
    if kind == b"VP8 ":
        width, height = (int.from_bytes(encoded[at : at + 2], "little") for at in (26, 28))
        return _Header(height & 0x3FFF, width & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(encoded[21:25], "little")
        return _Header((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if kind != b"VP8X" or encoded[20] & 0x02:  # animated
        return None
    width, height = (int.from_bytes(encoded[at : at + 3], "little") + 1 for at in (24, 27))
    blocks: dict[bytes, bytes] = {}
    for kind, at, length in iterate_riff_chunks(partial(read_at, encoded)):
        if kind in (b"ICCP", b"EXIF") and kind not in blocks:
            blocks[kind] = encoded[at : at + length]
    if _is_turned(blocks.get(b"EXIF", b"")):
        return None
    return _Header(height, width, profile=blocks.get(b"ICCP", b""))


def _is_turned(exif: bytes) -> bool:
    """Return whether an EXIF block holds an orientation other than upright."""
    _, value = tiff.read_exif_block(exif).get(tiff.ORIENTATION, (3, b"\1\0"))
    return value != b"\1\0"


def _scan_bmp(encoded: bytes) -> _Header | None:
    """Read the size of a BMP, whose height is negative where its rows run downwards."""
    starts: dict[bool, tuple[int, int]] = {True: (18, 20), False: (18, 22)}
    old = int.from_bytes(encoded[14:18], "little") == 12
    bytes_each = 2 if old else 4
    width, height = (
        abs(int.from_bytes(encoded[at : at + bytes_each], "little", signed=not old))
        for at in starts[old]
    )
    return _Header(height, width) if width and height else None
