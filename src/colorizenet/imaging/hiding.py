"""Hide metadata from libvips, which would process it without limits.

A crafted EXIF block of 49 kB keeps libexif busy for ten seconds, and 100 kB of
compressed texts in a PNG take gigabytes. ``extraction`` reads the same metadata.
"""

import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from colorizenet.imaging.boxes import find_items
from colorizenet.imaging.chunks import (
    TEXT_CHUNKS,
    iterate_chunks,
    iterate_riff_chunks,
    iterate_segments,
)
from colorizenet.imaging.tiff import ReadAt

__all__ = ["hide_metadata"]

_WHOLE_BYTES = 1 << 26
"""Copies of up to so many bytes are in memory."""
_PIECE = 1 << 22


def hide_metadata(read_at: ReadAt, format: str) -> bytes | BinaryIO | None:
    """Return a copy of a JPEG, PNG, WebP or AVIF in which libvips finds neither EXIF
    nor texts; None where the file has none.

    A large copy is a temporary file.
    """
    edits = list(_find_edits(read_at, format))
    if not edits:
        return None
    pieces, size = [], 0
    pending = _copy(read_at, edits)
    for piece in pending:
        pieces.append(piece)
        size += len(piece)
        if size > _WHOLE_BYTES:
            file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
            file.writelines(pieces)
            pieces.clear()
            file.writelines(pending)
            return file
    return b"".join(pieces)


def _find_edits(read_at: ReadAt, format: str) -> Iterator[tuple[int, int, bytes]]:
    """Find what to replace: the first and the last byte, exclusive, and by what."""
    if format == "png":
        for kind, at, length in iterate_chunks(read_at):
            if kind in TEXT_CHUNKS or kind == b"eXIf":
                yield at - 8, at + length + 4, b""
    elif format == "jpeg":
        for marker, at, length in iterate_segments(read_at):
            if marker == 0xE1 and length >= 4 and read_at(at, 4) == b"Exif":
                yield at, at + 4, bytes(4)
    elif format == "webp":
        for kind, at, _ in iterate_riff_chunks(read_at):
            if kind == b"EXIF":
                yield at - 8, at - 4, b"JUNK"
    elif format == "avif":
        item = find_items(read_at).get("exif")
        if item is not None:
            yield item.type_at, item.type_at + 4, b"junk"


def _copy(read_at: ReadAt, edits: list[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """Yield the bytes of a file with spans replaced."""
    at = 0
    for start, end, new in [*edits, (1 << 62, 1 << 62, b"")]:
        while at < start and (piece := read_at(at, min(start - at, _PIECE))):
            yield piece
            at += len(piece)
        yield new
        at = end
