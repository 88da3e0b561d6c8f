"""Metadata survives, and a note about the origin of the colors is added."""

import io
import struct
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image


def encode_with_libvips(pixels: np.ndarray, ending: str, **options: object) -> bytes:
    """The bytes that libvips itself writes."""
    array = pixels if pixels.ndim == 3 else pixels[..., None]
    return pyvips.Image.new_from_array(array).write_to_buffer(ending, **options)


def test_exif_xmp_and_resolution_are_carried_over(gray):
    made = pyvips.Image.new_from_array(gray[..., None]).copy(
        interpretation="b-w", xres=11.811, yres=11.811
    )
    made.set_type(
        pyvips.GValue.gstr_type,
        "exif-ifd0-Artist",
        "Dorothea Lange (Dorothea Lange, ASCII, 15 components)",
    )
    made.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    image = read_image(made.write_to_buffer(".jpg"))
    back = pyvips.Image.new_from_buffer(encode_image(image.with_pixels(np.dstack([gray] * 3))), "")
    assert "Dorothea Lange" in back.get("exif-ifd0-Artist")
    assert back.get("xmp-data") == b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
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
def test_exif_of_a_tiff_survives_in_tiff_jpeg_and_png(gray, bigtiff):
    made = pyvips.Image.new_from_array(gray[..., None])
    file = io.BytesIO(made.write_to_buffer(".tif", bigtiff=bigtiff))
    taken = {36867: (2, b"1936:03:09 12:00:00\0"), 33437: (5, struct.pack("<II", 28, 10))}
    tiff.add_tags(file, {271: (2, b"Graflex\0"), 315: (2, b"Dorothea Lange\0"), 34665: (4, taken)})
    image = read_image(file.getvalue())
    for format in ("tiff", "jpeg", "png"):
        encoded = encode_image(replace(image, note="ColorizeNet 9"), format)
        again = read_image(encoded)
        assert np.abs(again.pixels.astype(int) - gray).mean() < 4
        tags = tiff.read_exif_block(again.metadata["exif-data"][1])
        assert (
            tags[271][1].rstrip(b"\0") == b"Graflex"
            and tags[315][1].rstrip(b"\0") == b"Dorothea Lange"
        )
        assert tags[305][1].rstrip(b"\0") == b"ColorizeNet 9"
        assert tags[34665][1][36867][1] == b"1936:03:09 12:00:00\0"
        assert struct.unpack("<II", tags[34665][1][33437][1]) == (28, 10)


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'dc:format="image/tiff" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'e:DigitalSourceType="http://example.com/camera"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif", "heic"])
@pytest.mark.parametrize("before", [b"", XMP.encode()])
def test_the_note_is_written_to_exif_and_xmp(format, before, gray):
    carried = {"xmp-data": (pyvips.GValue.blob_type, before)} if before else {}
    plain = Image(np.dstack([gray[100:180, 100:220]] * 3), format=format, metadata=carried)
    noted = read_image(
        encode_image(replace(plain, note="ColorizeNet 9: colors (all) reconstructed"))
    )
    assert tiff.read_exif_block(noted.metadata["exif-data"][1])[305][1].startswith(
        b"ColorizeNet 9: colors (all) reconstructed"
    )
    xmp = ElementTree.fromstring(noted.metadata["xmp-data"][1])
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    (source,) = [element.attrib[name] for element in xmp.iter() if name in element.attrib]
    assert source.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert (b"image/tiff" in noted.metadata["xmp-data"][1]) == bool(before)
    silent = read_image(encode_image(plain))
    assert (
        "Software" not in str(silent.metadata)
        and b"Algorithmic" not in str(silent.metadata).encode()
    )


def test_the_note_is_appended_to_the_software_of_the_scan(gray):
    made = pyvips.Image.new_from_array(gray[..., None]).copy()
    made.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", "VueScan 9 (pro) (ASCII)")
    image = replace(read_image(made.write_to_buffer(".jpg")), note="ColorizeNet 9")
    once = read_image(encode_image(image))
    twice = read_image(encode_image(replace(once, note="ColorizeNet 9")))
    for again in (once, twice):
        assert (
            tiff.read_exif_block(again.metadata["exif-data"][1])[305][1].rstrip(b"\0")
            == b"VueScan 9 (pro); ColorizeNet 9"
        )
