"""Likely colors of a place: plausible ones for its lightness, the most likely first."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from colorizenet import Colorizer, color
from colorizenet.errors import ConfigError
from colorizenet.suggestions import MAX_SUGGESTIONS, SuggestionTable, load_table


@pytest.fixture
def tiny(make_model: Callable[..., Path]) -> Colorizer:
    return Colorizer(make_model(), threads=1)


def convert(rgb: tuple[int, int, int]) -> np.ndarray:
    return color.rgb_to_lab(np.array(rgb) / 255)


@pytest.mark.parametrize("l_star", [0.0, 4.0, 30.0, 62.0, 97.0, 100.0])
@pytest.mark.parametrize("predicted", [(0.0, 0.0), (30.0, 40.0), (-200.0, 90.0)])
def test_suggestions_have_the_lightness_of_the_place(l_star, predicted):
    found = load_table().suggest(l_star, np.array(predicted), MAX_SUGGESTIONS)
    assert len(found) == MAX_SUGGESTIONS
    for suggestion in found:
        assert convert(suggestion.rgb)[0] == pytest.approx(l_star, abs=0.5)


@pytest.mark.parametrize("predicted", [(0.0, 0.0), (30.0, 20.0), (-20.0, 30.0), (5.0, -40.0)])
def test_the_most_likely_color_comes_first(predicted):
    found = load_table().suggest(55.0, np.array(predicted), 5)
    shares = [each.probability for each in found]
    assert shares == sorted(shares, reverse=True)
    assert 0.2 < sum(shares) <= 1.01


@pytest.mark.parametrize("predicted", [(20.0, 30.0), (0.0, -30.0), (-20.0, 20.0)])
def test_the_most_likely_color_has_about_the_hue_of_the_predicted_one(predicted):
    [first] = load_table().suggest(55.0, np.array(predicted), 1)
    ab = convert(first.rgb)[1:]
    assert ab @ predicted > 0.7 * np.linalg.norm(ab) * np.linalg.norm(predicted)


def test_suggestions_differ_from_each_other():
    """Colors within ΔE*ab 10 of a suggestion count for it, so others are elsewhere."""
    ab = [convert(each.rgb)[1:] for each in load_table().suggest(55.0, np.zeros(2), 5)]
    for number, one in enumerate(ab):
        assert all(np.linalg.norm(one - other) > 5 for other in ab[:number])


def test_a_table_is_read_at_the_cell_of_the_place():
    colors = np.zeros((2, 3, 3, MAX_SUGGESTIONS, 2), np.int8)
    colors[1, 2, 0, 0] = 10, -20
    shares = np.full(colors.shape[:-1], 51, np.uint8)
    table = SuggestionTable(colors, shares, {"limit": 20})
    [found] = table.suggest(60.0, np.array((12.0, -90.0)), 1)
    assert convert(found.rgb)[1:] == pytest.approx((10, -20), abs=1)
    assert found.probability == pytest.approx(0.2)
    [other] = table.suggest(40.0, np.array((12.0, -90.0)), 1)
    assert convert(other.rgb)[1:] == pytest.approx((0, 0), abs=1)


def test_the_table_says_where_it_comes_from():
    provenance = load_table().provenance
    assert provenance["places"] > 100_000 and len(provenance["model_sha256"]) == 64


def test_a_colorizer_suggests_colors_of_the_lightness_of_a_place(tiny):
    gray = np.full((64, 96), 60, np.uint8)
    gray[:, 48:] = 200
    for x, level in ((0.2, 60), (0.8, 200)):
        expected = convert((level,) * 3)[0]
        found = tiny.suggest(gray, x, 0.5)
        assert len(found) == 5
        assert all(convert(each.rgb)[0] == pytest.approx(expected, abs=1) for each in found)


def test_a_place_in_a_border_gets_suggestions(samples):
    bordered = np.pad(np.full((200, 200), 120, np.uint8), 40)
    bordered[60:90, 60:200] = np.arange(140, dtype=np.uint8) + 60
    assert len(Colorizer(threads=1).suggest(bordered, 0.0, 1.0, 3)) == 3


@pytest.mark.parametrize("place", [(-0.1, 0.5), (0.5, 1.01), (float("nan"), 0.5)])
def test_places_outside_of_a_picture_are_errors(tiny, place):
    with pytest.raises(ConfigError, match=r"give"):
        tiny.suggest(np.full((40, 40), 90, np.uint8), *place)


@pytest.mark.parametrize("n", [0, 11, 2.5, True])
def test_a_wrong_number_of_suggestions_is_an_error(tiny, n):
    with pytest.raises(ConfigError, match="whole number from 1 to 10"):
        tiny.suggest(np.full((40, 40), 90, np.uint8), 0.5, 0.5, n)


def test_the_table_is_read_only_when_it_is_needed():
    program = """
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "open" else None)
import colorizenet
colorizenet.Colorizer
sys.exit(any("suggestions.npz" in str(each[0]) for each in opened))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
