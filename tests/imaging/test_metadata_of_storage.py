"""What metadata say of how the source was stored is not said of the result."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
import tifffile

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.writing import encode_image

STORAGE = {
    258: (tiff.SHORT, struct.pack("<H", 8)),
    259: (tiff.SHORT, struct.pack("<H", 6)),
    262: (tiff.SHORT, struct.pack("<H", 1)),
    273: (tiff.LONG, struct.pack("<I", 8)),
    277: (tiff.SHORT, struct.pack("<H", 1)),
    279: (tiff.LONG, struct.pack("<I", 8)),
}


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("note", ["", "a note"])
def test_exif_that_describes_a_gray_source_does_not_describe_the_result(format, note, color):
    """As Photoshop writes it, with the number of channels and their depth."""
    tags: tiff.Directory = {
        256: (tiff.LONG, struct.pack("<I", 7)),
        315: (tiff.ASCII, b"Dorothea Lange\0"),
        **STORAGE,
    }
    metadata = Metadata(exif=tiff.make_exif_block(tags))
    encoded = encode_image(Image(color, metadata=metadata, note=note), format)
    image = read_image(encoded)
    assert np.abs(image.pixels.astype(int) - color).mean() < 5
    block = tiff.read_exif_block(image.metadata.exif)
    assert block[315] == (tiff.ASCII, b"Dorothea Lange\0")
    assert not block.keys() & STORAGE.keys()
    if format == "tiff":
        with tifffile.TiffFile(io.BytesIO(encoded)) as file:
            page = file.pages[0]
            assert (page.samplesperpixel, page.photometric, page.bitspersample) == (3, 2, 8)


def test_xmp_that_describes_a_gray_source_does_not_describe_the_result(color):
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF '
        b'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about="" '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="Graflex" '
        b'tiff:SamplesPerPixel="1" tiff:PhotometricInterpretation="1">'
        b"<tiff:BitsPerSample><r:Seq><r:li>8</r:li></r:Seq></tiff:BitsPerSample>"
        b"</r:Description></r:RDF></x:xmpmeta>"
    )
    xmp = read_image(encode_image(Image(color, metadata=Metadata(xmp=packet)), "tiff")).metadata.xmp
    assert b'tiff:Make="Graflex"' in xmp
    assert b"PerPixel" not in xmp and b"Interpretation" not in xmp and b"PerSample" not in xmp


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_user_comment_of_a_tiff_is_readable_in_every_format(order, gray):
    text = "Größe".encode("utf-16-le" if order == "<" else "utf-16-be")
    comment = b"UNICODE\0" + text
    file = io.BytesIO()
    # tifffile writes no directory of EXIF, so one is put behind the pixels.
    tifffile.imwrite(file, gray, byteorder=order, extratags=[(34664, 4, 1, 1 << 20, True)])
    number, actual = (struct.pack(order + "HH", tag, 4) for tag in (34664, 34665))
    content = bytearray(file.getvalue().replace(number, actual, 1))
    at = len(content) + len(content) % 2
    pointer = struct.pack(order + "I", 1 << 20)
    content = content.replace(pointer, struct.pack(order + "I", at), 1).ljust(at, b"\0")
    content += struct.pack(order + "HHHII", 1, 37510, 7, len(comment), at + 18) + bytes(4)
    content += comment
    for format in ("jpeg", "tiff"):
        again = read_image(encode_image(read_image(bytes(content)), format))
        below = tiff.read_exif_block(again.metadata.exif)[tiff.EXIF][1]
        assert isinstance(below, dict)
        assert below[37510][1] == b"UNICODE\0" + "Größe".encode("utf-16-le")


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_the_shape_of_a_pixel_is_turned_with_the_picture(format, gray):
    exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 274, 3, 1, 6, 0, 0)
    file = io.BytesIO()
    PIL.Image.fromarray(gray).save(file, "JPEG", exif=b"Exif\0\0" + exif)
    start = b"JFIF\0\1\1"
    content = file.getvalue().replace(start + b"\0\0\1\0\1", start + b"\0\0\3\0\2", 1)
    image = read_image(content)
    assert image.metadata.aspect == (2, 3)
    assert read_image(encode_image(image, format)).metadata.aspect == (2, 3)


def test_pages_that_are_turned_in_other_ways_are_not_turned_like_the_first(gray):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for orientation in (1, 3):
            tags = [(274, 3, 1, orientation, True)]
            writer.write(gray, metadata=None, extratags=tags)
    with open_image(file.getvalue()) as opened:
        assert np.array_equal(opened.read().pixels, gray)
        assert "2 pages of different sizes or kinds" in opened.warnings[0]


@pytest.mark.parametrize(
    ("names", "expected"), [("ab", 1), ("aa", 0), (["a", ""], 0), (["", "b"], 1)]
)
def test_texts_of_further_pages_that_are_not_kept_are_reported(gray, names, expected):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for name in names:
            tags = [(285, 2, 0, name, True)] if name else []
            writer.write(gray, metadata=None, software="", extratags=tags)
    with open_image(file.getvalue()) as opened:
        assert [each.code for each in opened.warnings] == ["page-texts-left-out"] * expected


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_metadata_behind_a_preview_are_those_of_the_picture(gray, order, big):
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=order, bigtiff=big) as writer:
        writer.write(gray[::4, ::4], metadata=None, subfiletype=1, description="preview")
        tags = [(274, 3, 1, 6, True)]
        size = {"resolution": (600, 600), "resolutionunit": "INCH"}
        writer.write(gray, metadata=None, description="picture", extratags=tags, **size)
    image = read_image(file.getvalue())
    assert np.array_equal(image.pixels, np.rot90(gray, -1))
    assert image.resolution == pytest.approx((600 / 25.4, 600 / 25.4))
    assert tiff.read_exif_block(image.metadata.exif)[270] == (2, b"picture\0")


@pytest.mark.parametrize("kind", [1, 7])
def test_a_long_color_profile_of_a_tiff_that_libvips_cannot_read_is_applied(kind, color):
    import pyvips

    plain = pyvips.Image.new_from_array(color).copy(interpretation="srgb")
    tagged = plain.icc_transform("p3", input_profile="srgb")
    profile = bytes(tagged.get("icc-profile-data")).ljust(100_000, b"\0")
    profile = struct.pack(">I", len(profile)) + profile[4:]
    file = io.BytesIO()
    tag = (34675, kind, len(profile), profile, True)
    pixels = tagged.numpy()
    tifffile.imwrite(file, pixels, photometric="rgb", compression="zstd", extratags=[tag])
    image = read_image(file.getvalue())
    assert not image.warnings
    assert np.abs(image.pixels.astype(int) - color).mean() < 3
