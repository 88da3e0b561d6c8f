"""Where the boxes of AVIF, HEIC, JPEG XL and JPEG 2000 files hold metadata.

Reading never fails: a file whose boxes are malformed has no metadata.

References:
    ISO/IEC 14496-12 (boxes); ISO/IEC 23008-12 (items, EXIF, XMP); ISO/IEC 18181-2
    (JPEG XL); ISO/IEC 15444-1 annex I (JP2); XMP Specification Part 3 (Adobe, 2020).
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

from colorizenet.imaging.tiff import ReadAt

__all__ = [
    "MAX_BOXES",
    "Item",
    "decompress_brotli",
    "find_exif_types",
    "find_items",
    "iterate_boxes",
    "read_exif_content",
    "read_jp2_resolution",
]

MAX_BOXES = 10_000
"""An AVIF with more boxes is refused."""
_LONGEST_BOX = 1 << 20
_XMP_TYPE = b"application/rdf+xml"


class Item(NamedTuple):
    """The item of EXIF or XMP, by positions in the file."""

    type_at: int
    """Position of the four letters of its type."""
    extent_at: int = 0
    """Position of the offset and the length of its content; 0 where it has none that
    can be read."""
    offset_size: int = 0
    length_size: int = 0
    base: int = 0
    """What is added to the offset."""

    def read(self, read_at: ReadAt, longest: int) -> bytes:
        """Read the content, at most ``longest`` bytes; empty where it cannot be
        read."""
        if not self.extent_at:
            return b""
        field = read_at(self.extent_at, self.offset_size + self.length_size)
        start = self.base + int.from_bytes(field[: self.offset_size], "big")
        length = int.from_bytes(field[self.offset_size :], "big")
        return read_at(start, min(length, longest))


def find_items(read_at: ReadAt) -> dict[str, Item]:
    """Find the first item of each kind in an AVIF or HEIC file: "exif" and "xmp"."""
    found: dict[str, Item] = {}
    for name, type_at, number, boxes in _iterate_entries(read_at):
        if name not in found:
            found[name] = Item(type_at, *_find_extent(read_at, boxes, number))
    return found


def find_exif_types(read_at: ReadAt) -> list[int]:
    """Find the positions of the types of all items of EXIF in an AVIF file."""
    return [type_at for name, type_at, *_ in _iterate_entries(read_at) if name == "exif"]


def read_exif_content(content: bytes) -> bytes:
    """Return the block in the content of an EXIF item or box.

    The offset of the block comes first, which some writers of JPEG XL forget.
    """
    if content[:4] in (b"II*\0", b"MM\0*"):
        return content
    return content[4 + int.from_bytes(content[:4], "big") :]


def decompress_brotli(content: bytes, longest: int) -> bytes:
    """Decompress the content of a box, about ``longest`` bytes at most; empty where it
    is malformed."""
    if find_spec("brotli") is None:  # nor are the pixels of such a file read
        return b""
    import brotli

    try:
        return brotli.Decompressor().process(content, output_buffer_limit=longest)
    except brotli.error:
        return b""


def read_jp2_resolution(read_at: ReadAt) -> tuple[float, float] | None:
    """Read the resolution of a JP2 file in pixels per millimeter, across and down.

    The resolution of the scan precedes that of the display.
    """
    path = [(b"jp2h",), (b"res ",), (b"resc", b"resd")]
    at, end = 0, 1 << 62
    for kinds in path:
        found = sorted(box for box in iterate_boxes(read_at, at, end) if box[0] in kinds)
        if not found:
            return None
        _, at, end = found[0]
    content = read_at(at, 10)
    if len(content) < 10:
        return None
    sides = [int.from_bytes(content[i : i + 2], "big") for i in (0, 2, 4, 6)]
    powers = [int.from_bytes(content[i : i + 1], "big", signed=True) for i in (8, 9)]
    if 0 in sides or any(abs(power) > 12 for power in powers):
        return None
    down, across = (sides[2 * i] / sides[2 * i + 1] * 10.0 ** powers[i] / 1000 for i in (0, 1))
    return across, down


def iterate_boxes(
    read_at: ReadAt, at: int = 0, end: int = 1 << 62
) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the start of the content and the end of each box. Stops soon
    after ``MAX_BOXES``."""
    for _ in range(MAX_BOXES + 1):
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


def _iterate_entries(
    read_at: ReadAt,
) -> Iterator[tuple[str, int, int, dict[bytes, tuple[int, int]]]]:
    """Yield each item of EXIF or XMP: its name, the position of its type, its number,
    and start and end of the first box of each type next to its list."""
    meta = next((box for box in iterate_boxes(read_at) if box[0] == b"meta"), None)
    if meta is None:
        return
    siblings = list(iterate_boxes(read_at, meta[1] + 4, meta[2]))
    boxes = {kind: (at, end) for kind, at, end in reversed(siblings)}
    for at, end in [(at, end) for kind, at, end in siblings if kind == b"iinf"]:
        first = at + (6 if read_at(at, 1) == b"\0" else 8)
        for kind, entry, entry_end in iterate_boxes(read_at, first, end):
            if kind != b"infe":
                continue
            wide = 4 if read_at(entry, 1) == b"\3" else 2
            type_at = entry + 4 + wide + 2
            name = _name_item(read_at(type_at, min(entry_end - type_at, 256)))
            if name:
                number = int.from_bytes(read_at(entry + 4, wide), "big")
                yield name, type_at, number, boxes


def _name_item(entry: bytes) -> str:
    """Name the kind of an item by the end of its entry, from its type on."""
    if entry[:4].lower() == b"exif":  # as libvips does
        return "exif"
    content_type = entry[4:].split(b"\0")[1:2]
    return "xmp" if entry.startswith(b"mime") and content_type == [_XMP_TYPE] else ""


def _find_extent(
    read_at: ReadAt, boxes: dict[bytes, tuple[int, int]], number: int
) -> tuple[int, int, int, int]:
    """Find where the content of an item is stated; zeros where it is not one piece."""
    nowhere = (0, 0, 0, 0)
    start, end = boxes.get(b"iloc", (0, 0))
    box = read_at(start, min(end - start, _LONGEST_BOX))
    if len(box) < 8:
        return nowhere
    version = box[0]
    offset_size, length_size, base_size = box[4] >> 4, box[4] & 15, box[5] >> 4
    index_size = box[5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    count, at = int.from_bytes(box[6 : 6 + wide], "big"), 6 + wide
    for _ in range(min(count, MAX_BOXES)):
        item = int.from_bytes(box[at : at + wide], "big")
        at += wide
        method = int.from_bytes(box[at : at + 2], "big") & 15 if version else 0
        at += (2 if version else 0) + 2
        base = int.from_bytes(box[at : at + base_size], "big")
        extents = int.from_bytes(box[at + base_size : at + base_size + 2], "big")
        at += base_size + 2
        if item == number:
            if method == 1 and b"idat" in boxes:  # offsets count from that box
                method, base = 0, base + boxes[b"idat"][0]
            simple = method == 0 and extents == 1
            return (start + at + index_size, offset_size, length_size, base) if simple else nowhere
        at += extents * (index_size + offset_size + length_size)
    return nowhere
