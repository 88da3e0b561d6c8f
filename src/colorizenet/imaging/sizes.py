"""The size of a picture by its header, for decoders that do not tell it before they
decode.

A few hundred bytes can claim gigapixels, so the size is checked first.

References:
    ISO/IEC 15444-1 (JPEG 2000); ISO/IEC 18181-1 and -2 (JPEG XL); W3C PNG, third
    edition; Lerc 4 (Esri).
"""

from colorizenet.imaging.boxes import iterate_boxes
from colorizenet.imaging.tiff import ReadAt

__all__ = ["find_jpeg2000", "read_jpegxl_depth", "read_size"]

Size = tuple[int, int]
"""Width and height."""

_START = 64
"""Bytes of a codestream that hold the size."""
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width and height of the shapes that JPEG XL has numbers for."""


def read_size(read_at: ReadAt) -> Size | None:
    """Read the width and height of a PNG, JPEG 2000, JPEG XL or LERC file; None for
    others and where they cannot be found."""
    start = read_at(0, _START)
    if start.startswith(b"\x89PNG\r\n\x1a\n") and start[12:16] == b"IHDR":
        return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    if start.startswith(b"\xff\x0a") or start[4:8] == b"JXL ":
        header = _read_jpegxl(read_at)
        return None if header is None else _take_size(header)
    if start.startswith(b"Lerc2 "):
        shift = 0 if start[6:10] < b"\3" else 4  # a checksum
        height, width = (
            int.from_bytes(start[at + shift : at + shift + 4], "little") for at in (10, 14)
        )
        return width, height
    at = find_jpeg2000(read_at)
    return None if at is None else _read_jpeg2000(read_at(at, _START))


def find_jpeg2000(read_at: ReadAt) -> int | None:
    """Find where the codestream of a JPEG 2000 file begins."""
    start = read_at(0, _START)
    if start.startswith(b"\xff\x4f\xff\x51"):
        return 0
    if start[4:8] != b"jP  ":
        return None
    boxes = iterate_boxes(read_at)
    return next((at for kind, at, _ in boxes if kind == b"jp2c"), None)


def _read_jpeg2000(start: bytes) -> Size | None:
    if not start.startswith(b"\xff\x4f\xff\x51") or len(start) < 42:
        return None
    right, bottom, left, top = (int.from_bytes(start[at : at + 4], "big") for at in (8, 12, 16, 20))
    return right - left, bottom - top


def read_jpegxl_depth(read_at: ReadAt) -> int:
    """Read how many bits a sample of a JPEG XL file has; 8 for floating point and where
    they cannot be found."""
    header = _read_jpegxl(read_at)
    if header is None:
        return 8
    _take_size(header)
    if header.take(1):  # all values are the usual ones
        return 8
    if header.take(1):
        header.take(3)  # orientation
        if header.take(1):
            _take_size(header)  # at which it is to be shown
        if header.take(2):  # a preview or an animation
            return 8
    if header.take(1):
        return 8
    chosen = header.take(2)
    return (8, 10, 12)[chosen] if chosen < 3 else header.take(6) + 1


class _Bits:
    """Bits of a header, from the lowest of its first byte on."""

    def __init__(self, content: bytes) -> None:
        self._rest = int.from_bytes(content, "little")

    def take(self, number: int) -> int:
        """Read a number of so many bits."""
        taken = self._rest & ((1 << number) - 1)
        self._rest >>= number
        return taken


def _read_jpegxl(read_at: ReadAt) -> _Bits | None:
    """Read the start of the codestream of a JPEG XL file, behind its signature."""
    start = read_at(0, _START)
    if start[4:8] == b"JXL ":
        parts = ((kind, at) for kind, at, _ in iterate_boxes(read_at))
        found = next(((kind, at) for kind, at in parts if kind in (b"jxlc", b"jxlp")), None)
        if found is None:
            return None
        kind, at = found
        start = read_at(at + (4 if kind == b"jxlp" else 0), _START)
    if not start.startswith(b"\xff\x0a") or len(start) < 16:
        return None
    return _Bits(start[2:])


def _take_size(header: _Bits) -> Size:
    small = header.take(1)

    def take_side() -> int:
        if small:
            return 8 * (header.take(5) + 1)
        return header.take((9, 13, 18, 30)[header.take(2)]) + 1

    height = take_side()
    ratio = header.take(3)
    if not ratio:
        return take_side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height
