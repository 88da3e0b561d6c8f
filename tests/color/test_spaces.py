"""Laws of the conversions: grays stay gray, conversions undo each other, gradients are
finite."""

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
wide = st.floats(-0.5, 1.5, width=32)
lab_colors = st.tuples(
    st.floats(0, 100, width=32), st.floats(-128, 127, width=32), st.floats(-128, 127, width=32)
)


def random_lab(count):
    """Lab colors of all lightnesses and as saturated as a wild network; most are out of
    gamut."""
    random = np.random.default_rng(0)
    return np.column_stack([random.uniform(0, 100, count), random.uniform(-110, 110, (count, 2))])


# Grays


@law
@given(levels=st.lists(unit, min_size=1, max_size=40))
def test_gray_has_no_chroma(array, levels):
    gray = array(np.repeat(levels, 3).reshape(-1, 3))
    assert (color.rgb_to_lab(gray)[:, 1:] == 0).all()


@pytest.mark.parametrize("count", [*range(1, 35), 100_003])
def test_gray_has_no_chroma_wherever_it_lies_in_the_array(array, count):
    # PyTorch rounds the elements that fill no vector register, and those at the end of
    # a thread's share, otherwise than the rest: r, g and b of one pixel must not meet
    # with different rounding.
    gray = array(np.repeat(np.random.default_rng(count).random(count), 3).reshape(-1, 3))
    linear = color.rgb_to_linear(gray)
    back = color.lab_to_rgb(color.rgb_to_lab(gray))
    assert (linear == linear[:, :1]).all()
    assert (color.linear_to_lab(linear)[:, 1:] == 0).all()
    assert (color.fade_linear(linear) == color.fade_linear(linear)[:, :1]).all()
    assert (back == back[:, :1]).all()


def test_white_and_black_are_exact(array):
    ends = array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    expected = array([[100.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    lab = color.rgb_to_lab(ends)
    assert (lab[0] == expected[0]).all()
    assert abs(lab - expected).max() < 1e-5  # black is 116 * (4 / 29) - 16


@law
@given(level=unit)
def test_gray_comes_back_from_its_lightness_alone(array, level):
    l_star = color.rgb_to_lab(array([level] * 3))[0]
    gray = color.lab_to_rgb(array([l_star, 0.0, 0.0]))
    assert abs(gray - level).max() < (1e-6 if "float32" in str(gray.dtype) else 3e-8)


# Round trips


@law
@given(rgb=st.tuples(wide, wide, wide))
def test_rgb_survives_a_round_trip_even_out_of_gamut(rgb):
    # The two joints of IEC 61966-2-1, 0.04045 and 0.0031308, miss each other by 3e-8.
    assert abs(color.lab_to_rgb(color.rgb_to_lab(np.array(rgb))) - rgb).max() < 3e-8


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
@given(lab=lab_colors)
def test_lab_survives_a_round_trip_even_out_of_gamut(lab):
    # L* goes through rgb too, whose joints (see above) miss by 3e-8 of light times
    # 12.92, which is 3e-6 of L*.
    assert abs(color.rgb_to_lab(color.lab_to_rgb(np.array(lab))) - lab).max() < 1e-4
    assert abs(color.linear_to_lab(color.lab_to_linear(np.array(lab))) - lab).max() < 1e-11


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
    # In single precision the bisection of fade_to_gamut may take another turn at its
    # last steps.
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
def test_only_arrays_of_floats_are_accepted(convert, wrong):
    with pytest.raises(ValueError, match="colors are"):
        convert(wrong)


def test_color_does_not_import_torch():
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
    # At random points, which miss the joints; what fade_to_gamut keeps is a constant to
    # autograd.
    random = np.random.default_rng(0)
    if convert in (color.lab_to_linear, color.lab_to_rgb):
        points = random_lab(30)
    elif convert is color.fade_linear:
        points = np.concatenate([random.random((15, 3)), color.lab_to_linear(random_lab(15))])
    else:
        points = random.uniform(-0.2, 1.2, (30, 3))
    assert torch.autograd.gradcheck(convert, (torch.from_numpy(points).requires_grad_(),))


def test_the_gradient_at_a_gray_leaves_the_gray_axis():
    # A special case for grays would have no gradient, and a network could never leave
    # gray.
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
    # Two decimals; published tables differ by 0.02 with the digits that they leave the
    # matrix.
    np.testing.assert_allclose(color.rgb_to_lab(np.array(rgb, float)), lab, atol=0.02)


def test_lab_is_that_of_scikit_image_but_for_the_rounding_of_its_constants():
    # From the same XYZ, only the curves differ: scikit-image rounds the slope 841/108
    # to 7.787 (below 0.008856), an error in f of at most 0.008856 * 3.7e-5, which L, a
    # and b scale by 116, 500 and 200.
    rgb = np.concatenate(
        [np.random.default_rng(0).random((20_000, 3)) ** power for power in (1, 4)]
    )
    lab = color.rgb_to_lab(rgb)
    white = np.array(colorconv.xyz_tristimulus_values(illuminant="D65", observer="2"))
    matrix = color.spaces.RELATIVE_XYZ_FROM_LINEAR
    xyz = color.rgb_to_linear(rgb) @ (matrix * white[:, None]).T
    error = abs(xyz2lab(xyz) - lab).max(axis=0)
    assert (error <= 0.008856 * (841 / 108 - 7.787) * np.array([116, 500, 200]) + 1e-9).all()

    # From its own XYZ, each of X, Y and Z is off by a factor of at most 1 ± rho, that
    # of the worst entry of its matrix relative to its white. d f / d ln(t) is at most
    # 1/3, so f is off by at most rho / 3.
    x, y, z = abs(colorconv.xyz_from_rgb / white[:, None] / matrix - 1).max(axis=1) / 3
    bound = np.array([116 * y, 500 * (x + y), 200 * (y + z)]) + 3e-4  # the curve, as above
    assert (abs(rgb2lab(rgb) - lab).max(axis=0) <= bound).all()
    assert (bound < [0.013, 0.11, 0.047]).all()


def test_white_has_no_chroma_unlike_that_of_scikit_image():
    np.testing.assert_allclose(rgb2lab(np.ones(3)), [100, -0.0025, 0.0047], atol=1e-4)
    assert (color.rgb_to_lab(np.ones(3)) == [100, 0, 0]).all()


# Network units


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
