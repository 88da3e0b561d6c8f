"""Faults that every viewer overlooks, metadata behind pixels, and further pictures."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pytest
import pyvips

from colorizenet.color import linear_to_rgb
from colorizenet.errors import ImageError
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import open_image, read_image, read_rgb8
from colorizenet.imaging.sizes import read_size
from colorizenet.imaging.writing import choose_format, encode_image


def encode(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def make_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def make_exif(orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)


def add_behind(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks between its pixels and its end."""
    return png[:-12] + b"".join(chunks) + png[-12:]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_behind_the_pixels_of_a_png_is_honored(orientation, gray, tmp_path):
    png = add_behind(encode(gray, "PNG"), make_chunk(b"eXIf", make_exif(orientation)))
    upright = np.rot90(gray, {3: 2, 6: -1, 8: 1}[orientation])
    (tmp_path / "a.png").write_bytes(png)
    for source in (png, tmp_path / "a.png"):
        assert np.array_equal(read_image(source).pixels, upright)
        assert np.array_equal(read_rgb8(source)[..., 0], upright)
        with open_image(source) as file:
            strips = [strip.pixels for strip in file.read_strips(50)]
        assert np.array_equal(np.concatenate(strips), upright)


def test_metadata_behind_the_pixels_of_a_png_is_handed_over(gray):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    png = add_behind(
        encode(gray, "PNG"),
        make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        make_chunk(b"tEXt", b"Author\0M\xfcller"),
        make_chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"A mill")),
        make_chunk(b"eXIf", make_exif(1)),
    )
    metadata = read_image(png).metadata
    assert metadata.xmp == xmp
    assert metadata.exif == make_exif(1)
    assert metadata.texts == (
        (b"tEXt", b"Author\0M\xfcller"),
        (b"zTXt", b"Title\0\0" + zlib.compress(b"A mill")),
    )


def split_at(jpeg: bytes, marker: int) -> tuple[bytes, bytes]:
    at = jpeg.index(bytes([0xFF, marker]))
    return jpeg[:at], jpeg[at:]


def make_faults(jpeg: bytes) -> dict[str, bytes]:
    before, tables = split_at(jpeg, 0xDB)
    header, scan = split_at(jpeg, 0xDA)
    length = 2 + int.from_bytes(scan[2:4], "big")
    jfif = bytearray(jpeg)
    jfif[jpeg.index(b"JFIF\0") + 5] = 2
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07"
    return {
        "zeros between segments": before + bytes(18) + tables,
        "bytes between segments": before + b"camera" + tables,
        "a stuffed zero between segments": before + b"\xff\0" + tables,
        "fill bytes": before + b"\xff\xff\xff" + tables,
        "scan numbers": header + scan[: length - 3] + b"\0\0\0" + scan[length:],
        "other scan numbers": header + scan[: length - 3] + b"\1\x20\x11" + scan[length:],
        "JFIF 2": bytes(jfif),
        "zeros before the end": jpeg[:-2] + bytes(24) + jpeg[-2:],
        "bytes behind the end": jpeg + b"camera" * 9,
        "color transform": jpeg[:2] + adobe + jpeg[2:],
    }


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("fault", make_faults(encode(np.zeros((8, 8), np.uint8), "JPEG")))
def test_faults_that_viewers_overlook_are_read(fault, mode, color, tmp_path):
    pixels = color if mode == "RGB" else color[..., 0]
    sound = encode(pixels, "JPEG", quality=90)
    faulty = make_faults(sound)[fault]
    (tmp_path / "a.jpg").write_bytes(faulty)
    for source in (faulty, tmp_path / "a.jpg"):
        assert np.array_equal(read_image(source).pixels, read_image(sound).pixels)
        with open_image(source) as file:
            strips = [strip.pixels for strip in file.read_strips(50)]
        assert np.array_equal(np.concatenate(strips), read_image(sound).pixels)


@pytest.mark.parametrize("fault", make_faults(encode(np.zeros((8, 8), np.uint8), "JPEG")))
def test_a_jpeg_with_a_fault_must_still_be_complete(fault, color):
    sound = encode(color, "JPEG", quality=90)
    half = len(sound) // 2
    for damaged in (sound[:half], sound[:half] + bytes(half // 2) + sound[half + half // 2 :]):
        with pytest.raises(ImageError, match="damaged or cut short"):
            read_image(make_faults(damaged)[fault])


def test_further_pictures_in_a_file_are_named(gray):
    frames = [PIL.Image.fromarray(np.roll(gray, 9 * i)) for i in range(3)]
    for kind, options in (
        ("WEBP", {}),
        ("GIF", {}),
        ("PNG", {}),
        ("AVIF", {}),
        ("MPO", {}),
        ("HEIF", {}),
    ):
        if kind in ("AVIF", "HEIF"):
            import pillow_heif

            pillow_heif.register_heif_opener()
        file = io.BytesIO()
        pictures = [frame.convert("RGB") for frame in frames]
        pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], **options)
        with open_image(file.getvalue()) as opened:
            warnings = opened.warnings
        assert len(warnings) == 1 and "only the first" in warnings[0], (kind, warnings)
        assert "3" in warnings[0], kind
    with open_image(encode(gray, "PNG")) as opened:
        assert opened.warnings == []


def test_black_and_white_is_recognized(gray):
    bits = np.where(gray > 128, np.uint8(255), np.uint8(0))
    for pixels, expected in ((bits, True), (gray, False), (bits // 255 * np.uint8(254), False)):
        with open_image(encode(pixels, "PNG")) as file:
            file.read()
            assert file.bilevel == expected
        with open_image(encode(pixels, "PNG")) as file:
            for _ in file.read_strips(64):
                pass
            assert file.bilevel == expected


def test_bmp_is_read_and_becomes_png(color, tmp_path):
    encoded = encode(color, "BMP", dpi=(300, 300))
    image = read_image(encoded)
    assert np.array_equal(image.pixels, color) and image.format == "bmp"
    assert image.resolution == pytest.approx((11.811, 11.811), abs=0.001)
    assert choose_format(image).format == "png"
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_image(encoded[: len(encoded) // 2])


@pytest.mark.parametrize("ending", [".jp2", ".j2k"])
def test_jpeg_2000_is_read_at_8_and_16_bits(ending, gray, color):
    import imagecodecs

    deep = (gray.astype(np.uint16) << 8) + 3
    for pixels in (gray, color, deep, np.dstack([deep, deep // 2, deep])):
        encoded = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat=ending[1:])
        image = read_image(encoded)
        assert image.format == "jp2" and np.array_equal(image.pixels, pixels)
        with pytest.raises(ImageError, match="damaged or cut short"):
            read_image(encoded[: len(encoded) // 2])
        with pytest.raises(ImageError, match="451 x 300 pixels and the limit is 1,000"):
            read_image(encoded, max_pixels=1000)


@pytest.mark.parametrize("depth", [10, 12, 16])
@pytest.mark.parametrize("transparent", [False, True])
def test_color_jpeg_xl_of_more_than_8_bits_keeps_its_depth(depth, transparent, gray):
    top = (1 << depth) - 1
    deep = (gray * (top / 255)).astype(np.uint16)
    channels = [deep, deep // 2, deep // 3, deep]
    samples = np.dstack(channels if transparent else channels[:3])
    encoded = imagecodecs.jpegxl_encode(samples, lossless=True, bitspersample=depth)
    image = read_image(encoded)
    assert image.pixels.dtype == np.uint16
    expected = linear_to_rgb(samples[..., :3] / top)  # imagecodecs writes a linear profile
    assert np.abs(image.pixels / 65535 - expected).max() < 0.002
    if transparent:
        assert image.alpha is not None
        assert np.abs(image.alpha / 65535 - deep / top).max() < 0.0001
    assert choose_format(image).format == "png"
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_image(encoded[: len(encoded) // 2])


@pytest.mark.parametrize(
    "header",
    [
        b"P5 4 #width\n3\n255\n",
        b"P5\n4 # width\n 3 # height\n255\n",
        b"P5#made by a scanner\n#twice\n4 3 255\n",
        b"P5\r\n#c\r\n4 3\r\n255\n",
    ],
)
def test_comments_may_stand_anywhere_in_the_header_of_a_pgm(header):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(read_image(header + values.tobytes()).pixels, values)


def test_ascii_pnm_is_complete_or_an_error():
    assert read_image(b"P2 #c\n3 2 255\n0 1 2 #x\n3 4 255\n").pixels.tolist() == [
        [0, 1, 2],
        [3, 4, 255],
    ]
    assert read_image(b"P3 1 1 255 7 8 9\n").pixels.tolist() == [[[7, 8, 9]]]
    assert read_image(b"P1 2 2\n1 0\n0 1\n").pixels.tolist() == [[0, 255], [255, 0]]
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_image(b"P2 3 2 255\n0 1 2 3 4\n")


def test_the_header_of_a_large_pgm_is_judged_before_the_rest_is_read(tmp_path):
    path = tmp_path / "large.pgm"
    with path.open("wb") as file:
        file.write(b"P5 65000 65000 255\n")
        file.truncate(1 << 32)  # sparse: takes no room on the disk
    with pytest.raises(ImageError, match="65000 x 65000 pixels and the limit is 2,000,000,000"):
        read_image(path)


def test_each_of_many_bad_files_gets_its_own_reason(tmp_path, gray, color):
    """libvips has one buffer of errors for all threads."""
    sound = {
        "a.jpg": encode(color, "JPEG"),
        "b.png": encode(gray, "PNG"),
        "c.tif": encode(gray, "TIFF", compression="tiff_lzw"),
        "d.webp": encode(color, "WEBP"),
        "e.gif": encode(gray, "GIF"),
    }
    paths = []
    for number in range(8):
        for name, content in sound.items():
            bad = bytearray(content[: len(content) * (number + 2) // 11])
            if number % 2:
                bad[len(bad) // 2 :] = bytes(len(bad) - len(bad) // 2)
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(bytes(bad))
            paths.append(path)

    def find_reason(path):
        with pytest.raises(ImageError) as error:
            read_image(path)
        return str(error.value)

    alone = [find_reason(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(find_reason, paths)) == alone


def test_a_picture_in_a_format_that_cannot_hold_it_becomes_png_or_tiff():
    wide = Image(np.zeros((1, 16_385), np.uint8), format="avif")
    assert choose_format(wide).format == "png"
    deep = Image(np.zeros((4, 4), np.uint16), format="jxl")
    assert choose_format(deep).format == "png"


def test_a_bmp_from_opencv_in_a_folder_of_photos(color):
    encoded = cv2.imencode(".bmp", color[..., ::-1])[1].tobytes()
    assert np.array_equal(read_image(encoded).pixels, color)
    assert read_image(encode_image(read_image(encoded), "png")).pixels.shape == color.shape


def test_animated_pixels_are_those_of_the_first_frame(gray):
    frames = pyvips.Image.new_from_array(np.concatenate([gray, 255 - gray])[..., None]).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", len(gray))
    image = read_image(frames.webpsave_buffer(lossless=True))
    assert np.array_equal(image.pixels[..., 0] if image.pixels.ndim == 3 else image.pixels, gray)


@pytest.mark.parametrize("ending", [b"", b"\n", b" # end"])
def test_the_last_number_of_a_pgm_needs_no_line_end(ending):
    assert read_image(b"P2 3 1 255\n0 128 255" + ending).pixels.tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("shape", [(8, 16), (64, 64), (9, 13), (300, 200), (40, 30), (5, 700)])
def test_the_size_of_a_file_is_found_before_it_is_decoded(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    files = {
        ".jxl": encode_image(Image(pixels), "jxl"),
        ".png": encode_image(Image(pixels), "png"),
        ".jp2": imagecodecs.jpeg2k_encode(pixels, codecformat="JP2"),
        ".j2k": imagecodecs.jpeg2k_encode(pixels, codecformat="J2K"),
        ".lrc": imagecodecs.lerc_encode(pixels),
    }
    for ending, encoded in files.items():
        size = read_size(lambda at, length, encoded=encoded: encoded[at : at + length])
        assert size == shape[::-1], ending
