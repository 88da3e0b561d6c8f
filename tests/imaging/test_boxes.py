"""Metadata in AVIF, HEIC, JPEG XL, JPEG 2000 and GIF arrives in results."""

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pillow_heif
import pillow_jxl  # noqa: F401 (the import registers the plugin)
import pytest

from colorizenet.imaging.extraction import extract_metadata
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.metadata import name_dropped_metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="ARK-1234"/></rdf:RDF></x:xmpmeta>'
)
IPTC = b"\x1c\x02\x05\x00\x0cThe old mill"
JP2_IDENTIFIERS = {
    "exif": b"JpgTiffExif->JP2",
    "xmp": bytes.fromhex("be7acfcb97a942e89c71999491e3afac"),
    "iptc": bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"),
}


def make_exif(orientation: int = 1) -> bytes:
    """EXIF with an orientation and a rating."""
    entries = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    entries += struct.pack("<HHIHH", 0x4746, 3, 1, 5, 0)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)


def make_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def make_jp2(pixels: np.ndarray, *boxes: bytes, resolution: bytes = b"") -> bytes:
    encoded = cv2.imencode(".jp2", pixels)[1].tobytes()
    at = encoded.index(b"jp2h") - 4
    length = int.from_bytes(encoded[at : at + 4], "big")
    header = make_box(b"jp2h", encoded[at + 8 : at + length] + resolution)
    return encoded[:at] + header + b"".join(boxes) + encoded[at + length :]


def encode_with_pillow(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert("RGB").save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "JXL"])
def test_exif_and_xmp_are_read(kind, compressed, gray):
    options = {"exif": b"Exif\0\0" + make_exif(), "xmp": XMP}
    if kind == "JXL":
        options["compress_metadata"] = compressed
    image = read_image(encode_with_pillow(gray, kind, **options))
    assert image.metadata.xmp == XMP
    assert struct.pack("<HHIHH", 0x4746, 3, 1, 5, 0) in image.metadata.exif
    assert image.pixels.shape[:2] == gray.shape and not image.warnings


def test_jpeg_xl_gets_xmp_and_exif_in_the_boxes_of_its_standard(gray):
    image = Image(gray, metadata=Metadata(exif=make_exif(), xmp=XMP))
    encoded = encode_image(image, "jxl")
    assert b"Exif" + bytes(4) + make_exif() in encoded, "the offset of the block comes first"
    assert read_image(encoded).metadata.xmp == XMP
    assert name_dropped_metadata(image.metadata, "jxl") == ""


def test_a_jpeg_inside_a_jpeg_xl_is_turned_upright(gray, tmp_path):
    path = tmp_path / "a.jpg"
    PIL.Image.fromarray(gray).save(path, exif=b"Exif\0\0" + make_exif(6), quality=95)
    file = io.BytesIO()
    PIL.Image.open(path).save(file, "JXL", lossless_jpeg=True)
    pixels = read_image(file.getvalue()).pixels
    upright = np.rot90(gray, -1)
    assert np.abs(pixels.reshape(*upright.shape, -1)[..., 0].astype(int) - upright).mean() < 3


def test_metadata_of_jpeg_2000_is_read(gray):
    blocks = {"exif": make_exif(6), "xmp": XMP, "iptc": IPTC}
    boxes = [make_box(b"uuid", JP2_IDENTIFIERS[kind] + block) for kind, block in blocks.items()]
    # 300 dots per inch down, and half of that across.
    resc = make_box(b"resc", struct.pack(">HHHHbb", 11811, 1, 11811, 20, 0, 1))
    image = read_image(make_jp2(gray, *boxes, resolution=make_box(b"res ", resc)))
    assert np.abs(image.pixels.astype(int) - np.rot90(gray, -1)).mean() < 5, "upright"
    assert image.metadata.xmp == XMP and image.metadata.iptc == IPTC
    assert image.metadata.exif == make_exif(6)
    assert image.resolution == pytest.approx((11.811, 5.9055))
    assert read_image(encode_image(image, "png")).metadata.iptc == IPTC


@pytest.mark.parametrize("format", ["avif", "heic", "jxl", "jp2"])
def test_damaged_boxes_are_no_error(format, gray):
    small = gray[:64, :64]
    picture = Image(small, metadata=Metadata(exif=make_exif(), xmp=XMP))
    boxes = make_box(b"uuid", JP2_IDENTIFIERS["xmp"] + XMP)
    sound = make_jp2(small, boxes) if format == "jp2" else encode_image(picture, format)
    for at in range(12, min(len(sound), 1200), 3):
        damaged = sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :]
        extract_metadata(lambda at, length, all=damaged: all[at : at + length], format, "a")


def test_a_picture_without_metadata_gets_none(gray):
    plain = Image(gray)
    for format in ("avif", "heic", "jxl"):
        metadata = read_image(encode_image(plain, format)).metadata
        assert (metadata.exif, metadata.xmp) == (b"", b"")


def test_xmp_and_comments_of_a_gif_are_read(gray):
    encoded = encode_with_pillow(gray, "GIF", comment=b"a mill " * 60)
    at = encoded.index(b"\x21\xfe")
    trailer = bytes([1, *range(255, -1, -1), 0])
    xmp = b"\x21\xff\x0bXMP DataXMP" + XMP + trailer
    for content in (encoded[:at] + xmp + encoded[at:], encoded):
        image = read_image(content)
        assert image.metadata.xmp == (XMP if content is not encoded else b"")
        assert image.metadata.comments == (b"a mill " * 60,)
        assert not image.warnings


@pytest.mark.parametrize("header", [b"iptc", b"IPTC profile"])
def test_iptc_in_a_png_is_read_whoever_wrote_it(header, gray):
    """ImageMagick writes one word above the digits, and exiftool two."""
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    text = b"\n%s\n%8d\n%s\n" % (header, len(block), block.hex().encode())
    content = b"Raw profile type iptc\0" + text
    chunk = struct.pack(">I", len(content)) + b"tEXt" + content
    chunk += struct.pack(">I", zlib.crc32(b"tEXt" + content))
    encoded = encode_with_pillow(gray, "PNG")
    image = read_image(encoded[:33] + chunk + encoded[33:])
    assert image.metadata.iptc == IPTC and not image.warnings
