"""Colorfulness against the formula of its paper and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorizenet.evaluation import metrics

law = settings(deadline=None, max_examples=60)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
pictures = shapes.flatmap(lambda shape: arrays(np.uint8, (*shape, 3)))


@law
@given(levels=shapes.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_grays_are_not_colorful(levels):
    assert metrics.colorfulness(np.repeat(levels[..., None], 3, axis=-1)) == 0


@law
@given(picture=pictures)
def test_colorfulness_equals_the_formula_of_its_paper(picture):
    r, g, b = (picture[..., i].astype(np.float64) for i in range(3))
    rg, yb = r - g, 0.5 * (r + g) - b
    expected = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert metrics.colorfulness(picture) == pytest.approx(expected, abs=1e-9)


def test_colorfulness_of_red_beside_green_by_hand():
    # rg = +255, -255: std 255, mean 0. yb = 127.5 twice: std 0, mean 127.5. With
    # absolute axes, as in some libraries, rg would not vary and its mean would be 255:
    # 85.5.
    picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    assert metrics.colorfulness(picture) == pytest.approx(255 + 0.3 * 127.5)


@law
@given(picture=pictures)
def test_colorfulness_scales_with_saturation_and_ignores_positions(picture):
    faded, vivid = (
        picture // 2,
        picture // 2 * 2,
    )  # opponent axes are linear, so is what they measure
    assert metrics.colorfulness(faded) == pytest.approx(metrics.colorfulness(vivid) / 2)
    assert metrics.colorfulness(picture[::-1, ::-1]) == pytest.approx(
        metrics.colorfulness(picture), abs=1e-9
    )


def test_absolute_colorfulness_of_red_beside_green_by_hand():
    picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    assert metrics.colorfulness_absolute(picture) == pytest.approx(0.3 * np.hypot(255, 127.5))


@law
@given(levels=arrays(np.uint8, (4, 5)), signs=arrays(np.bool_, (4, 5)))
def test_absolute_colorfulness_equals_that_of_the_paper_where_signs_agree(levels, signs):
    zeros = np.zeros_like(levels)
    warm, cold = np.dstack([levels, zeros, zeros]), np.dstack([zeros, zeros, levels])
    assert metrics.colorfulness_absolute(warm) == metrics.colorfulness(warm)  # rg, yb >= 0
    mixed = np.where(signs[..., None], warm, cold)
    assert (
        metrics.colorfulness_absolute(mixed) <= metrics.colorfulness(mixed) + 1e-9
        or not signs.all()
    )
