"""Directories of tags, of TIFF files and of EXIF blocks (which are small TIFF files): what libvips does not tell.

libvips decodes and encodes TIFF, but neither says how a file was compressed nor carries its EXIF.
Tags are kept as ``{number: (type, values)}`` where values are bytes of little-endian order, or
another such directory. Whatever is out of place in a file is left out, never an error: the picture
is libvips' to judge.

References:
    TIFF 6.0 (Adobe, 1992); BigTIFF (libtiff); Exif 2.32 (CIPA DC-008).
"""

import struct
from collections.abc import Callable
from typing import BinaryIO, cast

import numpy as np

__all__ = [
    "COMPRESSION",
    "Directory",
    "add_tags",
    "exif_block",
    "exif_tags",
    "first_directory",
    "head",
]

Directory = dict[int, tuple[int, "bytes | Directory"]]
ReadAt = Callable[[int, int], bytes]
"""Offset and length -> bytes, fewer at the end of the file."""

COMPRESSION = 259
_WIDTH, _HEIGHT, _STRIPS, _ROWS, _LENGTHS = 256, 257, 273, 278, 279
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_POINTERS = (_EXIF, _GPS, _INTEROPERABILITY)
_DESCRIPTIVE = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, _EXIF, _GPS)
"""Document, description, make, model, page, software, date, artist, computer, copyright: not how it is stored."""
_UNIT = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 4,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes that are swapped together, by type; a rational is two of them."""
_MOST = 1 << 20
"""Longer values of strangers' files are left out: they are not what a person wrote."""


def first_directory(read_at: ReadAt, *, most: int = _MOST) -> Directory:
    """The tags of the first picture of a TIFF file; those that lie outside it or have more bytes are left out."""
    head = read_at(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return {}
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    if big and len(head) < 16:
        return {}
    (start,) = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])
    return _directory(read_at, start, order, big, most, depth=0)


def exif_tags(block: bytes) -> Directory:
    """The tags of an EXIF block, with or without its ``Exif\\0\\0``."""
    content = block.removeprefix(b"Exif\0\0")
    return first_directory(lambda offset, length: content[offset : offset + length])


def exif_block(tags: Directory) -> bytes:
    """An EXIF block of the descriptive ones among tags; empty where there are none."""
    kept = {tag: value for tag, value in tags.items() if tag in _DESCRIPTIVE}
    return b"Exif\0\0II*\0\x08\0\0\0" + _serialized(kept, 8, big=False) if kept else b""


def add_tags(file: BinaryIO, tags: Directory) -> None:
    """Give the first picture of a TIFF file of little-endian order the descriptive ones among tags.

    Its directory is written anew at the end of the file, which must be open for reading and writing.
    """

    def read_at(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    big = read_at(0, 4) == b"II+\0"
    pointer, width, form = (8, 8, "<Q") if big else (4, 4, "<I")
    (start,) = struct.unpack(form, read_at(pointer, width))
    entries, entry, count_form = (8, 20, "<Q") if big else (2, 12, "<H")
    (count,) = struct.unpack(count_form, read_at(start, entries))
    following = read_at(start + entries + count * entry, width)
    # What is stored inside the directory moves with it; what is stored elsewhere stays where it is.
    own = {
        struct.unpack("<H", each[:2])[0]: each
        for each in (read_at(start + entries + i * entry, entry) for i in range(count))
    }
    added = {tag: value for tag, value in tags.items() if tag in _DESCRIPTIVE}
    end = file.seek(0, 2)
    end += end % 2
    file.write(bytes(end - file.tell()))
    file.write(_serialized(added, end, big=big, own=own, following=following))
    file.seek(pointer)
    file.write(struct.pack(form, end))


def head(pixel: Directory, shape: tuple[int, int], rows: int, *, big: bool) -> bytes:
    """The head of an uncompressed TIFF in strips of ``rows`` rows, whose pixels follow it at once.

    ``pixel`` are the tags of such a picture of one pixel, ``shape`` its (H, W), ``big`` whether it
    is a BigTIFF. So rows can be written, or read through a pipe, while others are still being made.
    """
    height, width = shape
    row = width * int.from_bytes(cast(bytes, pixel[_LENGTHS][1]), "little")
    strips = -(-height // rows)
    kind, unsigned = (16, "<u8") if big else (4, "<u4")

    def beginning(start: int) -> bytes:
        lengths = [row * rows] * (strips - 1) + [row * (height - rows * (strips - 1))]
        where: Directory = {
            _WIDTH: (4, struct.pack("<I", width)),
            _HEIGHT: (4, struct.pack("<I", height)),
            _STRIPS: (kind, (start + np.arange(strips) * (row * rows)).astype(unsigned).tobytes()),
            _ROWS: (4, struct.pack("<I", rows)),
            _LENGTHS: (kind, np.array(lengths, unsigned).tobytes()),
        }
        signature = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0\x08\0\0\0"
        return signature + _serialized(pixel | where, len(signature), big=big)

    return beginning(len(beginning(0)))


def _directory(
    read_at: ReadAt, start: int, order: str, big: bool, most: int, *, depth: int
) -> Directory:
    entries, entry, field = (8, 20, 8) if big else (2, 12, 4)
    head = read_at(start, entries)
    if len(head) < entries or depth > 2:
        return {}
    (count,) = struct.unpack(order + ("Q" if big else "H"), head)
    table = read_at(start + entries, min(count, 4096) * entry)
    found: Directory = {}
    for position in range(0, len(table) - entry + 1, entry):
        tag, kind = struct.unpack(order + "HH", table[position : position + 4])
        (length,) = struct.unpack(
            order + ("Q" if big else "I"), table[position + 4 : position + 4 + field]
        )
        value = table[position + 4 + field : position + entry]
        unit = _UNIT.get(kind)
        if unit is None:
            continue
        size = length * unit * (2 if kind in (5, 10) else 1)
        if tag in _POINTERS and kind in (4, 13, 16, 18) and length == 1:
            (below,) = struct.unpack(order + {4: "I", 8: "Q"}[unit], value[:unit])
            found[tag] = (4, _directory(read_at, below, order, big, most, depth=depth + 1))
            continue
        if size > most:
            continue
        if size > field:
            (at,) = struct.unpack(order + ("Q" if big else "I"), value)
            value = read_at(at, size)
        if len(value) >= size:
            swapped = np.frombuffer(value[:size], f"{order}u{unit}").astype(f"<u{unit}")
            found[tag] = (kind, swapped.tobytes())
    return found


def _serialized(
    tags: Directory,
    start: int,
    *,
    big: bool,
    own: dict[int, bytes] | None = None,
    following: bytes = b"",
) -> bytes:
    """A directory that will lie at ``start``, with what it points to behind it.

    ``own`` are whole entries, taken as they are; ``following`` the pointer to the next directory.
    """
    own = {tag: entry for tag, entry in (own or {}).items() if tag not in tags}
    numbers = sorted([*tags, *own])
    entries, entry, field = (8, 20, 8) if big else (2, 12, 4)
    behind = start + entries + entry * len(numbers) + field
    table, rest = bytearray(), bytearray()
    for tag in numbers:
        if tag in own:
            table += own[tag]
            continue
        kind, value = tags[tag]
        at = behind + len(rest)
        if isinstance(value, dict):
            length, content = 1, struct.pack("<Q" if big else "<I", at)
            kind = 16 if big else 4
            rest += _serialized(value, at, big=big)
        else:
            length, content = len(value) // (_UNIT[kind] * (2 if kind in (5, 10) else 1)), value
            if len(value) > field:
                content = struct.pack("<Q" if big else "<I", at)
                rest += value
        rest += bytes(len(rest) % 2)
        table += struct.pack("<HHQ" if big else "<HHI", tag, kind, length) + content.ljust(
            field, b"\0"
        )
    count = struct.pack("<Q" if big else "<H", len(numbers))
    return count + bytes(table) + following.ljust(field, b"\0") + bytes(rest)
