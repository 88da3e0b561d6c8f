"""Blocks of metadata that are odd, malformed or hostile: EXIF, XMP, IPTC, Photoshop.

Functions named ``draw_`` draw from a ``random.Random``: the same state makes the same
bytes. Hypothesis passes one whose draws it can simplify, so they are few and small.
"""

import random
import struct
import zlib
from collections.abc import Sequence

__all__ = [
    "EDGES",
    "draw_exif",
    "draw_iptc",
    "draw_number",
    "draw_photoshop",
    "draw_text",
    "draw_xmp",
    "make_directory",
    "make_exif",
]

Entry = tuple[int, int, int, int]
"""Tag, type, count, and the value or its offset."""

EDGES = (0, 1, 2, 8, 255, 65_535, 65_536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
"""Numbers at the limits of their types."""
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 270, 271, 273, 274, 277, 279, 282, 283, 296, 305, 306, 315),
    *(330, 338, 339, 347, 513, 514, 700, 1000, 33432, 33723, 34377, 34665, 34675, 34853, 36867),
    *(37500, 37510, 37724, 40961, 40962, 40963, 40965, 50706),
)
_POINTERS = (34665, 34853, 40965, 330, 513, 37500)
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DECLARATIONS = (
    f'xmlns:x="adobe:ns:meta/" xmlns:r="{_RDF}" xmlns:t="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:n="http://ns.adobe.com/xmp/note/" '
    'xmlns:a="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)
_NAMES = ("r:RDF", "r:Description", "t:Orientation", "a:DigitalSourceType", "RDF", "n:b")
_ATTRIBUTES = ("r:about", "t:Orientation", "a:DigitalSourceType", "n:HasExtendedXMP", "xmlns")
_VALUES = ("", "6", "it's", "> />", _RDF, "0123456789ABCDEF0123456789ABCDEF")
_TEXTS = ("", " ", "6", "<!-- </r:RDF> -->", "<![CDATA[</r:RDF>]]>", "&lt;", "<?p >?>", "&#0;")
_BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
_KEYWORDS = (
    *(b"Author", b"Gr\xf6\xdfe", b"XML:com.adobe.xmp", b"k" * 90, b""),
    *(b"Raw profile type " + kind for kind in (b"exif", b"iptc", b"xmp", b"8bim")),
)
_RESOURCES = (1028, 1034, 1035, 1036, 1039, 1058, 1060, 2000, 0, 65_535)


def draw_number(rng: random.Random, largest: int = (1 << 32) - 1) -> int:
    """Draw a small number or one at the limit of a type."""
    number = rng.randrange(200) if rng.randrange(2) else rng.choice(EDGES)
    return min(number, largest)


def make_directory(order: str, entries: Sequence[Entry], following: int = 0) -> bytes:
    """Make a directory of a TIFF; ``order`` is "<" or ">"."""
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", following)


def make_exif(order: str, content: bytes) -> bytes:
    """Make a block of EXIF whose first directory begins the content, at byte 8."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + content


def draw_entry(rng: random.Random) -> Entry:
    """Draw an entry of a directory."""
    return rng.choice(_TAGS), rng.randrange(19), draw_number(rng), draw_number(rng)


def draw_exif(rng: random.Random) -> bytes:
    """Draw a block of EXIF: loops, shared values, chains, or directories at random."""
    order, kind = rng.choice("<>"), rng.randrange(8)
    if kind == 0:  # directories that point to themselves
        entries = [(rng.choice(_POINTERS), 4, 1, 8)] * rng.choice((3, 200, 4096))
        return make_exif(order, make_directory(order, entries, 8))
    if kind == 1:  # values that are the same bytes
        count, size = rng.choice((20, 300, 1500)), rng.choice((100, 4_000, 60_000))
        at = 8 + 2 + 12 * count + 4
        entries = [(1000 + number, rng.choice((2, 7)), size, at) for number in range(count)]
        return make_exif(order, make_directory(order, entries) + b"A" * size)
    if kind == 2:  # a chain of directories
        count, tag, content = rng.choice((2, 50, 500)), rng.choice(_POINTERS), b""
        for number in range(count):
            following = 8 + 18 * (number + 1)
            content += make_directory(order, [(tag, 4, 1, following)], following)
        return make_exif(order, content)
    if kind == 3:  # what cameras write, with a thumbnail
        entries = [
            (271, 2, 6, 100), (274, 3, 1, rng.randrange(10) << (0 if order == "<" else 16)),
            (282, 5, 1, 110), (283, 5, 1, 110), (296, 3, 1, 2), (305, 2, 4, 0), (34665, 4, 1, 130),
        ]  # fmt: skip
        first = make_exif(order, make_directory(order, entries, 200)).ljust(130, b"\x01")
        below = [(37500, 7, rng.choice((20, 200)), 240), (37510, 7, 16, 200), (40962, 4, 1, 9)]
        second = make_directory(order, [(513, 4, 1, draw_number(rng)), (514, 4, 1, 40)])
        return (first + make_directory(order, below)).ljust(200, b"\0") + second + bytes(200)
    content = b""
    for _ in range(rng.randrange(1, 5)):
        entries = [draw_entry(rng) for _ in range(rng.randrange(8))]
        content += make_directory(order, entries, draw_number(rng))
    return make_exif(order, content + b"0123456789" * rng.randrange(8))


def _draw_element(rng: random.Random, levels: int) -> str:
    if not levels or not rng.randrange(3):
        return rng.choice(_TEXTS)
    name = rng.choice(_NAMES)
    keys = sorted({rng.choice(_ATTRIBUTES) for _ in range(rng.randrange(3))})
    listed = "".join(f' {key} = "{rng.choice(_VALUES)}"' for key in keys)
    inner = "".join(_draw_element(rng, levels - 1) for _ in range(rng.randrange(4)))
    return f"<{name}{listed}>{inner}</{name} >" if inner else f"<{name}{listed}/>"


def draw_xmp(rng: random.Random) -> bytes:
    """Draw a packet of XMP: at random, deep, long, in any encoding, or damaged."""
    count = rng.choice((10, 1_000, 60_000))
    bodies = {
        0: "<a:DigitalSourceType>" * count,
        1: "<r:li>" * count + "</r:li>" * count,
        2: "<r:li/>" * count,
        3: f"<r:RDF{' b' * count}",
        4: "<r:RDF" + "".join(f" n{i}='{i}'" for i in range(min(count, 3000))) + "/>",
        5: " \n" * count,
        6: f"<r:RDF><r:Description t:Orientation='6'/>{'&b;' * count}</r:RDF>",
    }
    body = bodies.get(rng.randrange(14))
    if body is None:
        body = "".join(_draw_element(rng, 4) for _ in range(rng.randrange(4)))
    head = rng.choice(("", "", "", '<?xml version="1.0" encoding="latin-1"?>', _BOMB, "\ufeff"))
    text = f"{head}<x:xmpmeta {_DECLARATIONS}>{body}</x:xmpmeta>"
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-16-be", "utf-32"))
    packet = bytearray(text.encode(encoding))
    if not rng.randrange(3):
        at = rng.randrange(len(packet))
        packet[at : at + rng.randrange(4)] = rng.choice((b"", b"<", b">", b'"', b"\0", b"\xff"))
    return bytes(packet)


def draw_iptc(rng: random.Random) -> bytes:
    """Draw datasets of IPTC."""
    made = b""
    for _ in range(rng.choice((1, 3, 300))):
        head = bytes([0x1C, rng.choice((1, 2, 240)), rng.choice((0, 5, 25, 80, 120))])
        text = b"\xe9" * rng.randrange(12)
        wide = rng.randrange(6) == 0  # the size is given by more bytes
        size = len(text) if rng.randrange(4) else draw_number(rng, 65_535)
        made += head + (struct.pack(">HI", 0x8004, size) if wide else struct.pack(">H", size))
        made += text
    return made


def draw_photoshop(rng: random.Random) -> bytes:
    """Draw image resources of Photoshop, without the prefix of a JPEG."""
    made = b""
    for _ in range(rng.choice((1, 2, 5, 200))):
        name = b"n" * rng.choice((0, 0, 1, 4, 255))
        content = draw_iptc(rng) if not rng.randrange(3) else b"c" * rng.randrange(9)
        size = len(content) if rng.randrange(4) else draw_number(rng)
        made += rng.choice((b"8BIM", b"8BIM", b"MeSa", b"XXXX"))
        made += struct.pack(">HB", rng.choice(_RESOURCES), len(name)) + name
        made += bytes((len(name) + 1) % 2) + struct.pack(">I", size)
        made += content + bytes(len(content) % 2)
    return made


def draw_text(rng: random.Random) -> tuple[bytes, bytes]:
    """Draw a text chunk of a PNG: its type and content."""
    keyword = rng.choice(_KEYWORDS)
    blocks = (draw_exif, draw_xmp, draw_iptc, draw_photoshop)
    text = rng.choice(blocks)(rng) if rng.randrange(2) else b"x" * rng.randrange(99)
    if keyword.startswith(b"Raw"):
        length = len(text) if rng.randrange(3) else draw_number(rng)
        text = b"\n%b\n%8d\n%b\n" % (keyword[17:], length, text.hex().encode())
    if not rng.randrange(6):
        text = bytes(rng.choice((70_000, 5_000_000)))
    kind = rng.choice((b"tEXt", b"zTXt", b"iTXt"))
    packed = zlib.compress(text) if rng.randrange(8) else text[:50]
    if kind == b"tEXt":
        return kind, keyword + b"\0" + text[:100_000]
    if kind == b"zTXt":
        return kind, keyword + b"\0" + rng.choice((b"\0", b"\0", b"\1", b"")) + packed
    compressed = bool(rng.randrange(2))
    head = keyword + rng.choice((b"\0", b"\0", b"")) + bytes([compressed, 0])
    return kind, head + rng.choice((b"\0\0", b"\0\0", b"de\0\0", b"")) + (
        packed if compressed else text[:100_000]
    )
