"""The laws of color: grays stay gray, conversions undo each other, fading keeps lightness."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import colorconv, rgb2lab, xyz2lab

from colorizenet import color

law = settings(deadline=None, max_examples=60)  # the first call of PyTorch is slow

every_kind = pytest.mark.parametrize(
    "array",
    [
        pytest.param(lambda values: np.asarray(values, np.float32), id="numpy-float32"),
        pytest.param(lambda values: np.asarray(values, np.float64), id="numpy-float64"),
        pytest.param(
            lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float32),
            id="torch-float32",
        ),
        pytest.param(
            lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float64),
            id="torch-float64",
        ),
    ],
)
"""``array`` makes the same colors of NumPy or PyTorch, in single or double precision."""

CONVERSIONS = [
    color.rgb_to_linear,
    color.linear_to_rgb,
    color.linear_to_lab,
    color.lab_to_linear,
    color.rgb_to_lab,
    color.lab_to_rgb,
    color.fade_linear,
    color.fade_to_gamut,
]
every_conversion = pytest.mark.parametrize(
    "convert", CONVERSIONS, ids=lambda function: function.__name__
)

unit = st.floats(0, 1, width=32)
rgb_colors = st.tuples(unit, unit, unit)
wide = st.floats(-0.5, 1.5, width=32)
lab_colors = st.tuples(
    st.floats(0, 100, width=32), st.floats(-128, 127, width=32), st.floats(-128, 127, width=32)
)

SLACK = 1.2e-6  # fade_to_gamut calls 1e-6 outside still inside; the rest is rounding


def random_lab(count):
    """Lab colors of all lightnesses and as saturated as a wild network; most are out of gamut."""
    random = np.random.default_rng(0)
    return np.column_stack([random.uniform(0, 100, count), random.uniform(-110, 110, (count, 2))])


def saturated_lab(count, factor):
    """Lab colors of random sRGB whose chroma is multiplied; those that leave the gamut."""
    lab = color.rgb_to_lab(np.random.default_rng(0).random((count, 3))) * np.array(
        [1, factor, factor]
    )
    linear = color.lab_to_linear(lab)
    return lab[((linear < 0) | (linear > 1)).any(-1)]


def hue_error(lab, other):
    """The angle between two hues, in degrees."""
    turn = np.arctan2(lab[..., 2], lab[..., 1]) - np.arctan2(other[..., 2], other[..., 1])
    return np.degrees(np.abs(np.angle(np.exp(1j * turn))))


def chroma(lab):
    return np.hypot(lab[..., 1], lab[..., 2])


# Grays


@every_kind
@law
@given(levels=st.lists(unit, min_size=1, max_size=40))
def test_gray_has_no_chroma(array, levels):
    gray = array(np.repeat(levels, 3).reshape(-1, 3))
    assert (color.rgb_to_lab(gray)[:, 1:] == 0).all()


@every_kind
@pytest.mark.parametrize("count", [*range(1, 35), 100_003])
def test_gray_has_no_chroma_wherever_it_lies_in_the_array(array, count):
    # PyTorch rounds the elements that fill no vector register, and those at the end of a thread's
    # share, otherwise than the rest: r, g and b of one pixel must not meet with different rounding.
    gray = array(np.repeat(np.random.default_rng(count).random(count), 3).reshape(-1, 3))
    linear = color.rgb_to_linear(gray)
    back = color.lab_to_rgb(color.rgb_to_lab(gray))
    assert (linear == linear[:, :1]).all()
    assert (color.linear_to_lab(linear)[:, 1:] == 0).all()
    assert (color.fade_linear(linear) == color.fade_linear(linear)[:, :1]).all()
    assert (back == back[:, :1]).all()


@every_kind
def test_white_and_black_are_exact(array):
    ends = array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    expected = array([[100.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    lab = color.rgb_to_lab(ends)
    assert (lab[0] == expected[0]).all()
    assert abs(lab - expected).max() < 1e-5  # black is 116 * (4 / 29) - 16


@every_kind
@law
@given(level=unit)
def test_gray_comes_back_from_its_lightness_alone(array, level):
    l_star = color.rgb_to_lab(array([level] * 3))[0]
    gray = color.lab_to_rgb(array([l_star, 0.0, 0.0]))
    assert abs(gray - level).max() < (1e-6 if "float32" in str(gray.dtype) else 3e-8)


# Round trips


@law
@given(color=st.tuples(wide, wide, wide))
def test_rgb_survives_a_round_trip_even_out_of_gamut(color):
    # The two joints of IEC 61966-2-1, 0.04045 and 0.0031308, miss each other by 3e-8.
    assert abs(color.lab_to_rgb(color.rgb_to_lab(np.array(color))) - color).max() < 3e-8


def test_rgb_survives_a_round_trip_to_rounding_away_from_the_joint():
    rgb = np.random.default_rng(0).uniform(-0.5, 1.5, (50_000, 3))
    assert abs(color.lab_to_rgb(color.rgb_to_lab(rgb)) - rgb).max() < 1e-12
    single = rgb.astype(np.float32)
    assert abs(color.lab_to_rgb(color.rgb_to_lab(single)) - single).max() < 1e-4  # far out of gamut
    inside = np.abs(single) % 1
    assert (
        abs(color.lab_to_rgb(color.rgb_to_lab(inside)) - inside).max() < 2e-5
    )  # 1/200 of an 8-bit level


@law
@given(color=lab_colors)
def test_lab_survives_a_round_trip_even_out_of_gamut(color):
    # L* goes through rgb too, whose joints (see above) miss by 3e-8 of light times 12.92: 3e-6 of L*.
    assert abs(color.rgb_to_lab(color.lab_to_rgb(np.array(color))) - color).max() < 1e-4
    assert abs(color.linear_to_lab(color.lab_to_linear(np.array(color))) - color).max() < 1e-11


# One formula for both libraries


@every_conversion
@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 3), (4, 7, 3), (2, 3, 5, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_and_torch_agree_and_keep_shape_and_dtype(convert, shape, dtype):
    values = np.random.default_rng(0).random(shape)
    if convert in (color.lab_to_linear, color.lab_to_rgb, color.fade_to_gamut):
        values = values * [100, 200, 200] - [0, 100, 100]
    elif convert is color.fade_linear:
        values = color.lab_to_linear(values * [100, 200, 200] - [0, 100, 100])
    values = values.astype(dtype)
    of_numpy, of_torch = convert(values), convert(torch.from_numpy(values))
    assert isinstance(of_numpy, np.ndarray)
    assert isinstance(of_torch, torch.Tensor)
    assert of_numpy.shape == tuple(of_torch.shape) == shape
    assert str(of_numpy.dtype) == str(of_torch.dtype).removeprefix("torch.") == dtype
    # In single precision the bisection of fade_to_gamut may take another turn at its last steps.
    tolerance = 1e-11 if dtype == "float64" else 1e-3 if convert is color.fade_to_gamut else 2e-4
    np.testing.assert_allclose(of_numpy, of_torch.numpy(), rtol=0, atol=tolerance)


@every_conversion
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept_and_finite(convert, dtype):
    ends = torch.tensor([[0.0] * 3, [1.0] * 3, [0.5] * 3, [0.2, 0.5, 0.7]], dtype=dtype)
    converted = convert(ends)
    assert converted.dtype == dtype
    assert converted.isfinite().all()


@every_conversion
def test_empty_and_strided_arrays_are_colors_too(convert):
    assert convert(np.empty((0, 3))).shape == (0, 3)
    planes = np.random.default_rng(0).random((3, 4, 5))
    view = np.moveaxis(planes, 0, -1)
    assert (convert(view) == convert(np.ascontiguousarray(view))).all()
    strided = convert(torch.from_numpy(planes).movedim(0, -1))
    np.testing.assert_allclose(strided.numpy(), convert(view), rtol=0, atol=1e-11)


@every_conversion
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3), np.uint8),
        np.zeros((2, 3), np.uint16),
        np.zeros((2, 3), np.int64),
        np.zeros((2, 3), bool),
        torch.zeros((2, 3), dtype=torch.uint8),
        torch.zeros((2, 3), dtype=torch.int64),
        [0.1, 0.2, 0.3],
        (0.1, 0.2, 0.3),
        0.5,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}-{getattr(wrong, 'dtype', '')}",
)
def test_anything_but_an_array_of_floats_is_refused(convert, wrong):
    with pytest.raises(ValueError, match="colors are"):
        convert(wrong)


def test_color_leaves_torch_out():
    program = "import sys, colorizenet.color; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Gradients

JOINT = (6 / 29) ** 3  # where CIELAB's cube root meets its tangent, in light; at L* = 8
CORNERS = {
    "rgb": [0.0, 1.0, 0.5, 0.04045, 1e-12, -0.3, 1.4],
    "linear": [0.0, 1.0, 0.2, 0.0031308, JOINT, 1e-12, -0.3, 1.4],
}


@every_conversion
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(convert, dtype):
    if convert in (color.lab_to_linear, color.lab_to_rgb, color.fade_to_gamut):
        ab = [0.0, 1e-12, -60.0, 110.0]
        points = torch.cartesian_prod(
            torch.tensor([0.0, 8.0, 50.0, 100.0]), torch.tensor(ab), torch.tensor(ab)
        )
    else:
        values = torch.tensor(
            CORNERS["rgb" if convert in (color.rgb_to_linear, color.rgb_to_lab) else "linear"]
        )
        points = torch.cartesian_prod(values, values, values)
    points = points.to(dtype).requires_grad_()
    convert(points).square().sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


@pytest.mark.parametrize(
    "convert",
    [function for function in CONVERSIONS if function is not color.fade_to_gamut],
    ids=lambda f: f.__name__,
)
def test_gradients_are_right(convert):
    # At random points, which miss the joints; what fade_to_gamut keeps is a constant to autograd.
    random = np.random.default_rng(0)
    if convert in (color.lab_to_linear, color.lab_to_rgb):
        points = random_lab(30)
    elif convert is color.fade_linear:
        points = np.concatenate([random.random((15, 3)), color.lab_to_linear(random_lab(15))])
    else:
        points = random.uniform(-0.2, 1.2, (30, 3))
    assert torch.autograd.gradcheck(convert, (torch.from_numpy(points).requires_grad_(),))


def test_a_gray_is_pulled_off_the_gray_axis():
    # Writing "a gray has no chroma" as a special case would leave a network's grays gray for ever.
    gray = torch.full((1, 3), 0.5, dtype=torch.float64, requires_grad=True)
    color.rgb_to_lab(gray)[..., 1].sum().backward()
    assert gray.grad is not None
    assert gray.grad[0, 0] > 0 > gray.grad[0, 1]


# Against others


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((1, 1, 0), (97.14, -21.56, 94.48)),
        ((0, 1, 1), (91.11, -48.08, -14.13)),
        ((1, 0, 1), (60.32, 98.24, -60.83)),
    ],
)
def test_published_values_of_the_primaries(rgb, lab):
    # Two decimals; published tables differ by 0.02 with the digits that they leave the matrix.
    np.testing.assert_allclose(color.rgb_to_lab(np.array(rgb, float)), lab, atol=0.02)


def test_lab_is_that_of_scikit_image_but_for_the_rounding_of_its_constants():
    # Give scikit-image our XYZ and only its curve is left, whose slope 841/108 it rounds to 7.787
    # (below 0.008856): an error in f of at most 0.008856 * 3.7e-5, which L, a, b scale by 116, 500, 200.
    rgb = np.concatenate(
        [np.random.default_rng(0).random((20_000, 3)) ** power for power in (1, 4)]
    )
    ours = color.rgb_to_lab(rgb)
    white = np.array(colorconv.xyz_tristimulus_values(illuminant="D65", observer="2"))
    matrix = color._RELATIVE_XYZ
    xyz = color.rgb_to_linear(rgb) @ (matrix * white[:, None]).T
    error = abs(xyz2lab(xyz) - ours).max(axis=0)
    assert (error <= 0.008856 * (841 / 108 - 7.787) * np.array([116, 500, 200]) + 1e-9).all()

    # With its own XYZ, each of X, Y and Z is off by a share of at most rho, that of the worst entry of
    # its matrix relative to its white. d f / d ln(t) is at most 1/3, so f is off by at most rho / 3.
    x, y, z = abs(colorconv.xyz_from_rgb / white[:, None] / matrix - 1).max(axis=1) / 3
    bound = np.array([116 * y, 500 * (x + y), 200 * (y + z)]) + 3e-4  # the curve, as above
    assert (abs(rgb2lab(rgb) - ours).max(axis=0) <= bound).all()
    assert (bound < [0.013, 0.11, 0.047]).all()


def test_scikit_image_tints_its_white_and_we_do_not():
    np.testing.assert_allclose(rgb2lab(np.ones(3)), [100, -0.0025, 0.0047], atol=1e-4)
    assert (color.rgb_to_lab(np.ones(3)) == [100, 0, 0]).all()


# Network units


@every_kind
@law
@given(value=st.integers(-128 * 2**10, 127 * 2**10).map(lambda steps: steps / 2**10))
def test_network_units_are_hundredths_and_128ths_and_back(array, value):
    values = array([value])
    assert color.normalize_l(values)[0] == values[0] / 100
    assert color.normalize_ab(values)[0] == values[0] / 128
    assert (
        color.denormalize_ab(color.normalize_ab(values))[0] == values[0]
    )  # a power of two loses nothing
    back = color.denormalize_l(color.normalize_l(values))
    assert abs(back - values).max() <= abs(value) * (
        2e-7 if "float32" in str(values.dtype) else 4e-16
    )  # 100 does
    assert back.dtype == values.dtype


def test_network_units_of_white():
    assert color.normalize_l(np.array(100.0)) == 1
    assert (color.L_SCALE, color.AB_SCALE) == (100, 128)


# Fading into the gamut


@every_kind
@law
@given(color=lab_colors)
def test_fading_keeps_lightness_and_hue_and_fits(array, color):
    lab = array([color])
    faded = color.fade_to_gamut(lab)
    linear = color.lab_to_linear(faded)
    assert faded[0, 0] == lab[0, 0]
    scale = 1e-5 if "float32" in str(lab.dtype) else 1e-12
    assert abs(faded[0, 1] * lab[0, 2] - faded[0, 2] * lab[0, 1]) <= scale * 128**2  # same axis
    assert (faded[0, 1:] * lab[0, 1:] >= 0).all()  # same side
    assert linear.min() >= -SLACK
    assert linear.max() <= 1 + SLACK


@every_kind
@law
@given(color=rgb_colors)
def test_fading_leaves_a_color_inside_alone(array, color):
    lab = color.rgb_to_lab(array(color))
    assert (color.fade_to_gamut(lab) == lab).all()
    # In the other form Y is subtracted and added again, which rounds to the last bit below 1, and light
    # under that bit counts as gray: of the blue (0, 0, b) at worst 0.93 / (4 * 0.0722) = 3.2 bits are lost.
    linear = color.rgb_to_linear(array(color))
    assert (
        abs(color.fade_linear(linear) - linear).max()
        < 3.3 * np.finfo(str(linear.dtype).removeprefix("torch.")).eps
    )


@pytest.mark.parametrize("halvings", [8, 20])
def test_a_little_more_chroma_than_fading_keeps_would_not_fit(halvings):
    # "A little": near yellow a ray of constant hue can leave the gamut and enter it again further out.
    lab = random_lab(20_000)
    faded = color.fade_to_gamut(lab, halvings=halvings)
    share = chroma(faded) / chroma(lab)
    lost = share < 1
    more = lab.copy()
    more[:, 1:] *= (share + 1.01 / 2**halvings)[:, None]
    linear = color.lab_to_linear(more[lost])
    assert lost.mean() > 0.5
    assert ((linear < 0) | (linear > 1)).any(-1).all()


def test_fading_of_tensors_is_that_of_arrays():
    lab = random_lab(2_000)
    linear = color.lab_to_linear(lab)
    np.testing.assert_allclose(
        color.fade_to_gamut(torch.from_numpy(lab)), color.fade_to_gamut(lab), atol=1e-3
    )
    np.testing.assert_allclose(
        color.fade_linear(torch.from_numpy(linear)), color.fade_linear(linear), atol=1e-12
    )


@every_kind
@law
@given(color=lab_colors)
def test_fading_in_linear_light_keeps_lightness_and_fits(array, color):
    linear = color.lab_to_linear(array([color]))
    faded = color.fade_linear(linear)
    assert faded.min() >= 0
    assert faded.max() <= 1
    l_star = color.linear_to_lab(faded)[0, 0]
    # Black is where rounding of light counts most: 903 L* per unit of Y.
    assert abs(l_star - color[0]) < (1e-3 if "float32" in str(linear.dtype) else 1e-10)


@every_kind
@law
@given(color=lab_colors)
def test_fading_in_linear_light_is_a_straight_line_to_gray(array, color):
    linear = color.lab_to_linear(array(color))
    y = array([color.lab_to_linear(array([color[0], 0, 0]))[0]])
    before, after = linear - y, color.fade_linear(linear) - y
    scale = 1e-5 if "float32" in str(linear.dtype) else 1e-12
    assert abs(before[0] * after[1] - before[1] * after[0]) < scale
    assert abs(before[1] * after[2] - before[2] * after[1]) < scale


def test_fading_in_linear_light_is_idempotent_and_touches_the_gamut():
    linear = color.lab_to_linear(random_lab(20_000))
    outside = ((linear < 0) | (linear > 1)).any(-1)
    faded = color.fade_linear(linear)
    np.testing.assert_allclose(color.fade_linear(faded), faded, rtol=0, atol=1e-12)
    room = np.minimum(faded.min(-1), 1 - faded.max(-1))[outside]
    assert room.max() < 1e-12


# What the closed form gives up against the bisection, as measured; a bound that moves is news.


def test_linear_fade_against_bisection_on_saturated_photographs():
    lab = saturated_lab(100_000, 1.3)
    quick, reference = (
        color.linear_to_lab(color.fade_linear(color.lab_to_linear(lab))),
        color.fade_to_gamut(lab),
    )
    share = chroma(quick) / chroma(reference)
    hue = hue_error(quick, lab)
    assert (
        0.97 < chroma(quick).mean() / chroma(reference).mean() < 0.99
    )  # it keeps 98 % of the chroma
    assert 0.995 < np.median(share) < 1.005
    assert share.min() > 0.68
    assert np.percentile(share, 1) > 0.75
    # A straight line in light bends in Lab, most in the reds: median 1.0 degree, 99 % 9.3, worst 13.0.
    assert np.median(hue) < 1.2
    assert np.percentile(hue, 99) < 10
    assert hue.max() < 13.5


def test_linear_fade_against_bisection_on_any_lab():
    lab = random_lab(100_000)
    lab = lab[chroma(color.fade_to_gamut(lab)) < chroma(lab)]
    quick, reference = (
        color.linear_to_lab(color.fade_linear(color.lab_to_linear(lab))),
        color.fade_to_gamut(lab),
    )
    kept = chroma(reference) > 0.1
    share = (chroma(quick) / np.maximum(chroma(reference), 1e-9))[kept]
    hue = hue_error(quick, lab)[chroma(quick) > 5]
    assert 0.98 < chroma(quick).mean() / chroma(reference).mean() < 1.01
    assert 0.99 < np.median(share) < 1.01
    assert share.min() > 0.2  # the worst are blues below L* 2
    assert np.percentile(share, 1) > 0.72
    # Far outside the bend is longer, most in cyans of no paint: median 3.5 degrees, 99 % 28, worst 33.9.
    assert np.median(hue) < 4
    assert np.percentile(hue, 99) < 28.5
    assert hue.max() < 34.5


def test_clipping_would_shift_lightness_where_fading_does_not():
    lab = random_lab(20_000)
    linear = color.lab_to_linear(lab)
    clipped = color.linear_to_lab(np.clip(linear, 0, 1))
    assert abs(clipped[:, 0] - lab[:, 0]).max() > 30
    assert abs(color.linear_to_lab(color.fade_linear(linear))[:, 0] - lab[:, 0]).max() < 1e-10


# The fast path for whole photographs, against the exact one in float64.


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
    # Half a level is the rounding; float32 light adds up to 3 levels of 65,535 in the darkest blues
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
