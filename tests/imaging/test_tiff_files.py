"""TIFF files of every kind are decoded completely, or refused with the true reason."""

import io
import struct
import tempfile

import cv2
import numpy as np
import pytest
import tifffile

from colorizenet.errors import ImageError
from colorizenet.imaging import tiffcodec
from colorizenet.imaging.codecs import shorten_reason
from colorizenet.imaging.reading import open_image, read_image, read_rgb8
from colorizenet.imaging.tifflayout import MAX_PAGES


def encode_tiff(*pages: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, metadata=None, **options)
    return file.getvalue()


def locate_segment(encoded: bytes, number: int) -> tuple[int, int]:
    """The offset and the length of a strip or tile."""
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        return file.pages[0].dataoffsets[number], file.pages[0].databytecounts[number]


def read_streamed(encoded: bytes) -> np.ndarray:
    """Read twice from a file, as the colorizer does with a large photo."""
    with tempfile.NamedTemporaryFile(suffix=".tif") as named:
        named.write(encoded)
        named.flush()
        with open_image(named.name) as file:
            first, second = (
                np.concatenate([strip.pixels for strip in file.read_strips(17)]) for _ in range(2)
            )
    assert np.array_equal(first, second)
    return first


READERS = [lambda encoded: read_image(encoded).pixels, read_streamed, read_rgb8]


@pytest.mark.parametrize("read", READERS, ids=["whole", "streamed", "rgb8"])
@pytest.mark.parametrize("tile", [(64, 64), None], ids=["tiles", "strips"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "jpeg", "zstd", "lzma"])
def test_a_tiff_that_is_cut_short_is_an_error(compression, tile, read, gray):
    encoded = encode_tiff(gray, compression=compression, tile=tile, rowsperstrip=32)
    offset, length = locate_segment(encoded, -2)
    with pytest.raises(ImageError, match=r"damaged or cut short.*the file ends before its pixels"):
        read(encoded[: offset + length // 2])


@pytest.mark.parametrize("read", READERS, ids=["whole", "streamed", "rgb8"])
@pytest.mark.parametrize("tile", [(64, 64), None], ids=["tiles", "strips"])
@pytest.mark.parametrize(
    ("compression", "part"),
    [("zlib", "middle"), ("lzw", "middle"), ("jpeg", "middle"), ("lzma", "middle")]
    + [(name, "start") for name in ("zlib", "jpeg", "zstd", "lzma", "lerc", "webp")],
)
def test_damaged_bytes_in_a_tiff_are_an_error(compression, part, tile, read, gray):
    pixels = np.dstack([gray] * 3) if compression == "webp" else gray
    options = {"photometric": "rgb" if compression == "webp" else "minisblack"}
    sound = encode_tiff(pixels, compression=compression, tile=tile, rowsperstrip=32, **options)
    encoded = bytearray(sound)
    offset, length = locate_segment(sound, 3)
    if part == "start":
        encoded[offset : offset + 16] = bytes(16)
    else:
        start, count = offset + length // 4, length // 2
        encoded[start : start + count] = bytes((i * 37 + 11) % 256 for i in range(count))
    with pytest.raises(ImageError, match="damaged"):
        read(bytes(encoded))


@pytest.mark.parametrize("read", READERS[:2], ids=["whole", "streamed"])
@pytest.mark.parametrize("tile", [(64, 64), None], ids=["tiles", "strips"])
@pytest.mark.parametrize("compression", ["zstd", "lzma", "lerc", "jpeg2000", "png", "jpegxl"])
def test_compressions_that_libvips_lacks_are_read(compression, tile, read, gray, color):
    for pixels, photometric in ((gray, "minisblack"), (color, "rgb")):
        options = {"compressionargs": {"level": 0}} if compression == "jpeg2000" else {}
        encoded = encode_tiff(
            pixels, compression=compression, tile=tile, photometric=photometric, **options
        )
        difference = np.abs(read(encoded).astype(int) - pixels)
        assert difference.max() <= (40 if compression == "jpegxl" else 0)


@pytest.mark.parametrize("bits", [6, 9, 10, 12, 14])
def test_odd_depths_are_scaled_to_8_or_16_bits(bits, gray):
    top = (1 << bits) - 1
    values = np.rint(gray / 255 * top).astype(np.uint8 if bits < 9 else np.uint16)
    image = read_image(encode_tiff(values, bitspersample=bits))
    full = 255 if bits < 9 else 65535
    assert image.pixels.dtype == values.dtype
    assert np.abs(image.pixels - values * (full / top)).max() <= 1


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_floating_point_of_any_precision_becomes_float32(dtype, gray):
    values = (gray / 255).astype(dtype)
    image = read_image(encode_tiff(values))
    assert image.pixels.dtype == np.float32 and np.array_equal(image.pixels, values.astype("f4"))


def test_cielab_becomes_srgb(gray):
    l_star = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)
    neutral = np.dstack([l_star, np.zeros_like(l_star), np.zeros_like(l_star)])
    pixels = read_image(encode_tiff(neutral, photometric="cielab")).pixels.astype(int)
    assert pixels.shape == (8, 8, 3) and np.ptp(pixels, axis=2).max() <= 1
    assert pixels[0, 0, 0] == 0 and pixels[7, 7, 0] == 65535
    assert (np.diff(pixels[..., 0].ravel()) > 0).all()
    reddish = np.dstack([l_star, np.full_like(l_star, 40), np.full_like(l_star, 20)])
    pixels = read_image(encode_tiff(reddish, photometric="cielab")).pixels.astype(int)
    assert (pixels[4, ..., 0] > pixels[4, ..., 2]).all()
    bluish = np.dstack([l_star, np.zeros_like(l_star), np.full_like(l_star, 256 - 30)])
    pixels = read_image(encode_tiff(bluish, photometric="cielab")).pixels.astype(int)
    assert (pixels[4, ..., 2] > pixels[4, ..., 0]).all()


@pytest.mark.parametrize("compression", [None, "zlib", "zstd"])
def test_luma_and_chroma_of_every_pixel_become_rgb(compression, color):
    ycbcr = cv2.cvtColor(color, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    options = {"photometric": "ycbcr", "subsampling": (1, 1), "compression": compression}
    pixels = read_image(encode_tiff(ycbcr, **options)).pixels
    assert np.abs(pixels.astype(int) - color).max() <= 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_colors_are_divided_by_their_associated_alpha(compression, dtype):
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    pixel = np.array([0.25, 0.125, 0, 0.5]) * full
    pixels = np.broadcast_to(pixel, (40, 40, 4)).astype(dtype)
    encoded = encode_tiff(
        pixels, photometric="rgb", extrasamples=["assocalpha"], compression=compression
    )
    image = read_image(encoded)
    assert image.pixels[3, 3] / full == pytest.approx([0.5, 0.25, 0], abs=0.01)
    assert image.alpha[3, 3] / full == pytest.approx(0.5, abs=0.01)


def test_color_planes_in_tiles_are_read(color):
    planes = np.moveaxis(color, -1, 0)
    encoded = encode_tiff(planes, tile=(64, 64), planarconfig="separate", photometric="rgb")
    assert np.array_equal(read_image(encoded).pixels, color)


def test_the_metadata_of_a_tiff_that_libvips_cannot_read_arrives(gray):
    encoded = encode_tiff(
        gray,
        compression="zstd",
        resolution=(300, 300),
        resolutionunit="INCH",
        extratags=[
            (700, 1, None, b"<x:xmpmeta/>", True),
            (274, 3, 1, 6, True),
            (315, 2, None, "Lange", True),
        ],
    )
    image = read_image(encoded)
    assert np.array_equal(image.pixels, np.rot90(gray, -1)), "upright"
    assert image.metadata.xmp == b"<x:xmpmeta/>"
    assert b"Lange" in image.metadata.exif
    assert image.resolution == pytest.approx((300 / 25.4, 300 / 25.4))


def test_a_missing_extra_is_named_with_the_compression(gray, monkeypatch):
    monkeypatch.setattr(tiffcodec, "find_spec", lambda name: None)
    for options, reason in (
        ({"compression": "zstd", "tile": (64, 64)}, "ZSTD compression"),
        ({"compression": "lzma"}, "LZMA compression"),
        ({"bitspersample": 6}, "6 bits per channel"),
    ):
        with pytest.raises(ImageError, match=rf"{reason}, which needs the extra `formats`"):
            read_image(encode_tiff(gray >> 2, **options))
    with pytest.raises(ImageError, match="64-bit floating point, which needs the extra"):
        read_image(encode_tiff(gray / 255))


def test_what_no_library_reads_is_refused_with_its_true_reason(gray):
    encoded = bytearray(encode_tiff(gray))
    with tifffile.TiffFile(io.BytesIO(bytes(encoded))) as file:
        at = file.pages[0].tags["Compression"].valueoffset
    encoded[at : at + 2] = (34676).to_bytes(2, "little")
    with pytest.raises(ImageError, match="SGI LogL compression"):
        read_image(bytes(encoded))


@pytest.mark.parametrize("streamed", [False, True])
def test_pages_of_other_sizes_are_named_and_the_first_is_read(streamed, gray, color):
    small = gray[::4, ::4]
    for encoded, expected in (
        (encode_tiff(gray, small), gray),
        (encode_tiff(gray, small, gray[::8, ::8], tile=(64, 64)), gray),
        (encode_tiff(gray, color), gray),
        (encode_tiff(gray, 255 - gray, small), np.concatenate([gray, 255 - gray])),
    ):
        with open_image(encoded) as file:
            (warning,) = file.warnings
            assert "pages of different sizes or kinds, and only" in warning
            if streamed:
                pixels = np.concatenate([strip.pixels for strip in file.read_strips(64)])
            else:
                pixels = file.read().pixels
        assert np.array_equal(pixels, expected)


def test_a_preview_before_the_photo_is_skipped(gray):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(gray[::8, ::8], subfiletype=1, metadata=None)
        writer.write(gray, metadata=None)
    with open_image(file.getvalue()) as opened:
        assert np.array_equal(opened.read().pixels, gray)
        assert "only number 2 is colorized" in opened.warnings[0]


def test_raw_photos_are_refused_by_name(gray):
    encoded = encode_tiff(gray, extratags=[(50706, 1, 4, bytes([1, 4, 0, 0]), True)])
    with pytest.raises(ImageError, match="is a raw photo of a camera"):
        read_image(encoded)


def test_a_chain_of_pages_ends(gray):
    many = encode_tiff(*[gray[:8, :8]] * (MAX_PAGES + 1))
    with pytest.raises(ImageError, match=f"more than {MAX_PAGES} pages"):
        read_image(many)
    encoded = bytearray(encode_tiff(gray, gray))
    with tifffile.TiffFile(io.BytesIO(bytes(encoded))) as file:
        first, second = (page.offset for page in file.pages)
    count = int.from_bytes(encoded[second : second + 2], "little")
    at = second + 2 + 12 * count
    encoded[at : at + 4] = first.to_bytes(4, "little")
    assert read_image(bytes(encoded)).pages == 2


@pytest.mark.parametrize("compression", ["zstd", "zlib"])
def test_of_several_pages_training_reads_the_first(compression, gray):
    encoded = encode_tiff(gray, gray[::-1], compression=compression)
    assert np.array_equal(read_rgb8(encoded)[..., 0], gray)


def change_tag(encoded: bytes, tag: int, *, count: int | None = None, value: int = 0) -> bytes:
    """Change the count of a tag of the first page, or its value of 4 bytes."""
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        at = file.pages[0].tags[tag].offset
    at, number = (at + 8, value) if count is None else (at + 4, count)
    return encoded[:at] + number.to_bytes(4, "little") + encoded[at + 4 :]


@pytest.mark.parametrize("compression", ["zstd", "zlib", "jpeg2000"])
def test_missing_tiles_are_an_error(compression, gray):
    encoded = encode_tiff(gray, compression=compression, tile=(64, 64))
    for tag in (324, 325):
        with pytest.raises(ImageError, match="damaged"):
            read_image(change_tag(encoded, tag, count=20))


@pytest.mark.parametrize("compression", ["zstd", "lzma"])
def test_tiles_that_are_much_larger_than_the_page_are_an_error(compression, gray):
    encoded = encode_tiff(gray, compression=compression, tile=(64, 64))
    with pytest.raises(ImageError, match=r"its strips or tiles are of 64 x 1073741824 pixels"):
        read_image(change_tag(encoded, 323, value=1 << 30))


def test_a_tag_that_claims_gigabytes_is_no_lack_of_memory(gray):
    encoded = encode_tiff(gray, compression="zlib")
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(change_tag(encoded, 259, count=1 << 30))


def test_the_reason_of_a_library_is_shortened():
    assert shorten_reason(ValueError("wrong: " + "9" * 1000)) == "wrong: " + "9" * 110 + "..."
    assert shorten_reason(ValueError("first\nsecond")) == "first"
    assert shorten_reason(MemoryError()) == "MemoryError"


@pytest.mark.parametrize("compression", ["jpeg", "zlib", "zstd"])
def test_a_strip_before_the_file_is_an_error(compression, gray, tmp_path):
    encoded = encode_tiff(gray, compression=compression, rowsperstrip=1000)
    encoded = change_tag(encoded, 273, value=(1 << 32) - 8)
    at = encoded.index(struct.pack("<HHI", 273, 4, 1)) + 2
    (tmp_path / "a.tif").write_bytes(encoded[:at] + struct.pack("<H", 9) + encoded[at + 2 :])
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.tif")
