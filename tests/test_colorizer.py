"""A colorizer keeps lightness, size and depth, and makes the inputs of its model."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import pyvips

from colorizenet import color
from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.errors import ConfigError, DeviceError, ImageError, ModelFileError
from colorizenet.evaluation import metrics
from colorizenet.imaging.conversion import convert_like
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.resampling import network_shape
from colorizenet.imaging.writing import encode_image, write_image
from colorizenet.merging import describe_colors
from colorizenet.modelfile import ModelCard, list_devices
from colorizenet.options import RENDERERS, Hint, Options

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
    """A network whose colors are out of gamut almost everywhere."""
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
    """Compared with the exact conversion in float64, not with lookup tables."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 64, axis=1)
    lab = color.rgb_to_lab(strong(levels).astype(np.float64) / 255)
    wanted = color.rgb_to_lab(np.repeat(levels[..., None], 3, axis=2).astype(np.float64) / 255)
    assert np.abs(lab[..., 0] - wanted[..., 0]).max() <= 0.6


def test_a_color_picture_is_treated_as_gray_of_its_lightness(colorizer, request):
    picture = request.getfixturevalue("color")
    result = colorizer(picture)
    l_star = color.lightness(picture)
    assert np.abs(color.lightness(result) - l_star).max() <= 0.6
    rgb = color.lab_to_rgb(np.dstack([l_star, 0 * l_star, 0 * l_star]))
    as_gray = np.round(rgb[..., 0] * 255).astype(np.uint8)
    # Equal except for the rounding of the gray to 8 bits.
    assert np.abs(result.astype(int) - colorizer(as_gray)).mean() < 2


def test_input_and_output_are_in_network_units(make_model):
    """The weights of the tiny network say a = 0.3 L and b = -0.2 L in network units."""
    colorizer = Colorizer(make_model(slope_a=0.3, slope_b=-0.2))
    [chroma] = colorizer.predict(np.full((64, 64), 119, np.uint8))
    ab = chroma.ab
    l_star = color.lightness(np.uint8([[119]]))[0, 0]
    assert ab[..., 0] == pytest.approx(0.3 * l_star / 100 * 128, rel=1e-4)
    assert ab[..., 1] == pytest.approx(-0.2 * l_star / 100 * 128, rel=1e-4)


def test_predict_applies_the_strength_of_the_card(make_model, gray):
    card = ModelCard(name="x", task="y", size=64)
    [plain] = Colorizer(make_model("plain.onnx", card=card.to_json())).predict(gray)
    halved = make_model("halved.onnx", card=replace(card, strength=0.5).to_json())
    [calm] = Colorizer(halved).predict(gray)
    assert np.allclose(calm.ab, plain.ab / 2, atol=1e-5)


def test_strength_scales_the_chroma(colorizer, gray):
    chroma = [
        np.abs(
            color.rgb_to_lab(colorizer(gray, strength=strength).astype(np.float32) / 255)[..., 1:]
        ).mean()
        for strength in (0.0, 0.5, 1.0, 1.5)
    ]
    assert chroma[0] == pytest.approx(0, abs=1e-4), "strength 0 is gray"
    assert chroma == sorted(chroma) and chroma[1] == pytest.approx(chroma[2] / 2, rel=0.05)
    with pytest.raises(ConfigError, match="strength is 3"):
        colorizer(gray, strength=3)


def test_the_shipped_model_gives_colorful_results(colorizer, samples):
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


def test_everything_but_the_pixels_of_an_image_is_kept(colorizer, gray):
    alpha = np.zeros_like(gray)
    metadata = Metadata(iptc=b"\x1c\x02\x05\x00\x01x")
    result = colorizer(Image(gray, alpha, "tiff", metadata, (3.0, 3.0)))
    assert result.alpha is alpha and result.format == "tiff"
    assert result.metadata == metadata and result.resolution == (3.0, 3.0)


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
def test_an_array_that_is_not_a_picture_is_an_error(colorizer, array):
    with pytest.raises(ImageError, match="picture"):
        colorizer(array)


@pytest.mark.parametrize(
    "shape", [(1, 1), (100, 100), (3000, 200), (200, 3000), (5000, 3), (1, 65_500), (2448, 3264)]
)
def test_the_network_input_keeps_the_aspect_and_its_area_is_bounded(shape):
    height, width = network_shape(shape, 256, 32)
    assert height % 32 == 0 and width % 32 == 0 and min(height, width) >= 32
    assert height * width <= 2.5 * 256**2
    aspect = (width / height) / (shape[1] / shape[0])
    assert 0.8 < aspect < 1.25 or max(shape) / min(shape) > 8


def test_a_device_that_is_not_available_is_an_error_that_lists_those_that_are():
    with pytest.raises(DeviceError, match=r"cannot run on nonsense, only on .*cpu"):
        Colorizer(device="nonsense")


@pytest.mark.parametrize("device", list_devices())
def test_every_device_of_this_machine_gives_the_colors_of_the_cpu(device, gray):
    """Within one level. Machines differ in their devices; every one has the CPU."""
    colored = Colorizer(device=device)(gray)
    assert np.abs(colored.astype(int) - Colorizer()(gray)).max() <= 1


def test_an_unknown_model_names_those_that_ship():
    with pytest.raises(ModelFileError, match="give one of default"):
        Colorizer("no-such-model")


def test_pictures_of_every_kind_give_the_same_colors(colorizer, gray, tmp_path):
    expected = colorizer(gray)
    path = tmp_path / "a.png"
    path.write_bytes(encode_image(Image(gray), "png"))
    assert np.array_equal(colorizer(Image(gray)).pixels, expected)
    assert np.array_equal(colorizer(path).pixels, expected)
    assert np.array_equal(colorizer(str(path)).pixels, expected)
    assert np.array_equal(colorizer(path.read_bytes()).pixels, expected)
    with PIL.Image.open(path) as opened:
        result = colorizer(opened)
    assert isinstance(result, PIL.Image.Image) and result.mode == "RGB"
    assert np.array_equal(np.asarray(result), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pil_images_of_every_mode_are_accepted(strong, gray, mode):
    if mode == "I;16":
        given = PIL.Image.fromarray(gray.astype(np.uint16) * 257)
    else:
        given = PIL.Image.fromarray(gray).convert(mode)
    result = strong(given)
    assert result.size == given.size
    assert result.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")
    if mode == "L":
        assert np.abs(color.lightness(np.asarray(result)) - color.lightness(gray)).max() <= 0.6
    if mode == "I;16":
        assert np.abs(np.asarray(result).astype(int) - strong(gray)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "I;16"])
def test_pil_images_are_as_upright_and_in_srgb_as_their_files(
    strong, color_photograph, mode, tmp_path
):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    wide = pyvips.Image.new_from_array(color_photograph).icc_transform("p3", input_profile="srgb")
    if mode == "I;16":
        given = PIL.Image.fromarray(color_photograph[..., 0].astype(np.uint16) * 257)
    else:
        given = PIL.Image.fromarray(wide.numpy()).convert(mode)
    profile = wide.get("icc-profile-data") if mode in ("RGB", "RGBA") else None
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    given.save(path, exif=exif, icc_profile=profile)
    opened = PIL.Image.open(io.BytesIO(path.read_bytes()))  # PIL 13 scrambles it as a file
    result = strong(opened)
    expected = convert_like(strong(path), opened)
    assert result.size == given.size[::-1] and result.mode == expected.mode
    assert np.abs(np.asarray(result).astype(int) - np.asarray(expected)).max() <= 1


def test_pil_images_with_odd_exif_and_a_transparent_color_are_read(strong, gray):
    odd, turned = PIL.Image.Exif(), PIL.Image.Exif()
    odd[0x0112], turned[0x0112] = 99, 6
    picture = PIL.Image.fromarray(np.dstack([gray] * 3))
    picture.info["transparency"] = tuple(map(int, gray[0, :1].repeat(3)))
    file = io.BytesIO()
    picture.save(file, "PNG", exif=turned)
    result = strong(PIL.Image.open(file))
    assert result.mode == "RGBA" and result.size == gray.shape
    assert result.getpixel((gray.shape[0] - 1, 0))[3] == 0  # the upper left corner, turned
    picture = PIL.Image.fromarray(gray)
    for exif, mode in ((odd, "L"), (turned, "I")):
        file = io.BytesIO()
        picture.save(file, "TIFF" if mode == "I" else "PNG", exif=exif)
        opened = PIL.Image.open(file).convert(mode)
        opened.getexif().update(exif)
        assert sorted(strong(opened).size) == sorted(gray.shape)


def test_16_bits_are_rounded_to_8():
    deep = np.arange(0, 65536, 7, dtype=np.uint16)[None]
    image = Image(np.dstack([deep] * 3))
    converted = np.asarray(convert_like(image, PIL.Image.new("L", (1, 1))))
    assert np.array_equal(converted[0, :, 0], np.rint(deep[0] / 257))


def test_a_pil_image_whose_values_would_be_cut_is_an_error(strong, gray):
    deep = PIL.Image.fromarray(gray.astype(np.int32) * 257)
    assert deep.mode == "I"
    with pytest.raises(ImageError, match=f"mode I has values from .* to {int(gray.max()) * 257}"):
        strong(deep)
    result = np.asarray(strong(PIL.Image.fromarray(gray.astype(np.int32))))
    assert np.abs(result.astype(int) - strong(gray)).max() <= 1


def test_a_pil_image_of_floats_is_in_the_range_of_floats(strong, gray):
    floats = gray.astype(np.float32) / 255
    result = np.asarray(strong(PIL.Image.fromarray(floats))).astype(int)
    assert np.abs(result - strong(gray)).max() <= 1
    with pytest.raises(ImageError, match=r"values outside 0\.\.1"):
        strong(PIL.Image.fromarray(gray).convert("F"))


@pytest.mark.parametrize("picture", [None, 7, ["a.jpg"], io.BytesIO(b""), bytearray(b"")])
def test_any_other_object_is_a_type_error_that_says_what_is_accepted(strong, picture):
    for method in (strong, strong.predict, strong.reduce):
        with pytest.raises(
            TypeError, match="an Image, a NumPy array, a path, encoded bytes or a PIL"
        ):
            method(picture)


def test_overrides_replace_single_options(strong, gray):
    options = Options(strength=0.5, size=128)
    expected = strong(gray, Options(strength=1.5, size=128))
    assert np.array_equal(strong(gray, options, strength=1.5), expected)
    with pytest.raises(TypeError, match="strenth"):
        strong(gray, strenth=1.5)


@pytest.mark.parametrize("tta", [False, True])
def test_applying_a_prediction_equals_a_call(colorizer, gray, tta):
    for picture in (gray, Image(gray), Image(np.concatenate([gray, 255 - gray]), pages=2)):
        options = Options(strength=1.3, size=128, tta=tta)
        [chroma] = colorizer.predict(picture, options)
        applied, called = colorizer.apply(picture, chroma, options), colorizer(picture, options)
        if isinstance(picture, Image):
            assert applied.note == called.note == describe_colors(options)
            applied, called = applied.pixels, called.pixels
        assert np.array_equal(applied, called)


def test_a_prediction_does_not_depend_on_strength(colorizer, gray):
    [calm] = colorizer.predict(gray, Options(strength=0))
    [strong] = colorizer.predict(gray, Options(strength=2))
    assert np.array_equal(calm.ab, strong.ab) and np.array_equal(calm.l_star, strong.l_star)
    assert calm.ab.dtype == np.float32 and calm.ab.shape == (*calm.l_star.shape, 2)


@pytest.mark.parametrize("slope", [float("nan"), float("inf"), 1e30, -1e37, 1e5])
@pytest.mark.parametrize("options", [Options(), Options(strength=0), Options(tta=True)])
def test_values_of_a_network_that_are_not_colors_are_an_error(make_model, gray, slope, options):
    with pytest.raises(ModelFileError, match="tiny gave values that are not finite or beyond"):
        Colorizer(make_model(slope_b=slope))(gray, options)


def test_applying_does_not_run_the_network(tmp_path, make_model, gray):
    """The chroma of one model is applied by another, whose network would fail."""
    [chroma] = Colorizer(make_model(slope_a=0.5)).predict(gray)
    expected = Colorizer(make_model(slope_a=0.5)).apply(gray, chroma)
    broken = Colorizer(make_model("broken.onnx", slope_a=float("nan")))
    with pytest.raises(ModelFileError, match="not finite"):
        broken(gray)
    assert np.array_equal(broken.apply(gray, chroma), expected)
    write_image(tmp_path / "a.png", Image(gray))
    with open_image(tmp_path / "a.png") as file:
        assert next(broken.apply_strips(file, chroma, rows=10)).shape == (10, 451, 3)


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("pages", [1, 2])
def test_applying_in_strips_equals_applying_at_once(strong, gray, tmp_path, rows, pages):
    pixels = np.concatenate([gray[:100], 255 - gray[:100]][:pages])
    write_image(tmp_path / "a.tif", Image(pixels, pixels, pages=pages))
    options = Options(strength=1.2)
    with open_image(tmp_path / "a.tif") as file:
        [chroma] = strong.predict(file, options)
        strips = list(strong.apply_strips(file, chroma, options, rows=rows))
        whole = strong.apply(file.read(), chroma, options)
    assert max(map(len, strips)) <= rows
    assert np.array_equal(np.concatenate(strips), np.dstack([whole.pixels, whole.alpha]))


def test_a_reduced_picture_can_be_predicted_in_place_of_the_picture(colorizer, samples):
    reduced = colorizer.reduce(samples[0])
    assert max(reduced.pages[0].shape) < 600
    [expected], [found] = colorizer.predict(samples[0]), colorizer.predict(reduced)
    assert np.array_equal(found.ab, expected.ab)
    with open_image(samples[0]) as file:
        [from_file] = colorizer.predict(file)
    assert np.abs(from_file.ab - expected.ab).max() < 2, "equal up to the rounding of strips"


def test_chroma_lists_its_pages():
    one = Chroma(np.zeros((4, 6, 2), np.float32), np.zeros((4, 6), np.float32))
    two = Chroma(np.zeros((2, 4, 6, 2), np.float32), np.zeros((2, 4, 6), np.float32))
    assert [ab.shape for ab, _ in one.pages()] == [(4, 6, 2)]
    assert [ab.shape for ab, _ in two.pages()] == [(4, 6, 2)] * 2


RED = Hint(x=0.25, y=0.5, rgb=(200, 30, 30), radius=0.2)


def test_a_setting_whose_input_the_model_lacks_is_an_error(colorizer, gray):
    with pytest.raises(ConfigError, match="the model default takes no noise, which seed needs"):
        colorizer(gray, seed=1)
    with pytest.raises(ConfigError, match="default cannot draw variants"):
        colorizer.predict(gray, count=2)
    with pytest.raises(ValueError, match="count is 0"):
        colorizer.predict(gray, count=0)


def test_hints_reach_a_model_that_takes_them(make_sum_model, gray):
    """The network gives a = coverage + b of the hints and b = a of the hints."""
    hinted = Colorizer(make_sum_model("hints", 3))
    assert hinted.card.takes("hints") and not hinted.card.takes("noise")
    [plain] = hinted.predict(gray)
    assert not plain.ab.any()
    [chroma] = hinted.predict(gray, Options(hints=(RED,)))
    height, width = chroma.l_star.shape
    expected = color.rgb_to_lab(np.array(RED.rgb) / 255)[1:]
    center = chroma.ab[height // 2, width // 4]
    assert center == pytest.approx([color.AB_SCALE + expected[1], expected[0]], abs=1e-3)
    assert not chroma.ab[:, width // 2 :].any()
    result = hinted(gray, hints=(RED,))
    assert np.ptp(result[:, 300:].astype(int), axis=2).max() <= 1 < np.ptp(result[150, 112])
    [augmented] = hinted.predict(gray, Options(hints=(RED,), tta=True))
    assert augmented.ab[height // 2, width // 4] == pytest.approx(center, rel=0.05)
    assert np.abs(augmented.ab[:, 3 * width // 4 :]).max() < 1, "mirrored together with the picture"


def test_an_input_is_added_by_a_renderer(make_sum_model, gray):
    """No module changes: the card names the input and the mapping makes it."""

    def render_depth(options: Options, shape: tuple[int, int]) -> np.ndarray:
        return np.full((1, *shape), options.strength / 10)

    path = make_sum_model("depth", 1)
    with pytest.raises(ConfigError, match="takes depth, which this version cannot make"):
        Colorizer(path)(gray)
    colorizer = Colorizer(path, renderers={**RENDERERS, "depth": render_depth})
    [chroma] = colorizer.predict(gray, Options(strength=2))
    assert np.allclose(chroma.ab, [0.2 * color.AB_SCALE, 0])


def test_an_input_of_another_number_of_channels_is_an_error(make_sum_model, gray):
    with pytest.raises(
        ModelFileError, match="takes hints with 5 channels and this version makes 3"
    ):
        Colorizer(make_sum_model("hints", 5))(gray)


def add_border(gray: np.ndarray, level: int) -> np.ndarray:
    """A gray picture with a border of 30 to 100 pixels and the noise of a scanner."""
    bordered = np.pad(gray, ((30, 60), (100, 40)), constant_values=level).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 1.5, bordered.shape)
    noise[30:-60, 100:-40] = 0
    return np.rint(bordered + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [0, 255])
def test_a_border_has_no_color_and_does_not_change_those_of_the_photo(colorizer, gray, level):
    bordered = add_border(gray, level)
    result = colorizer(bordered)
    inside = result[30:-60, 100:-40]
    shift = metrics.ciede2000(np.ascontiguousarray(inside), colorizer(gray))
    [chroma] = colorizer.predict(colorizer.reduce(bordered, crop_borders=False))
    with_border = colorizer.apply(bordered, chroma)[30:-60, 100:-40]
    assert shift < 1.5
    assert 1.5 * shift < metrics.ciede2000(np.ascontiguousarray(with_border), colorizer(gray))
    outside = np.ones(bordered.shape, bool)
    outside[28:-58, 98:-38] = False
    assert np.ptp(result[outside].astype(int), axis=1).max() == 0, "gray"
    assert np.abs(color.lightness(result) - color.lightness(bordered)).max() <= 0.6


def test_the_network_input_without_the_border_has_the_size_of_the_card(colorizer, gray):
    reduced = colorizer.reduce(add_border(gray, 0), Options(size=128))
    [page] = reduced.pages
    assert page.shape == network_shape(gray.shape, 128, colorizer.card.size_multiple)
    wide = np.pad(gray, ((0, 0), (150, 150)), constant_values=255)
    assert colorizer.reduce(wide, Options(size=128)).pages[0].shape == page.shape
    whole = colorizer.reduce(wide, Options(size=128), crop_borders=False)
    assert whole.borders == () and whole.pages[0].shape[1] > page.shape[1]


def test_a_photo_without_a_border_is_reduced_as_if_none_were_looked_for(colorizer, samples):
    for path in samples[:3]:
        found, plain = colorizer.reduce(path), colorizer.reduce(path, crop_borders=False)
        assert found.borders == () and np.array_equal(found.pages[0], plain.pages[0])


@pytest.mark.parametrize("pages", [1, 3])
def test_borders_are_left_out_in_strips_and_for_each_page(colorizer, gray, tmp_path, pages):
    """The first page has a black border, the second one a white one, the third none."""
    bordered = add_border(gray, 0)
    height, width = bordered.shape
    plain = np.tile(gray, (2, 2))[:height, :width]
    pixels = np.concatenate([bordered, np.flip(add_border(gray, 255)), plain][:pages])
    picture = Image(pixels, format="tiff", pages=pages)
    [chroma] = colorizer.predict(picture)
    assert [border is not None for border in chroma.borders] == [True, True, False][:pages]
    expected = colorizer.apply(picture, chroma).pixels
    write_image(tmp_path / "a.tif", picture)
    with open_image(tmp_path / "a.tif") as file:
        [from_file] = colorizer.predict(file)
        assert [b and b.inner_box(bordered.shape) for b in from_file.borders] == [
            b and b.inner_box(bordered.shape) for b in chroma.borders
        ]
        assert np.abs(from_file.ab - chroma.ab).max() < 3, "equal up to the rounding of strips"
        strips = list(colorizer.apply_strips(file, chroma, rows=50))
    difference = np.abs(np.concatenate(strips).astype(int) - expected)
    assert difference.max() <= 1
    outside = np.concatenate([expected[:28], expected[height - 58 : height]])
    assert np.ptp(outside.astype(int), axis=2).max() == 0
    if pages == 3:
        alone = colorizer(np.ascontiguousarray(np.flip(add_border(gray, 255))))
        second = expected[height : 2 * height]
        assert metrics.ciede2000(np.ascontiguousarray(second), alone) < 1


def test_hints_keep_their_places_in_a_photo_with_a_border(make_sum_model, gray):
    """The hint is in the upper left corner of the photo, and as wide as without the
    border."""
    hinted = Colorizer(make_sum_model("hints", 3))
    bordered = add_border(gray, 0)
    height, width = bordered.shape
    hint = Hint(x=120 / width, y=50 / height, rgb=(200, 30, 30), radius=15 / min(bordered.shape))
    [chroma] = hinted.predict(bordered, Options(hints=(hint,)))
    assert chroma.borders
    assert hinted.predict(gray)[0].ab.shape == chroma.ab.shape
    result = hinted(bordered, hints=(hint,), size=256)
    chosen = np.ptp(result.astype(int), axis=2) > 20
    down, across = np.nonzero(chosen)
    assert down.mean() == pytest.approx(50, abs=4) and across.mean() == pytest.approx(120, abs=4)
    assert np.ptp(down) == pytest.approx(30, abs=10)
