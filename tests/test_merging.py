"""JPEGs that store chroma at half size get the colors of the full computation."""

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from colorizenet import color
from colorizenet.colorizer import Chroma
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.writing import encode_image, is_subsampled
from colorizenet.merging import Merger
from colorizenet.options import Hint, Options


@pytest.fixture(scope="module")
def photo(request) -> np.ndarray:
    """A photo of 1.1 megapixels with odd sides and grain, gray uint8."""
    path = Path(__file__).parents[1] / "samples" / "black-canyon-1871.jpg"
    enlarged = cv2.resize(read_image(path).pixels, (1227, 903), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 5, enlarged.shape[:2])
    gray = enlarged if enlarged.ndim == 2 else enlarged[..., 0]
    return np.rint(gray + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def chroma(photo) -> Chroma:
    small = cv2.resize(photo, (176, 128), interpolation=cv2.INTER_AREA)
    ab = cv2.GaussianBlur(
        np.random.default_rng(1).normal(0, 120, (128, 176, 2)).astype(np.float32), (0, 0), 6
    )
    return Chroma(ab, color.lightness(small))


def convert_to_lab(pixels: np.ndarray) -> np.ndarray:
    return np.stack(color.lab_planes(pixels.reshape(-1, 3)), axis=-1).reshape(pixels.shape)


def write(picture, chroma: Chroma, options: Options = Options(), **settings) -> np.ndarray:
    """The decoded pixels of the JPEG that is written."""
    file = io.BytesIO()
    Merger().write(file, picture, chroma, options, format="jpeg", quality=100, note="", **settings)
    return read_image(file.getvalue()).pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_with_chroma_at_half_size_looks_as_if_computed_at_full_size(photo, chroma, channels):
    image = Image(photo if channels == 1 else np.dstack([photo] * 3), format="jpeg")
    assert is_subsampled(image, "jpeg")
    full = read_image(encode_image(Merger().merge(image, chroma, Options()), quality=100)).pixels
    fast = convert_to_lab(write(image, chroma))
    full = convert_to_lab(full)
    wanted = color.lightness(photo)
    errors = [np.abs(lab[..., 0] - wanted) for lab in (fast, full)]
    assert errors[0].mean() < 0.2 and errors[0].mean() < errors[1].mean() + 0.01
    assert np.percentile(errors[0], 99.9) < np.percentile(errors[1], 99.9) + 0.1
    difference = np.linalg.norm((fast - full)[..., 1:], axis=-1)
    assert difference.mean() < 0.5 and np.percentile(difference, 99.9) < 4
    assert np.abs((fast - full)[..., 1:].mean(axis=(0, 1))).max() < 0.05, "no shift of color"


def test_a_jpeg_with_chroma_at_full_size_is_computed_at_full_size(photo, chroma):
    image = Image(photo, format="jpeg", metadata=Metadata(jpeg_full_chroma=True))
    assert not is_subsampled(image, "jpeg")
    full = Merger().merge(image, chroma, Options())
    assert np.array_equal(write(image, chroma), read_image(encode_image(full, quality=100)).pixels)


@pytest.mark.parametrize("strip_pixels", [1, 1227 * 101, 1227 * 2000])
def test_strips_equal_the_whole_picture(photo, chroma, tmp_path, strip_pixels):
    options = Options(hints=(Hint(x=0.4, y=0.5, rgb=(200, 30, 30), radius=0.1),))
    whole = Image(photo, format="jpeg")
    path = tmp_path / "photo.png"
    path.write_bytes(encode_image(whole, "png"))
    expected = write(whole, chroma, options)
    with open_image(path) as file, (tmp_path / "result.jpg").open("w+b") as result:
        Merger(threads=2).write(
            result,
            file,
            chroma,
            options,
            format="jpeg",
            quality=100,
            note="",
            strip_pixels=strip_pixels,
        )
    strips = read_image(tmp_path / "result.jpg").pixels
    difference = np.abs(strips.astype(int) - expected)
    assert difference.max() <= 4 and difference.mean() < 0.01


def test_threads_do_not_change_a_pixel(photo, chroma):
    image = Image(photo, format="jpeg")
    one, three = (
        Merger(threads=threads).merge(image, chroma, Options(), subsampled=True).pixels
        for threads in (1, 3)
    )
    assert np.array_equal(one, three)
    assert one.shape == (903, 1227, 3)


def test_only_large_jpegs_store_chroma_at_half_size(photo):
    image = Image(photo, format="jpeg")
    assert not is_subsampled(image, "png")
    assert not is_subsampled(replace(image, pixels=photo[:800, :1200]), "jpeg")
