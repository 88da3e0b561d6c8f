"""Directories of tags, in TIFF files and in EXIF blocks (which are small TIFF files).

libvips decodes and encodes the pixels of TIFF, but neither reports the compression of a
file nor carries its EXIF. Tags are held as ``{number: (type, value)}``, where the value
is bytes in little-endian order, or another such directory. Reading never fails: what is
malformed is left out, because only libvips decides whether a file is readable.

References:
    TIFF 6.0 (Adobe, 1992); BigTIFF (libtiff); Exif 2.32 (CIPA DC-008).
"""

import struct
from collections.abc import Callable
from typing import BinaryIO, cast

import numpy as np

__all__ = [
    "ASCII",
    "COMPRESSION",
    "EXIF",
    "LONG",
    "ORIENTATION",
    "PIXEL_HEIGHT",
    "PIXEL_WIDTH",
    "Directory",
    "ReadAt",
    "add_tags",
    "make_exif_block",
    "make_header",
    "read_exif_block",
    "read_tags",
]

Directory = dict[int, tuple[int, "bytes | Directory"]]
"""Tags by number: the type and the value."""
ReadAt = Callable[[int, int], bytes]
"""Offset and length -> bytes, fewer at the end of the file."""

ASCII, LONG = 2, 4
"""Types of values."""
COMPRESSION, ORIENTATION = 259, 274
EXIF, PIXEL_WIDTH, PIXEL_HEIGHT = 34665, 40962, 40963
_WIDTH, _HEIGHT, _STRIPS, _ROWS, _LENGTHS = 256, 257, 273, 278, 279
_GPS, _INTEROPERABILITY = 34853, 40965
_POINTERS = (EXIF, _GPS, _INTEROPERABILITY)
_DESCRIPTIVE = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, EXIF, _GPS)
"""The tags that describe a photo, not its storage: document, description, make, model,
page, software, date, artist, computer, copyright, EXIF and GPS."""
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8} | {
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes that are swapped together, by type; a rational (5 and 10) is two of them."""
_LONGEST = 1 << 20
"""Longer values, in bytes, are left out: no person wrote them."""


def read_tags(read_at: ReadAt, *, longest: int = _LONGEST) -> Directory:
    """Read the tags of the first page of a TIFF file.

    Tags that lie outside the file or have more than ``longest`` bytes are left out.
    """
    start = read_at(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        return {}
    big = struct.unpack(order + "H", start[2:4])[0] == 43
    if big and len(start) < 16:
        return {}
    (offset,) = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])
    return _read_directory(read_at, offset, order, big, longest, depth=0)


def read_exif_block(block: bytes) -> Directory:
    """Read the tags of an EXIF block, with or without its ``Exif\\0\\0``."""
    content = block.removeprefix(b"Exif\0\0")
    return read_tags(lambda offset, length: content[offset : offset + length])


def make_exif_block(tags: Directory) -> bytes:
    """Make an EXIF block of the descriptive tags; empty where there are none."""
    chosen = {tag: value for tag, value in tags.items() if tag in _DESCRIPTIVE}
    return b"Exif\0\0II*\0\x08\0\0\0" + _serialize(chosen, 8, big=False) if chosen else b""


def add_tags(file: BinaryIO, tags: Directory) -> None:
    """Add the descriptive tags to the first page of a little-endian TIFF file.

    A new directory is written at the end of the file, which must be open for reading
    and writing.
    """

    def read_at(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    big = read_at(0, 4) == b"II+\0"
    pointer, width, form = (8, 8, "<Q") if big else (4, 4, "<I")
    (start,) = struct.unpack(form, read_at(pointer, width))
    count_bytes, entry_bytes, count_form = (8, 20, "<Q") if big else (2, 12, "<H")
    (count,) = struct.unpack(count_form, read_at(start, count_bytes))
    first = start + count_bytes
    following = read_at(first + count * entry_bytes, width)
    # Values inside the directory move with it; values elsewhere stay where they are.
    entries = [read_at(first + i * entry_bytes, entry_bytes) for i in range(count)]
    existing = {struct.unpack("<H", entry[:2])[0]: entry for entry in entries}
    added = {tag: value for tag, value in tags.items() if tag in _DESCRIPTIVE}
    end = file.seek(0, 2)
    end += end % 2
    file.write(bytes(end - file.tell()))
    file.write(_serialize(added, end, big=big, existing=existing, following=following))
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
    read_at: ReadAt, start: int, order: str, big: bool, longest: int, *, depth: int
) -> Directory:
    count_bytes, entry_bytes, field = (8, 20, 8) if big else (2, 12, 4)
    head = read_at(start, count_bytes)
    if len(head) < count_bytes or depth > 2:
        return {}
    (count,) = struct.unpack(order + ("Q" if big else "H"), head)
    table = read_at(start + count_bytes, min(count, 4096) * entry_bytes)
    tags: Directory = {}
    for at in range(0, len(table) - entry_bytes + 1, entry_bytes):
        tag, kind = struct.unpack(order + "HH", table[at : at + 4])
        (length,) = struct.unpack(order + ("Q" if big else "I"), table[at + 4 : at + 4 + field])
        value = table[at + 4 + field : at + entry_bytes]
        unit = _UNITS.get(kind)
        if unit is None:
            continue
        size = length * unit * (2 if kind in (5, 10) else 1)
        if tag in _POINTERS and kind in (4, 13, 16, 18) and length == 1:
            (below,) = struct.unpack(order + {4: "I", 8: "Q"}[unit], value[:unit])
            below_tags = _read_directory(read_at, below, order, big, longest, depth=depth + 1)
            tags[tag] = (LONG, below_tags)
            continue
        if size > longest:
            continue
        if size > field:
            (offset,) = struct.unpack(order + ("Q" if big else "I"), value)
            value = read_at(offset, size)
        if len(value) >= size:
            swapped = np.frombuffer(value[:size], f"{order}u{unit}").astype(f"<u{unit}")
            tags[tag] = (kind, swapped.tobytes())
    return tags


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
    existing = {tag: entry for tag, entry in (existing or {}).items() if tag not in tags}
    numbers = sorted([*tags, *existing])
    count_bytes, entry_bytes, field = (8, 20, 8) if big else (2, 12, 4)
    behind = start + count_bytes + entry_bytes * len(numbers) + field
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
            if len(value) > field:
                content = struct.pack("<Q" if big else "<I", at)
                rest += value
        rest += bytes(len(rest) % 2)
        entry = struct.pack("<HHQ" if big else "<HHI", tag, kind, length)
        table += entry + content.ljust(field, b"\0")
    count = struct.pack("<Q" if big else "<H", len(numbers))
    return count + bytes(table) + following.ljust(field, b"\0") + bytes(rest)
