"""Pictures follow hints: at the hint exactly, and where the picture is similar."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from colorizenet import Colorizer, Hint, Image, Options, color, write_image
from colorizenet.errors import ModelFileError
from colorizenet.hints import Discs, describe_similarity, spread_residuals
from colorizenet.imaging.reading import open_image

WIDTH, HEIGHT = 451, 300
IMPLAUSIBLE = [(255, 0, 255), (0, 255, 0), (0, 0, 255), (255, 255, 0), (120, 100, 90)]


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer("default", threads=1)


@pytest.fixture
def tiny(make_model: Callable[..., Path]) -> Colorizer:
    return Colorizer(make_model(), threads=1)


def read_at(pixels: np.ndarray, hint: Hint) -> np.ndarray:
    """Lab of the pixel at a hint."""
    height, width = pixels.shape[:2]
    pixel = pixels[min(int(hint.y * height), height - 1), min(int(hint.x * width), width - 1)]
    return color.rgb_to_lab(pixel / 255)


def find_expected(gray: np.ndarray, hint: Hint) -> np.ndarray:
    """Lab of the hint's color at the lightness of the photo, faded into the gamut."""
    l_star = read_at(gray[..., None].repeat(3, axis=2), hint)[:1]
    ab = color.rgb_to_lab(np.array(hint.rgb) / 255)[1:] if hint.rgb else np.zeros(2)
    rgb = color.compose(
        l_star[None].astype(np.float32), ab[None, None].astype(np.float32), np.dtype(np.uint8)
    )
    return color.rgb_to_lab(rgb[0, 0] / 255)


@pytest.mark.parametrize("strength", [0.5, 1, 2])
def test_the_color_at_a_hint_is_obeyed_also_where_it_is_implausible(colorizer, gray, strength):
    hints = tuple(
        Hint(x=0.1 + 0.2 * number, y=0.2 + 0.15 * number, rgb=rgb)
        for number, rgb in enumerate(IMPLAUSIBLE)
    )
    result = colorizer(gray, hints=hints, strength=strength)
    for hint in hints:
        difference = color.delta_e_2000(read_at(result, hint), find_expected(gray, hint))
        assert difference <= 1
    assert np.abs(color.lightness(result) - color.lightness(gray)).max() < 1


def test_a_neutral_hint_leaves_no_chroma_in_its_disc(colorizer, color):
    hint = Hint(x=0.5, y=0.9, rgb=None, radius=0.05)
    result = colorizer(color, hints=(hint,))
    down, across = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disc = np.hypot(down - 0.9 * HEIGHT, across - 0.5 * WIDTH) <= 0.05 * HEIGHT
    from colorizenet.color import rgb_to_lab

    assert np.hypot(*rgb_to_lab(result[disc] / 255)[:, 1:].T).max() <= 2


def test_the_order_does_not_matter_and_a_removed_hint_leaves_no_trace(colorizer, gray):
    hints = tuple(
        Hint(x=x, y=y, rgb=rgb)
        for x, y, rgb in ((0.2, 0.3, (200, 30, 30)), (0.8, 0.5, None), (0.5, 0.5, (0, 90, 200)))
    )
    result = colorizer(gray, hints=hints)
    assert np.array_equal(result, colorizer(gray, hints=hints[::-1]))
    [chroma] = colorizer.predict(gray)
    assert np.array_equal(result, colorizer.apply(gray, chroma, Options(hints=hints)))
    plain = colorizer(gray)
    assert not np.array_equal(result, plain)
    assert np.array_equal(colorizer.apply(gray, chroma), plain)


def test_a_hint_colors_what_is_similar_and_not_what_differs():
    """Two gray areas and a dark one: a hint in one area reaches its own area most."""
    l_star = np.full((40, 60), 60, np.float32)
    l_star[:, 30:] = 20
    ab = np.zeros((40, 60, 2), np.float32)
    ab[:, :30] = (5, 10)
    hint = Hint(x=0.25, y=0.5, rgb=(30, 120, 60))
    changed = spread_residuals(ab, describe_similarity(ab, l_star), [hint], (400, 600)) - ab
    amount = np.hypot(changed[..., 0], changed[..., 1])
    assert amount[20, 15] > 0.9 * amount.max()
    assert amount[20, 28] > 2 * amount[20, 31], "the edge of the area stops it"
    assert amount[20, 20] > amount[20, 28], "it falls with distance"


def test_a_model_may_say_what_is_similar(make_model):
    """One whose only coordinate is lightness colors equally light places anywhere."""
    stripes = np.repeat(np.array([60, 200] * 4, np.uint8), 16)[None].repeat(128, axis=0)
    colorizer = Colorizer(make_model(similarity=(0, 30)), threads=1)
    [chroma] = colorizer.predict(stripes)
    assert chroma.similarity is not None
    assert chroma.similarity.shape == (*chroma.ab.shape[:2], 2)
    hint = Hint(x=0.06, y=0.5, rgb=(60, 30, 90), radius=0.02)
    change = np.abs(colorizer(stripes, hints=(hint,)).astype(int) - colorizer(stripes)).max(2)
    dark, light = (change[4, 8 + 16 * start :: 32] for start in (0, 1))
    assert dark.min() > 0.9 * dark.max() > 10
    assert light.max() < 0.1 * dark.min()


def test_pages_of_different_network_sizes_share_what_is_similar(make_model, gray):
    """The second page has a border, so its network input is narrower."""
    bordered = gray.copy()
    bordered[:, :90] = 0
    pages = Image(np.concatenate([bordered, gray]), pages=2)
    colorizer = Colorizer(make_model(similarity=(0, 30, 0)), threads=1)
    [chroma] = colorizer.predict(pages)
    assert chroma.borders and chroma.similarity is not None
    assert chroma.similarity.shape == (*chroma.ab.shape[1:3], 3)
    hint = Hint(x=0.6, y=0.5, rgb=(200, 30, 200))
    hinted = colorizer(pages, hints=(hint,)).pixels
    assert (hinted[:HEIGHT] != colorizer(pages).pixels[:HEIGHT]).any()


def test_a_similarity_of_one_channel_is_an_error(make_model):
    with pytest.raises(ModelFileError, match=r"similarity.*expected \(N, 2 or more, H, W\)"):
        Colorizer(make_model(similarity=(0,)))


def test_hints_next_to_each_other_do_not_add_up():
    l_star, ab = np.full((40, 40), 50, np.float32), np.zeros((40, 40, 2), np.float32)
    one = Hint(x=0.5, y=0.5, rgb=(200, 30, 30))
    many = [replace(one, x=0.5 + 0.01 * number) for number in range(8)]
    similarity = describe_similarity(ab, l_star)
    single, group = (spread_residuals(ab, similarity, hints, (40, 40)) for hints in ([one], many))
    assert np.abs(group).max() < 1.1 * np.abs(single).max()


def test_where_discs_overlap_the_nearest_center_counts():
    hints = [
        Hint(x=0.50, y=0.5, rgb=(200, 30, 30), radius=0.2),
        Hint(x=0.55, y=0.5, rgb=(0, 90, 200), radius=0.2),
        Hint(x=0.55, y=0.5, rgb=None, radius=0.02),
    ]
    a, b = np.zeros((100, 100), np.float32), np.zeros((100, 100), np.float32)
    Discs(hints, (100, 100)).enforce(a, b, 0)
    red, blue = (color.rgb_to_lab(np.array(hint.rgb) / 255)[1:] for hint in hints[:2])
    assert (a[50, 45], b[50, 45]) == pytest.approx(tuple(red), abs=0.01)
    assert (a[50, 65], b[50, 65]) == pytest.approx(tuple(blue), abs=0.01)
    assert a[50, 55] == b[50, 55] == 0, "the smaller disc is on top"
    assert not a[:20].any() and not a[:, 90:].any()


def test_strips_of_rows_equal_the_whole():
    hints = [Hint(x=0.3, y=0.4, rgb=(200, 30, 30), radius=0.1), Hint(x=0.32, y=0.45, rgb=None)]
    discs = Discs(hints, (90, 120))
    whole = np.ones((2, 90, 120), np.float32)
    discs.enforce(*whole, 0)
    strips = np.ones((2, 90, 120), np.float32)
    for top in range(0, 90, 7):
        discs.enforce(strips[0, top : top + 7], strips[1, top : top + 7], top)
    assert np.array_equal(whole, strips)


@pytest.mark.parametrize("x", [0, 1])
@pytest.mark.parametrize("y", [0, 1])
def test_hints_in_the_corners_are_obeyed(tiny, gray, x, y):
    hint = Hint(x=x, y=y, rgb=(200, 30, 30), radius=0)
    result = tiny(gray, hints=(hint,))
    assert color.delta_e_2000(read_at(result, hint), find_expected(gray, hint)) <= 1


def test_hints_are_for_the_first_page(tiny, gray):
    pages = Image(np.concatenate([gray, gray]), format="tiff", pages=2)
    hint = Hint(x=0.5, y=0.5, rgb=(200, 30, 30), radius=0.1)
    result = tiny(pages, hints=(hint,)).pixels
    assert np.array_equal(result[:HEIGHT], tiny(gray, hints=(hint,)))
    assert np.array_equal(result[HEIGHT:], tiny(gray))


def test_hints_are_in_the_same_place_in_strips_and_with_a_border(tmp_path, colorizer, gray):
    bordered = np.full((HEIGHT + 80, WIDTH + 120), 255, np.uint8)
    bordered[30 : 30 + HEIGHT, 70 : 70 + WIDTH] = gray
    write_image(tmp_path / "a.png", Image(bordered))
    hint = Hint(x=200 / bordered.shape[1], y=150 / bordered.shape[0], rgb=(200, 0, 200))
    options = Options(hints=(hint,))
    whole = colorizer(bordered, options)
    difference = color.delta_e_2000(read_at(whole, hint), find_expected(bordered, hint))
    assert difference <= 1
    assert np.ptp(whole[:25].astype(int), axis=2).max() == 0, "the border has no color"
    with open_image(tmp_path / "a.png") as file:
        [chroma] = colorizer.predict(file, options)
        assert chroma.borders
        strips = list(colorizer.apply_strips(file, chroma, options, rows=64))
    assert np.abs(np.concatenate(strips).astype(int) - whole).max() <= 4


def test_a_hint_in_the_border_colors_its_disc_alone(tiny, gray):
    bordered = np.full((HEIGHT + 80, WIDTH + 120), 0, np.uint8)
    bordered[30 : 30 + HEIGHT, 70 : 70 + WIDTH] = gray
    hint = Hint(x=0.05, y=0.5, rgb=(200, 0, 200))
    plain, result = tiny(bordered), tiny(bordered, hints=(hint,))
    assert (plain != result).any(axis=2).mean() < 0.01


def test_the_provenance_note_counts_the_hints(tiny, gray):
    hints = (Hint(x=0.2, y=0.2, rgb=None), Hint(x=0.5, y=0.5, rgb=(200, 30, 30)))
    assert tiny(Image(gray), hints=hints).note.endswith("colors reconstructed, 2 user hints")
    assert tiny(Image(gray), hints=hints[:1]).note.endswith(", 1 user hint")
    assert tiny(Image(gray)).note.endswith("colors reconstructed")
