"""Read the metadata of a file from its own bytes, before any library changes it.

Reading never fails and is bounded: what is malformed or too long is left out, with a
warning. libvips decides whether a file is readable.

References:
    ITU T.81, JFIF 1.02 and XMP Part 3 (JPEG); W3C PNG, third edition; RFC 9649 (WebP);
    ImageMagick's raw profiles in PNG and the boxes of JPEG 2000, as exiftool documents
    them; ``boxes`` for AVIF, HEIC and JPEG XL.
"""

import re
import struct
import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from colorizenet.imaging import exif, photoshop, tiff, xmp
from colorizenet.imaging.boxes import (
    decompress_brotli,
    find_items,
    iterate_boxes,
    read_exif_content,
    read_jp2_resolution,
)
from colorizenet.imaging.chunks import (
    EXIF_PREFIX,
    EXTENSION_PREFIX,
    TEXT_CHUNKS,
    XMP_PREFIX,
    decompress_text,
    iterate_chunks,
    iterate_gif_extensions,
    iterate_riff_chunks,
    iterate_segments,
    join_gif_blocks,
)
from colorizenet.imaging.image import Metadata
from colorizenet.imaging.notices import Notice
from colorizenet.imaging.tiff import ReadAt

__all__ = [
    "Extracted",
    "extract_metadata",
]

_INCH, _CENTIMETER = 25.4, 10.0  # millimeters
_PNG_XMP = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "
_LONGEST_TEXTS = 1 << 20
"""Texts of a PNG, in bytes, decompressed and together."""
_MOST_TEXTS = 1_000
_LUMINANCE_SUM = 3688
"""The sum of the quantization table for luminance in ITU T.81 annex K, which is that of
quality 50."""
_GIF_XMP = b"\x0bXMP DataXMP"
_GIF_TRAILER = 258
"""Bytes behind the XMP of a GIF."""
_JP2_EXIF = b"JpgTiffExif->JP2"
_JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JP2_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_JP2_PHOTOSHOP = bytes.fromhex("2c4c0100850440b9a03e562148d6dfeb")
_JP2_IDENTIFIERS = (_JP2_EXIF, _JP2_XMP, _JP2_IPTC, _JP2_PHOTOSHOP)
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377


@dataclass
class Extracted:
    """What a file says about its picture."""

    metadata: Metadata
    resolution: tuple[float, float] | None = None
    """Pixels per millimeter, across and down, as stored."""
    orientation: int = 1
    """The orientation, 1 to 8, that is still to be applied."""
    channels: tuple[int, ...] | None = None
    """The numbers of the channels that hold colors and transparency; None for all."""
    warnings: list[Notice] = field(default_factory=list)
    """What was left out, each a sentence for a person."""


def extract_metadata(read_at: ReadAt, format: str, name: str) -> Extracted:
    """Read the metadata of a file of ``format``, a key of ``FORMATS``.

    ``name`` stands for the file in warnings.
    """
    found = _Found(name)
    reader = _READERS.get(format)
    if reader is not None:
        reader(read_at, found)
    return found.finish(oriented=format not in _TURNED_BY_DECODER)


class _Found:
    """Blocks found so far, and what to make of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exif = self.xmp = self.iptc = self.extensions = b""
        self.resources: dict[int, bytes] = {}
        self.parts: dict[bytes, dict[int, bytes]] = {}
        self.metadata = Metadata()
        self.resolution: tuple[float, float] | None = None
        self.channels: tuple[int, ...] | None = None
        self.warnings: list[Notice] = []

    def warn(self, problem: str, code: str = "metadata-unreadable") -> None:
        self.warnings.append(Notice(f"{self.name} has {problem}", code))

    def finish(self, *, oriented: bool) -> Extracted:
        """Check the blocks, and make the result of them."""
        block = self.exif.removeprefix(EXIF_PREFIX)
        if len(block) > exif.LONGEST_BLOCK:
            self.warn(f"more than {exif.LONGEST_BLOCK >> 20} MiB of EXIF, which is left out")
            block = b""
        elif block and not exif.is_readable(block):
            self.warn("malformed EXIF, which is left out")
            block = b""
        packet = b""
        if self.xmp:
            decoded = xmp.decode_packet(self.xmp)
            if decoded is None:
                limit = f"longer than {xmp.MAX_SIZE >> 20} MiB"
                self.warn(f"XMP that is malformed or {limit}, which is left out")
            else:
                packet = self._merge_extension(decoded)
        resources = dict(self.resources)
        iptc = self.iptc or resources.get(photoshop.IPTC, b"")
        resources.pop(photoshop.IPTC, None)
        metadata = replace(
            self.metadata,
            exif=block,
            xmp=packet,
            iptc=iptc,
            photoshop=tuple(resources.items()),
            aspect=self.metadata.aspect or exif.read_aspect(block),
        )
        orientation = exif.read_orientation(block) if oriented else 1
        resolution = self.resolution or exif.read_resolution(block)
        return Extracted(metadata, resolution, orientation, self.channels, self.warnings)

    def _merge_extension(self, packet: bytes) -> bytes:
        name = xmp.read_extension_name(packet)
        if not name:
            return packet
        pieces = sorted(self.parts.get(name, {}).items())
        extension, complete = bytearray(), bool(pieces)
        for offset, piece in pieces:
            complete = complete and offset == len(extension)
            extension += piece
        decoded = xmp.decode_packet(bytes(extension)) if complete else None
        # Two packets within the limits may exceed them together.
        merged = decoded and xmp.decode_packet(xmp.merge_packets(packet, decoded))
        if merged is None:
            self.warn("extended XMP that is incomplete or too long, which is left out")
            return packet
        return merged


def _read_jpeg(read_at: ReadAt, found: _Found) -> None:
    resources = bytearray()
    comments: list[bytes] = []
    extended = 0
    for marker, at, length, _ in iterate_segments(read_at):
        content = read_at(at, length)
        if marker == 0xE0 and content[:5] == b"JFIF\0" and len(content) >= 12:
            unit, across, down = struct.unpack(">BHH", content[7:12])
            if across and down and unit in (1, 2):
                scale = _INCH if unit == 1 else _CENTIMETER
                found.resolution = found.resolution or (across / scale, down / scale)
            elif across and down and unit == 0 and across != down:
                found.metadata = replace(found.metadata, aspect=(across, down))
        elif marker == 0xE1 and content.startswith(EXIF_PREFIX):
            found.exif = found.exif or content
        elif marker == 0xE1 and content.startswith(XMP_PREFIX):
            found.xmp = found.xmp or content[len(XMP_PREFIX) :]
        elif marker == 0xE1 and content.startswith(EXTENSION_PREFIX):
            extended += len(content)
            head = content[len(EXTENSION_PREFIX) :]
            if extended <= xmp.MAX_SIZE and len(head) > 40:
                offset = int.from_bytes(head[36:40], "big")
                found.parts.setdefault(head[:32], {})[offset] = head[40:]
        elif marker == 0xED and content.startswith(photoshop.JPEG_PREFIX):
            resources += content[len(photoshop.JPEG_PREFIX) :]
        elif marker == 0xFE and len(comments) < 100:
            comments.append(content)
        elif marker == 0xDB and not found.metadata.jpeg_quality:
            quality = _estimate_quality(content)
            found.metadata = replace(found.metadata, jpeg_quality=quality)
        elif marker in (0xC0, 0xC1, 0xC2) and len(content) >= 15 and content[5] == 3:
            full = content[7] == content[10] == content[13]
            found.metadata = replace(found.metadata, jpeg_full_chroma=full)
    found.resources = photoshop.read_resources(bytes(resources))
    found.metadata = replace(found.metadata, comments=tuple(comments))


def _estimate_quality(tables: bytes) -> int:
    """Estimate the quality from the luminance table in a segment DQT; 0 for none."""
    if len(tables) < 65 or tables[0] != 0:
        return 0
    table = np.frombuffer(tables, np.uint8, 64, 1)
    scale = float(table.sum() * 100 / _LUMINANCE_SUM)
    return int(np.clip(round((200 - scale) / 2 if scale <= 100 else 5000 / scale), 1, 100))


def _read_png(read_at: ReadAt, found: _Found) -> None:
    texts: list[tuple[bytes, bytes]] = []
    room, work, left_out = _LONGEST_TEXTS, 4 * xmp.MAX_SIZE, 0
    gamma, managed = 0.0, False
    for kind, at, length in iterate_chunks(read_at):
        managed |= kind in (b"cICP", b"iCCP", b"sRGB")
        if kind not in (*TEXT_CHUNKS, b"eXIf", b"gAMA", b"pHYs"):
            continue
        if length > xmp.MAX_SIZE or work < 1:
            left_out += 1
            continue
        content = read_at(at, length)
        if int.from_bytes(read_at(at + length, 4), "big") != zlib.crc32(content, zlib.crc32(kind)):
            left_out += 1
        elif kind == b"eXIf":
            found.exif = found.exif or content
        elif kind == b"gAMA":
            gamma = int.from_bytes(content, "big") / 100_000
        elif kind == b"pHYs" and length == 9:
            across, down, unit = struct.unpack(">IIB", content)
            if across and down and unit == 1:
                found.resolution = (across / 1000, down / 1000)
            elif across and down and unit == 0:
                found.metadata = replace(found.metadata, aspect=(across, down))
        elif kind in TEXT_CHUNKS:
            keyword = content.partition(b"\0")[0]
            special = keyword == _PNG_XMP or keyword.startswith(_RAW_PROFILE)
            longest = min(xmp.MAX_SIZE + 1 if special else room + 1, work)
            text = decompress_text(kind, content, longest)
            work -= len(text or b"")
            if special and text is not None:
                _take_profile(found, keyword, text)
            elif special or text is None or len(text) > room or len(texts) == _MOST_TEXTS:
                left_out += 1
            else:
                room -= len(text)
                texts.append((kind, content))
    if not managed and (0 < gamma < 0.4 or gamma > 0.5):  # that of sRGB is about 0.45
        found.warn(f"a gAMA of {gamma:g}, which is not used; sRGB was assumed", "profile-ignored")
    if left_out:
        found.warn(f"{left_out} damaged or very long text chunks, which are left out")
    found.metadata = replace(found.metadata, texts=tuple(texts))


def _take_profile(found: _Found, keyword: bytes, text: bytes) -> None:
    """Take XMP, or a raw profile of ImageMagick, from a text chunk."""
    if keyword == _PNG_XMP:
        found.xmp = found.xmp or text
        return
    head = re.match(rb"\s*[^\n]{1,40}\n\s*\d{1,9}\s", text[:80])
    try:
        content = bytes.fromhex(text[head.end() :].decode("ascii")) if head else b""
    except ValueError:
        content = b""
    kind = keyword.removeprefix(_RAW_PROFILE).lower()
    if not content:
        found.warn("a malformed raw profile, which is left out")
    elif kind in (b"exif", b"app1") and not content.startswith(XMP_PREFIX):
        found.exif = found.exif or content
    elif kind in (b"xmp", b"app1"):
        found.xmp = found.xmp or content.removeprefix(XMP_PREFIX)
    elif kind in (b"iptc", b"8bim"):
        content = content.removeprefix(photoshop.JPEG_PREFIX)
        if content[:1] == b"\x1c":
            found.iptc = found.iptc or photoshop.trim_datasets(content)
        else:
            found.resources = photoshop.read_resources(content)


def _read_webp(read_at: ReadAt, found: _Found) -> None:
    for kind, at, length in iterate_riff_chunks(read_at):
        if kind == b"EXIF":
            found.exif = found.exif or read_at(at, min(length, exif.LONGEST_BLOCK + 1))
        elif kind == b"XMP ":
            found.xmp = found.xmp or read_at(at, min(length, xmp.MAX_SIZE + 1))


def _read_items(read_at: ReadAt, found: _Found) -> None:
    """Read the metadata of an AVIF or HEIC file."""
    items = find_items(read_at)
    content = {
        kind: item.read(read_at, max(exif.LONGEST_BLOCK, xmp.MAX_SIZE) + 1)
        for kind, item in items.items()
    }
    if b"" in content.values():
        found.warn("EXIF or XMP that is stored in several pieces, which is left out")
    found.exif = read_exif_content(content.get("exif", b""))
    found.xmp = content.get("xmp", b"")


def _read_jxl(read_at: ReadAt, found: _Found) -> None:
    for kind, at, end in iterate_boxes(read_at):
        if kind not in (b"Exif", b"xml ", b"brob"):
            continue
        content = read_at(at, min(end - at, xmp.MAX_SIZE + 1))
        if kind == b"brob":
            kind, content = content[:4], decompress_brotli(content[4:], xmp.MAX_SIZE + 1)
        if kind == b"Exif":
            found.exif = found.exif or read_exif_content(content)
        elif kind == b"xml ":
            found.xmp = found.xmp or content


def _read_jp2(read_at: ReadAt, found: _Found) -> None:
    if read_at(0, 4) == b"\xff\x4f\xff\x51":  # a codestream has no boxes
        return
    found.resolution = read_jp2_resolution(read_at)
    for kind, at, end in iterate_boxes(read_at):
        identifier = read_at(at, 16) if kind == b"uuid" else b""
        content = b""
        if identifier in _JP2_IDENTIFIERS:
            content = read_at(at + 16, min(end - at - 16, xmp.MAX_SIZE + 1))
        if identifier == _JP2_EXIF:
            found.exif = found.exif or content
        elif identifier == _JP2_XMP:
            found.xmp = found.xmp or content
        elif identifier == _JP2_IPTC:
            found.iptc = found.iptc or photoshop.trim_datasets(content)
        elif identifier == _JP2_PHOTOSHOP:
            found.resources = found.resources or photoshop.read_resources(content)


def _read_gif(read_at: ReadAt, found: _Found) -> None:
    comments: list[bytes] = []
    for label, start, end in iterate_gif_extensions(read_at):
        if label == 0xFE and len(comments) < 100:
            blocks = read_at(start, min(end - start, _LONGEST_TEXTS))
            comments.append(join_gif_blocks(blocks))
        elif label == 0xFF and read_at(start, len(_GIF_XMP)) == _GIF_XMP:
            # The text is not in blocks; bytes behind it end it for who skips blocks.
            start += len(_GIF_XMP)
            content = read_at(start, min(end - start, xmp.MAX_SIZE + _GIF_TRAILER))
            found.xmp = found.xmp or content[: max(0, content.rfind(b"\1\xff\xfe"))]
    found.metadata = replace(found.metadata, comments=tuple(comments))


def _read_tiff(read_at: ReadAt, found: _Found) -> None:
    budget = tiff.Budget()
    tags = tiff.read_tags(read_at, budget=budget, skipped=tiff.SEPARATE_TAGS)
    if budget.left_out:
        found.warn(f"more than 64 kB of tags, of which {budget.left_out} are left out")
    if exif.drop_maker_note(tags):
        found.warn("a maker note that cannot be moved, which is left out")
    found.exif = tiff.make_exif_block(tags)
    blocks = tiff.read_bytes(read_at, (_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG), xmp.MAX_SIZE)
    if b"" in blocks.values():
        found.warn("XMP, IPTC or Photoshop data that are too long, which are left out")
    found.xmp = blocks.get(_XMP_TAG, b"")
    iptc = blocks.get(_IPTC_TAG, b"")
    if iptc[3:4] == b"\x1c" != iptc[:1]:  # stored as numbers in the other byte order
        iptc = np.frombuffer(iptc[: len(iptc) // 4 * 4], ">u4").astype("<u4").tobytes()
    found.iptc = photoshop.trim_datasets(iptc)
    found.resources = photoshop.read_resources(blocks.get(_PHOTOSHOP_TAG, b""))
    found.channels = _find_channels(read_at)
    if found.channels is not None:
        found.warn(
            "a channel that is not transparency, such as infrared, which is left out",
            "channel-left-out",
        )


def _find_channels(read_at: ReadAt) -> tuple[int, ...] | None:
    """Find the channels of a TIFF that hold colors or transparency; None for all."""
    tags = tiff.read_tags(read_at, skipped=tiff.SEPARATE_TAGS - {262, 277, 338})

    def read_numbers(tag: int) -> list[int]:
        kind, value = tags.get(tag, (0, b""))
        if kind != tiff.SHORT or isinstance(value, dict):
            return []
        return np.frombuffer(value, "<u2").tolist()

    photometric, samples = read_numbers(262)[:1], read_numbers(277)[:1]
    colors = {0: 1, 1: 1, 2: 3, 5: 4, 6: 3, 8: 3}.get(photometric[0] if photometric else -1)
    extra = samples[0] - colors if colors is not None and samples else 0
    if colors is None or not 1 <= extra <= 2:  # more mean another kind of picture
        return None
    meanings = [*read_numbers(338), *[0] * extra][:extra]
    alpha = [colors + number for number, meaning in enumerate(meanings) if meaning in (1, 2)]
    return (*range(colors), *alpha) if len(alpha) == extra - 1 else None


_READERS = {
    "jpeg": _read_jpeg,
    "png": _read_png,
    "webp": _read_webp,
    "tiff": _read_tiff,
    "gif": _read_gif,
    "avif": _read_items,
    "heic": _read_items,
    "jxl": _read_jxl,
    "jp2": _read_jp2,
}
_TURNED_BY_DECODER = ("avif", "heic", "jxl", "gif")
"""Formats with an orientation of their own, which replaces that of EXIF."""
