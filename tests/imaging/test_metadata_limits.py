"""Whatever metadata a file holds, reading it and writing a result ends soon and in
bounded memory."""

import hashlib
import io
import resource
import struct
import time
import zlib
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colorizenet.errors import ImageError
from colorizenet.imaging import exif, tiff, xmp
from colorizenet.imaging.embedding import Blocks, embed_blocks
from colorizenet.imaging.extraction import extract_metadata
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from fuzzing.blocks import make_directory, make_exif

SIDE = 16
PIXELS = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
SECONDS, GROWTH = 5.0, 400_000
"""Processor time that a case may take, and how many kB more of memory."""

law = settings(max_examples=30, deadline=SECONDS * 1000, suppress_health_check=list(HealthCheck))


def encode(format: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, format)
    return file.getvalue()


PNG, JPEG, WEBP = encode("PNG"), encode("JPEG"), encode("WEBP")


def put_into_png(*chunks: tuple[bytes, bytes]) -> bytes:
    made = b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return PNG[:33] + made + PNG[33:]


def put_into_jpeg(*contents: bytes, marker: int = 0xE1) -> bytes:
    made = b"".join(struct.pack(">BBH", 0xFF, marker, len(c) + 2) + c for c in contents)
    return JPEG[:2] + made + JPEG[2:]


def put_into_webp(block: bytes, *, before: bytes = b"") -> bytes:
    frame = WEBP[12:]
    chunk = b"EXIF" + struct.pack("<I", len(block)) + block + bytes(len(block) % 2)
    side = (SIDE - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<II", 10, 8) + side + frame + before + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pass_through(content: bytes) -> Image | None:
    """Read a file and write it in three formats; None where it is refused."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        image = read_image(content, max_pixels=1 << 20)
    except ImageError:
        return None
    for format in ("jpeg", "png", "tiff"):
        try:
            again = read_image(encode_image(image, format))
        except ImageError:
            continue
        assert not any("malformed" in warning for warning in again.warnings)
    assert time.process_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH
    return image


numbers = st.one_of(
    st.integers(0, 200), st.sampled_from([0, 1, 8, 1 << 16, (1 << 31) - 1, (1 << 32) - 1])
)
tag_numbers = st.sampled_from(
    [256, 257, 270, 271, 274, 282, 283, 296, 305, 330, 338, 513, 514, 700, 1000]
).flatmap(lambda tag: st.sampled_from([tag, 33723, 34377, 34665, 34853, 37500, 37510, 40961]))
entries = st.tuples(tag_numbers, st.integers(0, 18), numbers, numbers)


@st.composite
def exif_blocks(draw: st.DrawFn) -> bytes:
    """Up to five directories that point to each other, themselves and nowhere."""
    order = draw(st.sampled_from("<>"))
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for _ in range(draw(st.integers(1, 5))):
        block += make_directory(order, draw(st.lists(entries, max_size=8)), draw(numbers))
    return block + draw(st.binary(max_size=64))


@law
@given(exif_blocks(), st.sampled_from(["png", "jpeg", "webp", "tiff"]))
def test_any_exif_ends_soon(block, format):
    files = {
        "png": lambda: put_into_png((b"eXIf", block)),
        "jpeg": lambda: put_into_jpeg(b"Exif\0\0" + block),
        "webp": lambda: put_into_webp(block),
        "tiff": lambda: block,
    }
    image = pass_through(files[format]())
    assert image is not None or format == "tiff"


@law
@given(exif_blocks())
def test_tags_of_a_tiff_are_read_within_the_budget(block):
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, "TIFF")
    tags = tiff.read_exif_block(block)
    tags = {tag: value for tag, value in tags.items() if tag > 258 and tag not in (273, 278, 279)}
    tiff.add_tags(file, tags)
    pass_through(file.getvalue())


def count_bytes(tags: tiff.Directory) -> tuple[int, int]:
    inner = [count_bytes(value) for _, value in tags.values() if isinstance(value, dict)]
    size = sum(len(value) for _, value in tags.values() if isinstance(value, bytes))
    return len(tags) + sum(count for count, _ in inner), size + sum(size for _, size in inner)


@pytest.mark.parametrize("count", [200, 4096])
def test_directories_that_point_to_themselves_are_read_once(count):
    pointers = [(34665, 4, 1, 8)] * count
    block = b"II*\0" + struct.pack("<I", 8) + make_directory("<", pointers, 8)
    started = time.process_time()
    assert tiff.read_exif_block(block) == {}
    avif = io.BytesIO(encode_image(Image(PIXELS, note="note"), "avif"))
    embed_blocks(avif, "avif", Blocks(exif=block))
    for content in (
        put_into_png((b"eXIf", block)),
        put_into_jpeg(b"Exif\0\0" + block),
        put_into_webp(block),
        avif.getvalue(),
    ):
        assert pass_through(content) is not None
    assert time.process_time() - started < SECONDS


SLOW_BLOCK = make_exif("<", make_directory("<", [(34665, 4, 1, 8)] * 4096, 8))
"""EXIF on which libexif spends more than ``SECONDS``."""


def make_avif(*, prefix: bytes = b"", type: bytes = b"Exif", lists: bytes = b"") -> bytes:
    """An AVIF whose second item of metadata is ``SLOW_BLOCK``. ``prefix`` precedes its
    list of items, and ``lists`` follow it."""
    avif = bytearray(encode_image(Image(PIXELS, note="note"), "avif"))
    avif[(at := avif.index(b"mime")) : at + 4] = type
    end = avif.index(b"iprp") - 18  # of the list, before the number of the primary item
    entries = avif.index(b"iloc") + 12
    moved = len(prefix) + len(lists)
    for entry in range(entries, entries + 3 * 18, 18):
        base = int.from_bytes(avif[entry + 4 : entry + 8], "big") + moved
        avif[entry + 4 : entry + 8] = base.to_bytes(4, "big")
    content = bytes(4) + SLOW_BLOCK
    place = struct.pack(">II", len(avif) + 8 + moved - base, len(content))
    avif[entry + 10 : entry + 18] = place
    meta = avif.index(b"meta") - 4
    length = int.from_bytes(avif[meta : meta + 4], "big") + len(lists)
    avif[meta : meta + 4] = length.to_bytes(4, "big")
    avif[end:end] = lists
    avif[meta:meta] = prefix
    return bytes(avif) + struct.pack(">I", len(content) + 8) + b"mdat" + content


CRAFTED = {
    "segments before it": lambda: put_into_jpeg(*[b""] * 5001, b"Exif\0\0" + SLOW_BLOCK),
    "markers before it": lambda: put_into_jpeg(b"Exif\0\0" + SLOW_BLOCK).replace(
        b"\xff\xe1", b"\xff\xd0" * 5001 + b"\xff\xe1", 1
    ),
    "a false marker before it": lambda: put_into_jpeg(b"", b"Exif\0\0" + SLOW_BLOCK).replace(
        b"\xff\xe1\0\2", b"\xff\xe1\0\2\0\xff\5\xff\xff", 1
    ),
    "many bytes before it": lambda: put_into_jpeg(b"", b"Exif\0\0" + SLOW_BLOCK).replace(
        b"\xff\xe1\0\2", b"\xff\xe1\0\2" + bytes(70_000), 1
    ),
    "chunks before it": lambda: put_into_webp(SLOW_BLOCK, before=(b"JUNK" + bytes(4)) * 5001),
    "a second item": make_avif,
    "a type in small letters": lambda: make_avif(type=b"exif"),
    "boxes before it": lambda: make_avif(prefix=(struct.pack(">I", 8) + b"free") * 10_001),
    "a second list": lambda: make_avif(lists=struct.pack(">IIIH", 14, 0x69696E66, 0, 0)),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_no_exif_gets_past_to_libexif(case):
    pass_through(CRAFTED[case]())


def test_values_that_share_bytes_count_each():
    blob_at, size = 1 << 15, 4000
    shared = [(1000 + number, 7, size, blob_at) for number in range(1500)]
    block = b"II*\0" + struct.pack("<I", 8) + make_directory("<", shared, 0)
    block = block.ljust(blob_at, b"\0") + bytes(size)
    budget = tiff.Budget()
    count, used = count_bytes(tiff.read_exif_block(block, budget=budget))
    assert count == 16 and used == 64_000 and budget.left_out == 1500 - 16
    short = [(1000 + number, 3, 1, 0) for number in range(1500)]
    budget = tiff.Budget()
    tags = tiff.read_exif_block(
        b"II*\0" + struct.pack("<I", 8) + make_directory("<", short, 0), budget=budget
    )
    assert len(tags) == 1000 and budget.left_out == 500


@pytest.mark.parametrize(
    "resolution",
    [
        [(282, 5, 1, 8), (283, 5, 1, 8), (296, 3, 1, 0)],
        [(282, 6, 1, 8), (283, 5, 1, 8), (296, 3, 1, 1)],
        [(282, 5, 1, 8), (283, 5, 9, 8), (296, 3, 1, 2)],
    ],
    ids=["unit", "type", "count"],
)
def test_tags_of_pixels_in_an_exif_block_do_not_reach_the_tags_of_a_tiff(resolution):
    entries = [(258, 3, 1, 3), (259, 3, 1, 5), (262, 3, 1, 0), (277, 3, 1, 4), (278, 4, 1, 1)]
    entries += resolution  # not as a TIFF may have it
    entries += [(315, 2, 3, 0x00656D), (1001, 16, 1, 8)]  # eight bytes: only in a BigTIFF
    block = make_exif("<", make_directory("<", entries))
    image = read_image(put_into_png((b"eXIf", block)))
    for pixels in (PIXELS, PIXELS.astype(np.uint16) * 257):
        encoded = encode_image(replace(image, pixels=pixels), "tiff")
        assert np.array_equal(read_image(encoded).pixels, pixels)
        tags = tiff.read_tags(lambda at, length, encoded=encoded: encoded[at : at + length])
        assert tags[315] == (2, b"me\0") and not tags.keys() & {282, 283, 296, 1001}


def test_a_pointer_of_eight_bytes_in_an_exif_block_is_left_out():
    assert tiff.read_exif_block(make_exif("<", make_directory("<", [(34665, 16, 1, 8)]))) == {}


NAMES = [
    "x:xmpmeta",
    "r:RDF",
    "r:Description",
    "t:Orientation",
    "a:DigitalSourceType",
    "RDF",
    "n:b",
]
DECLARATIONS = (
    'xmlns:x="adobe:ns:meta/" xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:t="http://ns.adobe.com/tiff/1.0/" xmlns:n="http://ns.adobe.com/xmp/note/" '
    'xmlns:a="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)
attributes = st.dictionaries(
    st.sampled_from(
        ["r:about", "t:Orientation", "a:DigitalSourceType", "n:HasExtendedXMP", "xmlns"]
    ),
    st.sampled_from(["", "6", "it's", "> />", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"]),
    max_size=3,
)
texts = st.sampled_from(
    ["", " ", "6", "<!-- </r:RDF> -->", "<![CDATA[</r:RDF>]]>", "&lt;", "<?p >?>"]
)


def make_element(name: str, attributes: dict[str, str], children: list[str]) -> str:
    listed = "".join(f' {key} = "{value}"' for key, value in attributes.items())
    return f"<{name}{listed}>{''.join(children)}</{name} >" if children else f"<{name}{listed}/>"


elements = st.recursive(
    texts,
    lambda inner: st.builds(
        make_element, st.sampled_from(NAMES), attributes, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


@law
@given(st.lists(elements, max_size=4), st.booleans())
def test_any_well_formed_xmp_stays_well_formed(children, provenance):
    packet = f"<x:xmpmeta {DECLARATIONS}>{''.join(children)}</x:xmpmeta>".encode()
    assert xmp.decode_packet(packet) == packet
    updated = xmp.update_packet(packet, shape=(16, 16), provenance=provenance)
    assert xmp.decode_packet(updated) == updated
    assert (b"compositeWithTrainedAlgorithmicMedia" in updated) == provenance
    assert xmp.update_packet(updated, shape=(16, 16), provenance=provenance) == updated
    merged = xmp.merge_packets(packet, packet)
    assert xmp.decode_packet(merged) == merged
    pass_through(put_into_png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)))


@law
@given(st.lists(elements, max_size=4), st.integers(0, 500), st.binary(max_size=8))
def test_any_damaged_xmp_ends_soon(children, at, damage):
    packet = f"<x:xmpmeta {DECLARATIONS}>{''.join(children)}</x:xmpmeta>".encode()
    packet = packet[:at] + damage + packet[at + len(damage) :]
    pass_through(put_into_png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)))


@pytest.mark.parametrize(
    "packet",
    [
        b"<a:DigitalSourceType>" * 200_000,
        b"<a>" * 300_000 + b"</a>" * 300_000,
        b"<a" + b" b" * 500_000,
        b"<r>" + b"<a/>" * 500_000 + b"</r>",
        b"<r>" + b" \n" * 1_900_000 + b"</r>",
        b"<r " + b" ".join(b'xmlns:a%d="u"' % number for number in range(60_000)) + b"/>",
        b" " * (xmp.MAX_SIZE + 1),
    ],
    ids=["unclosed", "deep", "attribute", "many", "blank", "namespaces", "long"],
)
def test_crafted_xmp_ends_soon(packet):
    started = time.process_time()
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet, 9)
    assert pass_through(put_into_png((b"iTXt", text))) is not None
    assert time.process_time() - started < SECONDS


keywords = st.sampled_from(
    [b"Author", "Größe".encode("latin-1"), b"XML:com.adobe.xmp", b"Raw profile type exif",
     b"Raw profile type iptc", b"Raw profile type xmp", b""]
)  # fmt: skip
contents = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda content: b"\nexif\n 40\n" + content.hex().encode()),
    st.binary(max_size=40).map(zlib.compress),
    st.just(zlib.compress(bytes(5_000_000))),
)
chunks = st.tuples(
    st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"pHYs"]),
    st.builds(
        lambda keyword, middle, content: keyword + middle + content,
        keywords,
        st.sampled_from([b"\0", b"\0\0", b"\0\0\0\0\0", b"\0\1\0\0\0", b""]),
        contents,
    ),
)


@law
@given(st.lists(chunks, max_size=12))
def test_any_text_chunks_end_soon(chunks):
    assert pass_through(put_into_png(*chunks)) is not None


def test_compressed_texts_are_not_expanded_without_limit():
    bomb = zlib.compress(bytes(7_000_000), 9)
    chunks = [(b"zTXt", b"k%d\0\0" % number + bomb) for number in range(300)]
    started = time.process_time()
    image = pass_through(put_into_png(*chunks, (b"tEXt", b"Author\0A. Photographer")))
    assert image is not None and "very long text chunks" in image.warnings[0]
    assert time.process_time() - started < SECONDS


def test_extended_xmp_that_is_too_complex_together_with_the_packet_is_left_out():
    start = f"<x:xmpmeta {DECLARATIONS}><r:RDF><r:Description"
    end = "</r:Description></r:RDF></x:xmpmeta>"
    extension = f"{start}>{'<n:b/>' * 45_000}{end}".encode()
    name = hashlib.md5(extension).hexdigest().upper()
    packet = f'{start} n:HasExtendedXMP="{name}">{"<n:b/>" * 9_000}{end}'.encode()
    head = b"http://ns.adobe.com/xmp/extension/\0" + name.encode()
    pieces = [(at, extension[at : at + 60_000]) for at in range(0, len(extension), 60_000)]
    parts = [head + struct.pack(">II", len(extension), at) + piece for at, piece in pieces]
    image = pass_through(put_into_jpeg(b"http://ns.adobe.com/xap/1.0/\0" + packet, *parts))
    assert image is not None and "extended XMP" in image.warnings[0]
    assert image.metadata.xmp == packet


@law
@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([0xE0, 0xE1, 0xED, 0xFE]))
def test_any_segments_of_a_jpeg_end_soon(contents, marker):
    starts = [b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\x008BIM\4\4\0\0", b""]
    starts += [b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 40, b"JFIF\0"]
    made = [start + content for start, content in zip(starts, contents, strict=False)]
    pass_through(put_into_jpeg(*made, marker=marker))


@law
@given(exif_blocks())
def test_an_updated_block_can_be_updated_again_and_read(block):
    shape, resolution = (16, 16), (11.8, 11.8)
    once = exif.update_block(block, shape=shape, software="note", resolution=resolution)
    assert exif.is_readable(once) and b"note" in once
    assert exif.read_orientation(once) == 1
    assert len(once) <= len(block) + 400
    png = put_into_png((b"eXIf", once))
    extracted = extract_metadata(lambda at, length: png[at : at + length], "png", "a")
    assert extracted.metadata == Metadata(exif=once, aspect=extracted.metadata.aspect)
