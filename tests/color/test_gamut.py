"""Fading into the gamut keeps lightness and hue, and the closed form stays near the
bisection."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet import color

law = settings(deadline=None, max_examples=60)  # the first call of PyTorch is slow

unit = st.floats(0, 1, width=32)
rgb_colors = st.tuples(unit, unit, unit)
lab_colors = st.tuples(
    st.floats(0, 100, width=32), st.floats(-128, 127, width=32), st.floats(-128, 127, width=32)
)

SLACK = 1.2e-6  # fade_to_gamut calls 1e-6 outside still inside; the rest is rounding


def random_lab(count):
    """Lab colors of all lightnesses and as saturated as a wild network; most are out of
    gamut."""
    random = np.random.default_rng(0)
    return np.column_stack([random.uniform(0, 100, count), random.uniform(-110, 110, (count, 2))])


def saturated_lab(count, factor):
    """Lab colors of random sRGB whose chroma is multiplied; those that leave the
    gamut."""
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


@law
@given(values=lab_colors)
def test_fading_keeps_lightness_and_hue_and_fits(array, values):
    lab = array([values])
    faded = color.fade_to_gamut(lab)
    linear = color.lab_to_linear(faded)
    assert faded[0, 0] == lab[0, 0]
    scale = 1e-5 if "float32" in str(lab.dtype) else 1e-12
    assert abs(faded[0, 1] * lab[0, 2] - faded[0, 2] * lab[0, 1]) <= scale * 128**2  # same axis
    assert (faded[0, 1:] * lab[0, 1:] >= 0).all()  # same side
    assert linear.min() >= -SLACK
    assert linear.max() <= 1 + SLACK


@law
@given(values=rgb_colors)
def test_fading_leaves_a_color_inside_alone(array, values):
    lab = color.rgb_to_lab(array(values))
    assert (color.fade_to_gamut(lab) == lab).all()
    # The closed form subtracts Y and adds it again, which rounds to the last bit below
    # 1, and light under that bit counts as gray: of the blue (0, 0, b) at worst 0.93 /
    # (4 * 0.0722) = 3.2 bits are lost.
    linear = color.rgb_to_linear(array(values))
    assert (
        abs(color.fade_linear(linear) - linear).max()
        < 3.3 * np.finfo(str(linear.dtype).removeprefix("torch.")).eps
    )


@pytest.mark.parametrize("halvings", [8, 20])
def test_a_little_more_chroma_than_fading_keeps_would_not_fit(halvings):
    # "A little": near yellow a ray of constant hue can leave the gamut and enter it
    # again.
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


@law
@given(values=lab_colors)
def test_fading_in_linear_light_keeps_lightness_and_fits(array, values):
    linear = color.lab_to_linear(array([values]))
    faded = color.fade_linear(linear)
    assert faded.min() >= 0
    assert faded.max() <= 1
    l_star = color.linear_to_lab(faded)[0, 0]
    # Black is where rounding of light counts most: 903 L* per unit of Y.
    assert abs(l_star - values[0]) < (1e-3 if "float32" in str(linear.dtype) else 1e-10)


@law
@given(values=lab_colors)
def test_fading_in_linear_light_is_a_straight_line_to_gray(array, values):
    linear = color.lab_to_linear(array(values))
    y = array([color.lab_to_linear(array([values[0], 0, 0]))[0]])
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


# What the closed form loses against the bisection, with bounds close to the measured
# values.


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
    # A straight line in light bends in Lab, most in the reds: median 1.0 degree, 99 %
    # 9.3, worst 13.0.
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
    # Far outside it bends more, most in imaginary cyans: median 3.5 degrees, 99 % 28,
    # worst 33.9.
    assert np.median(hue) < 4
    assert np.percentile(hue, 99) < 28.5
    assert hue.max() < 34.5


def test_clipping_would_shift_lightness_where_fading_does_not():
    lab = random_lab(20_000)
    linear = color.lab_to_linear(lab)
    clipped = color.linear_to_lab(np.clip(linear, 0, 1))
    assert abs(clipped[:, 0] - lab[:, 0]).max() > 30
    assert abs(color.linear_to_lab(color.fade_linear(linear))[:, 0] - lab[:, 0]).max() < 1e-10
