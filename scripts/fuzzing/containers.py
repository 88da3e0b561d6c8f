"""Changes to the structure of image files: chunks, segments, boxes and directories.

Each takes a well-formed file and returns one whose parts are well-formed where they
need not be otherwise (lengths and checksums included), so that damage reaches the code
behind the first check.
"""

import random
import struct
import zlib
from collections.abc import Callable, Iterator

from fuzzing.blocks import (
    EDGES,
    draw_entry,
    draw_exif,
    draw_iptc,
    draw_number,
    draw_photoshop,
    draw_text,
    draw_xmp,
    make_directory,
)

__all__ = ["alter_structure", "damage_bytes", "draw_case"]

_FLOODS = (2, 300, 20_000)
"""How often a part is repeated."""
_MOST_BYTES = 2_000_000
"""Bytes of such repetitions, at the most."""
_FOLDERS = {b"meta": 4, b"iinf": 6, b"iref": 4, b"stsd": 8} | dict.fromkeys(
    (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"jp2h", b"grpl"), 0
)
"""Boxes that hold boxes, and the bytes before the first of them."""


def draw_case(files: list[tuple[str, bytes]], rng: random.Random) -> tuple[str, bytes]:
    """Alter a file: its structure, its bytes, or both."""
    (name, content), (_, other) = rng.choice(files), rng.choice(files)
    kind = rng.randrange(10)
    if kind < 7:
        for _ in range(rng.choice((1, 1, 2, 3))):
            content = alter_structure(content, rng) if len(content) < _MOST_BYTES else content
    if kind > 5:
        content = damage_bytes(content, other, rng)
    return name, content


def alter_structure(content: bytes, rng: random.Random) -> bytes:
    """Change the structure of a file of any format in one place."""
    for start, alter in _ALTERATIONS:
        if content.startswith(start):
            return alter(content, rng)
    if content[4:8] in (b"ftyp", b"JXL ", b"jP  "):
        return _alter_boxes(content, rng)
    return _alter_numbers(content, rng)


def damage_bytes(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage a copy in a few places, near the start as often as anywhere.

    Bits are flipped, and bytes overwritten, removed, repeated or replaced by those of
    another file.
    """
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        reach = rng.choice((64, 512, len(damaged)))
        at = rng.randrange(max(1, min(reach, len(damaged))))
        kind = rng.randrange(7)
        if kind == 0 and damaged:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            damaged[at : at + rng.choice((1, 2, 4))] = rng.randbytes(rng.choice((1, 2, 4)))
        elif kind == 2:
            damaged[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(EDGES))
        elif kind == 3:
            del damaged[at:]
        elif kind == 4:
            del damaged[at : at + rng.randrange(1, 64)]
        elif kind == 5:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 256)]
        else:
            start = rng.randrange(max(1, len(other)))
            damaged[at : at + 64] = other[start : start + 64]
    return bytes(damaged)


def _alter_parts(
    parts: list[bytes], draw: Callable[[random.Random], bytes], rng: random.Random
) -> list[bytes]:
    """Insert drawn parts, or repeat, move or remove those of a file."""
    kind, at = rng.randrange(6), rng.randrange(1, len(parts) + 1)
    if kind < 3:
        times = rng.choice(_FLOODS) if not rng.randrange(6) else 1
        made = [draw(rng) for _ in range(min(times, 3))]
        times = min(times, _MOST_BYTES // max(map(len, made)))
        return parts[:at] + (made * times)[:times] + parts[at:]
    chosen = rng.randrange(len(parts))
    others = parts[:chosen] + parts[chosen + 1 :]
    if kind == 3:
        return others
    if kind == 4:
        return [*others[:at], parts[chosen], *others[at:]]
    times = min(rng.choice(_FLOODS[:2]), _MOST_BYTES // len(parts[chosen]))
    return parts[:at] + [parts[chosen]] * times + parts[at:]


def _alter_png(content: bytes, rng: random.Random) -> bytes:
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if rng.randrange(3) == 0 and chunks:  # a field of a chunk, with the right checksum
        chosen = rng.randrange(len(chunks))
        chunks[chosen] = (chunks[chosen][0], _alter_numbers(chunks[chosen][1], rng))
    parts = [_make_chunk(*chunk) for chunk in chunks]
    return content[:8] + b"".join(_alter_parts(parts, _draw_chunk, rng))


def _make_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _draw_chunk(rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind < 5:
        return _make_chunk(*draw_text(rng))
    if kind < 7:
        return _make_chunk(b"eXIf", rng.choice((b"", b"Exif\0\0")) + draw_exif(rng))
    if kind == 7:  # a profile that grows when it is decompressed
        return _make_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(rng.choice((200, 9_000_000)))))
    if kind == 8:
        numbers = struct.pack(">IIB", draw_number(rng), draw_number(rng), rng.randrange(3))
        return _make_chunk(b"pHYs", numbers)
    other = rng.choice((b"acTL", b"fcTL", b"fdAT", b"tRNS", b"PLTE", b"gAMA", b"cHRM", b"abCd"))
    return _make_chunk(other, struct.pack(">II", draw_number(rng), draw_number(rng)))


def _alter_jpeg(content: bytes, rng: random.Random) -> bytes:
    segments: list[bytes] = []
    at = 2
    while at + 4 <= len(content) and content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segments.append(content[at : at + 2 + length])
        at += 2 + length
    if rng.randrange(3) == 0 and segments:
        chosen = rng.randrange(len(segments))
        altered = _alter_numbers(segments[chosen][4:], rng)
        segments[chosen] = _make_segment(segments[chosen][1], altered)
    if rng.randrange(8) == 0:  # a scan once more
        times = min(rng.choice((1, 300)), _MOST_BYTES // len(content))
        return content[:-2] + content[at:-2] * times + content[-2:]
    altered = b"".join(_alter_parts(segments, _draw_segment, rng))
    return content[:2] + altered + content[at:]


def _make_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content[:65_533]) + 2) + content[:65_533]


def _draw_segment(rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind < 2:
        return _make_segment(0xE1, b"Exif\0\0" + draw_exif(rng))
    if kind == 2:
        return _make_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + draw_xmp(rng))
    if kind == 3:
        return _draw_extended_xmp(rng)
    if kind == 4:
        resources = b"Photoshop 3.0\0" + draw_photoshop(rng)
        half = rng.randrange(15, len(resources) + 1)
        second = b"Photoshop 3.0\0" + resources[half:]
        return _make_segment(0xED, resources[:half]) + _make_segment(0xED, second)
    if kind == 5:  # the index of a Multi-Picture file
        entries = [(0xB000, 7, 4, 808464432), (0xB001, 4, 1, draw_number(rng))]
        entries.append((0xB002, 7, draw_number(rng), 50))
        index = struct.pack("<I", 8) + make_directory("<", entries, draw_number(rng))
        return _make_segment(0xE2, b"MPF\0II*\0" + index)
    if kind == 6:
        numbers = bytes([rng.randrange(3), rng.randrange(4)])
        return _make_segment(0xE2, b"ICC_PROFILE\0" + numbers + b"p" * rng.randrange(200))
    if kind == 7:  # bytes between segments
        return rng.choice((b"\0", b"\xff", b"\xff\x01", b"ab")) * rng.choice(_FLOODS)
    if kind == 8:
        density = struct.pack(">BHHBB", rng.randrange(4), draw_number(rng, 65_535), 72, 0, 0)
        return _make_segment(0xE0, b"JFIF\0" + bytes([rng.randrange(3), 2]) + density)
    marker = rng.choice((0xC0, 0xC2, 0xC4, 0xDB, 0xDD, 0xE1, 0xEE, 0xFE, 0xEB))
    start = rng.choice((b"", b"Adobe\0d\0\0\0\0\3", b"\x08\0\x40\0\x40\1\1\x11\0"))
    return _make_segment(marker, start + b"c" * rng.randrange(80))


def _draw_extended_xmp(rng: random.Random) -> bytes:
    """Draw XMP that announces an extended part, and pieces of it."""
    name = b"0123456789ABCDEF0123456789ABCDEF"
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="%b"/>'
        b"</rdf:RDF></x:xmpmeta>" % name
    )
    made = _make_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)
    extension = draw_xmp(rng)
    step = rng.choice((100, 4_000, 65_000))
    total = len(extension) if rng.randrange(3) else draw_number(rng)
    for start in range(0, min(len(extension), 200 * step), step):
        offset = start if rng.randrange(9) else draw_number(rng)
        head = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", total, offset)
        made += _make_segment(0xE1, head + extension[start : start + step])
    return made


def _alter_webp(content: bytes, rng: random.Random) -> bytes:
    chunks: list[bytes] = []
    at = 12
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        chunks.append(content[at : at + 8 + length + length % 2])
        at += 8 + length + length % 2
    if chunks and chunks[0][:4] != b"VP8X" and rng.randrange(2):
        side = struct.pack("<I", rng.choice((63, 127, draw_number(rng))))[:3]
        flags = bytes([rng.choice((0x08, 0x0C, 0x2C, 0x02, 0xFF)), 0, 0, 0])
        chunks.insert(0, b"VP8X" + struct.pack("<I", 10) + flags + side + side)
    body = b"WEBP" + b"".join(_alter_parts(chunks, _draw_riff_chunk, rng))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _draw_riff_chunk(rng: random.Random) -> bytes:
    kind = rng.choice((b"EXIF", b"EXIF", b"XMP ", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"abcd"))
    blocks = {b"EXIF": draw_exif, b"XMP ": draw_xmp}
    block = blocks[kind](rng) if kind in blocks else b"c" * rng.randrange(80)
    size = len(block) if rng.randrange(6) else draw_number(rng)
    return kind + struct.pack("<I", size) + block + bytes(len(block) % 2)


def _alter_tiff(content: bytes, rng: random.Random) -> bytes:
    """Write a new first directory, or many, at the end of a TIFF."""
    order = "<" if content[:2] == b"II" else ">"
    start = int.from_bytes(content[4:8], "little" if order == "<" else "big")
    if content[2:4] not in (b"*\0", b"\0*") or start + 2 > len(content):
        return _alter_numbers(content, rng)
    (count,) = struct.unpack_from(order + "H", content, start)
    if start + 6 + 12 * count > len(content):
        return _alter_numbers(content, rng)
    entries = [
        struct.unpack_from(order + "HHII", content, start + 2 + 12 * i) for i in range(count)
    ]
    following = struct.unpack_from(order + "I", content, start + 2 + 12 * count)[0]
    made = bytearray(content + bytes(len(content) % 2))

    def append(block: bytes) -> int:
        made.extend(block + bytes(len(block) % 2))
        return len(made) - len(block) - len(block) % 2

    kind, pages = rng.randrange(6), 1
    if kind == 0:  # fields that say something else
        for _ in range(rng.randrange(1, 4)):
            chosen = rng.randrange(len(entries))
            tag, form, number, value = entries[chosen]
            altered = [
                (tag, form, draw_number(rng), value),
                (tag, form, number, draw_number(rng)),
                (tag, rng.randrange(19), number, value),
                (rng.choice((tag + 1, 330, 34665)), form, number, value),
            ]
            entries[chosen] = rng.choice(altered)
    elif kind == 1:  # metadata
        tag, draw = rng.choice(
            ((700, draw_xmp), (33723, draw_iptc), (34377, draw_photoshop), (34675, draw_iptc))
        )
        block = draw(rng)
        length = len(block) if rng.randrange(3) else draw_number(rng)
        entries.append((tag, rng.choice((1, 4, 7)), length, append(block)))
    elif kind == 2:  # directories of EXIF, whose offsets count from the start of the file
        below = append(make_directory(order, [draw_entry(rng) for _ in range(rng.randrange(9))]))
        entries.append((rng.choice((34665, 34853, 330, 50341)), rng.choice((4, 13)), 1, below))
    elif kind == 3:  # values of many tags, or of many pages, that are the same bytes
        size = rng.choice((1_000, 200_000))
        at = append(b"A" * size)
        first = rng.choice((40_000, 1000))
        shared = [(first + i, 7, size, at) for i in range(rng.choice((10, 1500)))]
        if rng.randrange(2):
            tag = rng.choice((258, 273, 279, 338, 347, 320))
            entries = [entry for entry in entries if entry[0] != tag]
            shared = [(tag, rng.choice((1, 3, 4)), size // 4, at)]
        entries += shared
        pages = rng.choice((1, 1, 190))
    elif kind == 4:  # many pages, or a circle
        pages = rng.choice((2, 5, 150, 250))
    else:
        entries = [draw_entry(rng) if not rng.randrange(6) else entry for entry in entries]
    entries.sort()
    length = 6 + 12 * len(entries)
    first = len(made)
    last = rng.choice((0, following, first, draw_number(rng)))
    for number in range(pages):
        after = first + length * (number + 1) if number < pages - 1 else last
        made.extend(make_directory(order, entries, after))
    struct.pack_into(order + "I", made, 4, first)
    return bytes(made)


def _iterate_boxes(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the start and the end of each box, and of those in it."""
    while at + 8 <= end:
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        stop = at + length if 8 <= length <= end - at else end
        yield kind, at, stop
        if kind in _FOLDERS:
            yield from _iterate_boxes(content, at + 8 + _FOLDERS[kind], stop)
        at = stop


def _alter_boxes(content: bytes, rng: random.Random) -> bytes:
    boxes = list(_iterate_boxes(content, 0, len(content)))
    name, start, end = rng.choice(boxes)
    kind, altered = rng.randrange(7), bytearray(content)
    if kind < 3 and name not in (b"mdat", b"ftyp"):  # numbers inside a box
        altered[start + 8 : end] = _alter_numbers(content[start + 8 : end], rng)[: end - start - 8]
    elif kind == 3:  # its length or its type
        number = rng.choice((draw_number(rng), end - start + 4, 1, 0))
        altered[start : start + 4] = struct.pack(">I", number)
    elif kind == 4:
        altered[start + 4 : start + 8] = rng.choice(boxes)[0]
    elif kind == 5:
        altered[end:end] = content[start:end] * rng.choice(_FLOODS[:2])
    else:
        times = rng.choice(_FLOODS) if not rng.randrange(4) else 1
        made = _draw_box(rng)
        altered[end:end] = made * min(times, _MOST_BYTES // len(made))
    return bytes(altered)


def _draw_box(rng: random.Random) -> bytes:
    kind = rng.choice((b"Exif", b"xml ", b"uuid", b"free", b"jumb", b"brob", b"mdat", b"colr"))
    block = {b"Exif": lambda rng: bytes(4) + draw_exif(rng), b"xml ": draw_xmp}.get(
        kind, lambda rng: b"prof" * rng.randrange(30)
    )(rng)
    made = struct.pack(">I", 8 + len(block)) + kind + block
    for _ in range(rng.choice((0, 0, 3, 500))):  # boxes in boxes
        made = struct.pack(">I", 8 + len(made)) + rng.choice((b"jumb", b"meta")) + made
    return made


def _alter_gif(content: bytes, rng: random.Random) -> bytes:
    table = 3 << ((content[10] & 7) + 1) if content[10] & 0x80 else 0
    at = 13 + table
    xmp = b"\x21\xff\x0bXMP DataXMP" + draw_xmp(rng)[:5_000] + bytes(range(255, -1, -1)) + b"\0"
    blocks = (
        b"\x21\xfe" + b"\x05hello" * rng.choice((1, 300)) + b"\0",
        b"\x21\xff\x0bNETSCAPE2.0\x03\x01\xff\xff\0",
        xmp,
        b"\x21\xf9\x04\x09\xff\xff\xff\0",
        content[at:-1],  # the frames once more
    )
    made = rng.choice(blocks)
    made *= min(rng.choice((1, 1, *_FLOODS[:2])), _MOST_BYTES // len(made))
    at = rng.choice((at, len(content) - 1))
    return _alter_numbers(content[:at] + made + content[at:], rng)


def _alter_numbers(content: bytes, rng: random.Random) -> bytes:
    """Overwrite numbers, mostly near the start, with those at the limits of types."""
    altered = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        if not altered:
            break
        reach = min(len(altered), rng.choice((16, 64, 1 << 20)))
        at, width = rng.randrange(reach), rng.choice((1, 2, 4))
        number = draw_number(rng, (1 << 8 * width) - 1)
        packed = number.to_bytes(width, rng.choice(("big", "little")))
        altered[at : at + width] = packed[: len(altered) - at]
    return bytes(altered)


def _alter_pnm(content: bytes, rng: random.Random) -> bytes:
    comment = b"#" + b"c" * rng.choice((1, 5_000, 200_000)) + rng.choice((b"\n", b""))
    numbers = b" %d %d" % (draw_number(rng), rng.choice((1, 255, draw_number(rng))))
    made = rng.choice((comment, numbers, b" " * rng.choice(_FLOODS), b"P5 ", b"-1 "))
    at = rng.choice((2, 3, 6, 9, 12))
    return content[:at] + made + content[at:]


_ALTERATIONS: tuple[tuple[bytes, Callable[[bytes, random.Random], bytes]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _alter_png),
    (b"\xff\xd8\xff", _alter_jpeg),
    (b"RIFF", _alter_webp),
    (b"II*\0", _alter_tiff),
    (b"MM\0*", _alter_tiff),
    (b"GIF8", _alter_gif),
    (b"P", _alter_pnm),
)
