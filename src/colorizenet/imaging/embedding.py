"""Put metadata into files that libvips has written without any.

The file must be open for reading and writing. What follows the place of the metadata is
moved in pieces, so that large results are not in memory.

References:
    ITU T.81, JFIF 1.02, Exif 2.32 and XMP Part 3 (JPEG); W3C PNG, third edition;
    RFC 9649 (WebP); ISO/IEC 14496-12 and 23008-12 (AVIF).
"""

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from colorizenet.imaging import photoshop, tiff, xmp
from colorizenet.imaging.boxes import find_items
from colorizenet.imaging.chunks import EXIF_PREFIX, EXTENSION_PREFIX, XMP_PREFIX, iterate_chunks

__all__ = ["LONGEST_SEGMENT", "PLACEHOLDER", "Blocks", "embed_blocks"]

LONGEST_SEGMENT = 65_533
"""Bytes that a segment of a JPEG holds."""
PLACEHOLDER = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
"""EXIF that libvips gives an item of an AVIF, which is then replaced: orientation 1."""
_PIECE = 1 << 22
_EXTENSION_PIECE = 65_400
_INCH = 25.4  # millimeters


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Metadata as it is written: true of the result, and what its format can hold."""

    exif: bytes = b""
    """EXIF without ``Exif\\0\\0``."""
    tags: tiff.Directory | None = None
    """Tags of a TIFF, which has them in place of ``exif``."""
    xmp: bytes = b""
    iptc: bytes = b""
    resources: bytes = b""
    """Photoshop's resources, IPTC included."""
    texts: tuple[tuple[bytes, bytes], ...] = ()
    """Text chunks of a PNG: types and contents."""
    comments: tuple[bytes, ...] = ()
    """Comments of a JPEG."""
    resolution: tuple[float, float] | None = None
    """Pixels per millimeter, across and down."""
    aspect: tuple[float, float] | None = None
    """Resolution without a unit, where there is none with one."""


def embed_blocks(file: BinaryIO, format: str, blocks: Blocks) -> None:
    """Put metadata into a file of ``format``, a key of ``FORMATS``."""
    if format == "jpeg":
        _embed_in_jpeg(file, blocks)
    elif format == "png":
        _embed_in_png(file, blocks)
    elif format == "webp":
        _embed_in_webp(file, blocks)
    elif format == "tiff":
        _embed_in_tiff(file, blocks)
    elif format == "avif" and blocks.exif:
        _embed_in_avif(file, blocks)


def _embed_in_jpeg(file: BinaryIO, blocks: Blocks) -> None:
    start = _read_at(file, 0, 20)
    has_jfif = start[2:4] == b"\xff\xe0" and start[6:11] == b"JFIF\0"
    made = b"\xff\xd8" + _make_jfif(blocks)
    if blocks.exif:
        made += _make_segment(0xE1, EXIF_PREFIX + blocks.exif)
    if blocks.xmp:
        longest = LONGEST_SEGMENT - len(XMP_PREFIX)
        packet, extension, name = xmp.split_packet(blocks.xmp, longest)
        made += _make_segment(0xE1, XMP_PREFIX + packet)
        for at in range(0, len(extension), _EXTENSION_PIECE):
            head = EXTENSION_PREFIX + name + struct.pack(">II", len(extension), at)
            made += _make_segment(0xE1, head + extension[at : at + _EXTENSION_PIECE])
    piece = LONGEST_SEGMENT - len(photoshop.JPEG_PREFIX)
    for at in range(0, len(blocks.resources), piece):
        made += _make_segment(0xED, photoshop.JPEG_PREFIX + blocks.resources[at : at + piece])
    for comment in blocks.comments:
        made += _make_segment(0xFE, comment)
    _splice(file, 0, 20 if has_jfif else 2, made)


def _make_jfif(blocks: Blocks) -> bytes:
    unit, across, down = 0, 1, 1
    stated = blocks.resolution
    if stated and all(0.5 <= number * _INCH < 65_535.5 for number in stated):
        unit, across, down = 1, *(round(number * _INCH) for number in stated)
    elif blocks.aspect:
        scale = min(1.0, 65_535 / max(blocks.aspect))
        across, down = (max(1, round(number * scale)) for number in blocks.aspect)
    return _make_segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, across, down, 0, 0))


def _make_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _embed_in_png(file: BinaryIO, blocks: Blocks) -> None:
    carried, first = b"", 0
    for kind, at, length in iterate_chunks(lambda offset, size: _read_at(file, offset, size)):
        if kind == b"IDAT":
            first = at - 8
            break
        if kind not in (b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            carried += _read_at(file, at - 8, length + 12)
    made = b""
    unit, stated = (1, blocks.resolution) if blocks.resolution else (0, blocks.aspect)
    if stated:
        scale = 1000 if unit else 1
        numbers = [min(max(round(number * scale), 1), (1 << 31) - 1) for number in stated]
        made += _make_chunk(b"pHYs", struct.pack(">IIB", *numbers, unit))
    if blocks.exif:
        made += _make_chunk(b"eXIf", blocks.exif)
    if blocks.xmp:
        made += _make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + blocks.xmp)
    if blocks.iptc:
        profile = f"\niptc\n{len(blocks.resources):8}\n".encode()
        digits = blocks.resources.hex().encode()
        profile += b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72)) + b"\n"
        made += _make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile))
    for kind, content in blocks.texts:
        made += _make_chunk(kind, content)
    _splice(file, 8, first - 8, carried + made)


def _make_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _embed_in_webp(file: BinaryIO, blocks: Blocks) -> None:
    if not (blocks.exif or blocks.xmp):
        return
    head = _read_at(file, 0, 30)
    if head[12:16] != b"VP8X":
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        assert head[12:16] == b"VP8 ", "libvips writes lossy WebP"
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        _splice(file, 12, 0, b"VP8X" + struct.pack("<II", 10, 0) + canvas)
        head = _read_at(file, 0, 30)
    end = file.seek(0, 2)
    for kind, content in ((b"EXIF", blocks.exif), (b"XMP ", blocks.xmp)):
        if content:
            chunk = kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
            end += file.write(chunk)
    flags = head[20] | (0x08 if blocks.exif else 0) | (0x04 if blocks.xmp else 0)
    _write_at(file, 4, struct.pack("<I", end - 8))
    _write_at(file, 20, bytes([flags]))


def _embed_in_tiff(file: BinaryIO, blocks: Blocks) -> None:
    tags = dict(blocks.tags or {})
    # libvips writes an orientation and a resolution into every page.
    removed = {tiff.ORIENTATION} | set(() if blocks.resolution else tiff.RESOLUTION_TAGS)
    if blocks.xmp:
        tags[700] = (tiff.BYTE, blocks.xmp)
    if blocks.iptc:  # as LONG, which libtiff expects
        tags[33723] = (tiff.LONG, blocks.iptc + bytes(-len(blocks.iptc) % 4))
        tags[34377] = (tiff.BYTE, blocks.resources)
    elif blocks.resources:
        tags[34377] = (tiff.BYTE, blocks.resources)
    tiff.add_tags(file, tags, removed=removed)


def _embed_in_avif(file: BinaryIO, blocks: Blocks) -> None:
    """Write EXIF at the end of an AVIF, and point its item there."""
    end = file.seek(0, 2)
    content = bytes(4) + blocks.exif  # the TIFF header follows immediately
    file.write(struct.pack(">I", len(content) + 8) + b"mdat" + content)
    item = find_items(lambda offset, length: _read_at(file, offset, length)).get("exif")
    assert item is not None and item.extent_at, "libvips writes EXIF as one piece"
    field = (end + 8 - item.base).to_bytes(item.offset_size, "big")
    _write_at(file, item.extent_at, field + len(content).to_bytes(item.length_size, "big"))


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _write_at(file: BinaryIO, offset: int, content: bytes) -> None:
    file.seek(offset)
    file.write(content)


def _splice(file: BinaryIO, at: int, removed: int, content: bytes) -> None:
    """Replace ``removed`` bytes at a position by others, and move what follows."""
    source, shift = at + removed, len(content) - removed
    end = file.seek(0, 2)
    if shift > 0:
        for stop in range(end, source, -_PIECE):
            start = max(source, stop - _PIECE)
            _write_at(file, start + shift, _read_at(file, start, stop - start))
    elif shift < 0:
        for start in range(source, end, _PIECE):
            piece = _read_at(file, start, _PIECE)
            _write_at(file, start + shift, piece)
        file.truncate(end + shift)
    _write_at(file, at, content)
