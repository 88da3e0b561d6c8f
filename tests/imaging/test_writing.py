"""Pictures are written in the format that can hold them, completely or not at all."""

import stat

import numpy as np
import pytest
import pyvips

from colorizenet.errors import ImageError
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import choose_format, encode_image, write_image


def make_noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True
    )


@pytest.mark.parametrize("format", ["png", "tiff"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_formats_preserve_every_pixel(format, dtype, channels, alpha):
    image = Image(
        make_noise(37, 23, *channels, dtype=dtype),
        make_noise(37, 23, dtype=dtype) if alpha else None,
        format=format,
    )
    back = read_image(encode_image(image))
    assert back.format == format
    assert back.pixels.dtype == dtype
    assert np.array_equal(back.pixels, image.pixels)
    assert (back.alpha is None) if not alpha else np.array_equal(back.alpha, image.alpha)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lossy_formats_stay_close(format, color):
    back = read_image(encode_image(Image(color, format=format)))
    assert back.format == format
    assert back.pixels.shape == color.shape
    assert np.abs(back.pixels.astype(int) - color).mean() < 4


def test_quality_decides_the_size_of_the_file(color):
    sizes = [len(encode_image(Image(color), "jpeg", quality=quality)) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 2


@pytest.mark.parametrize("format", ["avif", "heic", "jxl"])
@pytest.mark.parametrize("alpha", [False, True])
def test_newer_formats_stay_close(format, alpha, color, gray):
    color, gray = color[100:228, 100:292], gray[100:228, 100:292]
    back = read_image(encode_image(Image(color, gray if alpha else None, format=format)))
    assert back.format == format and np.abs(back.pixels.astype(int) - color).mean() < 4
    assert (back.alpha is not None) == alpha
    again = read_image(encode_image(Image(gray, format=format)))
    assert np.abs(again.pixels.reshape(*gray.shape, -1)[..., 0].astype(int) - gray).mean() < 4


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_newer_formats_preserve_more_than_8_bits(format):
    ramp = np.repeat(np.linspace(20_000, 24_000, 256)[None], 64, axis=0)
    deep = np.dstack([ramp] * 3).astype(np.uint16)
    back = read_image(encode_image(Image(deep, format=format), quality=100)).pixels
    assert back.dtype == np.uint16 and len(np.unique(back[32, :, 1])) > 32, (
        "8 bits have 16 levels there"
    )


def test_a_format_is_substituted_where_it_cannot_hold_the_picture():
    deep, glass = (
        Image(make_noise(4, 4, 3, dtype="uint16")),
        Image(make_noise(4, 4, 3), make_noise(4, 4)),
    )
    wide = Image(np.zeros((1, 16_384), np.uint8))
    assert [choose_format(deep, format).format for format in ("jpeg", "webp", "avif")] == [
        "png",
        "png",
        "avif",
    ]
    assert (
        choose_format(glass, "jpeg").format == "png"
        and choose_format(glass, "webp").format == "webp"
    )
    assert (
        choose_format(wide, "webp").format == "png"
        and "16,383" in choose_format(wide, "webp").reason
    )
    assert choose_format(Image(np.zeros((65_501, 1), np.uint8)), "jpeg").format == "png"


def test_chroma_is_subsampled_in_large_jpegs_only(color):
    def subsampling(pixels: np.ndarray) -> object:
        return pyvips.Image.jpegload_buffer(encode_image(Image(pixels, format="jpeg"))).get(
            "jpeg-chroma-subsample"
        )

    assert subsampling(color) == "4:4:4"
    assert subsampling(np.tile(color, (3, 3, 1))) == "4:2:0"


def test_a_picture_that_a_format_cannot_hold_is_refused():
    deep = Image(make_noise(4, 4, 3, dtype="uint16"))
    glass = Image(make_noise(4, 4, 3), make_noise(4, 4))
    for format in ("jpeg", "webp"):
        with pytest.raises(ImageError, match="8 bits"):
            encode_image(deep, format)
    with pytest.raises(ImageError, match="transparency"):
        encode_image(glass, "jpeg")


def test_a_picture_too_large_for_its_format_is_refused():
    with pytest.raises(ImageError, match=r"cannot be written as webp: .*16,383.*; choose png"):
        encode_image(Image(np.zeros((1, 16384), np.uint8)), "webp")


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.written])
def test_the_suffix_chooses_the_format_and_no_other_file_remains(name, tmp_path, color):
    path = tmp_path / f"picture{FORMATS[name].suffixes[0]}"
    write_image(path, Image(color))
    assert read_image(path).format == name
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "old.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError):
        write_image(path, Image(make_noise(4, 4, dtype="uint16")))
    assert path.read_bytes() == b"precious"
    with pytest.raises(ImageError, match="names no format"):
        write_image(tmp_path / "picture.xyz", Image(make_noise(4, 4)))
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "missing" / "picture.png", Image(make_noise(4, 4)))


def test_written_files_have_ordinary_permissions(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    path = tmp_path / "picture.png"
    write_image(path, Image(make_noise(4, 4)))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


@pytest.mark.parametrize("quality", [0, 101, -5])
@pytest.mark.parametrize("format", ["jpeg", "png", "heic"])
def test_a_quality_out_of_range_is_an_error(format, quality, color):
    with pytest.raises(ImageError, match=f"quality is {quality}; give a whole number from 1 to"):
        encode_image(Image(color), format, quality=quality)


def test_avif_has_the_same_bytes_whatever_the_number_of_threads(color):
    before = pyvips.concurrency_get()
    try:
        encoded = set()
        for threads in (1, 2, 3, 8):
            pyvips.concurrency_set(threads)
            encoded.add(encode_image(Image(color), "avif"))
            assert pyvips.concurrency_get() == threads
    finally:
        pyvips.concurrency_set(before)
    assert len(encoded) == 1
