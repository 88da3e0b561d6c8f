"""Model + picture -> picture: the lightness, the size and the depth are those of the input."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.imaging.resampling import network_shape
from colorizenet.errors import DeviceError, ImageError, ModelFileError
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.modelfile import ModelCard

SHAPES = [
    (1, 1),
    (1, 300),
    (300, 1),
    (70_000, 1),
    (2, 3),
    (33, 65),
    (256, 256),
    (301, 517),
    (30, 3000),
]


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """The model inside the package."""
    return Colorizer()


@pytest.fixture
def strong(make_model) -> Colorizer:
    """A network whose colors leave sRGB almost everywhere."""
    return Colorizer(make_model(slope_a=0.9, slope_b=-0.9))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "allowed"), [("uint8", 0.6), ("uint16", 0.02), ("float32", 0.02)]
)
def test_lightness_size_and_depth_are_kept(strong, shape, dtype, allowed):
    random = np.random.default_rng(0)
    gray = random.uniform(0, 1, shape)
    pixels = (
        gray.astype(dtype)
        if dtype == "float32"
        else (gray * np.iinfo(dtype).max).round().astype(dtype)
    )
    result = strong(pixels)
    assert result.shape == (*shape, 3) and result.dtype == dtype
    assert np.abs(color.lightness(result) - color.lightness(pixels)).max() <= allowed


def test_every_level_of_gray_keeps_its_lightness(strong):
    """Against the exact conversion in float64, not our own tables."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 64, axis=1)
    lab = color.rgb_to_lab(strong(levels).astype(np.float64) / 255)
    wanted = color.rgb_to_lab(np.repeat(levels[..., None], 3, axis=2).astype(np.float64) / 255)
    assert np.abs(lab[..., 0] - wanted[..., 0]).max() <= 0.6


def test_a_color_input_is_treated_as_gray_by_its_lightness(colorizer, color):
    result = colorizer(color)
    assert np.abs(color.lightness(result) - color.lightness(color)).max() <= 0.6
    l_star = color.lightness(color)
    as_gray = np.round(
        color.lab_to_rgb(np.dstack([l_star, 0 * l_star, 0 * l_star]))[..., 0] * 255
    ).astype(np.uint8)
    # The same but for the rounding of the gray to 8 bits
    assert np.abs(result.astype(int) - colorizer(as_gray)).mean() < 2


def test_the_network_is_given_and_gives_network_units(make_model, gray):
    """a = 0.3 L and b = -0.2 L in network units, by the tiny network's own weights."""
    ab = Colorizer(make_model(slope_a=0.3, slope_b=-0.2)).chroma(np.full((64, 64), 119, np.uint8))
    l_star = color.lightness(np.uint8([[119]]))[0, 0]
    assert ab[..., 0] == pytest.approx(0.3 * l_star / 100 * 128, rel=1e-4)
    assert ab[..., 1] == pytest.approx(-0.2 * l_star / 100 * 128, rel=1e-4)


def test_the_strength_of_the_card_is_applied_before_anyone_asks(make_model, gray):
    card = ModelCard(name="x", task="y", size=64)
    plain = Colorizer(make_model("plain.onnx", card=card.to_json())).chroma(gray)
    calm = Colorizer(make_model("calm.onnx", card=replace(card, strength=0.5).to_json())).chroma(
        gray
    )
    assert np.allclose(calm, plain / 2, atol=1e-5)


def test_strength_scales_the_chroma(colorizer, gray):
    chroma = [
        np.abs(
            color.rgb_to_lab(colorizer(gray, strength=strength).astype(np.float32) / 255)[..., 1:]
        ).mean()
        for strength in (0.0, 0.5, 1.0, 1.5)
    ]
    assert chroma[0] == pytest.approx(0, abs=1e-4), "strength 0 is gray"
    assert chroma == sorted(chroma) and chroma[1] == pytest.approx(chroma[2] / 2, rel=0.05)
    with pytest.raises(ValueError, match="strength is 3"):
        colorizer(gray, strength=3)


def test_the_shipped_model_brings_real_color(colorizer, samples):
    for path in samples:
        image = read_image(path)
        result = colorizer(image)
        lab = color.rgb_to_lab(result.pixels.astype(np.float32) / 255)
        assert np.hypot(lab[..., 1], lab[..., 2]).mean() > 3, path.name
        assert np.abs(lab[..., 0] - color.lightness(image.pixels)).max() <= 0.6, path.name


def test_grass_is_green_and_sky_is_blue(colorizer, samples):
    image = read_image(next(path for path in samples if path.stem == "cameraman"))
    lab = color.rgb_to_lab(colorizer(image).pixels.astype(np.float32) / 255)
    grass, sky = lab[300:420, 340:500].mean(axis=(0, 1)), lab[20:120, 20:180].mean(axis=(0, 1))
    assert grass[1] < -2 and grass[2] > 15
    assert sky[2] < -5


def test_all_but_the_pixels_of_an_image_is_kept(colorizer, gray):
    alpha = np.zeros_like(gray)
    result = colorizer(Image(gray, alpha, "tiff", {"exif-ifd0-Artist": (0, "x")}, (3.0, 3.0)))
    assert result.alpha is alpha and result.format == "tiff"
    assert result.carried == {"exif-ifd0-Artist": (0, "x")} and result.resolution == (3.0, 3.0)


def test_calls_from_many_threads_give_what_one_gives(colorizer, gray):
    wanted = colorizer(gray)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: colorizer(gray), range(8)))
    assert all(np.array_equal(result, wanted) for result in results)


def test_the_input_is_not_changed(colorizer, gray):
    before = gray.copy()
    colorizer(gray)
    assert np.array_equal(gray, before)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), np.int32),
        np.full((4, 4), 1.5),
        np.full((4, 4), np.nan),
        np.zeros((4, 4), bool),
        np.zeros((4, 4), np.float16),
    ],
)
def test_what_is_no_picture_is_refused(colorizer, array):
    with pytest.raises(ImageError, match="picture"):
        colorizer(array)


@pytest.mark.parametrize(
    "shape", [(1, 1), (100, 100), (3000, 200), (200, 3000), (5000, 3), (1, 65_500), (2448, 3264)]
)
def test_what_the_network_sees_keeps_the_aspect_and_is_bounded(shape):
    height, width = network_shape(shape, 256, 32)
    assert height % 32 == 0 and width % 32 == 0 and min(height, width) >= 32
    assert height * width <= 2.5 * 256**2
    aspect = (width / height) / (shape[1] / shape[0])
    assert 0.8 < aspect < 1.25 or max(shape) / min(shape) > 8


def test_a_provider_that_is_not_there_is_said_so():
    with pytest.raises(DeviceError, match=r"cannot run on nonsense, only on .*cpu"):
        Colorizer(provider="nonsense")


def test_an_unknown_model_names_those_that_ship():
    with pytest.raises(ModelFileError, match="give one of default"):
        Colorizer("no-such-model")
