"""How the pages of a TIFF file are stored, and which of them are colorized.

libvips reads most TIFF files. What it cannot read is recognized here by the tags, so
that another library reads it, or the reason for refusing it is true.

References:
    TIFF 6.0 (Adobe, 1992); BigTIFF (libtiff); DNG 1.7 (Adobe).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MAX_PAGES", "Layout", "Page", "read_layout"]

ReadAt = Callable[[int, int], bytes]
"""Offset and length -> bytes, fewer at the end of the file."""

MAX_PAGES = 200
"""TIFF files of more pages are refused."""

_COMPRESSIONS = {
    1: "no",
    2: "CCITT RLE",
    3: "CCITT group 3",
    4: "CCITT group 4",
    5: "LZW",
    6: "old-style JPEG",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    34676: "SGI LogL",
    34677: "SGI LogL24",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    34933: "PNG",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_LIBVIPS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50001})
"""Compressions that libvips decodes."""
_CIELAB = (8, 9, 10)
_MOSAIC = (32803, 34892)
"""Photometric interpretations of raw photos."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_SAMPLES, _PLANES, _TILE_WIDTH, _SUB_DIRECTORIES, _SAMPLE_FORMAT = 277, 284, 322, 330, 339
_STRIP_OFFSETS, _STRIP_LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS = 273, 279, 324, 325
_JPEG_TABLES, _DNG_VERSION = 347, 50706
_FORMS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"} | {
    16: "Q",
    17: "q",
    18: "Q",
}
"""The form of a value by its type, for ``struct``; others are not needed here."""
_LONGEST = 1 << 26
"""Longer values, in bytes, are not read."""


@dataclass(frozen=True)
class Page:
    """How one page is stored."""

    width: int
    height: int
    bits: tuple[int, ...]
    """Bits of each sample."""
    samples: int
    """Samples of each pixel."""
    sample_format: int
    """1 for unsigned integers, 2 for signed ones, 3 for floating point."""
    compression: int
    photometric: int
    planar: bool
    """Whether each channel is stored by itself."""
    tiled: bool
    reduced: bool
    """Whether it is a preview or a mask of another page."""
    raw: bool
    """Whether it belongs to a raw photo of a camera."""
    segments: tuple[tuple[int, int], ...]
    """Offset and length of each strip or tile."""
    jpeg_tables: bytes

    @property
    def kind(self) -> tuple[object, ...]:
        """What two pages have in common that are decoded as one picture."""
        return (
            *(self.width, self.height, self.bits, self.samples, self.sample_format),
            *(self.compression, self.photometric, self.planar, self.tiled),
        )

    @property
    def obstacle(self) -> str:
        """Why libvips cannot read it, as "ZSTD compression"; empty where it can."""
        if self.compression not in _LIBVIPS:
            name = _COMPRESSIONS.get(self.compression, f"an unknown ({self.compression})")
            return f"{name} compression"
        if len(set(self.bits)) > 1:
            return f"channels of {', '.join(map(str, self.bits))} bits"
        if self.sample_format == 3 and self.bits[0] != 32:
            return f"{self.bits[0]}-bit floating point"
        if self.bits[0] not in (1, 2, 4, 8, 16, 32) and self.sample_format == 1:
            return f"{self.bits[0]} bits per channel"
        if self.photometric in _CIELAB:
            return "CIELAB pixels"
        return "tiled color planes" if self.planar and self.tiled and self.samples > 1 else ""


@dataclass(frozen=True)
class Layout:
    """The pages of a file, of which ``count`` from number ``first`` on are colorized.

    These are the first page that is not a preview and those behind it of equal size and
    kind.
    """

    pages: tuple[Page, ...]
    first: int
    count: int
    total: int
    """The number of pages, at most ``MAX_PAGES + 1``."""

    @property
    def page(self) -> Page:
        """The first page that is colorized."""
        return self.pages[self.first]


def read_layout(read_at: ReadAt) -> Layout | None:
    """Read the directories of a TIFF file; None where there is none to be found."""
    start = read_at(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 16:
        return None
    big = struct.unpack(order + "H", start[2:4])[0] == 43
    field = order + ("Q" if big else "I")
    (offset,) = struct.unpack(field, start[8:16] if big else start[4:8])
    canon = start[8:10] == b"CR" and not big
    pages: list[Page] = []
    seen: set[int] = set()
    while offset and offset not in seen and len(pages) <= MAX_PAGES:
        seen.add(offset)
        values, offset = _read_directory(read_at, offset, order, big)
        page = _describe(values, raw=canon)
        if page is None:
            break
        pages.append(page)
    if not pages:
        return None
    first = next((number for number, page in enumerate(pages) if not page.reduced), 0)
    same = 1
    while first + same < len(pages) and pages[first + same].kind == pages[first].kind:
        same += 1
    return Layout(tuple(pages), first, same, len(pages))


class _Values:
    """The values of a directory, read when they are needed."""

    def __init__(
        self, read_at: ReadAt, order: str, entries: dict[int, tuple[int, int, bytes]], big: bool
    ) -> None:
        self._read_at, self._order, self._entries, self._big = read_at, order, entries, big

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def read(self, tag: int) -> tuple[int, ...]:
        """The numbers of a tag; empty where it is missing or lies outside the file."""
        kind, count, inline = self._entries.get(tag, (0, 0, b""))
        form = _FORMS.get(kind)
        if form is None:
            return ()
        size = struct.calcsize(form) * count
        if size > _LONGEST:
            return ()
        if size > len(inline):
            (offset,) = struct.unpack(self._order + ("Q" if self._big else "I"), inline)
            inline = self._read_at(offset, size)
        if len(inline) < size:
            return ()
        return struct.unpack(f"{self._order}{count}{form}", inline[:size])

    def first(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return next(iter(self.read(tag)), default)


def _read_directory(read_at: ReadAt, offset: int, order: str, big: bool) -> tuple[_Values, int]:
    """Read one directory: its values, and the offset of the next one or 0."""
    head, entry, field = (8, 20, 8) if big else (2, 12, 4)
    start = read_at(offset, head)
    if len(start) < head:
        return _Values(read_at, order, {}, big), 0
    (count,) = struct.unpack(order + ("Q" if big else "H"), start)
    count = min(count, 4096)
    table = read_at(offset + head, count * entry + field)
    entries: dict[int, tuple[int, int, bytes]] = {}
    for at in range(0, min(count, len(table) // entry) * entry, entry):
        tag, kind = struct.unpack(order + "HH", table[at : at + 4])
        (length,) = struct.unpack(order + ("Q" if big else "I"), table[at + 4 : at + 4 + field])
        entries[tag] = (kind, length, table[at + 4 + field : at + entry])
    rest = table[count * entry :]
    following = struct.unpack(order + ("Q" if big else "I"), rest)[0] if len(rest) == field else 0
    return _Values(read_at, order, entries, big), following


def _describe(values: _Values, *, raw: bool) -> Page | None:
    width, height = values.first(_WIDTH, 0), values.first(_HEIGHT, 0)
    if not width or not height:
        return None
    samples = values.first(_SAMPLES, 1)
    tiled = _TILE_WIDTH in values or _TILE_OFFSETS in values
    subfile = values.first(_SUBFILE, 0)
    photometric = values.first(_PHOTOMETRIC, 1)
    reduced = bool(subfile & 0b101)
    offsets = values.read(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    lengths = values.read(_TILE_LENGTHS if tiled else _STRIP_LENGTHS)
    return Page(
        width=width,
        height=height,
        bits=values.read(_BITS) or (1,),
        samples=samples,
        sample_format=values.first(_SAMPLE_FORMAT, 1),
        compression=values.first(_COMPRESSION, 1),
        photometric=photometric,
        planar=values.first(_PLANES, 1) == 2,
        tiled=tiled,
        reduced=reduced,
        raw=raw
        or _DNG_VERSION in values
        or photometric in _MOSAIC
        or (reduced and _SUB_DIRECTORIES in values),
        segments=tuple(zip(offsets, lengths, strict=False)),
        jpeg_tables=bytes(values.read(_JPEG_TABLES)) if _JPEG_TABLES in values else b"",
    )
