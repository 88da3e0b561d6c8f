"""The parts of JPEG, PNG and WebP files, found without decoding them.

References:
    ITU T.81 (JPEG); W3C PNG, third edition; RFC 9649 (WebP).
"""

import zlib
from collections.abc import Iterator

from colorizenet.imaging.tiff import ReadAt

__all__ = [
    "count_png_frames",
    "TEXT_CHUNKS",
    "decompress_text",
    "iterate_chunks",
    "iterate_riff_chunks",
    "iterate_segments",
]

TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_MOST_CHUNKS = 500_000
_MOST_SEGMENTS = 5_000


def iterate_chunks(read_at: ReadAt) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk of a PNG, the position of its content and its
    length."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = read_at(at, 8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


def iterate_segments(read_at: ReadAt) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment of a JPEG up to the first scan, the position of
    its content and its length."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        head = read_at(at, 4)
        if len(head) < 4:
            return
        if head[0] != 0xFF or head[1] in (0x00, 0xFF):  # bytes between segments
            near = read_at(at + 1, 1 << 12)
            step = near.find(b"\xff")
            at += 1 + (step if step >= 0 else len(near))
            continue
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker in (0xD9, 0xDA):
            return
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:  # markers without content
            at += 2
            continue
        yield marker, at + 4, max(0, length - 2)
        at += 2 + length


def iterate_riff_chunks(read_at: ReadAt) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk of a WebP, the position of its content and its
    length."""
    at = 12
    for _ in range(_MOST_SEGMENTS):
        head = read_at(at, 8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], at + 8, length
        at += 8 + length + length % 2


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


def count_png_frames(read_at: ReadAt) -> int:
    """Count the frames of an animated PNG by its header; 1 for others."""
    for kind, at, length in iterate_chunks(read_at):
        if kind == b"acTL" and length >= 4:
            return max(1, int.from_bytes(read_at(at, 4), "big"))
    return 1
