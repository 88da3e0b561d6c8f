"""Hide metadata from libvips, which would process it without limits.

A crafted EXIF block of 49 kB keeps libexif busy for ten seconds, and 100 kB of
compressed texts in a PNG take gigabytes. ``extraction`` reads the same metadata.
"""

import tempfile
from collections.abc import Iterator
from typing import BinaryIO, TypeVar

from colorizenet.errors import ImageError
from colorizenet.imaging.boxes import MAX_BOXES, find_exif_types, iterate_boxes
from colorizenet.imaging.chunks import (
    MAX_SEGMENTS,
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

Part = TypeVar("Part")


def hide_metadata(read_at: ReadAt, format: str, name: str) -> bytes | BinaryIO | None:
    """Return a copy of a JPEG, PNG, WebP or AVIF in which libvips finds neither EXIF
    nor texts; None where the file has none.

    A large copy is a temporary file. Raises ``ImageError``, with the ``name`` of the
    file, where it has so many parts that EXIF could lie beyond those that are read.
    """
    edits = list(_find_edits(read_at, format, name))
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


def _find_edits(read_at: ReadAt, format: str, name: str) -> Iterator[tuple[int, int, bytes]]:
    """Find what to replace: the first and the last byte, exclusive, and by what."""
    if format == "png":
        for kind, at, length in iterate_chunks(read_at):
            if kind in TEXT_CHUNKS or kind == b"eXIf":
                yield at - 8, at + length + 4, b""
    elif format == "jpeg":
        segments = _check_count(iterate_segments(read_at), MAX_SEGMENTS, name)
        for marker, at, length, _ in segments:
            if marker == 0xE1 and length >= 4 and read_at(at, 4) == b"Exif":
                yield at, at + 4, bytes(4)
    elif format == "webp":
        for kind, at, _ in _check_count(iterate_riff_chunks(read_at), MAX_SEGMENTS, name):
            if kind == b"EXIF":
                yield at - 8, at - 4, b"JUNK"
    elif format == "avif":
        kinds = [kind for kind, *_ in _check_count(iterate_boxes(read_at), MAX_BOXES, name)]
        if kinds.count(b"meta") > 1:
            raise ImageError(f"{name} has several meta boxes and AVIF has one; convert it first")
        for at in find_exif_types(read_at):
            yield at, at + 4, b"junk"


def _check_count(parts: Iterator[Part], most: int, name: str) -> Iterator[Part]:
    """Yield the parts of a file. Raises ``ImageError`` for more than ``most``."""
    for number, part in enumerate(parts):
        if number == most:
            raise ImageError(
                f"{name} consists of more than {most:,} parts, which is the limit; convert it first"
            )
        yield part


def _copy(read_at: ReadAt, edits: list[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """Yield the bytes of a file with spans replaced."""
    at = 0
    for start, end, new in [*edits, (1 << 62, 1 << 62, b"")]:
        while at < start and (piece := read_at(at, min(start - at, _PIECE))):
            yield piece
            at += len(piece)
        yield new
        at = end
