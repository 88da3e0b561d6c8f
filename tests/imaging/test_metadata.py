"""Metadata survives unchanged where it stays true, and states nothing that is not."""

import hashlib
import io
import re
import struct
import zlib
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile

from colorizenet.imaging import photoshop, tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.metadata import count_dropped_tags, name_dropped_metadata
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.writing import encode_image

NOTE = "ColorizeNet 9: colors (all) reconstructed"
EXIF_FORMATS = ["jpeg", "png", "tiff", "webp", "avif", "heic", "jxl"]
IPTC = (
    b"\x1c\x02\x00\x00\x02\0\4" + b"\x1c\x02\x05\x00\x0cThe old mill" + b"\x1c\x02\x5a\x00\x03Oby"
)
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def make_xmp(content: str = "", attributes: str = "") -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'dc:source="ARK-1234" {attributes}>{content}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def encode_with_libvips(pixels: np.ndarray, ending: str, **options: object) -> bytes:
    """The bytes that libvips itself writes, which has no metadata of its own."""
    array = pixels if pixels.ndim == 3 else pixels[..., None]
    return pyvips.Image.new_from_array(array).write_to_buffer(ending, **options)


def make_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def make_png(pixels: np.ndarray, *chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """A PNG with chunks before or behind its pixels."""
    encoded = io.BytesIO()
    PIL.Image.fromarray(pixels).save(encoded, "PNG")
    content = encoded.getvalue()
    at = len(content) - 12 if behind else 33
    return content[:at] + b"".join(make_chunk(*chunk) for chunk in chunks) + content[at:]


def make_jpeg(pixels: np.ndarray, *segments: tuple[int, bytes], **options: object) -> bytes:
    """A JPEG with segments before its tables."""
    encoded = io.BytesIO()
    PIL.Image.fromarray(pixels).save(encoded, "JPEG", **options)
    content = encoded.getvalue()
    made = b"".join(struct.pack(">BBH", 0xFF, m, len(data) + 2) + data for m, data in segments)
    return content[:20] + made + content[20:]


def make_xmp_segments(packet: bytes) -> list[tuple[int, bytes]]:
    return [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)]


def read_chunks(encoded: bytes) -> list[tuple[bytes, bytes]]:
    at, chunks = 8, []
    while at < len(encoded):
        length = int.from_bytes(encoded[at : at + 4], "big")
        chunks.append((encoded[at + 4 : at + 8], encoded[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def read_tags(encoded: bytes) -> tiff.Directory:
    return tiff.read_exif_block(read_image(encoded).metadata.exif)


def read_text(tags: tiff.Directory, tag: int) -> bytes:
    value = tags[tag][1]
    assert isinstance(value, bytes)
    return value.rstrip(b"\0")


def make_exif(order: str = "<", note: bytes = bytes(6), thumbnail: bytes = b"") -> bytes:
    """An EXIF block as a camera writes it, with a maker note and a thumbnail."""

    def entry(tag: int, kind: int, count: int, value: int | bytes) -> bytes:
        if isinstance(value, int):
            value = struct.pack(
                order + ("HH" if kind == 3 else "I"), *((value, 0)[: 1 + (kind == 3)])
            )
        return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")

    main_at, values_at = 8, 8 + 2 + 12 * 6 + 4
    make_text = b"Graflex\0"
    exif_at = values_at + len(make_text) + 16
    note_at = exif_at + 2 + 12 * 4 + 4
    second_at = note_at + len(note) + len(note) % 2
    thumbnail_at = second_at + 2 + 12 * 2 + 4
    main = struct.pack(order + "H", 6)
    main += entry(271, 2, 8, values_at) + entry(274, 3, 1, 6)
    main += entry(282, 5, 1, values_at + 8) + entry(283, 5, 1, values_at + 16)
    main += entry(0x4746, 3, 1, 5) + entry(34665, 4, 1, exif_at)
    main += struct.pack(order + "I", second_at if thumbnail else 0)
    main += make_text + struct.pack(order + "IIII", 300, 1, 600, 1)
    main += struct.pack(order + "H", 4)
    main += entry(37500, 7, max(5, len(note)), note_at) + entry(40961, 3, 1, 65535)
    main += entry(40962, 4, 1, 220) + entry(40963, 4, 1, 80) + bytes(4) + note.ljust(5, b"\0")
    main = main.ljust(second_at - main_at, b"\0")
    if thumbnail:
        main += struct.pack(order + "H", 2) + entry(513, 4, 1, thumbnail_at)
        main += entry(514, 4, 1, len(thumbnail)) + bytes(4) + thumbnail
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", main_at) + main


@pytest.fixture
def small(gray: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(gray[100:180, 100:320])


def test_exif_xmp_and_resolution_are_carried_over(small):
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    block = tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")})
    segments = [(0xE1, b"Exif\0\0" + block), *make_xmp_segments(packet)]
    image = read_image(make_jpeg(small, *segments, dpi=(300, 300)))
    encoded = encode_image(image.with_pixels(np.dstack([small] * 3)))
    back = pyvips.Image.new_from_buffer(encoded, "")
    assert "Dorothea Lange" in back.get("exif-ifd0-Artist")
    assert back.get("xmp-data") == packet
    assert back.xres == pytest.approx(11.811, rel=1e-3)
    assert back.get_typeof("icc-profile-data"), "the result names sRGB as its color space"


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
def test_a_tiff_keeps_its_compression(compression, gray):
    encoded = encode_with_libvips(gray, ".tif", compression=compression)
    image = read_image(encoded)
    assert image.compression == compression
    back = encode_image(image)
    assert read_image(back).compression == compression
    if compression == "none":
        assert len(back) >= gray.size


@pytest.mark.parametrize("bigtiff", [False, True])
def test_exif_of_a_tiff_survives_in_every_format(small, bigtiff):
    file = io.BytesIO(encode_with_libvips(small, ".tif", bigtiff=bigtiff))
    taken = {36867: (2, b"1936:03:09 12:00:00\0"), 33437: (5, struct.pack("<II", 28, 10))}
    added = {271: (2, b"Graflex\0"), 315: (2, b"Dorothea Lange\0"), 0x4746: (3, b"\5\0")}
    tiff.add_tags(file, {**added, 34665: (4, taken)})
    image = read_image(file.getvalue())
    for format in EXIF_FORMATS:
        encoded = encode_image(replace(image, note="ColorizeNet 9"), format)
        again = read_image(encoded)
        assert np.abs(again.pixels.reshape(*small.shape, -1)[..., 0].astype(int) - small).mean() < 5
        tags = read_tags(encoded)
        assert read_text(tags, 271) == b"Graflex" and read_text(tags, 315) == b"Dorothea Lange"
        assert read_text(tags, 305) == b"ColorizeNet 9" and tags[0x4746][1] == b"\5\0"
        below = tags[34665][1]
        assert isinstance(below, dict) and read_text(below, 36867) == b"1936:03:09 12:00:00"
        assert below[33437][1] == struct.pack("<II", 28, 10)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif", "heic"])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        + f'<rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF></x:xmpmeta>'.encode(),
        f'<rdf:RDF xmlns:rdf="{RDF}"/>'.encode(),
        make_xmp(
            attributes=(
                'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
                'e:DigitalSourceType="http://example.com/camera"'
            )
        ),
    ],
)
def test_the_note_is_written_to_exif_and_xmp(format, before, small):
    plain = Image(np.dstack([small] * 3), format=format, metadata=Metadata(xmp=before))
    encoded = encode_image(replace(plain, note=NOTE))
    assert read_text(read_tags(encoded), 305) == NOTE.encode()
    packet = read_image(encoded).metadata.xmp
    xmp = ElementTree.fromstring(packet)
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    (source,) = [element.attrib[name] for element in xmp.iter() if name in element.attrib]
    assert source.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert (b"ARK-1234" in packet) == (b"ARK-1234" in before)
    silent = read_image(encode_image(plain)).metadata
    assert silent.exif == b"" and silent.xmp == before


def test_the_note_is_appended_to_the_software_of_the_scan(small):
    block = tiff.make_exif_block({305: (tiff.ASCII, b"VueScan 9 (pro)\0")})
    image = Image(small, format="jpeg", metadata=Metadata(exif=block), note="ColorizeNet 9")
    once = encode_image(image)
    twice = encode_image(replace(read_image(once), note="ColorizeNet 9"))
    for encoded in (once, twice):
        assert read_text(read_tags(encoded), 305) == b"VueScan 9 (pro); ColorizeNet 9"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif"])
def test_a_maker_note_keeps_its_place_and_bytes(order, format, small):
    note = b"Canon-like, offsets count from the block " + bytes(range(200))
    block = make_exif(order, note)
    image = read_image(make_jpeg(small, (0xE1, b"Exif\0\0" + block)))
    again = read_image(encode_image(replace(image, note=NOTE), format)).metadata.exif
    assert again.index(note) == block.index(note)
    assert struct.pack(order + "HHIHH", 0x4746, 3, 1, 5, 0) in again, "the rating"


def test_a_maker_note_that_cannot_be_moved_is_left_out_with_a_warning(small):
    moved = {False: b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0\0\0", True: b"\x05\0 of another maker, long"}
    for fixed, note in moved.items():
        metadata = Metadata(exif=make_exif(note=note))
        assert name_dropped_metadata(metadata, "tiff") == ("a maker note" if fixed else "")
        assert name_dropped_metadata(metadata, "jpeg") == ""
        encoded = encode_image(Image(small, metadata=metadata), "tiff")
        assert (note in encoded) != fixed


@pytest.mark.parametrize("order", ["<", ">"])
def test_sizes_orientation_and_color_space_are_those_of_the_result(order, small):
    image = read_image(make_jpeg(small, (0xE1, b"Exif\0\0" + make_exif(order))))
    assert image.pixels.shape == (220, 80) and image.resolution is not None
    for format in EXIF_FORMATS:
        tags = read_tags(encode_image(image, format))
        below = tags[34665][1]
        assert isinstance(below, dict)
        assert int.from_bytes(tags[274][1], "little") == 1
        assert [int.from_bytes(below[tag][1], "little") for tag in (40962, 40963, 40961)] == [
            80,
            220,
            1,
        ]
        assert [tags[tag][1] for tag in (282, 283)] == [
            struct.pack("<II", n, 1) for n in (600, 300)
        ]


@pytest.mark.parametrize("format", EXIF_FORMATS)
def test_the_thumbnail_is_dropped(format, small):
    thumbnail = make_jpeg(small[::4, ::4])
    block = make_exif(thumbnail=thumbnail)
    image = read_image(make_jpeg(small, (0xE1, b"Exif\0\0" + block)))
    for note in ("", NOTE):
        again = read_image(encode_image(replace(image, note=note), format)).metadata.exif
        assert thumbnail not in again and len(again) < len(block)
        assert read_text(tiff.read_exif_block(again), 271) == b"Graflex"


def test_no_exif_is_written_that_no_file_states(small):
    for ending in (".tif", ".jpg", ".png", ".webp"):
        encoded = encode_with_libvips(small, ending, keep="none")
        image = read_image(encoded)
        if ending in (".tif", ".png"):  # libvips writes 1 pixel per millimeter
            image = replace(image, resolution=None, metadata=Metadata())
        for format in EXIF_FORMATS:
            back = read_image(encode_image(image, format))
            assert (back.metadata.exif, back.resolution) == (b"", None)


@pytest.mark.parametrize("kind", [1, 4, 7])
@pytest.mark.parametrize("order", ["<", ">"])
def test_iptc_of_a_tiff_is_complete_in_every_format_that_holds_it(kind, order, small):
    padded = IPTC + bytes(-len(IPTC) % 4)
    encoded = io.BytesIO()
    count = len(padded) // (4 if kind == 4 else 1)
    tags = [(33723, kind, count, padded, True)]
    tifffile.imwrite(encoded, small, byteorder=order, extratags=tags)
    image = read_image(encoded.getvalue())
    assert image.metadata.iptc == IPTC
    for format in ("tiff", "jpeg", "png"):
        assert read_image(encode_image(image, format)).metadata.iptc == IPTC


def test_iptc_comes_from_photoshops_resources_without_what_is_not_true_any_more(small):
    resources = {1028: IPTC, 1034: b"\1", 1036: b"thumbnail"}
    block = photoshop.make_resources(resources)
    encoded = io.BytesIO()
    tifffile.imwrite(encoded, small, extratags=[(34377, 1, len(block), block, True)])
    jpeg = make_jpeg(
        small, (0xED, b"Photoshop 3.0\0" + block[:30]), (0xED, b"Photoshop 3.0\0" + block[30:])
    )
    for image in (read_image(encoded.getvalue()), read_image(jpeg)):
        for format in ("tiff", "jpeg", "png"):
            result = encode_image(image, format)
            assert read_image(result).metadata.iptc == IPTC and b"thumbnail" not in result
        assert read_image(encode_image(image, "jpeg")).metadata.photoshop == ((1034, b"\1"),)


def test_xmp_is_true_of_the_turned_and_colorized_result(small):
    packet = make_xmp(
        "<tiff:Orientation> 6 </tiff:Orientation>"
        "<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>"
        '<GC:Directory xmlns:GC="http://ns.google.com/photos/1.0/container/"><a/></GC:Directory>',
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        "xmlns:g='http://ns.adobe.com/hdr-gain-map/1.0/' g:Version = '1.0' "
        "tiff:ImageWidth='220' tiff:ImageLength=\"80\"",
    )
    segments = [(0xE1, b"Exif\0\0" + make_exif()), *make_xmp_segments(packet)]
    image = read_image(make_jpeg(small, *segments))
    for note in ("", NOTE):
        xmp = read_image(encode_image(replace(image, note=note), "jpeg")).metadata.xmp
        ElementTree.fromstring(xmp)
        assert b"<tiff:Orientation>1</tiff:Orientation>" in xmp and b"ARK-1234" in xmp
        assert b"tiff:ImageWidth='80' tiff:ImageLength=\"220\"" in xmp
        assert b"Version" not in xmp and b"Directory" not in xmp and b"/9j/" not in xmp


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"])
def test_xmp_in_any_encoding_is_kept_with_the_note(encoding, small):
    text = make_xmp("<dc:title>Größe</dc:title>").decode()
    image = read_image(make_jpeg(small, *make_xmp_segments(text.encode(encoding))))
    xmp = read_image(encode_image(replace(image, note=NOTE), "png")).metadata.xmp.decode()
    ElementTree.fromstring(xmp)
    assert "Größe" in xmp and "ARK-1234" in xmp and "trainedalgorithmic" in xmp.lower()


@pytest.mark.parametrize(
    "rdf",
    [
        f'<RDF xmlns="{RDF}"><Description about="" xmlns:d="u" d:source="ARK-1234"/></RDF>',
        f'<r:RDF xmlns:r="{RDF}" xmlns:d="u"><r:Description r:about="u:1" d:s="ARK-1234"/></r:RDF>',
        f'<y:RDF xmlns:y="{RDF}"/><!-- ARK-1234 </rdf:RDF> -->',
    ],
)
def test_xmp_is_kept_whatever_its_prefixes(rdf, small):
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>'.encode()
    image = Image(small, metadata=Metadata(xmp=packet), note=NOTE)
    xmp = read_image(encode_image(image, "png")).metadata.xmp
    (found,) = ElementTree.fromstring(xmp).iter(f"{{{RDF}}}RDF")
    assert b"ARK-1234" in xmp and b"rainedAlgorithmic" in ElementTree.tostring(found)


def test_long_xmp_becomes_extended_xmp_in_a_jpeg_and_is_read_back(small):
    packet = make_xmp(f"<dc:relation>{'a' * 65_000}</dc:relation>" * 3)
    image = Image(small, metadata=Metadata(xmp=packet), note=NOTE)
    encoded = encode_image(image, "jpeg")
    name = re.search(rb'HasExtendedXMP="(\w{32})"', encoded)
    assert name is not None
    assert encoded.count(b"http://ns.adobe.com/xmp/extension/\0" + name[1]) == 3
    again = read_image(encoded)
    xmp = again.metadata.xmp
    ElementTree.fromstring(xmp)
    assert not again.warnings
    assert b"ARK-1234" in xmp and xmp.count(b"a" * 65_000) == 3 and b"HasExtended" not in xmp
    parts = b"".join(
        re.findall(rb"sion/\0" + name[1] + rb".{8}(.*?)\xff[\xe1\xdb\xe2]", encoded, re.DOTALL)
    )
    assert hashlib.md5(parts).hexdigest().upper().encode() == name[1]
    broken = read_image(
        encoded.replace(b"xmp/extension/\0" + name[1], b"xmp/extension/\0" + b"0" * 32, 1)
    )
    assert "extended XMP that is incomplete" in broken.warnings[0]


def test_padding_of_xmp_is_dropped_before_a_second_segment_is_needed(small):
    packet = make_xmp(f"<dc:relation>{'a' * 60_000}</dc:relation>")
    packet = b'<?xpacket begin=""?>' + packet + b" " * 6_000 + b'<?xpacket end="w"?>'
    encoded = encode_image(Image(small, metadata=Metadata(xmp=packet), note=NOTE), "jpeg")
    assert b"ARK-1234" in encoded and b"HasExtended" not in encoded


def test_malformed_xmp_is_left_out_with_a_warning(small):
    for packet in (b"<x:xmpmeta", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"\xff\xfe\0", b"a"):
        image = read_image(make_jpeg(small, *make_xmp_segments(packet)))
        assert image.metadata.xmp == b"" and "has XMP that is malformed" in image.warnings[0]


def test_xmp_in_a_png_is_an_uncompressed_international_text(small):
    compressed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(make_xmp())
    for kind, content in (
        (b"iTXt", compressed),
        (b"zTXt", compressed[:18] + b"\0" + compressed[22:]),
    ):
        image = read_image(make_png(small, (kind, content)))
        assert image.metadata.xmp == make_xmp()
        chunks = read_chunks(encode_image(replace(image, note=NOTE)))
        (found,) = [chunk for chunk in chunks if chunk[1].startswith(b"XML:com.adobe.xmp\0")]
        assert found[0] == b"iTXt" and b"ARK-1234" in found[1]


@pytest.mark.parametrize("behind", [False, True])
def test_texts_of_a_png_keep_every_byte(behind, small):
    texts = [
        (b"tEXt", "Author\0Müller".encode("latin-1")),
        (b"tEXt", "Größe\0groß".encode("latin-1")),
        (b"iTXt", "Title\0\0\0de\0Titel\0Größe".encode()),
        (b"zTXt", b"Creation Time\0\0" + zlib.compress(b"1936")),
        *((b"tEXt", b"Field%d\0value %d" % (number, number)) for number in range(80)),
    ]
    image = read_image(make_png(small, *texts, behind=behind))
    assert not image.warnings
    chunks = read_chunks(encode_image(replace(image, note=NOTE)))
    assert [chunk for chunk in chunks if chunk in texts] == texts


@pytest.mark.parametrize(("gamma", "expected"), [(45455, 0), (55556, 1), (100_000, 1), (0, 0)])
def test_a_gamma_of_a_png_that_is_not_used_is_reported(small, gamma, expected):
    chunk = (b"gAMA", struct.pack(">I", gamma))
    warnings = read_image(make_png(small, chunk)).warnings
    assert [each.endswith("sRGB was assumed") for each in warnings] == [True] * expected
    assert not read_image(make_png(small, (b"sRGB", b"\0"), chunk)).warnings


def test_raw_profiles_of_imagemagick_are_read(small):
    def make_profile(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        text = b"\n%s\n%8d\n%s\n" % (kind, len(content), content.hex().encode())
        return b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(text)

    chunks = [
        make_profile(b"exif", b"Exif\0\0" + make_exif()),
        make_profile(b"iptc", photoshop.make_resources({photoshop.IPTC: IPTC})),
        make_profile(b"xmp", make_xmp()),
    ]
    image = read_image(make_png(small, *chunks))
    assert image.pixels.shape == (220, 80), "turned as EXIF says"
    assert image.metadata.iptc == IPTC and image.metadata.xmp == make_xmp()
    chunks = [*read_chunks(encode_image(image))]
    assert b"eXIf" in dict(chunks) and not image.metadata.texts


def test_exif_behind_the_pixels_of_a_png_turns_them(small):
    image = read_image(make_png(small, (b"eXIf", make_exif()), behind=True))
    assert np.array_equal(image.pixels, np.rot90(small, -1))


def test_comments_are_kept_in_jpeg_and_png(small):
    image = read_image(make_jpeg(small, (0xFE, "Größe".encode()), (0xFE, b"M\xfcller")))
    assert read_image(encode_image(image, "jpeg")).metadata.comments == image.metadata.comments
    texts = read_image(encode_image(image, "png")).metadata.texts
    assert texts == ((b"iTXt", "Comment\0\0\0\0\0Größe".encode()), (b"tEXt", b"Comment\0M\xfcller"))
    assert name_dropped_metadata(image.metadata, "webp") == "comments"


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_a_resolution_without_unit_stays_without(format, small):
    ratio = (3, 2)
    encoded = io.BytesIO()
    tifffile.imwrite(encoded, small, resolution=ratio, resolutionunit=1)
    files = [
        make_png(small, (b"pHYs", struct.pack(">IIB", *ratio, 0))),
        make_jpeg(small).replace(struct.pack(">BHH", 0, 1, 1), struct.pack(">BHH", 0, *ratio), 1),
        encoded.getvalue(),
    ]
    for content in files if format != "tiff" else files[2:]:
        image = read_image(content)
        assert image.resolution is None and image.metadata.aspect == ratio
        again = read_image(encode_image(image, format))
        assert again.resolution is None and again.metadata.aspect == ratio


@pytest.mark.parametrize("format", EXIF_FORMATS)
def test_a_resolution_is_kept_in_every_format(format, small):
    for content in (
        make_jpeg(small, dpi=(300, 600)),
        make_png(small, (b"pHYs", struct.pack(">IIB", 11811, 23622, 1))),
    ):
        again = read_image(encode_image(read_image(content), format))
        assert again.resolution == pytest.approx((300 / 25.4, 600 / 25.4), rel=1e-4)


def test_all_pages_are_without_a_resolution_that_no_file_states(small):
    pages = np.concatenate([small, small, small])
    encoded = encode_image(Image(pages, format="tiff", pages=3), "tiff")
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        assert len(file.pages) == 3
        for page in file.pages:
            assert np.array_equal(page.asarray(), small)
            assert not {"XResolution", "YResolution", "ResolutionUnit"} & set(page.tags.keys())
            assert not [tag for tag in page.tags if tag.code in (282, 283, 296, 34665)]


@pytest.mark.parametrize("extra", [["unspecified"], ["unspecified", "unassalpha"]])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_infrared_channel_is_left_out_and_is_not_transparency(extra, dtype, color):
    channels = [color, *[color[..., :1]] * len(extra)]
    pixels = np.concatenate(channels, axis=2).astype(dtype)
    encoded = io.BytesIO()
    tifffile.imwrite(encoded, pixels, photometric="rgb", planarconfig="contig", extrasamples=extra)
    with open_image(encoded.getvalue(), name="scan") as file:
        image = file.read()
    assert np.array_equal(image.pixels, pixels[..., :3])
    assert (image.alpha is not None) == ("unassalpha" in extra)
    assert "infrared" in image.warnings[0]


def test_a_jpeg_gets_at_least_the_quality_and_chroma_of_its_source(color):
    large = np.tile(color, (3, 3, 1))
    for quality, subsampling, expected in ((98, 0, 0), (75, 2, 2)):
        image = read_image(make_jpeg(large, quality=quality, subsampling=subsampling))
        assert image.metadata.jpeg_quality == quality
        result = read_image(encode_image(image))
        assert result.metadata.jpeg_quality == max(92, quality)
        assert result.metadata.jpeg_full_chroma == (expected == 0)
        assert read_image(encode_image(image, quality=60)).metadata.jpeg_quality == 60


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_only_the_longest_tags_are_left_out_of_a_jpeg_and_counted(format, small):
    long = {
        40091 + i: (tiff.BYTE, bytes([65 + i]) * size) for i, size in enumerate((40_000, 30_000))
    }
    metadata = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0"), **long}))
    tags = read_tags(encode_image(Image(small, metadata=metadata, note=NOTE), format))
    assert read_text(tags, 315) == b"Dorothea Lange" and read_text(tags, 305) == NOTE.encode()
    lost = 1 if format == "jpeg" else 0
    assert count_dropped_tags(metadata, format, note=NOTE) == lost
    assert (40091 in tags) == (format != "jpeg")
    if format == "jpeg":  # the helper reads 64 kB of tags
        assert tags[40092] == long[40092]


@pytest.mark.parametrize("length", [65_300, 65_400, 65_450, 65_500, 65_600, 130_000, 900_000])
@pytest.mark.parametrize("note", ["", NOTE])
def test_exif_of_about_the_limit_of_a_jpeg_is_either_whole_or_reported(length, note, small):
    block = tiff.make_exif_block({40091: (tiff.BYTE, bytes(length))})
    metadata = Metadata(exif=block)
    tags = read_tags(encode_image(Image(small, metadata=metadata, note=note), "jpeg"))
    assert (40091 in tags) == (count_dropped_tags(metadata, "jpeg", note=note) == 0)
    assert (305 in tags) == bool(note)


@pytest.mark.parametrize("length", [60_000, 65_300, 65_350, 65_400, 65_500])
def test_a_maker_note_is_reported_where_a_jpeg_has_no_room_for_it(length, small):
    metadata = Metadata(exif=make_exif(note=b"\x05\0 of another maker".ljust(length, b"x")))
    tags = read_tags(encode_image(Image(small, metadata=metadata, note=NOTE), "jpeg"))
    below = tags[34665][1]
    assert isinstance(below, dict)
    dropped = name_dropped_metadata(metadata, "jpeg", note=NOTE)
    assert dropped == ("" if 37500 in below else "a maker note")
    assert read_text(tags, 271) == b"Graflex"
    assert count_dropped_tags(metadata, "jpeg", note=NOTE) == 0
