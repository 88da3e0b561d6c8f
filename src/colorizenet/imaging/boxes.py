"""Where the boxes of an AVIF hold its EXIF.

Reading never fails: a file whose boxes are malformed has no EXIF.

References:
    ISO/IEC 14496-12 (boxes); ISO/IEC 23008-12 (items, EXIF).
"""

from collections.abc import Iterator
from typing import NamedTuple

from colorizenet.imaging.tiff import ReadAt

__all__ = ["ExifItem", "find_exif_item"]

_MOST_BOXES = 10_000
_LONGEST_BOX = 1 << 20
_LONGEST_EXIF = 1 << 21


class ExifItem(NamedTuple):
    """The item of EXIF, by positions in the file."""

    type_at: int
    """Position of the four letters of its type."""
    extent_at: int = 0
    """Position of the offset and the length of its content; 0 where it has none that
    can be read."""
    offset_size: int = 0
    length_size: int = 0
    base: int = 0
    """What is added to the offset."""

    def read(self, read_at: ReadAt) -> bytes:
        """Read the block of EXIF; empty where it cannot be read."""
        if not self.extent_at:
            return b""
        field = read_at(self.extent_at, self.offset_size + self.length_size)
        start = self.base + int.from_bytes(field[: self.offset_size], "big")
        length = int.from_bytes(field[self.offset_size :], "big")
        content = read_at(start, min(length, _LONGEST_EXIF))
        return content[4 + int.from_bytes(content[:4], "big") :]


def find_exif_item(read_at: ReadAt) -> ExifItem | None:
    """Find the first item of EXIF."""
    meta = next((box for box in _iterate_boxes(read_at, 0, 1 << 62) if box[0] == b"meta"), None)
    if meta is None:
        return None
    boxes = {kind: (at, end) for kind, at, end in _iterate_boxes(read_at, meta[1] + 4, meta[2])}
    if b"iinf" not in boxes:
        return None
    at, end = boxes[b"iinf"]
    first = at + (6 if read_at(at, 1) == b"\0" else 8)
    for kind, entry, _ in _iterate_boxes(read_at, first, end):
        wide = 4 if read_at(entry, 1) == b"\3" else 2
        type_at = entry + 4 + wide + 2
        if kind == b"infe" and read_at(type_at, 4) == b"Exif":
            number = int.from_bytes(read_at(entry + 4, wide), "big")
            found = _find_extent(read_at, *boxes[b"iloc"], number) if b"iloc" in boxes else None
            return ExifItem(type_at, *(found or ()))
    return None


def _find_extent(
    read_at: ReadAt, start: int, end: int, number: int
) -> tuple[int, int, int, int] | None:
    """Find where the content of an item is stated, if it is one piece of the file."""
    box = read_at(start, min(end - start, _LONGEST_BOX))
    if len(box) < 8:
        return None
    version = box[0]
    offset_size, length_size, base_size = box[4] >> 4, box[4] & 15, box[5] >> 4
    index_size = box[5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    count, at = int.from_bytes(box[6 : 6 + wide], "big"), 6 + wide
    for _ in range(min(count, _MOST_BOXES)):
        item = int.from_bytes(box[at : at + wide], "big")
        at += wide
        in_file = not version or int.from_bytes(box[at : at + 2], "big") & 15 == 0
        at += (2 if version else 0) + 2
        base = int.from_bytes(box[at : at + base_size], "big")
        extents = int.from_bytes(box[at + base_size : at + base_size + 2], "big")
        at += base_size + 2
        if item == number:
            simple = in_file and extents == 1
            return (start + at + index_size, offset_size, length_size, base) if simple else None
        at += extents * (index_size + offset_size + length_size)
    return None


def _iterate_boxes(read_at: ReadAt, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the start of the content and the end of each box."""
    for _ in range(_MOST_BOXES):
        head = read_at(at, 16) if at + 8 <= end else b""
        if len(head) < 8:
            return
        length, content = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:
            length, content = int.from_bytes(head[8:], "big"), at + 16
        stop = at + length if length else end
        if stop < content:
            return
        yield head[4:8], content, min(stop, end)
        at = stop
