"""The browser engine in Chromium, compared with Python."""

import base64
import io
import re
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import pyvips

from colorizenet import Colorizer
from colorizenet.imaging import exif, tiff, xmp
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.profiles import is_srgb
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.merging import describe_colors
from colorizenet.options import Hint, Options

HINTS = [
    {"x": 0.3, "y": 0.4, "color": "#2e6b3a", "radius": 0.1},
    {"x": 0.8, "y": 0.7, "color": None, "radius": 0.05},
]
PYTHON_HINTS = (
    Hint(x=0.3, y=0.4, rgb=(0x2E, 0x6B, 0x3A), radius=0.1),
    Hint(x=0.8, y=0.7, rgb=None, radius=0.05),
)
ARTIST, IPTC, COMMENT = b"Dorothea Lange\0", b"\x1c\x02\x50\0\x03Doe", b"A comment"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
    b'22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/'
    b'1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6" dc:format="x">'
    b"<dc:rights>Public domain</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.fixture(scope="module")
def small() -> Colorizer:
    return Colorizer("small", threads=1)


def make_png(pixels: np.ndarray, alpha: np.ndarray | None = None, **options: Any) -> bytes:
    return encode_image(Image(pixels, alpha, **options), "png")


def find_difference(encoded: bytes, expected: np.ndarray) -> int:
    """The largest difference of two pictures, in levels."""
    found = read_image(encoded).pixels
    assert found.shape == expected.shape
    return int(np.abs(found.astype(int) - expected).max())


def make_scan(gray: np.ndarray) -> np.ndarray:
    """A photo on white paper."""
    scan = np.full((gray.shape[0] + 60, gray.shape[1] + 90), 250, np.uint8)
    scan[25:-35, 40:-50] = gray
    return scan


@pytest.mark.parametrize("kind", ["gray", "color", "large", "tiny", "scan", "narrow"])
def test_a_photo_equals_the_result_of_python(colorize, small, gray, color, kind):
    pixels = {
        "gray": gray,
        "color": color,
        "large": cv2.resize(gray, (1201, 801), interpolation=cv2.INTER_CUBIC),
        "tiny": cv2.resize(gray, (61, 47), interpolation=cv2.INTER_AREA),
        "scan": make_scan(gray),
        "narrow": gray[:40],
    }[kind]
    colored = colorize(make_png(pixels))
    assert (colored.format, colored.warnings) == ("png", [])
    assert find_difference(colored.encoded, small(pixels)) <= 1


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"strength": 0}, {"strength": 0}),
        ({"strength": 1.6}, {"strength": 1.6}),
        ({"hints": HINTS}, {"hints": PYTHON_HINTS}),
        ({"tta": True}, {"tta": True}),
    ],
    ids=["gray", "strong", "hints", "augmented"],
)
def test_settings_do_what_they_do_in_python(colorize, small, gray, settings, options):
    colored = colorize(make_png(gray), **settings)
    assert find_difference(colored.encoded, small(gray, **options)) <= 1


def test_transparency_is_kept(colorize, small, gray):
    alpha = np.full(gray.shape, 255, np.uint8)
    alpha[:100] = 0
    for format in ("png", "webp"):
        result = read_image(colorize(encode_image(Image(gray, alpha), format)).encoded)
        assert result.format == format and result.alpha is not None
        assert (result.alpha == alpha).all()
    jpeg = colorize(make_png(gray, alpha), format="jpeg")
    assert jpeg.format == "png"
    assert jpeg.warnings == ["JPEG holds no transparency; the result is a PNG file."]


@pytest.mark.parametrize("kind", ["avif", "gif"])
def test_only_pixels_say_whether_these_files_are_transparent(colorize, gray, kind):
    for clear, format in ((False, "jpeg"), (True, "png")):
        alpha = np.full(gray.shape, 255, np.uint8)
        alpha[:100] = 0 if clear else 255
        picture = PIL.Image.merge("LA", list(map(PIL.Image.fromarray, (gray, alpha))))
        file = io.BytesIO()
        picture.convert("RGBA").save(file, kind)
        assert colorize(file.getvalue(), format="jpeg").format == format


def test_what_is_left_of_a_file_is_said(colorize, gray):
    frames = [PIL.Image.fromarray(each).convert("P") for each in (gray, 255 - gray)]
    one, two = io.BytesIO(), io.BytesIO()
    frames[0].save(one, "GIF")
    frames[0].save(two, "GIF", save_all=True, append_images=frames[1:])
    several = "The file holds several pictures; only the first one is colorized."
    assert several not in colorize(one.getvalue()).warnings
    assert several in colorize(two.getvalue()).warnings
    exif = tiff.make_exif_block({315: (tiff.ASCII, ARTIST)})
    plain, dated = (
        encode_image(Image(gray, metadata=Metadata(exif=each)), "avif") for each in (b"", exif)
    )
    lost = (
        "What AVIF files say of a photo, such as its date and its place, is not carried over here."
    )
    assert lost not in colorize(plain, format="jpeg").warnings
    assert lost in colorize(dated, format="jpeg").warnings


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_the_format_is_that_of_the_photo_or_the_one_chosen(colorize, gray, format):
    own = colorize(encode_image(Image(gray), format))
    chosen = colorize(make_png(gray), format=format)
    assert own.format == chosen.format == format
    assert read_image(own.encoded).format == read_image(chosen.encoded).format == format


def test_a_jpeg_is_close_to_the_result_of_python(colorize, small, gray):
    encoded = encode_image(Image(gray), "jpeg")
    found = read_image(colorize(encoded).encoded).pixels.astype(int)
    expected = small(read_image(encoded).pixels)
    assert np.abs(found - expected).mean() < 3


def test_a_photo_of_16_bits_becomes_one_of_8_and_says_so(colorize, gray):
    colored = colorize(make_png(gray.astype(np.uint16) * 257))
    assert colored.warnings == ["The photo has 16 bits per channel; the result has 8."]
    assert read_image(colored.encoded).pixels.dtype == np.uint8


def test_formats_that_browsers_do_not_write_get_a_substitute(colorize, gray):
    encoded = cv2.imencode(".bmp", gray)[1].tobytes()
    colored = colorize(encoded)
    assert colored.format == "png"
    assert colored.warnings == ["Browsers cannot write BMP; the result is a PNG file."]


def test_what_cannot_be_colorized_is_explained_in_one_line(colorize, gray):
    jpeg, png = encode_image(Image(gray), "jpeg"), make_png(gray)
    for encoded, expected in [
        (encode_image(Image(gray), "tiff"), "TIFF files cannot be read in the browser"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(100), "HEIC files cannot be read in"),
        (b"\xff\x0a" + bytes(100), "JPEG XL files cannot be read in the browser"),
        (b"P5\n1 1\n255\n\0", "PGM/PPM files cannot be read in the browser"),
        (b"Dear Grandmother", "This is not a photo in a format that browsers read"),
        (jpeg[: len(jpeg) // 2], "This photo is damaged or cut short"),
        (png[: len(png) // 2], "This photo is damaged or cut short"),
        (png[:2000] + bytes(3000) + png[5000:], "This photo is damaged or cut short"),
        (b"", "This file is empty"),
        (make_header(30_000, 30_000), "too-many-pixels"),
    ]:
        with pytest.raises(RuntimeError) as caught:
            colorize(encoded)
        assert expected in str(caught.value) and "\n" not in str(caught.value)


def make_header(width: int, height: int) -> bytes:
    """The header of a PNG."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)


def make_metadata(orientation: int = 1) -> Metadata:
    block = tiff.make_exif_block(
        {
            274: (tiff.SHORT, struct.pack("<H", orientation)),
            315: (tiff.ASCII, ARTIST),
            34665: (4, {40962: (4, struct.pack("<I", 9)), 40961: (3, struct.pack("<H", 65535))}),
        }
    )
    return Metadata(exif=block, xmp=XMP, iptc=IPTC, comments=(COMMENT,))


def add_orientation(encoded: bytes, orientation: int) -> bytes:
    """Change the orientation of a file of ours, which is 1."""
    entry = struct.pack("<HHIHH", 274, 3, 1, 1, 0)
    assert entry in encoded
    encoded = encoded.replace(entry, struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    start = encoded.find(b"eXIf")
    if start < 0:
        return encoded
    end = start + 4 + int.from_bytes(encoded[start - 4 : start], "big")  # of a chunk of a PNG
    checksum = zlib.crc32(encoded[start:end]).to_bytes(4, "big")
    return encoded[:end] + checksum + encoded[end + 4 :]


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_metadata_are_carried_over_and_brought_up_to_date(colorize, small, gray, format):
    source = Image(gray, metadata=make_metadata(), resolution=(10.0, 20.0))
    colored = colorize(add_orientation(encode_image(source, format), 6), hints=HINTS)
    with open_image(colored.encoded) as file:
        metadata = file.metadata
    assert file.shape == gray.shape[::-1]
    assert exif.read_orientation(metadata.exif) == 1
    tags = tiff.read_exif_block(metadata.exif)
    assert tags[315] == (tiff.ASCII, ARTIST)
    version = describe_colors(Options()).partition(":")[0]
    assert tags[305][1] == f"{version}: colors reconstructed, 2 user hints\0".encode()
    inner = tags[34665][1]
    assert isinstance(inner, dict)
    width = struct.pack("<I", file.shape[1])
    assert inner[40962] == (4, width) and inner[40961] == (3, struct.pack("<H", 1))
    assert b"compositeWithTrainedAlgorithmicMedia" in metadata.xmp
    assert b'tiff:Orientation="1"' in metadata.xmp and b"Public domain" in metadata.xmp
    assert xmp.decode_packet(metadata.xmp) is not None
    if format == "jpeg":
        assert metadata.iptc == IPTC and metadata.comments == (COMMENT,)
    if format == "png":
        assert metadata.texts == ((b"tEXt", b"Comment\0" + COMMENT),)
    if format != "webp":
        assert file.resolution == pytest.approx((20.0, 10.0), rel=0.01)


def test_a_photo_without_metadata_gets_the_note(colorize, small, gray):
    for format in ("jpeg", "png", "webp"):
        with open_image(colorize(encode_image(Image(gray), format)).encoded) as file:
            tags = tiff.read_exif_block(file.metadata.exif)
        assert tags[305][1] == f"{describe_colors(Options())}\0".encode()
        assert b"compositeWithTrainedAlgorithmicMedia" in file.metadata.xmp


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_a_turned_photo_is_colorized_upright(colorize, small, gray, format):
    plain = encode_image(Image(gray[:90, :150], metadata=make_metadata()), format)
    for orientation in range(2, 9) if format == "png" else (3, 6):
        encoded = add_orientation(plain, orientation)
        found = read_image(colorize(encoded, format="png").encoded).pixels
        expected = small(read_image(encoded).pixels)
        assert np.abs(found.astype(int) - expected).mean() < 1


def test_the_profile_of_the_source_is_applied_and_not_attached(colorize, small, color):
    """The result is in sRGB, so the profile of the source would change its colors."""
    wide = pyvips.Image.new_from_array(color).copy(interpretation="srgb")
    wide = wide.icc_transform("p3", input_profile="srgb")
    encoded = wide.jpegsave_buffer(Q=95, profile="p3")
    assert not is_srgb(read_profile(encoded), 3)
    colored = colorize(encoded).encoded
    assert is_srgb(read_profile(colored), 3)
    expected = small(read_image(encoded).pixels)
    assert np.abs(read_image(colored).pixels.astype(int) - expected).mean() < 3


def read_profile(encoded: bytes) -> bytes:
    return pyvips.Image.new_from_buffer(encoded, "").get("icc-profile-data")


def test_a_stopped_photo_rejects_at_once_and_the_next_one_works(bare_page, colorize, gray):
    large = cv2.resize(gray, (3000, 2000), interpolation=cv2.INTER_CUBIC)
    data = base64.b64encode(encode_image(Image(large), "jpeg")).decode()
    name = bare_page.evaluate(
        """async (data) => {
          const controller = new AbortController();
          const stages = [];
          const onProgress = ({ stage, done }) => {
            stages.push(stage);
            if (done > 0.4) controller.abort();
          };
          const { signal } = controller;
          try {
            await engine.colorize(toFile(data, "a.jpg"), settings, { signal, onProgress });
          } catch (error) {
            return [error.name, stages[0], stages.at(-1)];
          }
        }""",
        data,
    )
    assert name == ["AbortError", "waiting", "coloring"]
    assert colorize(make_png(gray)).format == "png"


OPEN = """async (data) => {
  const { signal } = new AbortController();
  globalThis.preview = await engine.open(toFile(data, "photo.png"), { signal, side: 400 });
  return [preview.width, preview.height];
}"""
RENDER = """async (changed) => {
  const { signal } = new AbortController();
  return toBase64(await preview.render({ ...settings, ...changed }, signal));
}"""


def test_the_preview_of_the_editor_follows_the_settings(bare_page, colorize, small, gray):
    size = bare_page.evaluate(OPEN, base64.b64encode(make_png(gray)).decode())
    assert size == [451, 300]
    before = read_image(base64.b64decode(bare_page.evaluate("preview.before().then(toBase64)")))
    assert before.pixels.shape == (266, 400, 3)
    assert np.ptp(before.pixels.astype(int), axis=2).max() <= 2

    def render(**settings: Any) -> np.ndarray:
        encoded = base64.b64decode(bare_page.evaluate(RENDER, settings))
        return read_image(encoded).pixels.astype(int)

    plain, hinted = render(), render(hints=HINTS)
    reduced = cv2.resize(small(gray), (400, 266), interpolation=cv2.INTER_AREA)
    assert np.abs(plain - reduced).mean() < 3
    place = hinted[int(0.4 * 266), int(0.3 * 400)]
    assert place[1] > place[0] and place[1] > place[2], "the place of the hint is green"
    assert np.abs(hinted - plain).mean() > 1
    suggested = bare_page.evaluate("preview.suggest(0.5, 0.25, null, new AbortController().signal)")
    expected = small.suggest(gray, 0.5, 0.25)
    colors = [tuple(bytes.fromhex(each["color"][1:])) for each in suggested]
    assert colors == [each.rgb for each in expected]
    assert [each["probability"] for each in suggested] == pytest.approx(
        [each.probability for each in expected]
    )
    bare_page.evaluate("preview.close()")
    name = bare_page.evaluate("preview.before().catch((error) => error.name)")
    assert name == "AbortError"


def test_a_newer_preview_stops_an_older_one(bare_page, colorize, gray):
    bare_page.evaluate(OPEN, base64.b64encode(make_png(gray)).decode())
    names = bare_page.evaluate("""async () => {
      const { signal } = new AbortController();
      const renders = [0.5, 1, 1.5].map((strength) =>
        preview.render({ ...settings, strength }, signal).then((blob) => blob.type, (e) => e.name));
      return Promise.all(renders);
    }""")
    assert names == ["AbortError", "AbortError", "image/jpeg"]


def test_what_the_engine_says_about_itself(bare_page, colorize, small):
    info = bare_page.evaluate("info")
    (model,) = info["models"]
    assert model["name"] == "small" and model["sha256"] == small.sha256
    assert model["license"] == small.card.license and model["takesHints"]
    assert info["formats"] == ["jpeg", "png", "webp"] and "tiff" not in info["readable"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", info["version"])
