"""How the pages of a TIFF file are stored, and which of them are colorized.

libvips reads most TIFF files. What it cannot read is recognized here by the tags, so
that another library reads it, or the reason for refusing it is true.

References:
    TIFF 6.0 (Adobe, 1992); BigTIFF (libtiff); DNG 1.7 (Adobe).
"""

from dataclasses import dataclass, replace

import numpy as np

from colorizenet.imaging.tiff import Directories, Entry, ReadAt, open_directories

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
    has_further_texts: bool = False
    """Whether texts of a page behind the first are not those of the first."""

    @property
    def page(self) -> Page:
        """The first page that is colorized."""
        return self.pages[self.first]


def read_layout(read_at: ReadAt) -> Layout | None:
    """Read the directories of a TIFF file; None where there is none to be found."""
    directories = open_directories(read_at)
    if directories is None:
        return None
    canon = not directories.big and read_at(8, 2) == b"CR"
    pages: list[tuple[Page, _Values]] = []
    tags = most = 0
    for _, entries in directories.iterate_pages():
        values = _Values(directories, entries)
        page = _describe(values, raw=canon)
        if page is None:
            break
        tags += len(entries)
        most = max(most, len(entries))
        pages.append((page, values))
        if len(pages) > MAX_PAGES or tags > _MOST_TAGS:
            break
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
    colorized = [values for _, values in pages[first : first + same]]
    further = same > 1 and not excess and _has_further_texts(colorized)
    return Layout(tuple(described), first, same, len(pages), excess, further)


class _Values:
    """The values of a directory, read when they are needed."""

    def __init__(self, directories: Directories, entries: list[Entry]) -> None:
        self._directories = directories
        self._entries = {entry.tag: entry for entry in entries}

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def read(self, tag: int, most: int) -> np.ndarray:
        """The first numbers of a tag, at most so many; empty where it is missing or
        lies outside the file."""
        entry = self._entries.get(tag)
        if entry is None or entry.kind not in _DTYPES:
            return np.empty(0, np.uint8)
        dtype = np.dtype(self._directories.order + _DTYPES[entry.kind])
        size = dtype.itemsize * min(entry.count, most)
        value = self._directories.read_value(entry, size)
        return np.frombuffer(value if len(value) == size else b"", dtype)

    def first(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return next(iter(self.read(tag, 1).tolist()), default)


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
    )


def _has_further_texts(pages: list[_Values]) -> bool:
    """Whether texts of a page behind the first are not those of the first."""
    first, *behind = (
        [values.read(tag, _LONGEST_TEXT).tobytes() for tag in _TEXTS] for values in pages
    )
    return any(
        text not in (b"", kept) for texts in behind for text, kept in zip(texts, first, strict=True)
    )


def _read_segments(values: _Values, page: Page, most: int) -> np.ndarray:
    """Read offset and length of the strips or tiles of a page, at most so many."""
    tags = (_TILE_OFFSETS, _TILE_LENGTHS) if page.tiled else (_STRIP_OFFSETS, _STRIP_LENGTHS)
    columns = [values.read(tag, min(page.segment_count, most)) for tag in tags]
    count = min(map(len, columns))
    return np.stack([column[:count].astype(np.int64) for column in columns], axis=1)
