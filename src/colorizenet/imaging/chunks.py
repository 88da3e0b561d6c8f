"""The parts of JPEG, PNG, WebP and GIF files, found without decoding them.

References:
    ITU T.81 (JPEG); W3C PNG, third edition; RFC 9649 (WebP); GIF 89a (CompuServe).
"""

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from colorizenet.imaging.tiff import ReadAt

__all__ = [
    "EXIF_PREFIX",
    "EXTENSION_PREFIX",
    "MAX_CHUNKS",
    "MAX_SEGMENTS",
    "SCAN",
    "TEXT_CHUNKS",
    "XMP_PREFIX",
    "Segment",
    "decompress_text",
    "inspect_png",
    "iterate_chunks",
    "iterate_gif_extensions",
    "iterate_riff_chunks",
    "iterate_segments",
    "join_gif_blocks",
]

TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
MAX_CHUNKS = 20_000
"""A PNG with more chunks is refused; long chunks of pixels do not count."""
MAX_SEGMENTS = 5_000
"""A JPEG with more segments before its pixels, or a WebP with more chunks, is
refused."""
EXIF_PREFIX = b"Exif\0\0"
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION_PREFIX = b"http://ns.adobe.com/xmp/extension/\0"
"""How the segments of a JPEG begin that hold EXIF, XMP, and extended XMP."""
SCAN = 0xDA
"""Marker of the segment that pixels follow."""
_END = 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_LIKELY_MARKER = re.compile(rb"\xff[\xc0-\xcf\xda-\xdf\xe0-\xef\xfe]")
_SHORT = 512
_PIECE = 1 << 16


def iterate_chunks(read_at: ReadAt) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk of a PNG, the position of its content and its
    length. Stops soon after ``MAX_CHUNKS``."""
    at, others = 8, 0
    while others <= MAX_CHUNKS:
        head = read_at(at, 8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        others += _is_counted(kind, length)
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


class Segment(NamedTuple):
    """A segment of a JPEG."""

    marker: int
    at: int
    """Position of the content, which follows the marker and the length."""
    length: int
    """Bytes of the content."""
    gap: tuple[int, int]
    """Where the bytes before the marker begin and end that belong to no segment; equal
    numbers where there are none."""


def iterate_segments(read_at: ReadAt) -> Iterator[Segment]:
    """Yield the segments of a JPEG, the last of which begins the first scan. Stops soon
    after ``MAX_SEGMENTS``.

    Finds every segment that libjpeg does. Bytes between segments, which libjpeg skips,
    end at the next marker that is likely there.
    """
    at = 2
    for _ in range(MAX_SEGMENTS + 1):
        start, head = at, read_at(at, 4)
        if head[:1] != b"\xff" or head[1:2] in (b"\0", b"\xff"):
            at = _skip_fill(read_at, at)
            start = _find_marker(read_at, at)
            head = read_at(start, 4)
        if len(head) < 4 or head[1] == _END:
            return
        gap, at, length = (at, start), start + 2, 0
        if head[1] not in _ALONE:
            at, length = start + 4, max(0, int.from_bytes(head[2:], "big") - 2)
        yield Segment(head[1], at, length, gap)
        if head[1] == SCAN:
            return
        at += length


def _find_marker(read_at: ReadAt, at: int) -> int:
    """Find the first marker from a position on; the end of the file without one."""
    head = read_at(at, 2)
    if head[:1] == b"\xff" and head[1:] > b"\0":
        return at
    while len(piece := read_at(at, _PIECE)) > 1:
        found = _LIKELY_MARKER.search(piece)
        if found is not None:
            return at + found.start()
        at += len(piece) - 1  # the last byte may begin a marker
    return at + 1


def _skip_fill(read_at: ReadAt, at: int) -> int:
    """Find the last of some bytes FF, which begins a marker; without any, ``at``."""
    if read_at(at, 2) != b"\xff\xff":
        return at
    while piece := read_at(at, _PIECE):
        rest = len(piece.lstrip(b"\xff"))
        at += len(piece) - rest
        if rest:
            break
    return at - 1


def iterate_riff_chunks(read_at: ReadAt) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk of a WebP, the position of its content and its
    length. Stops soon after ``MAX_SEGMENTS``."""
    at = 12
    for _ in range(MAX_SEGMENTS + 1):
        head = read_at(at, 8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], at + 8, length
        at += 8 + length + length % 2


def iterate_gif_extensions(read_at: ReadAt) -> Iterator[tuple[int, int, int]]:
    """Yield the label of each extension of a GIF up to its first picture, the position
    of its first block and that of its end.

    A block is its length in one byte, and its content.
    """
    flags = read_at(10, 1)
    at = 13 + (6 << (flags[0] & 7) if flags and flags[0] & 0x80 else 0)
    blocks = 0
    while blocks < MAX_CHUNKS:
        head = read_at(at, 2)
        if len(head) < 2 or head[0] != 0x21:
            return
        start = at = at + 2
        while (length := read_at(at, 1)) > b"\0" and blocks < MAX_CHUNKS:
            at += 1 + length[0]
            blocks += 1
        at, blocks = at + 1, blocks + 1
        yield head[1], start, at


def join_gif_blocks(blocks: bytes) -> bytes:
    """Return the content of the blocks of an extension."""
    content, at = bytearray(), 0
    while at < len(blocks):
        content += blocks[at + 1 : at + 1 + blocks[at]]
        at += 1 + blocks[at]
    return bytes(content)


def decompress_text(kind: bytes, content: bytes, longest: int) -> bytes | None:
    """Return the text of a chunk, at most ``longest`` bytes; None where it is
    malformed."""
    _, separator, rest = content.partition(b"\0")
    if not separator:
        return None
    compressed = kind == b"zTXt"
    if kind == b"iTXt":
        parts = rest[2:].split(b"\0", 2)
        if len(rest) < 2 or len(parts) < 3:
            return None
        compressed, rest = rest[:1] == b"\1", parts[2]
    elif compressed:
        rest = rest[1:]
    if not compressed:
        return rest[:longest]
    try:
        return zlib.decompressobj().decompress(rest, longest)
    except zlib.error:
        return None


def inspect_png(read_at: ReadAt) -> tuple[int, bool]:
    """Count the frames of a PNG by its header, and find out whether it has more than
    ``MAX_CHUNKS`` chunks."""
    frames, others = 1, 0
    for kind, at, length in iterate_chunks(read_at):
        others += _is_counted(kind, length)
        if kind == b"acTL" and length >= 4:
            frames = max(1, int.from_bytes(read_at(at, 4), "big"))
    return frames, others > MAX_CHUNKS


def _is_counted(kind: bytes, length: int) -> bool:
    return kind not in (b"IDAT", b"fdAT") or length < _SHORT
