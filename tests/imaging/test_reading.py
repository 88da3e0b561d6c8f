"""Files of every kind are read upright, in sRGB and completely, or refused with a
reason."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import pyvips

from colorizenet.errors import ImageError
from colorizenet.imaging.image import Image
from colorizenet.imaging.metadata import make_blank, make_tiff_header
from colorizenet.imaging.reading import read_image, read_rgb8
from colorizenet.imaging.writing import choose_format, encode_image


def encode_with_libvips(pixels: np.ndarray, ending: str, **options: object) -> bytes:
    """The bytes that libvips itself writes."""
    array = pixels if pixels.ndim == 3 else pixels[..., None]
    return pyvips.Image.new_from_array(array).write_to_buffer(ending, **options)


def make_noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True
    )


def test_the_format_is_recognized_by_content(tmp_path, gray):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode_with_libvips(gray, ".png"))
    assert read_image(path).format == "png"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_then_removed(orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # top left
    turned = pyvips.Image.new_from_array(upright)
    inverse = {2: "fliphor", 3: "rot180", 4: "flipver", 6: "rot270", 8: "rot90"}
    if orientation in inverse:
        turned = getattr(turned, inverse[orientation])()
    elif orientation == 5:
        turned = turned.rot90().fliphor()
    elif orientation == 7:
        turned = turned.rot270().fliphor()
    turned = turned.copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image = read_image(turned.write_to_buffer(".png"))
    assert np.array_equal(image.pixels, upright)
    again = pyvips.Image.new_from_buffer(encode_image(image), "")
    assert not again.get_typeof("orientation") or again.get("orientation") == 1


def test_a_jpeg_that_ends_within_its_header_is_an_error(gray):
    encoded = encode_with_libvips(gray[:64, :64], ".jpg")
    for length in range(3, encoded.index(b"\xff\xda") + 20):
        with pytest.raises(ImageError):
            read_image(encoded[:length])


def test_an_embedded_profile_is_applied():
    """The same numbers mean a more saturated color in Display P3 than in sRGB."""
    wide = np.full((8, 8, 3), (200, 60, 60), np.uint8)
    plain = pyvips.Image.new_from_array(wide).copy(interpretation="srgb")
    tagged = plain.icc_transform("p3", input_profile="srgb")  # attaches the P3 profile
    assert not np.array_equal(tagged.numpy(), wide)
    assert np.abs(read_image(tagged.write_to_buffer(".png")).pixels.astype(int) - wide).max() <= 1


def test_cmyk_becomes_srgb():
    ink = pyvips.Image.new_from_array(np.zeros((8, 8, 4), np.uint8)).copy(interpretation="cmyk")
    pixels = read_image(ink.write_to_buffer(".tif")).pixels
    assert pixels.shape == (8, 8, 3) and pixels.min() > 240, "no ink is white paper"


def test_one_bit_is_black_and_white():
    bits = np.zeros((8, 16), np.uint8)
    bits[:, 8:] = 255
    pixels = read_image(encode_with_libvips(bits, ".tif", bitdepth=1)).pixels
    assert np.array_equal(pixels, bits)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_an_error(ending, share, color):
    whole = encode_with_libvips(color, ending)
    with pytest.raises(ImageError, match=r"damaged or cut short|not in a supported"):
        read_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_png_with_a_wrong_checksum_is_an_error(share, color):
    broken = bytearray(encode_with_libvips(color, ".png"))
    broken[int(len(broken) * share)] ^= 0xFF
    with pytest.raises(ImageError, match="damaged"):
        read_image(bytes(broken))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"hello, I am a text", "not in a supported picture format"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>",
            "not in a supported picture format",
        ),
        (b"GIF89a" + bytes(32), "damaged or cut short"),
        (b"BM" + bytes(64), "not in a supported picture format"),
        (b"%PDF-1.7\n", "not in a supported picture format"),
        (
            b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(128),
            "not in a supported picture format",
        ),
        (b"P5\n# a comment\n4 4\n255\n" + bytes(15), "damaged or cut short"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "not in a supported picture format"),
    ],
)
def test_unsupported_files_are_refused(content, expected):
    with pytest.raises(ImageError, match=expected):
        read_image(content)


def test_unsupported_pixels_are_refused():
    with pytest.raises(ImageError, match="holds int pixels"):
        read_image(pyvips.Image.black(4, 4).cast("int").write_to_buffer(".tif"))
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(ImageError, match="floating-point values outside"):
            read_image(encode_with_libvips(np.full((4, 4), wrong, np.float32), ".tif"))


def test_floating_point_pixels_are_preserved(gray):
    floats = (gray / 255).astype(np.float32)
    image = read_image(encode_with_libvips(floats, ".tif"))
    assert image.pixels.dtype == np.float32 and np.array_equal(image.pixels, floats)
    assert np.array_equal(read_image(encode_image(image)).pixels, floats)


def test_every_page_of_a_tiff_is_preserved():
    pages = make_noise(24, 10)
    roll = pyvips.Image.new_from_array(pages[..., None]).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 8)
    image = read_image(roll.write_to_buffer(".tif"))
    assert image.pages == 3 and np.array_equal(image.pixels, pages)
    back = read_image(encode_image(image))
    assert back.pages == 3 and np.array_equal(back.pixels, pages)
    assert (
        choose_format(image, "png").format == "tiff"
        and "one page" in choose_format(image, "png").reason
    )


def test_the_first_frame_of_a_gif_is_read(color):
    frames = pyvips.Image.new_from_array(
        np.concatenate([color[..., :1], 255 - color[..., :1]])
    ).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", len(color))
    image = read_image(frames.write_to_buffer(".gif"))
    assert image.pixels.shape[:2] == color.shape[:2] and image.pages == 1
    assert (
        np.abs(
            image.pixels.reshape(*color.shape[:2], -1)[..., 0].astype(int) - color[..., 0]
        ).mean()
        < 16
    )
    assert choose_format(image).format == "png" and "gif" in choose_format(image).reason


@pytest.mark.parametrize(
    ("header", "dtype", "top"), [(b"P5", "u1", 255), (b"P5", ">u2", 65535), (b"P5", ">u2", 1023)]
)
def test_gray_pnm_of_any_depth(header, dtype, top):
    values = np.linspace(0, top, 12).round().astype(dtype).reshape(3, 4)
    image = read_image(header + b"\n# scanned\n4 3\n%d\n" % top + values.tobytes())
    full = 255 if top == 255 else 65535
    assert np.abs(image.pixels - np.round(values.astype(float) * full / top)).max() <= 1
    assert image.pixels.dtype == ("uint8" if top == 255 else "uint16")


def test_pnm_in_color_and_of_one_bit():
    rgb = make_noise(3, 4, 3)
    assert np.array_equal(read_image(b"P6 4 3 255\n" + rgb.tobytes()).pixels, rgb)
    assert np.array_equal(read_image(b"P4 8 2\n\x0f\xff").pixels, [[255] * 4 + [0] * 4, [0] * 8])
    with pytest.raises(ImageError, match="100000 x 100000 pixels and the limit"):
        read_image(b"P6 100000 100000 255\n" + bytes(64))


def test_a_palette_becomes_color(color):
    image = read_image(pyvips.Image.new_from_array(color).write_to_buffer(".png", palette=True))
    assert (
        image.pixels.shape == color.shape and np.abs(image.pixels.astype(int) - color).mean() < 12
    )


def test_a_missing_extra_is_named(gray, monkeypatch):
    encoded = encode_image(Image(gray, format="heic"))
    monkeypatch.setattr("colorizenet.imaging.formats.find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"pip install 'colorizenet\[formats\]'"):
        read_image(encoded)


@pytest.mark.parametrize("damaged", [b"no profile " * 30, None], ids=["junk", "cut short"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_damaged_profile_is_reported_and_srgb_assumed(damaged, mode, color):
    sound = pyvips.Image.jpegload_buffer(encode_with_libvips(color, ".jpg", profile="p3")).get(
        "icc-profile-data"
    )
    file = io.BytesIO()
    PIL.Image.fromarray(color).convert(mode).save(
        file, "TIFF", icc_profile=damaged or sound[: len(sound) // 2]
    )
    image = read_image(file.getvalue())
    (warning,) = image.warnings
    assert "damaged color profile" in warning and warning.endswith("sRGB was assumed")
    plain = io.BytesIO()
    PIL.Image.fromarray(color).convert(mode).save(plain, "TIFF")
    assert np.array_equal(image.pixels, read_image(plain.getvalue()).pixels)


def test_a_gray_photo_with_a_profile_of_rgb_is_not_called_damaged(gray):
    for profile, expected in (("srgb", 0), ("p3", 1)):
        tagged = encode_with_libvips(np.dstack([gray] * 3), ".jpg", profile=profile)
        blob = pyvips.Image.jpegload_buffer(tagged).get("icc-profile-data")
        file = io.BytesIO()
        PIL.Image.fromarray(gray).save(file, "TIFF", icc_profile=blob)
        image = read_image(file.getvalue())
        assert np.array_equal(image.pixels, gray)
        text = "is gray and has a color profile of RGB; sRGB was assumed"
        assert [each.endswith(text) for each in image.warnings] == [True] * expected


def test_loaders_that_are_unsafe_for_untrusted_files_are_off(tmp_path):
    (tmp_path / "m.csv").write_text("1,2\n")
    with pytest.raises(pyvips.Error):
        pyvips.Image.csvload(str(tmp_path / "m.csv"))


def png_header(width: int, height: int) -> bytes:
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + content + checksum + b"\0\0\1\0IDAT" + bytes(256)


def tiff_header(width: int, height: int) -> bytes:
    blank = make_blank(width, height, 1, np.dtype("uint8"))
    return make_tiff_header(blank, height, compression="none") + bytes(256)


@pytest.mark.parametrize("make_header", [png_header, tiff_header])
def test_a_decompression_bomb_is_refused_by_its_header(make_header):
    bomb = make_header(50_000, 50_000)
    assert len(bomb) < 1000
    for read in (read_image, read_rgb8):
        with pytest.raises(ImageError, match="50000 x 50000 pixels and the limit is 2,000,000,000"):
            read(bomb)


def test_too_many_pixels_are_refused_before_decoding(gray):
    with pytest.raises(ImageError, match=r"451 x 300 pixels and the limit is 100,000"):
        read_image(encode_with_libvips(gray, ".png"), max_pixels=100_000)


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(tmp_path)


def test_an_error_is_one_line(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(error.value).isprintable()


def test_the_samples_are_gray(samples: list[Path]):
    assert len(samples) >= 6
    assert all(read_image(path).pixels.ndim == 2 for path in samples)


def test_a_jpeg_damaged_in_its_middle_is_an_error(color):
    whole = encode_with_libvips(color, ".jpg")
    third = len(whole) // 3
    with pytest.raises(ImageError, match="damaged"):
        read_image(whole[:third] + bytes(third) + whole[2 * third :])
    assert read_image(whole + b"trailing bytes, as cameras leave them").pixels.shape == color.shape


def test_channels_of_no_known_color_space_are_refused():
    with pytest.raises(ImageError, match="channels that are not a known color space"):
        read_image(encode_with_libvips(make_noise(8, 8, 5), ".tif"))
    with pytest.raises(ImageError, match="channels that are not a known color space"):
        read_image(encode_with_libvips(make_noise(8, 8, 6), ".tif"))
