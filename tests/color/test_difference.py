"""CIEDE2000 against published values, scikit-image and its own laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000

from colorizenet import color

law = settings(deadline=None, max_examples=60)
labs = st.tuples(st.floats(0, 100), st.floats(-110, 110), st.floats(-110, 110)).map(np.array)


def fast(lab, other):
    """Compute the fast version of two arrays of colors, (..., 3)."""
    pairs = np.stack([np.asarray(lab).reshape(-1, 3), np.asarray(other).reshape(-1, 3)])
    return color.delta_e_2000_planes(*np.moveaxis(pairs, -1, 0)).reshape(np.shape(lab)[:-1])


def with_torch(lab, other):
    return color.delta_e_2000(torch.as_tensor(lab), torch.as_tensor(other)).numpy()


every_version = pytest.mark.parametrize(
    "delta_e", [color.delta_e_2000, with_torch, fast], ids=["numpy", "torch", "fast"]
)

# Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005), table 1: two
# colors and their difference. Each row tries one branch: hues that meet at 0, that lie
# opposite, grays, blues.
PUBLISHED = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)


def random_pairs(nearness=1.0, count=50_000):
    """Pairs of colors; the second lies at a part of the way to any third color."""
    random = np.random.default_rng(0)
    lab, far = random.uniform([0, -110, -110], [100, 110, 110], (2, count, 3))
    return lab, lab + (far - lab) * nearness


@every_version
@pytest.mark.parametrize("row", PUBLISHED, ids=range(1, len(PUBLISHED) + 1))
def test_the_published_pairs(delta_e, row):
    lab, other, published = row[:3], row[3:6], row[6]
    half_a_digit = 0.5e-4 + 1e-9
    assert abs(deltaE_ciede2000(lab, other) - published) < half_a_digit  # no typing error above
    assert abs(delta_e(lab, other) - published) < half_a_digit
    assert abs(delta_e(other, lab) - published) < half_a_digit


@every_version
@pytest.mark.parametrize("nearness", [1, 0.05, 0.001])
def test_random_colors_are_those_of_scikit_image(delta_e, nearness):
    # They may differ only where hues lie exactly opposite, which no random pair does.
    lab, other = random_pairs(nearness)
    np.testing.assert_allclose(
        delta_e(lab, other), deltaE_ciede2000(lab, other), rtol=0, atol=1e-10
    )


@every_version
def test_single_precision_is_good_to_four_decimals_and_kept(delta_e):
    lab, other = (each.astype(np.float32) for each in random_pairs())
    expected = deltaE_ciede2000(lab.astype(np.float64), other.astype(np.float64))
    computed = delta_e(lab, other)
    assert computed.dtype == np.float32
    np.testing.assert_allclose(computed, expected, rtol=0, atol=2e-4)


@every_version
@law
@given(lab=labs, other=labs)
def test_it_is_symmetric_and_zero_only_for_equals(delta_e, lab, other):
    there, back = delta_e(lab, other), delta_e(other, lab)
    assert there == pytest.approx(back, abs=1e-9)
    assert delta_e(lab, lab) == 0
    if abs(lab - other).max() > 1:
        assert there > 0.1


def test_shapes_broadcast_and_two_channels_mean_equal_lightness():
    lab, other = random_pairs(count=24)
    lab = lab.reshape(4, 6, 3)
    assert color.delta_e_2000(lab, other[0]).shape == (4, 6)
    other = np.concatenate([lab[..., :1], other.reshape(4, 6, 3)[..., 1:]], axis=-1)
    np.testing.assert_allclose(
        color.delta_e_2000(lab[..., 1:], other[..., 1:]), color.delta_e_2000(lab, other), atol=1e-12
    )
    np.testing.assert_allclose(
        color.delta_e_2000(lab, other, squared=True), color.delta_e_2000(lab, other) ** 2
    )


GRAY, VIVID = [50.0, 0.0, 0.0], [60.0, 70.0, -40.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 1e-2])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("channels", [2, 3])
def test_gradients_are_finite_everywhere(dtype, smoothing, squared, channels):
    special = [GRAY, VIVID, [50.0, 1e-12, 0.0], [60.0, -70.0, 40.0], [0.0, 0.0, 1e-20]]
    pairs = [(one, other) for one in special for other in special]
    one, other = torch.tensor(pairs, dtype=dtype)[..., -channels:].unbind(1)
    one.requires_grad_()
    difference = color.delta_e_2000(one, other, smoothing=smoothing, squared=squared)
    assert difference.isfinite().all() and (difference >= 0).all()
    difference.sum().backward()
    assert one.grad is not None and one.grad.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 1e-2])
def test_a_step_against_the_gradient_reduces_the_difference(smoothing):
    lab, other = map(torch.from_numpy, random_pairs(nearness=0.2, count=500))
    lab.requires_grad_()
    before = color.delta_e_2000(lab, other, smoothing=smoothing)
    before.sum().backward()
    assert lab.grad is not None
    step = 1e-3 * lab.grad / lab.grad.norm(dim=-1, keepdim=True)
    after = color.delta_e_2000(lab.detach() - step, other, smoothing=smoothing)
    assert (after < before).all()


def test_smoothing_pulls_grays_towards_a_color_and_changes_little_elsewhere():
    gray = torch.tensor(GRAY, dtype=torch.float64, requires_grad=True)
    vivid = torch.tensor(VIVID, dtype=torch.float64)
    color.delta_e_2000(gray, vivid, smoothing=1e-2).backward()
    assert gray.grad is not None
    assert gray.grad[1] < 0 < gray.grad[2]
    lab, other = random_pairs(count=5_000)
    smooth = color.delta_e_2000(lab, other, smoothing=1e-2)
    assert np.abs(smooth - color.delta_e_2000(lab, other)).max() < 0.25
