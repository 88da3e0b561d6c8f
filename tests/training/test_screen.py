"""Which photographs are left out of training, and which count as the same."""

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet.errors import ConfigError
from colorizenet.evaluation import metrics
from colorizenet.photosets import Photo, decode
from colorizenet.training.data.screen import Screen, difference_hash

OPEN = Screen(min_side=0, min_colorfulness=0.0, max_tone=1.0)
PHOTOGRAPHS = ("astronaut", "coffee", "cat")
SMALL = skimage.data.astronaut()[::8, ::8].copy()
law = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module", params=PHOTOGRAPHS)
def photograph(request) -> np.ndarray:
    """A real photograph in color."""
    return getattr(skimage.data, request.param)()


def grayed(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def toned(rgb: np.ndarray, ink: tuple[float, float, float] = (1.07, 0.87, 0.65)) -> np.ndarray:
    """A print of one ink, sepia unless another is given."""
    return np.clip(grayed(rgb) * np.array(ink), 0, 255).astype(np.uint8)


def noisy(rgb: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 2, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def as_jpeg(rgb: np.ndarray, quality: int = 75) -> np.ndarray:
    encoded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


# What is left out


@pytest.mark.parametrize("side", [64, 100, 128, 400, 512])
def test_a_photograph_in_color_stays_at_any_size(side):
    rgb = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    assert Screen().flaw(rgb) is None
    assert Screen().flaw(as_jpeg(rgb)) is None


def test_even_a_brown_photograph_is_not_of_one_ink(color_photograph):
    assert Screen().flaw(color_photograph) is None


def test_a_gray_photograph_is_left_out_as_gray(photograph):
    for rgb in (grayed(photograph), as_jpeg(grayed(photograph)), noisy(grayed(photograph))):
        assert (Screen().flaw(rgb) or "").startswith("gray: colorfulness ")


@pytest.mark.parametrize(
    "ink", [(1.07, 0.87, 0.65), (0.7, 0.85, 1.1), (0.8, 1.1, 0.7)], ids=["sepia", "blue", "green"]
)
def test_a_photograph_of_one_ink_is_left_out_as_toned(photograph, ink):
    for rgb in (toned(photograph, ink), as_jpeg(toned(photograph, ink))):
        assert (
            metrics.colorfulness(rgb) > Screen().min_colorfulness
        )  # so that only its tone can tell
        assert (Screen().flaw(rgb) or "").startswith("toned: ")


def test_gray_has_no_tone(photograph, samples):
    """Not even that of the rounding of its Lab."""
    grays = [grayed(photograph), *(decode(Photo(path.name, path)) for path in samples)]
    assert all(Screen(min_colorfulness=0.0).flaw(gray) is None for gray in grays)


def test_old_photographs_are_left_out(samples):
    assert all(Screen().flaw(decode(Photo(path.name, path))) for path in samples)


@pytest.mark.parametrize("shape", [(63, 200), (200, 63), (1, 1)])
def test_a_tiny_picture_is_left_out_whatever_its_colors(shape):
    rgb = cv2.resize(skimage.data.astronaut(), shape[::-1], interpolation=cv2.INTER_AREA)
    assert Screen().flaw(rgb) == f"tiny: {shape[1]} x {shape[0]}"
    assert Screen(min_side=min(shape), min_colorfulness=0.0, max_tone=1.0).flaw(rgb) is None


@law
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 3), st.integers(0, 255))
def test_a_screen_that_is_open_lets_everything_in(height, width, kind, value):
    flat = np.full((height, width, 3), value, np.uint8)
    sepia = (flat * np.array([1, 0.8, 0.6])).astype(np.uint8)
    random = np.random.default_rng(value).integers(0, 256, flat.shape, np.uint8)
    assert OPEN.flaw((flat, sepia, random, grayed(random))[kind]) is None


@pytest.mark.parametrize(
    ("open_to", "rgb"),
    [
        ({"min_side": 0}, SMALL[::2, ::2].copy()),
        ({"min_colorfulness": 0.0}, grayed(SMALL)),
        ({"max_tone": 1.0}, toned(SMALL)),
    ],
)
def test_each_setting_opens_its_own_gate_and_no_other(open_to, rgb):
    assert Screen().flaw(rgb)
    assert Screen(**open_to).flaw(rgb) is None
    closed = {"min_side": 10_000} if "min_side" not in open_to else {"min_colorfulness": 200.0}
    assert Screen(**open_to, **closed).flaw(rgb)


@law
@given(st.floats(0, 1), st.floats(0, 100), st.floats(0, 100), st.floats(0.5, 1), st.floats(0.5, 1))
def test_a_stricter_screen_lets_nothing_more_in(
    saturation, colorfulness, other_colorfulness, tone, other_tone
):
    rgb = SMALL.astype(np.float32)
    gray = rgb.mean(axis=-1, keepdims=True)
    rgb = (gray + saturation * (rgb - gray)).astype(np.uint8)
    low, high = sorted((colorfulness, other_colorfulness))
    strict, loose = sorted((tone, other_tone))
    stricter = Screen(min_side=0, min_colorfulness=high, max_tone=strict)
    looser = Screen(min_side=0, min_colorfulness=low, max_tone=loose)
    assert looser.flaw(rgb) is None or stricter.flaw(rgb) is not None


def test_the_flaw_is_told_with_the_figure_that_the_whole_picture_has(photograph):
    told = Screen(min_colorfulness=200.0).flaw(photograph)
    assert told is not None
    assert float(told.removeprefix("gray: colorfulness ")) == pytest.approx(
        metrics.colorfulness(photograph), rel=0.05
    )


def test_judging_leaves_the_picture_as_it_was(photograph):
    before = photograph.copy()
    Screen().flaw(photograph)
    assert np.array_equal(photograph, before)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_side": -1},
        {"min_colorfulness": -0.1},
        {"max_tone": 0.0},
        {"max_tone": 1.01},
        {"max_tone": -1.0},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))) as error:
        Screen(**settings)
    assert str(error.value).isprintable()


# What counts as the same


def apart(rgb: np.ndarray, other: np.ndarray) -> int:
    """In how many of 64 bits two pictures differ."""
    return (difference_hash(rgb) ^ difference_hash(other)).bit_count()


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.7])
@pytest.mark.parametrize("quality", [30, 90])
def test_a_copy_of_another_size_and_quality_has_nearly_the_same_hash(photograph, factor, quality):
    small = cv2.resize(photograph, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    assert apart(photograph, as_jpeg(small, quality)) <= 3


def test_another_exposure_has_nearly_the_same_hash(photograph):
    assert apart(photograph, (photograph * 0.7).astype(np.uint8)) <= 6


def test_other_pictures_have_other_hashes(photograph):
    mirrored, turned = np.ascontiguousarray(photograph[:, ::-1]), np.rot90(photograph).copy()
    others = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    others = [other for other in others if other.shape != photograph.shape]
    assert len(others) == 2
    assert all(apart(photograph, other) > 12 for other in (mirrored, turned, *others))


def test_the_hash_is_the_one_of_its_source():
    """From left to right, from top to bottom, the first bit the highest."""
    columns = np.array([0, 9, 5, 6, 7, 3, 2, 1, 8], np.uint8) * 20
    picture = np.repeat(np.tile(columns, (8, 1))[..., None], 3, axis=2)
    picture[1:] = 100
    enlarged = picture.repeat(10, axis=0).repeat(10, axis=1)
    assert difference_hash(picture) == difference_hash(enlarged) == 0b10110001 << 56


@law
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_a_hash_is_64_bits_of_any_picture(seed, height, width):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert 0 <= difference_hash(rgb) < 2**64
