"""How the pages of a TIFF file are stored, and which of them are colorized.

libvips reads most TIFF files. What it cannot read is recognized here by the tags, so
that another library reads it, or the reason for refusing it is true.

References:
    TIFF 6.0 (Adobe, 1992); BigTIFF (libtiff); DNG 1.7 (Adobe).
"""

import struct
from dataclasses import dataclass, replace

import numpy as np

from colorizenet.imaging.tiff import ReadAt

__all__ = ["CIELAB", "MAX_PAGES", "YCBCR", "Layout", "Page", "read_layout"]

MAX_PAGES = 200
"""TIFF files of more pages are refused."""
_MOST_TAGS, _MOST_TAGS_OF_PAGE = 10_000, 1_000
"""Tags of all pages together and of one page, beyond which a file is refused.

Pages can share the directories of a small file, and the time that libtiff needs grows
with the square of the tags of a page."""
_MOST_SEGMENTS = 1 << 22
"""Strips or tiles of all pages together, beyond which a file is refused."""

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
CIELAB = (8, 9, 10)
"""Photometric interpretations of CIELAB, of ICC's and of ITU's."""
YCBCR = 6
"""Photometric interpretation of luma and chroma."""
_JPEG = (6, 7)
_MOSAIC = (32803, 34892)
"""Photometric interpretations of raw photos."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANES, _TILE_WIDTH, _SUB_DIRECTORIES, _SAMPLE_FORMAT = (
    274,
    277,
    284,
    322,
    330,
    339,
)
_STRIP_OFFSETS, _STRIP_LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS = 273, 279, 324, 325
_ROWS, _TILE_HEIGHT = 278, 323
_JPEG_TABLES, _SUBSAMPLING, _DNG_VERSION = 347, 530, 50706
_TEXTS = (269, 270, 285, 306, 315, 700, 33432)
"""Name of the document, description, name and time of the page, artist, XMP and
copyright."""
_LONGEST_TEXT = 1 << 12
_DTYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 13: "u4"} | {
    16: "u8",
    17: "i8",
    18: "u8",
}
"""The dtype of a value by its type; others are not needed here."""
_MOST_SAMPLES = 64
_LONGEST_TABLES = 1 << 16
"""Bytes of the tables of JPEG that strips or tiles share."""


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
    orientation: int
    planar: bool
    """Whether each channel is stored by itself."""
    tiled: bool
    reduced: bool
    """Whether it is a preview or a mask of another page."""
    raw: bool
    """Whether it belongs to a raw photo of a camera."""
    segment_shape: tuple[int, int]
    """Height and width of a strip or tile."""
    segment_count: int
    """The number of strips or tiles that the page consists of."""
    segments: np.ndarray
    """Offset and length of each strip or tile, ``(n, 2)`` int64. There are none for a
    page that is not colorized, and fewer than ``segment_count`` if some are missing."""
    jpeg_tables: bytes
    subsampled: bool
    """Whether pixels of YCbCr share chroma."""
    texts: tuple[bytes, ...]
    """How the texts that describe the page begin; empty where they are missing."""

    @property
    def kind(self) -> tuple[object, ...]:
        """What two pages have in common that are decoded as one picture."""
        return (
            *(self.width, self.height, self.bits, self.samples, self.sample_format),
            *(self.compression, self.photometric, self.planar, self.tiled),
            self.orientation,
        )

    @property
    def segment_size(self) -> int:
        """Bytes of a strip or tile without compression, at the most."""
        height, width = self.segment_shape
        samples = 1 if self.planar else self.samples
        return height * (width * samples * max(self.bits) // 8 + 1)

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
        if self.photometric in CIELAB:
            return "CIELAB pixels"
        if self.photometric == YCBCR and not self.subsampled and self.compression not in _JPEG:
            return "YCbCr pixels"
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
    excess: str = ""
    """What there is too much of, as "200 pages"; empty for most files."""

    @property
    def page(self) -> Page:
        """The first page that is colorized."""
        return self.pages[self.first]

    @property
    def has_further_texts(self) -> bool:
        """Whether texts of a page behind the first are not those of the first."""
        behind = self.pages[self.first + 1 : self.first + self.count]
        return any(
            text not in (b"", kept)
            for page in behind
            for text, kept in zip(page.texts, self.page.texts, strict=True)
        )


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
    pages: list[tuple[Page, _Values]] = []
    seen: set[int] = set()
    tags = most = 0
    while offset and offset not in seen and len(pages) <= MAX_PAGES and tags <= _MOST_TAGS:
        seen.add(offset)
        values, offset = _read_directory(read_at, offset, order, big)
        page = _describe(values, raw=canon)
        if page is None:
            break
        tags += len(values)
        most = max(most, len(values))
        pages.append((page, values))
    if not pages:
        return None
    first = next((number for number, (page, _) in enumerate(pages) if not page.reduced), 0)
    same = 1
    while first + same < len(pages) and pages[first + same][0].kind == pages[first][0].kind:
        same += 1
    excess = f"{MAX_PAGES} pages" if len(pages) > MAX_PAGES else ""
    excess = f"{_MOST_TAGS:,} tags" if tags > _MOST_TAGS else excess
    excess = f"{_MOST_TAGS_OF_PAGE:,} tags in a page" if most > _MOST_TAGS_OF_PAGE else excess
    described = [page for page, _ in pages]
    room = _MOST_SEGMENTS
    for number in range(first, first + same) if not excess else ():
        page, values = pages[number]
        segments = _read_segments(values, page, room)
        described[number] = replace(page, segments=segments)
        room -= len(segments)
    excess = excess if room else f"{_MOST_SEGMENTS:,} strips or tiles"
    return Layout(tuple(described), first, same, len(pages), excess)


class _Values:
    """The values of a directory, read when they are needed."""

    def __init__(
        self,
        read_at: ReadAt,
        order: str,
        entries: list[tuple[int, int, int, bytes]],
        big: bool,
    ) -> None:
        self._read_at, self._order, self._big = read_at, order, big
        self._count = len(entries)
        self._entries = {tag: (kind, count, value) for tag, kind, count, value in entries}

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def __len__(self) -> int:
        return self._count

    def read(self, tag: int, most: int) -> np.ndarray:
        """The first numbers of a tag, at most so many; empty where it is missing or
        lies outside the file."""
        kind, count, inline = self._entries.get(tag, (0, 0, b""))
        if kind not in _DTYPES:
            return np.empty(0, np.uint8)
        dtype = np.dtype(self._order + _DTYPES[kind])
        if dtype.itemsize * count > len(inline):
            (offset,) = struct.unpack(self._order + ("Q" if self._big else "I"), inline)
            inline = self._read_at(offset, dtype.itemsize * min(count, most))
        count = min(count, most)
        if len(inline) < dtype.itemsize * count:
            return np.empty(0, np.uint8)
        return np.frombuffer(inline, dtype, count)

    def first(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return next(iter(self.read(tag, 1).tolist()), default)


def _read_directory(read_at: ReadAt, offset: int, order: str, big: bool) -> tuple[_Values, int]:
    """Read one directory: its values, and the offset of the next one or 0."""
    head, entry, field = (8, 20, 8) if big else (2, 12, 4)
    start = read_at(offset, head)
    if len(start) < head:
        return _Values(read_at, order, [], big), 0
    (count,) = struct.unpack(order + ("Q" if big else "H"), start)
    count = min(count, 4096)
    table = read_at(offset + head, count * entry + field)
    entries: list[tuple[int, int, int, bytes]] = []
    for at in range(0, min(count, len(table) // entry) * entry, entry):
        tag, kind = struct.unpack(order + "HH", table[at : at + 4])
        (length,) = struct.unpack(order + ("Q" if big else "I"), table[at + 4 : at + 4 + field])
        entries.append((tag, kind, length, table[at + 4 + field : at + entry]))
    rest = table[count * entry :]
    following = struct.unpack(order + ("Q" if big else "I"), rest)[0] if len(rest) == field else 0
    return _Values(read_at, order, entries, big), following


def _describe(values: _Values, *, raw: bool) -> Page | None:
    """Describe a page, without its segments."""
    width, height = values.first(_WIDTH, 0), values.first(_HEIGHT, 0)
    if width < 1 or height < 1:
        return None
    samples = values.first(_SAMPLES, 1)
    tiled = _TILE_WIDTH in values or _TILE_OFFSETS in values
    subfile = values.first(_SUBFILE, 0)
    photometric = values.first(_PHOTOMETRIC, 1)
    planar = values.first(_PLANES, 1) == 2
    reduced = bool(subfile & 0b101)
    if tiled:
        shape = values.first(_TILE_HEIGHT, height), values.first(_TILE_WIDTH, width)
    else:
        shape = min(values.first(_ROWS, height), height), width
    shape = max(shape[0], 1), max(shape[1], 1)
    count = -(-height // shape[0]) * -(-width // shape[1]) * (samples if planar else 1)
    return Page(
        width=width,
        height=height,
        bits=tuple(values.read(_BITS, _MOST_SAMPLES).tolist()) or (1,),
        samples=samples,
        sample_format=values.first(_SAMPLE_FORMAT, 1),
        compression=values.first(_COMPRESSION, 1),
        photometric=photometric,
        orientation=values.first(_ORIENTATION, 1),
        planar=planar,
        tiled=tiled,
        reduced=reduced,
        raw=raw
        or _DNG_VERSION in values
        or photometric in _MOSAIC
        or (reduced and _SUB_DIRECTORIES in values),
        segment_shape=shape,
        segment_count=count,
        segments=np.empty((0, 2), np.int64),
        jpeg_tables=values.read(_JPEG_TABLES, _LONGEST_TABLES).tobytes(),
        subsampled=values.read(_SUBSAMPLING, 2).tolist() != [1, 1],
        texts=tuple(values.read(tag, _LONGEST_TEXT).tobytes() for tag in _TEXTS),
    )


def _read_segments(values: _Values, page: Page, most: int) -> np.ndarray:
    """Read offset and length of the strips or tiles of a page, at most so many."""
    tags = (_TILE_OFFSETS, _TILE_LENGTHS) if page.tiled else (_STRIP_OFFSETS, _STRIP_LENGTHS)
    columns = [values.read(tag, min(page.segment_count, most)) for tag in tags]
    count = min(map(len, columns))
    return np.stack([column[:count].astype(np.int64) for column in columns], axis=1)
