"""The choices of a caller, their ranges, and the network inputs made from them."""

import dataclasses
import json
import math

import numpy as np
import pytest

from colorizenet import color
from colorizenet.errors import ConfigError
from colorizenet.options import (
    MAX_HINTS,
    RENDERERS,
    Hint,
    Options,
    Output,
    choices,
    render_input,
)

RED = (255, 0, 0)
SHAPE = (64, 96)


def render(*hints: Hint, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return render_input("hints", Options(hints=hints), shape)


def ab_of(rgb: tuple[int, int, int]) -> np.ndarray:
    """a* and b* of a color in network units."""
    return color.rgb_to_lab(np.array(rgb) / 255)[1:] / color.AB_SCALE


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strength": 0},
        {"strength": 2.0},
        {"strength": np.float32(0.5)},
        {"size": 32},
        {"size": np.int64(2048)},
        {"tta": True},
        {"seed": 2**63 - 1},
        {"hints": (Hint(x=0, y=1, rgb=RED, radius=0.5),) * MAX_HINTS},
    ],
)
def test_values_in_range_are_accepted(options):
    made = Options(**options)
    assert all(getattr(made, name) == value for name, value in options.items())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strength": -0.1}, "strength is -0.1; give a number from 0 to 2"),
        ({"strength": 2.1}, "strength is 2.1"),
        ({"strength": math.nan}, "strength is nan"),
        ({"strength": math.inf}, "strength is inf"),
        ({"strength": "1"}, "strength is 1"),
        ({"strength": None}, "strength is None"),
        ({"strength": True}, "strength is True"),
        ({"size": 31}, "size is 31; give a whole number from 32 to 2048"),
        ({"size": 2049}, "size is 2049"),
        ({"size": 64.0}, "size is 64.0"),
        ({"tta": 1}, "tta is 1; give True or False"),
        ({"seed": -1}, "seed is -1"),
        ({"hints": ("red",)}, "give a tuple of Hint objects"),
        ({"hints": Hint(x=0, y=0, rgb=RED)}, "give a tuple of Hint objects"),
        ({"hints": None}, "give a tuple of Hint objects"),
        ({"hints": (Hint(x=0, y=0, rgb=RED),) * (MAX_HINTS + 1)}, "there are 129 hints"),
    ],
)
def test_values_out_of_range_are_an_error_that_names_them(options, expected):
    with pytest.raises(ConfigError) as error:
        Options(**options)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"quality": 0}, "quality is 0; give a whole number from 1 to 100"),
        ({"quality": 101}, "quality is 101"),
        ({"format": "bmp"}, "format is bmp; give one of jpeg, png, tiff"),
        ({"format": "gif"}, "format is gif"),
        ({"provenance": None}, "provenance is None; give True or False"),
    ],
)
def test_output_values_out_of_range_are_an_error_that_names_them(output, expected):
    Output(format="avif", quality=100, provenance=False)
    with pytest.raises(ConfigError) as error:
        Output(**output)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "hint",
    [
        {"x": -0.1},
        {"x": 1.1},
        {"x": 10**400},
        {"x": math.inf},
        {"y": math.nan},
        {"y": None},
        {"radius": 0.6},
        {"radius": -1},
        {"rgb": (0, 0)},
        {"rgb": (0, 0, 256)},
        {"rgb": (0, 0, 0.5)},
        {"rgb": "red"},
        {"rgb": 7},
    ],
)
def test_a_hint_out_of_range_is_an_error_that_names_the_field(hint):
    with pytest.raises(ConfigError, match=f"{next(iter(hint))} of a hint is"):
        Hint(**{"x": 0.5, "y": 0.5, "rgb": RED} | hint)


def test_numbers_of_numpy_become_those_of_python():
    hint = Hint(x=np.float32(0.5), y=np.int64(1), rgb=tuple(np.uint8([9, 8, 7])))
    options = Options(strength=np.float32(0.5), size=np.int64(64), hints=(hint,))
    output = Output(quality=np.uint8(90))
    assert json.loads(json.dumps(dataclasses.asdict(options)))["size"] == 64
    assert json.loads(json.dumps(dataclasses.asdict(output)))["quality"] == 90


def test_options_cannot_be_changed_and_can_be_compared():
    hint = Hint(x=0.5, y=0.5, rgb=RED)
    assert Options(hints=(hint,)) == Options(hints=(hint,)) != Options()
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().strength = 2.0  # pyright: ignore[reportAttributeAccessIssue]


def test_choices_describe_every_field_for_a_user():
    for kind in (Options, Output):
        assert [each.name for each in choices(kind)] == [
            each.name for each in dataclasses.fields(kind)
        ]
        for choice in choices(kind):
            assert choice.help.endswith("."), choice.name
            assert choice.default == getattr(kind(), choice.name)
    by_name = {each.name: each for each in choices(Options)}
    assert (by_name["strength"].minimum, by_name["strength"].maximum) == (0, 2)
    assert by_name["hints"].composite and not by_name["hints"].simple
    assert by_name["seed"].needs == "noise" and not by_name["seed"].simple
    assert by_name["strength"].simple


def test_only_changed_settings_need_an_input():
    hints = (Hint(x=0, y=0, rgb=None),)
    assert Options(strength=2, tta=True, hints=hints).needed_inputs() == {}
    assert Options(seed=1).needed_inputs() == {"noise": "seed"}


def test_options_with_the_same_hints_in_another_order_are_equal():
    hints = [Hint(x=x, y=0.5, rgb=rgb) for x, rgb in ((0.7, RED), (0.2, None), (0.2, RED))]
    assert Options(hints=tuple(hints)) == Options(hints=tuple(hints[::-1]))


def test_without_hints_all_planes_are_zero():
    planes = render()
    assert planes.shape == (3, *SHAPE) and planes.dtype == np.float32
    assert not planes.any()


def test_a_hint_covers_a_disc_with_its_color_whatever_its_lightness():
    coverage, a, b = render(Hint(x=0.25, y=0.5, rgb=RED, radius=0.125))
    center, outside = (32, 24), (32, 60)
    assert coverage[center] == 1 and coverage[outside] == 0
    assert (a[center], b[center]) == pytest.approx(tuple(ab_of(RED)), abs=1e-5)
    assert a[outside] == b[outside] == 0
    assert coverage.sum() == pytest.approx(np.pi * (0.125 * 64) ** 2, rel=0.02), "its area"
    rows, columns = np.nonzero(coverage)
    assert rows.mean() == pytest.approx(31.5, abs=0.1)
    assert columns.mean() == pytest.approx(23.5, abs=0.1)


def test_a_neutral_hint_covers_its_place_with_gray():
    coverage, a, b = render(Hint(x=0.5, y=0.5, rgb=None, radius=0.1))
    assert coverage.max() == 1 and not a.any() and not b.any()


def test_a_hint_smaller_than_a_pixel_still_counts():
    coverage = render(Hint(x=0.5, y=0.5, rgb=RED, radius=0.0))[0]
    assert 0.5 < coverage.sum() < 1.1, "the area of a disc one pixel wide"


def test_hints_that_overlap_are_averaged_in_any_order():
    hints = [Hint(x=0.5, y=0.5, rgb=rgb, radius=0.2) for rgb in (RED, (0, 255, 0), (0, 0, 255))]
    planes = render(*hints)
    assert np.array_equal(planes, render(*hints[::-1]))
    expected = np.mean([ab_of(hint.rgb) for hint in hints if hint.rgb], axis=0)
    assert planes[:, 32, 48] == pytest.approx([1, *expected], abs=1e-5)


def test_hints_are_in_the_same_place_at_any_size():
    hint = Hint(x=0.3, y=0.7, rgb=RED, radius=0.2)
    small, large = render(hint, shape=(32, 48)), render(hint, shape=(64, 96))
    halved = large.reshape(3, 32, 2, 48, 2).mean((2, 4))
    assert np.abs(small - halved).max() < 0.2 and np.abs(small - halved).mean() < 0.005


def test_an_input_without_a_renderer_is_an_error_and_one_can_be_given():
    with pytest.raises(ConfigError, match="takes depth, which this version cannot make"):
        render_input("depth", Options(), SHAPE)
    given = {**RENDERERS, "depth": lambda options, shape: np.full((1, *shape), options.strength)}
    assert (render_input("depth", Options(strength=2), SHAPE, given) == 2).all()
