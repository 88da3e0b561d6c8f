"""Directories of tags, in TIFF files and in EXIF blocks (which are small TIFF files).

libvips decodes and encodes the pixels of TIFF, but neither reports the compression of a
file nor carries its EXIF. Tags are held as ``{number: (type, value)}``, where the value
is bytes in little-endian order, or another such directory. Reading never fails: what is
malformed is left out, because only libvips decides whether a file is readable. Reading
is bounded: each directory is read once, and a ``Budget`` limits entries and bytes.

References:
    TIFF 6.0 (Adobe, 1992); BigTIFF (libtiff); Exif 2.32 (CIPA DC-008).
"""

import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, NamedTuple, cast

import numpy as np

__all__ = [
    "ASCII",
    "BYTE",
    "EXIF",
    "LONG",
    "ORIENTATION",
    "PIXEL_HEIGHT",
    "PIXEL_WIDTH",
    "RESOLUTION_TAGS",
    "SHORT",
    "SEPARATE_TAGS",
    "STORAGE_TAGS",
    "Budget",
    "Directories",
    "Directory",
    "Entry",
    "ReadAt",
    "add_tags",
    "make_exif_block",
    "make_header",
    "open_directories",
    "read_bytes",
    "read_exif_block",
    "read_from",
    "read_tags",
]

Directory = dict[int, tuple[int, "bytes | Directory"]]
"""Tags by number: the type and the value."""
ReadAt = Callable[[int, int], bytes]
"""Offset and length -> bytes, fewer at the end of the file; a negative length reads to
it."""

BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4
"""Types of values."""
_LONG8 = 16
ORIENTATION = 274
EXIF, PIXEL_WIDTH, PIXEL_HEIGHT = 34665, 40962, 40963
RESOLUTION_TAGS = (282, 283, 296)
"""XResolution, YResolution and ResolutionUnit."""
STORAGE_TAGS = frozenset({
    *range(254, 267), 273, *range(277, 282), 284, *range(288, 293), 301, 317, 318, 319, 320,
    *range(321, 327), 328, 330, *range(332, 335), *range(336, 344), 347, *range(512, 522),
    *range(529, 533), 559, 34675, 34908, 37724, *range(32995, 32999), 50674, *range(50706, 52600),
})  # fmt: skip
"""Tags of the main directory that say how a file stores its pixels and colors."""
SEPARATE_TAGS = STORAGE_TAGS | {700, 33723, 34377}
"""The same, and those of XMP, IPTC and Photoshop: none of them becomes EXIF."""
_SUBFILE, _PREVIEW = 254, 0b101
"""Tag of the kind of a page, and its bits for a preview and a mask."""
_MOST_ENTRIES = 4096
"""Entries of a directory that are read."""
_MOST_PREVIEWS = 16
"""Pages among which the first is sought that is not a preview."""
_WIDTH, _HEIGHT, _STRIPS, _ROWS, _LENGTHS = 256, 257, 273, 278, 279
_GPS, _INTEROPERABILITY, _USER_COMMENT = 34853, 40965, 37510
_SUBDIRECTORIES = {0: (EXIF, _GPS), EXIF: (_INTEROPERABILITY,)}
"""The tags that point to a directory, by the tag of the directory that holds them."""
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8} | {
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes that are swapped together, by type; a rational (5 and 10) is two of them."""


@dataclass
class Budget:
    """How much may still be read: an EXIF block of a JPEG cannot hold more."""

    entries: int = 1000
    """Entries of all directories together."""
    size: int = 1 << 16
    """Bytes of all values together."""
    left_out: int = 0
    """Number of tags that did not fit."""
    visited: set[int] = field(default_factory=set)
    """Offsets of the directories that have been read."""


class Entry(NamedTuple):
    """An entry of a directory."""

    tag: int
    kind: int
    count: int
    value: bytes
    """The last field of the entry: the value itself, or its offset."""

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return self.count * _UNITS.get(self.kind, 1) * (2 if self.kind in (5, 10) else 1)


@dataclass(frozen=True)
class Directories:
    """The directories of a TIFF file, read when they are needed."""

    read_at: ReadAt
    order: str
    """Byte order as in ``struct``: "<" or ">"."""
    big: bool
    """Whether it is a BigTIFF."""
    first: int
    """Offset of the first directory, or 0."""

    def read_entries(self, start: int) -> tuple[list[Entry], int]:
        """Read the entries of a directory; return also the offset of the next or 0."""
        count_bytes, entry_bytes, width = (8, 20, 8) if self.big else (2, 12, 4)
        head = self.read_at(start, count_bytes)
        if len(head) < count_bytes:
            return [], 0
        (count,) = struct.unpack(self.order + ("Q" if self.big else "H"), head)
        end = min(count, _MOST_ENTRIES) * entry_bytes
        table = self.read_at(start + count_bytes, end + width)
        form = self.order + ("HHQ" if self.big else "HHI")
        entries: list[Entry] = []
        for at in range(0, min(end, len(table)) - entry_bytes + 1, entry_bytes):
            tag, kind, length = struct.unpack(form, table[at : at + 4 + width])
            entries.append(Entry(tag, kind, length, table[at + 4 + width : at + entry_bytes]))
        whole = count <= _MOST_ENTRIES and len(table) == end + width
        return entries, self._read_offset(table[end:]) if whole else 0

    def read_value(self, entry: Entry, longest: int = -1) -> bytes:
        """Read a value as it is in the file, at most ``longest`` bytes of it if that is
        not negative; fewer bytes at the end of the file."""
        size = entry.size if longest < 0 else min(entry.size, longest)
        if entry.size <= len(entry.value):
            return entry.value[:size]
        return self.read_at(self._read_offset(entry.value), size)

    def iterate_pages(self) -> Iterator[tuple[int, list[Entry]]]:
        """Yield offset and entries of the directory of each page, each of them once."""
        start, seen = self.first, set[int]()
        while start and start not in seen:
            seen.add(start)
            entries, following = self.read_entries(start)
            yield start, entries
            start = following

    def find_picture(self) -> int:
        """Find the first directory that is neither a preview nor a mask; without one,
        the first of all."""
        for start, entries in islice(self.iterate_pages(), _MOST_PREVIEWS):
            values = (self.read_value(entry) for entry in entries if entry.tag == _SUBFILE)
            kind = int.from_bytes(next(values, b""), "little" if self.order == "<" else "big")
            if not kind & _PREVIEW:
                return start
        return self.first

    def _read_offset(self, field: bytes) -> int:
        return struct.unpack(self.order + ("Q" if self.big else "I"), field)[0]


def open_directories(read_at: ReadAt) -> Directories | None:
    """Read the header of a TIFF file or EXIF block; None if it is not one."""
    start = read_at(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        return None
    big = struct.unpack(order + "H", start[2:4])[0] == 43
    if big and len(start) < 16:
        return None
    (offset,) = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])
    return Directories(read_at, order, big, offset)


def read_tags(
    read_at: ReadAt, *, budget: Budget | None = None, skipped: Collection[int] = ()
) -> Directory:
    """Read the tags of the first page of a TIFF file that is not a preview.

    Tags that lie outside the file, exceed the budget or are ``skipped`` are left out.
    """
    directories = open_directories(read_at)
    if directories is None:
        return {}
    start = directories.find_picture()
    return _read_directory(directories, start, budget or Budget(), set(skipped))


def read_bytes(read_at: ReadAt, tags: Collection[int], longest: int) -> dict[int, bytes]:
    """Read values of the same page as they are in the file, without swapping bytes.

    Values of more than ``longest`` bytes are returned empty.
    """
    directories = open_directories(read_at)
    if directories is None:
        return {}
    found: dict[int, bytes] = {}
    for entry in directories.read_entries(directories.find_picture())[0]:
        if entry.tag in tags and entry.tag not in found and entry.kind in _UNITS:
            found[entry.tag] = directories.read_value(entry) if entry.size <= longest else b""
    return found


def read_from(content: bytes) -> ReadAt:
    """Read parts of bytes as those of a file."""
    return lambda offset, length: content[offset : offset + length if length >= 0 else None]


def read_exif_block(block: bytes, *, budget: Budget | None = None) -> Directory:
    """Read the tags of an EXIF block, with or without its ``Exif\\0\\0``."""
    directories = open_directories(read_from(block.removeprefix(b"Exif\0\0")))
    if directories is None:
        return {}
    # In a block, the directory behind the first is that of a thumbnail.
    return _read_directory(directories, directories.first, budget or Budget())


def make_exif_block(tags: Directory) -> bytes:
    """Make an EXIF block, without ``Exif\\0\\0``; empty where there are no tags."""
    return b"II*\0\x08\0\0\0" + _serialize(tags, 8, big=False) if tags else b""


def add_tags(file: BinaryIO, tags: Directory, *, removed: Collection[int] = ()) -> None:
    """Add tags to the first page of a little-endian TIFF file.

    A new directory is written at the end of the file, which must be open for reading
    and writing. Entries ``removed`` are taken out of every page.
    """

    def read_at(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    big = read_at(0, 4) == b"II+\0"
    pointer, width, form = (8, 8, "<Q") if big else (4, 4, "<I")
    count_bytes, entry_bytes, count_form = (8, 20, "<Q") if big else (2, 12, "<H")

    def read_directory(start: int) -> tuple[dict[int, bytes], bytes]:
        (count,) = struct.unpack(count_form, read_at(start, count_bytes))
        first = start + count_bytes
        table = read_at(first, count * entry_bytes)
        following = read_at(first + count * entry_bytes, width)
        entries = [table[at : at + entry_bytes] for at in range(0, len(table), entry_bytes)]
        return {struct.unpack("<H", entry[:2])[0]: entry for entry in entries}, following

    # Values inside the directory move with it; values elsewhere stay where they are.
    (start,) = struct.unpack(form, read_at(pointer, width))
    existing, following = read_directory(start)
    existing = {tag: entry for tag, entry in existing.items() if tag not in removed}
    (page,) = struct.unpack(form, following)
    while page and removed:
        entries, behind = read_directory(page)
        remaining = [entry for tag, entry in entries.items() if tag not in removed]
        file.seek(page)
        file.write(struct.pack(count_form, len(remaining)) + b"".join(remaining) + behind)
        (page,) = struct.unpack(form, behind)
    end = file.seek(0, 2)
    end += end % 2
    file.write(bytes(end - file.tell()))
    file.write(_serialize(tags, end, big=big, existing=existing, following=following))
    file.seek(pointer)
    file.write(struct.pack(form, end))


def make_header(pixel: Directory, shape: tuple[int, int], rows: int, *, big: bool) -> bytes:
    """Make the header of an uncompressed TIFF in strips of ``rows`` rows.

    The pixels follow it immediately, so they can be written while later ones are still
    being computed. ``pixel`` are the tags of such a picture of one pixel, ``shape`` its
    (H, W), ``big`` whether it is a BigTIFF.
    """
    height, width = shape
    row = width * int.from_bytes(cast(bytes, pixel[_LENGTHS][1]), "little")
    strips = -(-height // rows)
    kind, unsigned = (16, "<u8") if big else (LONG, "<u4")

    def serialize(start: int) -> bytes:
        lengths = [row * rows] * (strips - 1) + [row * (height - rows * (strips - 1))]
        layout: Directory = {
            _WIDTH: (LONG, struct.pack("<I", width)),
            _HEIGHT: (LONG, struct.pack("<I", height)),
            _STRIPS: (kind, (start + np.arange(strips) * (row * rows)).astype(unsigned).tobytes()),
            _ROWS: (LONG, struct.pack("<I", rows)),
            _LENGTHS: (kind, np.array(lengths, unsigned).tobytes()),
        }
        signature = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0\x08\0\0\0"
        return signature + _serialize(pixel | layout, len(signature), big=big)

    return serialize(len(serialize(0)))  # the length does not depend on the offsets


def _read_directory(
    directories: Directories,
    start: int,
    budget: Budget,
    skipped: Collection[int] = (),
    parent: int = 0,
) -> Directory:
    if start in budget.visited:
        return {}
    budget.visited.add(start)
    tags: Directory = {}
    order = directories.order
    for entry in directories.read_entries(start)[0]:
        tag, kind = entry.tag, entry.kind
        if kind not in _UNITS or tag in skipped or tag in tags:
            continue
        below = tag in _SUBDIRECTORIES.get(parent, ())
        size = 0 if below else entry.size
        if budget.entries < 1 or size > budget.size:
            budget.left_out += 1
            continue
        budget.entries -= 1
        budget.size -= size
        if below:
            unit = _UNITS[kind]
            if kind in (4, 13, 16, 18) and entry.count == 1 and unit <= len(entry.value):
                (offset,) = struct.unpack(order + {4: "I", 8: "Q"}[unit], entry.value[:unit])
                inner = _read_directory(directories, offset, budget, parent=tag)
                if inner:
                    tags[tag] = (LONG, inner)
            continue
        value = directories.read_value(entry)
        if len(value) == size:
            unit = _UNITS[kind]
            swapped = np.frombuffer(value, f"{order}u{unit}").astype(f"<u{unit}").tobytes()
            if (order, parent, tag) == (">", EXIF, _USER_COMMENT):
                swapped = _swap_comment(swapped)
            tags[tag] = (kind, swapped)
    return tags


def _swap_comment(comment: bytes) -> bytes:
    """Return a user comment with its text, if it is UTF-16, in the other byte order."""
    if not comment.startswith(b"UNICODE\0"):
        return comment
    end = len(comment) // 2 * 2
    return comment[:8] + np.frombuffer(comment[8:end], "<u2").byteswap().tobytes() + comment[end:]


def _serialize(
    tags: Directory,
    start: int,
    *,
    big: bool,
    existing: dict[int, bytes] | None = None,
    following: bytes = b"",
) -> bytes:
    """Serialize a directory that will lie at ``start``, followed by the values it
    points to.

    ``existing`` are complete entries, copied unchanged unless ``tags`` replaces them;
    ``following`` is the pointer to the next directory.
    """
    if not big:  # numbers of 8 bytes exist only in a BigTIFF
        tags = {tag: value for tag, value in tags.items() if value[0] < _LONG8}
    existing = {tag: entry for tag, entry in (existing or {}).items() if tag not in tags}
    numbers = sorted([*tags, *existing])
    count_bytes, entry_bytes, width = (8, 20, 8) if big else (2, 12, 4)
    behind = start + count_bytes + entry_bytes * len(numbers) + width
    table, rest = bytearray(), bytearray()
    for tag in numbers:
        if tag in existing:
            table += existing[tag]
            continue
        kind, value = tags[tag]
        at = behind + len(rest)
        if isinstance(value, dict):
            length, content = 1, struct.pack("<Q" if big else "<I", at)
            kind = 16 if big else LONG
            rest += _serialize(value, at, big=big)
        else:
            length, content = len(value) // (_UNITS[kind] * (2 if kind in (5, 10) else 1)), value
            if len(value) > width:
                content = struct.pack("<Q" if big else "<I", at)
                rest += value
        rest += bytes(len(rest) % 2)
        entry = struct.pack("<HHQ" if big else "<HHI", tag, kind, length)
        table += entry + content.ljust(width, b"\0")
    count = struct.pack("<Q" if big else "<H", len(numbers))
    return count + bytes(table) + following.ljust(width, b"\0") + bytes(rest)
