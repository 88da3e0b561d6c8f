"""Screening of training photos, and hashes of near-duplicates."""

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet.errors import ConfigError
from colorizenet.evaluation import metrics
from colorizenet.photosets import Photo, read_photo
from colorizenet.training.data.screen import Screen, difference_hash

OPEN = Screen(min_side=0, min_colorfulness=0.0, max_hue_concentration=1.0)
PHOTOGRAPHS = ("astronaut", "coffee", "cat")
SMALL = skimage.data.astronaut()[::8, ::8].copy()
law = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module", params=PHOTOGRAPHS)
def photograph(request) -> np.ndarray:
    """A real photograph in color."""
    return getattr(skimage.data, request.param)()


def grayed(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def print_in_ink(
    rgb: np.ndarray, ink: tuple[float, float, float] = (1.07, 0.87, 0.65)
) -> np.ndarray:
    """A print in one ink, by default sepia."""
    return np.clip(grayed(rgb) * np.array(ink), 0, 255).astype(np.uint8)


def noisy(rgb: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 2, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def as_jpeg(rgb: np.ndarray, quality: int = 75) -> np.ndarray:
    encoded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


# Screen


@pytest.mark.parametrize("side", [64, 100, 128, 400, 512])
def test_a_color_photo_passes_at_any_size(side):
    rgb = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    assert Screen().find_flaw(rgb) is None
    assert Screen().find_flaw(as_jpeg(rgb)) is None


def test_a_brown_photo_is_not_sepia(color_photograph):
    assert Screen().find_flaw(color_photograph) is None


def test_gray_photos_are_rejected_as_gray(photograph):
    for rgb in (grayed(photograph), as_jpeg(grayed(photograph)), noisy(grayed(photograph))):
        assert (Screen().find_flaw(rgb) or "").startswith("gray: colorfulness ")


@pytest.mark.parametrize(
    "ink", [(1.07, 0.87, 0.65), (0.7, 0.85, 1.1), (0.8, 1.1, 0.7)], ids=["sepia", "blue", "green"]
)
def test_photos_in_one_ink_are_rejected_as_sepia(photograph, ink):
    for rgb in (print_in_ink(photograph, ink), as_jpeg(print_in_ink(photograph, ink))):
        assert metrics.colorfulness(rgb) > Screen().min_colorfulness
        assert (Screen().find_flaw(rgb) or "").startswith("sepia: hue concentration ")


def test_gray_has_no_hue_concentration(photograph, samples):
    """Rounding errors of Lab have a hue, and must not count."""
    grays = [grayed(photograph), *(read_photo(Photo(path.name, path)) for path in samples)]
    assert all(Screen(min_colorfulness=0.0).find_flaw(gray) is None for gray in grays)


def test_old_photos_are_rejected(samples):
    assert all(Screen().find_flaw(read_photo(Photo(path.name, path))) for path in samples)


@pytest.mark.parametrize("shape", [(63, 200), (200, 63), (1, 1)])
def test_tiny_photos_are_rejected_whatever_their_colors(shape):
    rgb = cv2.resize(skimage.data.astronaut(), shape[::-1], interpolation=cv2.INTER_AREA)
    assert Screen().find_flaw(rgb) == f"tiny: {shape[1]} x {shape[0]}"
    assert (
        Screen(min_side=min(shape), min_colorfulness=0.0, max_hue_concentration=1.0).find_flaw(rgb)
        is None
    )


@law
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 3), st.integers(0, 255))
def test_an_open_screen_accepts_everything(height, width, kind, value):
    flat = np.full((height, width, 3), value, np.uint8)
    sepia = (flat * np.array([1, 0.8, 0.6])).astype(np.uint8)
    random = np.random.default_rng(value).integers(0, 256, flat.shape, np.uint8)
    assert OPEN.find_flaw((flat, sepia, random, grayed(random))[kind]) is None


@pytest.mark.parametrize(
    ("disabled", "rgb"),
    [
        ({"min_side": 0}, SMALL[::2, ::2].copy()),
        ({"min_colorfulness": 0.0}, grayed(SMALL)),
        ({"max_hue_concentration": 1.0}, print_in_ink(SMALL)),
    ],
)
def test_each_setting_disables_one_check(disabled, rgb):
    assert Screen().find_flaw(rgb)
    assert Screen(**disabled).find_flaw(rgb) is None
    strict = {"min_side": 10_000} if "min_side" not in disabled else {"min_colorfulness": 200.0}
    assert Screen(**disabled, **strict).find_flaw(rgb)


@law
@given(st.floats(0, 1), st.floats(0, 100), st.floats(0, 100), st.floats(0.5, 1), st.floats(0.5, 1))
def test_a_stricter_screen_accepts_no_additional_photo(
    saturation, colorfulness, other_colorfulness, concentration, other_concentration
):
    rgb = SMALL.astype(np.float32)
    gray = rgb.mean(axis=-1, keepdims=True)
    rgb = (gray + saturation * (rgb - gray)).astype(np.uint8)
    low, high = sorted((colorfulness, other_colorfulness))
    strict, loose = sorted((concentration, other_concentration))
    stricter = Screen(min_side=0, min_colorfulness=high, max_hue_concentration=strict)
    looser = Screen(min_side=0, min_colorfulness=low, max_hue_concentration=loose)
    assert looser.find_flaw(rgb) is None or stricter.find_flaw(rgb) is not None


def test_the_reason_has_the_value_of_the_whole_photo(photograph):
    flaw = Screen(min_colorfulness=200.0).find_flaw(photograph)
    assert flaw is not None
    assert float(flaw.removeprefix("gray: colorfulness ")) == pytest.approx(
        metrics.colorfulness(photograph), rel=0.05
    )


def test_screening_does_not_modify_the_photo(photograph):
    before = photograph.copy()
    Screen().find_flaw(photograph)
    assert np.array_equal(photograph, before)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_side": -1},
        {"min_colorfulness": -0.1},
        {"max_hue_concentration": 0.0},
        {"max_hue_concentration": 1.01},
        {"max_hue_concentration": -1.0},
    ],
)
def test_settings_out_of_range_are_rejected(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))) as error:
        Screen(**settings)
    assert str(error.value).isprintable()


# Difference hash


def count_different_bits(rgb: np.ndarray, other: np.ndarray) -> int:
    """In how many of 64 bits the hashes of two photos differ."""
    return (difference_hash(rgb) ^ difference_hash(other)).bit_count()


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.7])
@pytest.mark.parametrize("quality", [30, 90])
def test_copies_of_other_size_and_quality_have_nearly_equal_hashes(photograph, factor, quality):
    small = cv2.resize(photograph, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    assert count_different_bits(photograph, as_jpeg(small, quality)) <= 3


def test_another_exposure_has_a_nearly_equal_hash(photograph):
    assert count_different_bits(photograph, (photograph * 0.7).astype(np.uint8)) <= 6


def test_other_photos_have_other_hashes(photograph):
    mirrored, turned = np.ascontiguousarray(photograph[:, ::-1]), np.rot90(photograph).copy()
    others = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    others = [other for other in others if other.shape != photograph.shape]
    assert len(others) == 2
    assert all(
        count_different_bits(photograph, other) > 12 for other in (mirrored, turned, *others)
    )


def test_the_hash_follows_its_publication():
    """Bits from left to right and top to bottom, the first one the highest."""
    columns = np.array([0, 9, 5, 6, 7, 3, 2, 1, 8], np.uint8) * 20
    picture = np.repeat(np.tile(columns, (8, 1))[..., None], 3, axis=2)
    picture[1:] = 100
    enlarged = picture.repeat(10, axis=0).repeat(10, axis=1)
    assert difference_hash(picture) == difference_hash(enlarged) == 0b10110001 << 56


@law
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_the_hash_has_64_bits_for_any_picture(seed, height, width):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert 0 <= difference_hash(rgb) < 2**64
