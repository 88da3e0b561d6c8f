"""The repair of faults of JPEGs that every viewer overlooks.

libjpeg warns of harmless oddities as it warns of damaged pixels. Pixels must not be
damaged, so warnings are errors, and the harmless ones are removed here before decoding.

References:
    ITU T.81 (JPEG); JFIF 1.02; CIPA DC-007 (Multi-Picture Format).
"""

import re
import struct

from colorizenet.imaging.chunks import SCAN, iterate_segments
from colorizenet.imaging.tiff import ReadAt

__all__ = ["count_pictures", "has_end", "repair_jpeg", "split_end"]

_SEQUENTIAL = (0xC0, 0xC1)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LONGEST_GAP = 1 << 16
"""Bytes between two segments, beyond which a file is not repaired."""
_WHOLE_SCAN = b"\0\x3f\0"
"""The parameters of every scan of a sequential JPEG."""


def count_pictures(read_at: ReadAt) -> int:
    """Count the pictures of a file by its Multi-Picture index; 1 where it has none."""
    for marker, at, length, _ in iterate_segments(read_at):
        content = read_at(at, min(length, 4096)) if marker == 0xE2 else b""
        if content.startswith(b"MPF\0"):
            return _read_picture_count(content[4:])
    return 1


def repair_jpeg(read_at: ReadAt) -> bytes | None:
    """Return the file with harmless faults of its header removed; None if it has none.

    Such faults are bytes between segments, the numbers of a scan that only progressive
    JPEGs have, versions of JFIF other than 1, and unknown numbers for the color
    transform of Adobe.
    """
    faults: list[tuple[int, int, bytes]] = []
    frame, channels, marker = 0, 0, 0
    for marker, at, length, (gap_start, gap_end) in iterate_segments(read_at):
        if gap_end - gap_start > _LONGEST_GAP:
            return None
        if gap_start < gap_end:
            faults.append((gap_start, gap_end, b""))
        if marker in _FRAMES:
            frame, channels = marker, int.from_bytes(read_at(at + 5, 1))
        elif marker == 0xE0 and read_at(at, 5) == b"JFIF\0":
            if read_at(at + 5, 1) != b"\1":
                faults.append((at + 5, at + 7, b"\1\2"))
        elif marker == 0xEE and length >= 12 and read_at(at, 5) == b"Adobe":
            if read_at(at + 11, 1) > b"\2":
                faults.append((at + 11, at + 12, b"\2" if channels == 4 else b"\1"))
        elif marker == SCAN:
            end = at + length
            if frame in _SEQUENTIAL and length > 4 and read_at(end - 3, 3) != _WHOLE_SCAN:
                faults.append((end - 3, end, _WHOLE_SCAN))
    if not faults or marker != SCAN:
        return None
    encoded = read_at(0, -1)
    parts, done = [], 0
    for start, end, replacement in faults:
        parts += [encoded[done:start], replacement]
        done = end
    repaired = b"".join([*parts, encoded[done:]])
    return _repair_scans(repaired) if frame in _SEQUENTIAL else repaired


def split_end(encoded: bytes) -> bytes | None:
    """Return a file without the zeros before its end marker; None if it has none."""
    end = encoded.rfind(b"\xff\xd9")
    pixels = encoded[:end].rstrip(b"\0")
    if end < 0 or end - len(pixels) < 2:
        return None
    # The first zero belongs to a byte FF of the pixels.
    return pixels + (b"\0" if pixels.endswith(b"\xff") else b"") + encoded[end:]


def has_end(encoded: bytes) -> bool:
    """Return whether a file has an end marker."""
    return encoded.rfind(b"\xff\xd9") >= 0


def _repair_scans(encoded: bytes) -> bytes:
    """Correct the numbers of every scan of a sequential JPEG."""

    def correct(found: re.Match[bytes]) -> bytes:
        content = found[0]
        return content[:-3] + _WHOLE_SCAN

    # A marker FF DA cannot occur among pixels, whose FF is followed by 00.
    pattern = rb"\xff\xda\x00(?:\x08\x01.{5}|\x0c\x03.{9})"
    return re.sub(pattern, correct, encoded, flags=re.DOTALL)


def _read_picture_count(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 10:
        return 1
    (offset,) = struct.unpack(order + "I", block[4:8])
    table = block[offset : offset + 2 + 12 * 16]
    count = struct.unpack(order + "H", table[:2])[0] if len(table) >= 2 else 0
    for at in range(2, min(2 + 12 * count, len(table) - 11), 12):
        if struct.unpack(order + "H", table[at : at + 2])[0] == 0xB001:
            return max(1, struct.unpack(order + "I", table[at + 8 : at + 12])[0])
    return 1
