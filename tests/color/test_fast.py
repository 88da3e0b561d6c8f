"""The fast conversions of whole photographs equal the exact ones."""

import numpy as np
import pytest

from colorizenet import color
from colorizenet.color.fast import fast_cie_f


def exactly_composed(l_star: np.ndarray, ab: np.ndarray) -> np.ndarray:
    lab = np.concatenate([l_star[..., None], ab], axis=-1).astype(np.float64)
    return color.linear_to_rgb(color.fade_linear(color.lab_to_linear(lab)))


@pytest.fixture(scope="module")
def planes() -> tuple[np.ndarray, np.ndarray]:
    """Every lightness with chroma inside and far outside the gamut, float32."""
    random = np.random.default_rng(5)
    l_star = np.repeat(np.linspace(0, 100, 512, dtype=np.float32)[:, None], 64, axis=1)
    spread = np.linspace(0, 60, 64)[None, :, None]
    return l_star, (random.normal(0, 1, (512, 64, 2)) * spread).astype(np.float32)


@pytest.mark.parametrize(("dtype", "levels"), [("uint8", 255), ("uint16", 65535)])
def test_composing_is_within_a_level_of_the_exact_conversion(planes, dtype, levels):
    composed = color.compose(*planes, np.dtype(dtype))
    error = composed.astype(np.float64) - exactly_composed(*planes) * levels
    # Half a level is the rounding; float32 light adds up to 3 levels of 65,535 in the
    # darkest blues
    assert np.abs(error).max() <= (0.56 if dtype == "uint8" else 4)
    assert composed.dtype == dtype and composed.shape == (512, 64, 3)


def test_composing_floats_is_the_exact_conversion(planes):
    composed = color.compose(*planes, np.dtype(np.float32))
    assert np.abs(composed - exactly_composed(*planes)).max() < 1e-4


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_fast_lightness_is_the_exact_one(dtype):
    rgb = np.random.default_rng(6).uniform(0, 1, (64, 64, 3))
    pixels = (
        rgb.astype(dtype)
        if dtype == "float32"
        else (rgb * np.iinfo(dtype).max).round().astype(dtype)
    )
    exact = color.rgb_to_lab(pixels / (1.0 if dtype == "float32" else np.iinfo(dtype).max))[..., 0]
    assert np.abs(color.lightness(pixels) - exact).max() < 2e-4
    gray = np.ascontiguousarray(pixels[..., 0])
    assert np.abs(color.lightness(gray) - color.lightness(np.dstack([gray] * 3))).max() < 2e-4


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_gray_composed_without_chroma_is_itself(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[None]
    composed = color.compose(
        color.lightness(levels), np.zeros((*levels.shape, 2), np.float32), levels.dtype
    )
    assert np.array_equal(composed[..., 0], composed[..., 1]) and np.array_equal(
        composed[..., 1], composed[..., 2]
    )
    assert np.abs(composed[..., 0].astype(int) - levels).max() <= (0 if dtype == "uint8" else 1)


def test_the_fast_lightness_function_is_the_exact_one_to_the_last_digits():
    t = np.concatenate([np.linspace(-0.2, 1.2, 10_001), np.geomspace(1e-6, 1, 10_001)])
    exact = color.cie_f(t)
    fast = fast_cie_f(t.astype(np.float32))
    assert np.abs(fast - exact).max() < 3e-7
    assert np.abs(color.invert_cie_f(exact) - t).max() < 1e-12


def test_lab_planes_are_the_exact_lab_of_each_picture():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5_001, 3), np.uint8)
    planes = color.lab_planes(*pictures)
    exact = color.rgb_to_lab(pictures / 255)
    assert all(plane.shape == (2, 5_001) and plane.dtype == np.float32 for plane in planes)
    assert np.abs(np.stack(planes, axis=-1) - exact).max() < 2e-4


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000])
def test_lab_planes_give_equal_pixels_equal_lab_and_grays_no_chroma(count):
    gray = np.random.default_rng(count).integers(0, 256, (count, 1), np.uint8).repeat(3, axis=1)
    l_star, a, b = color.lab_planes(gray, gray[::-1])
    assert (a == 0).all() and (b == 0).all()
    assert np.array_equal(l_star[0], l_star[1, ::-1])
