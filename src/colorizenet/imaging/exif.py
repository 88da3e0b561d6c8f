"""Edits of an EXIF block that leave everything else where it is.

Maker notes hold offsets that count from the start of the block, in layouts that only
their makers know. So a block is changed in place: values are overwritten, a main
directory that needs more entries is written again at the end, and all other bytes keep
their position. Blocks come without ``Exif\\0\\0``.

References:
    Exif 2.32 (CIPA DC-008); TIFF 6.0 (Adobe, 1992).
"""

import struct
from fractions import Fraction
from typing import NamedTuple

from colorizenet.imaging import tiff

__all__ = [
    "LONGEST_BLOCK",
    "drop_maker_note",
    "has_fixed_maker_note",
    "is_readable",
    "make_resolution_tags",
    "prepare_for_tiff",
    "read_aspect",
    "read_orientation",
    "read_resolution",
    "read_software",
    "update_block",
]

LONGEST_BLOCK = 1 << 20
"""Blocks of more bytes are not read."""
_WIDTH, _HEIGHT, _SOFTWARE, _MAKER_NOTE, _COLOR_SPACE = 256, 257, 305, 37500, 40961
_INTEROPERABILITY, _INTEROPERABILITY_INDEX = 40965, 1
_UNTRUE_TAGS = tiff.STORAGE_TAGS - {_WIDTH, _HEIGHT, 529, 531, 532}
"""Tags of the main directory that describe the pixels of the source, such as the number
of its channels. Those of YCbCr stay true of a JPEG."""
_THUMBNAIL, _THUMBNAIL_LENGTH = 513, 514
_UNIT = 296
_MOST_ENTRIES = 1000
_MOVABLE_NOTES = (
    b"Apple iOS\0",
    b"FUJIFILM",
    b"Nikon\0\2",
    b"OLYMPUS\0",
    b"OM SYSTEM\0",
    b"PENTAX \0",
)
"""Starts of maker notes whose offsets count from the note itself."""
_INCH = 25.4  # millimeters


class _Field(NamedTuple):
    """An entry of a directory, where its position is that of its 12 bytes."""

    position: int
    tag: int
    kind: int
    count: int


class _Block:
    """The bytes of an EXIF block, and its directories."""

    def __init__(self, block: bytes) -> None:
        self.data = bytearray(block)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
        self.order = order or "<"
        self.start = self.number("I", 4) if order else -1

    def number(self, form: str, position: int) -> int:
        """Read a number; -1 outside the block."""
        size = struct.calcsize(form)
        if not 0 <= position <= len(self.data) - size:
            return -1
        return struct.unpack_from(self.order + form, self.data, position)[0]

    def fields(self, start: int) -> list[_Field] | None:
        """List the entries of a directory; None where it is not inside the block."""
        count = self.number("H", start) if start >= 8 else -1
        if not 0 <= count <= _MOST_ENTRIES or start + 2 + 12 * count > len(self.data):
            return None
        entries = []
        for position in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(self.order + "HHI", self.data, position)
            entries.append(_Field(position, tag, kind, length))
        return entries

    def below(self, fields: list[_Field], tag: int) -> list[_Field]:
        """List the entries of the directory that a tag points to."""
        for field in fields:
            if field.tag == tag and field.kind in (4, 13) and field.count == 1:
                return self.fields(self.number("I", field.position + 8)) or []
        return []

    def span(self, field: _Field) -> tuple[int, int]:
        """Where the value of an entry starts and ends."""
        size = field.count * {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}.get(
            field.kind, 1
        )
        start = field.position + 8 if size <= 4 else self.number("I", field.position + 8)
        return start, start + size

    def value(self, field: _Field) -> bytes:
        """The value of an entry, as it is in the block."""
        start, end = self.span(field)
        return bytes(self.data[start:end]) if start >= 0 and end <= len(self.data) else b""

    def put_number(self, field: _Field, number: int) -> None:
        """Overwrite an entry with one number; its type becomes LONG if it must."""
        short = field.kind == 3 and number < 1 << 16
        value = struct.pack(self.order + ("HH" if short else "I"), *((number, 0)[: 1 + short]))
        head = struct.pack(self.order + "HHI", field.tag, 3 if short else 4, 1)
        self.data[field.position : field.position + 12] = head + value


def is_readable(block: bytes) -> bool:
    """Return whether a block has a main directory."""
    opened = _Block(block)
    return opened.fields(opened.start) is not None


def read_software(block: bytes) -> str:
    """Read the software that is named; empty where none is."""
    opened = _Block(block)
    for field in opened.fields(opened.start) or []:
        if field.tag == _SOFTWARE and field.kind == tiff.ASCII:
            return opened.value(field).rstrip(b"\0 ").decode("utf-8", "replace")
    return ""


def read_orientation(block: bytes) -> int:
    """Read the orientation, 1 to 8; 1 where none is stated."""
    opened = _Block(block)
    for field in opened.fields(opened.start) or []:
        if field.tag == tiff.ORIENTATION and field.count == 1 and field.kind in (3, 4):
            number = opened.number("H" if field.kind == 3 else "I", field.position + 8)
            return number if 1 <= number <= 8 else 1
    return 1


def read_resolution(block: bytes) -> tuple[float, float] | None:
    """Read the resolution in pixels per millimeter, across and down."""
    stated = _read_stated(block)
    if stated is None or stated[2] not in (2, 3):
        return None
    unit = _INCH if stated[2] == 2 else 10.0
    return stated[0] / unit, stated[1] / unit


def read_aspect(block: bytes) -> tuple[float, float] | None:
    """Read a resolution without a unit, across and down."""
    stated = _read_stated(block)
    return stated[:2] if stated is not None and stated[2] == 1 else None


def make_resolution_tags(resolution: tuple[float, float]) -> tiff.Directory:
    """Make the tags of a resolution given in pixels per millimeter, across and down."""
    tags: tiff.Directory = {296: (tiff.SHORT, struct.pack("<H", 2))}
    for tag, number in zip((282, 283), resolution, strict=True):
        ratio = Fraction(min(number * _INCH, 4e6)).limit_denominator(1000)
        tags[tag] = (5, struct.pack("<II", ratio.numerator, ratio.denominator))
    return tags


def has_fixed_maker_note(block: bytes) -> bool:
    """Return whether there is a maker note that must not be moved."""
    note = _find_maker_note(_Block(block))
    return bool(note) and not note.startswith(_MOVABLE_NOTES)


def drop_maker_note(tags: tiff.Directory) -> bool:
    """Remove a maker note that must not be moved from tags; return whether there was
    one."""
    _, below = tags.get(tiff.EXIF, (0, {}))
    if not isinstance(below, dict):
        return False
    _, note = below.get(_MAKER_NOTE, (0, b""))
    if isinstance(note, dict) or not note or note.startswith(_MOVABLE_NOTES):
        return False
    del below[_MAKER_NOTE]
    return True


def prepare_for_tiff(block: bytes) -> tiff.Directory:
    """Return the tags of a block for a little-endian directory elsewhere.

    Maker notes that must not be moved are left out, and what the writer of the TIFF
    states about its pixels.
    """
    tags = tiff.read_exif_block(block, budget=tiff.Budget(size=LONGEST_BLOCK))
    tags = {tag: value for tag, value in tags.items() if tag not in tiff.SEPARATE_TAGS}
    if not _has_valid_resolution(tags):
        for tag in tiff.RESOLUTION_TAGS:  # libtiff refuses it
            tags.pop(tag, None)
    drop_maker_note(tags)
    return tags


def _has_valid_resolution(tags: tiff.Directory) -> bool:
    """Return whether tags hold two ratios and one of the units of a TIFF."""
    units = [(tiff.SHORT, struct.pack("<H", unit)) for unit in (1, 2, 3)]
    ratios = (tags.get(tag, (0, b"")) for tag in (282, 283))
    return tags.get(_UNIT) in units and all(
        kind == 5 and isinstance(value, bytes) and len(value) == 8 and any(value[4:])
        for kind, value in ratios
    )


def update_block(
    block: bytes,
    *,
    shape: tuple[int, int],
    software: str = "",
    resolution: tuple[float, float] | None = None,
) -> bytes:
    """Return a block that is true of the result.

    The orientation becomes 1, sizes become (H, W) ``shape``, the color space is sRGB,
    and the thumbnail, further pictures and tags about other pixels are removed.
    ``software`` is added to the tag of that name unless it is there or empty;
    ``resolution`` (pixels per millimeter) is added where none is stated.
    """
    opened = _Block(block)
    fields = opened.fields(opened.start)
    added: tiff.Directory = {}
    if fields is None:
        if software:
            added[_SOFTWARE] = (tiff.ASCII, software.encode() + b"\0")
        if resolution:
            added |= make_resolution_tags(resolution)
        return tiff.make_exif_block(added)
    turned = read_orientation(block) in (5, 6, 7, 8)
    length = _erase_thumbnail(opened, fields)
    _update_values(opened, fields, shape)
    if turned:
        _swap_resolution(opened, fields)
    tags = {field.tag for field in fields}
    if resolution and not tags & {282, 283}:
        added |= make_resolution_tags(resolution)
    software_fields = [field for field in fields if field.tag == _SOFTWARE]
    if software:
        stated = opened.value(software_fields[0]) if software_fields else b""
        text = stated.rstrip(b"\0 ")
        if software.encode() not in text:
            text = text + b"; " + software.encode() if text else software.encode()
            added[_SOFTWARE] = (tiff.ASCII, text + b"\0")
    removed = {*_UNTRUE_TAGS, *added}
    remaining = [field for field in fields if field.tag not in removed]
    end = opened.start + 2 + 12 * len(fields)
    if not added and len(remaining) == len(fields):
        opened.data[end : end + 4] = bytes(4)  # no second directory
        return bytes(opened.data[:length])
    raw = [
        (field.tag, bytes(opened.data[field.position : field.position + 12])) for field in remaining
    ]
    del opened.data[length:]
    if end + 4 == length:  # the directory comes last, and can grow
        del opened.data[opened.start :]
    return _append_directory(opened, raw, added)


def _append_directory(opened: _Block, raw: list[tuple[int, bytes]], added: tiff.Directory) -> bytes:
    """Write a main directory at the end of a block."""
    data, order = opened.data, opened.order
    data += bytes(len(data) % 2)
    start = len(data)
    struct.pack_into(order + "I", data, 4, start)
    values = bytearray()
    behind = start + 2 + 12 * (len(raw) + len(added)) + 4
    for tag, (kind, value) in added.items():
        assert isinstance(value, bytes)
        unit = {tiff.ASCII: "B", tiff.SHORT: "H", 5: "I"}[kind]
        numbers = struct.unpack(f"<{len(value) // struct.calcsize(unit)}{unit}", value)
        content = struct.pack(f"{order}{len(numbers)}{unit}", *numbers)
        entry = struct.pack(order + "HHI", tag, kind, len(numbers) // (2 if kind == 5 else 1))
        if len(content) > 4:
            entry += struct.pack(order + "I", behind + len(values))
            values += content + bytes(len(content) % 2)
        else:
            entry += content.ljust(4, b"\0")
        raw.append((tag, entry))
    raw.sort(key=lambda each: each[0])
    data += struct.pack(order + "H", len(raw)) + b"".join(entry for _, entry in raw) + bytes(4)
    return bytes(data + values)


def _update_values(opened: _Block, fields: list[_Field], shape: tuple[int, int]) -> None:
    """Overwrite the values that the result makes untrue."""
    height, width = shape
    below = opened.below(fields, tiff.EXIF)
    numbers = {tiff.ORIENTATION: 1, _WIDTH: width, _HEIGHT: height}
    for field in fields:
        if field.tag in numbers:
            opened.put_number(field, numbers[field.tag])
    numbers = {tiff.PIXEL_WIDTH: width, tiff.PIXEL_HEIGHT: height, _COLOR_SPACE: 1}
    for field in below:
        if field.tag in numbers:
            opened.put_number(field, numbers[field.tag])
    for field in opened.below(below, _INTEROPERABILITY):
        if field.tag == _INTEROPERABILITY_INDEX and opened.value(field) == b"R03\0":
            opened.data[field.position + 8 : field.position + 12] = b"R98\0"


def _swap_resolution(opened: _Block, fields: list[_Field]) -> None:
    found = {field.tag: field for field in fields if field.tag in (282, 283) and field.kind == 5}
    if len(found) == 2:
        across, down = (found[tag].position + 8 for tag in (282, 283))
        data = opened.data
        data[across : across + 4], data[down : down + 4] = (
            data[down : down + 4],
            data[across : across + 4],
        )


def _erase_thumbnail(opened: _Block, fields: list[_Field]) -> int:
    """Overwrite the thumbnail with zeros; return how many bytes of the block are still
    needed."""
    data = opened.data
    second = opened.fields(opened.number("I", opened.start + 2 + 12 * len(fields)))
    numbers = {
        field.tag: opened.number("I", field.position + 8)
        for field in second or []
        if field.kind == 4 and field.count == 1
    }
    start = numbers.get(_THUMBNAIL, 0)
    end = start + numbers.get(_THUMBNAIL_LENGTH, 0)
    if not 8 <= start < end <= len(data):
        return len(data)
    below = opened.below(fields, tiff.EXIF)
    directories = [fields, below, opened.below(fields, 34853)]
    directories.append(opened.below(below, _INTEROPERABILITY))
    used = [opened.span(field) for directory in directories for field in directory]
    used += [(each[0].position - 2, each[-1].position + 16) for each in directories if each]
    if any(first < end and start < last for first, last in used):
        return len(data)  # it shares bytes with what must stay
    data[start:end] = bytes(end - start)
    return start if end >= len(data) - 1 else len(data)


def _find_maker_note(opened: _Block) -> bytes:
    fields = opened.fields(opened.start) or []
    for field in opened.below(fields, tiff.EXIF):
        if field.tag == _MAKER_NOTE:
            return opened.value(field)
    return b""


def _read_stated(block: bytes) -> tuple[float, float, int] | None:
    """Read the resolution and its unit, a value of the tag ResolutionUnit."""
    opened = _Block(block)
    unit, numbers = 2, dict[int, float]()
    for field in opened.fields(opened.start) or []:
        if field.tag == 296 and field.kind == 3:
            unit = opened.number("H", field.position + 8)
        elif field.tag in (282, 283) and field.kind == 5 and field.count == 1:
            position = opened.number("I", field.position + 8)
            numerator, denominator = opened.number("I", position), opened.number("I", position + 4)
            if numerator > 0 and denominator > 0:
                numbers[field.tag] = numerator / denominator
    if len(numbers) < 2 or max(numbers.values()) > 4e6 or min(numbers.values()) < 1e-3:
        return None
    return numbers[282], numbers[283], unit
