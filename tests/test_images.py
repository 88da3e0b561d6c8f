"""Files in and out: nothing that a photograph carries is lost, and what is lost is said."""

import stat
from pathlib import Path

import numpy as np
import pytest
import pyvips

from colorizenet.errors import ImageError
from colorizenet.images import FORMATS, Image, encode_image, read_image, write_image

LOSSLESS = ("png", "tiff")


def saved(pixels: np.ndarray, ending: str, **options: object) -> bytes:
    """The bytes that libvips itself writes."""
    array = pixels if pixels.ndim == 3 else pixels[..., None]
    return pyvips.Image.new_from_array(array).write_to_buffer(ending, **options)


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_formats_keep_every_pixel(format, dtype, channels, alpha):
    image = Image(noise(37, 23, *channels, dtype=dtype), noise(37, 23, dtype=dtype) if alpha else None, format=format)
    back = read_image(encode_image(image))
    assert back.format == format
    assert back.pixels.dtype == dtype
    assert np.array_equal(back.pixels, image.pixels)
    assert (back.alpha is None) if not alpha else np.array_equal(back.alpha, image.alpha)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lossy_formats_stay_close(format, colour):
    back = read_image(encode_image(Image(colour, format=format)))
    assert back.format == format
    assert back.pixels.shape == colour.shape
    assert np.abs(back.pixels.astype(int) - colour).mean() < 4


def test_quality_decides_the_size_of_the_file(colour):
    sizes = [len(encode_image(Image(colour), "jpeg", quality=quality)) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 2


def test_the_format_is_told_by_content_not_by_name(tmp_path, grey):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(saved(grey, ".png"))
    assert read_image(path).format == "png"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_then_gone(orientation):
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


def test_exif_xmp_and_resolution_are_carried(grey):
    made = pyvips.Image.new_from_array(grey[..., None]).copy(interpretation="b-w", xres=11.811, yres=11.811)
    made.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "Dorothea Lange (Dorothea Lange, ASCII, 15 components)")
    made.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    image = read_image(made.write_to_buffer(".jpg"))
    back = pyvips.Image.new_from_buffer(encode_image(image.with_pixels(np.dstack([grey] * 3))), "")
    assert "Dorothea Lange" in back.get("exif-ifd0-Artist")
    assert back.get("xmp-data") == b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    assert back.xres == pytest.approx(11.811, rel=1e-3)
    assert back.get_typeof("icc-profile-data"), "results say that they are sRGB"


def test_a_profile_is_honoured():
    """The same numbers mean a more saturated colour in Display P3 than in sRGB."""
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
    pixels = read_image(saved(bits, ".tif", bitdepth=1)).pixels
    assert np.array_equal(pixels, bits)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_an_error(ending, share, colour):
    whole = saved(colour, ending)
    with pytest.raises(ImageError, match=r"damaged or cut short|not a picture"):
        read_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_png_with_a_wrong_checksum_is_an_error(share, colour):
    broken = bytearray(saved(colour, ".png"))
    broken[int(len(broken) * share)] ^= 0xFF
    with pytest.raises(ImageError, match="damaged"):
        read_image(bytes(broken))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"hello, I am a text", "not a picture we read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>", "not a picture we read"),
        (b"GIF89a" + bytes(32), "not a picture we read"),
    ],
)
def test_what_is_no_picture_is_refused(content, expected):
    with pytest.raises(ImageError, match=expected):
        read_image(content)


def test_floating_point_and_pages_are_refused_in_words():
    with pytest.raises(ImageError, match="float pixels"):
        read_image(saved(np.zeros((4, 4), np.float32), ".tif"))
    pages = pyvips.Image.new_from_array(np.zeros((8, 4, 1), np.uint8)).copy()
    pages.set_type(pyvips.GValue.gint_type, "page-height", 4)
    with pytest.raises(ImageError, match="2 pages"):
        read_image(pages.write_to_buffer(".tif"))


def test_too_many_pixels_are_refused_before_decoding(grey):
    with pytest.raises(ImageError, match=r"451 x 300 pixels and the limit is 100,000"):
        read_image(saved(grey, ".png"), max_pixels=100_000)


def test_what_a_format_cannot_hold_is_refused():
    deep = Image(noise(4, 4, 3, dtype="uint16"))
    glass = Image(noise(4, 4, 3), noise(4, 4))
    for format in ("jpeg", "webp"):
        with pytest.raises(ImageError, match="8 bits"):
            encode_image(deep, format)
    with pytest.raises(ImageError, match="transparency"):
        encode_image(glass, "jpeg")


def test_a_picture_too_large_for_its_format_is_refused():
    with pytest.raises(ImageError, match="cannot be written as webp"):
        encode_image(Image(np.zeros((1, 16384), np.uint8)), "webp")


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(tmp_path)


def test_an_error_stays_one_line(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", FORMATS)
def test_files_are_written_by_their_ending_and_leave_nothing_beside(name, tmp_path, colour):
    path = tmp_path / f"picture{FORMATS[name].suffixes[0]}"
    write_image(path, Image(colour))
    assert read_image(path).format == name
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "old.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError):
        write_image(path, Image(noise(4, 4, dtype="uint16")))
    assert path.read_bytes() == b"precious"
    with pytest.raises(ImageError, match="names no format"):
        write_image(tmp_path / "picture.xyz", Image(noise(4, 4)))
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "missing" / "picture.png", Image(noise(4, 4)))


def test_written_files_have_the_rights_of_new_files(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    path = tmp_path / "picture.png"
    write_image(path, Image(noise(4, 4)))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_the_samples_are_grey(samples: list[Path]):
    assert len(samples) >= 6
    assert all(read_image(path).pixels.ndim == 2 for path in samples)


def test_a_jpeg_damaged_in_its_middle_is_an_error(colour):
    whole = saved(colour, ".jpg")
    third = len(whole) // 3
    with pytest.raises(ImageError, match="damaged"):
        read_image(whole[:third] + bytes(third) + whole[2 * third :])
    assert read_image(whole + b"trailing bytes, as cameras leave them").pixels.shape == colour.shape


def test_channels_that_are_no_colours_are_refused():
    with pytest.raises(ImageError, match="channels that are no colours"):
        read_image(saved(noise(8, 8, 5), ".tif"))
    with pytest.raises(ImageError, match="channels that are no colours"):
        read_image(saved(noise(8, 8, 6), ".tif"))
