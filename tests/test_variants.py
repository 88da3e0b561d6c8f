"""Several colorings of one photo: the answer first, draws that differ, and seeds."""

import numpy as np
import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.imaging.image import Image
from colorizenet.options import MAX_VARIANTS, RENDERERS, Options
from colorizenet.variants import balance_draws, choose_model, choose_variants, draw_seeds


@pytest.fixture
def drawing(drawing_model) -> Colorizer:
    return Colorizer(drawing_model)


def make_planes(*colors: tuple[float, float]) -> list[np.ndarray]:
    """Chroma of one color each, (12, 16, 2)."""
    return [np.full((12, 16, 2), color, np.float32) for color in colors]


def mean_color(chroma) -> np.ndarray:
    return chroma.ab.mean((0, 1))


def test_the_first_variant_is_the_answer_without_noise(drawing, gray):
    [answer] = drawing.predict(gray)
    assert np.array_equal(answer.ab, drawing.predict(gray, diversity=0.0)[0].ab)
    assert np.allclose(answer.ab[..., 0], -1.5 * answer.ab[..., 1], atol=1e-3)
    for seed in (0, 7):
        first, *others = drawing.predict(gray, count=4, seed=seed)
        assert np.array_equal(first.ab, answer.ab)
        assert len(others) == 3
        assert not any(np.array_equal(each.ab, answer.ab) for each in others)


def test_a_seed_repeats_its_variants_and_other_seeds_have_others(drawing, gray):
    one, again, other = (drawing.predict(gray, count=5, seed=seed)[1:] for seed in (7, 7, 8))
    assert all(np.array_equal(x.ab, y.ab) for x, y in zip(one, again, strict=True))
    assert not any(np.array_equal(x.ab, y.ab) for x in one for y in other)
    assert len({chroma.ab.tobytes() for chroma in one}) == 4


def test_diversity_scales_how_much_variants_differ(drawing, gray):
    answer = mean_color(drawing.predict(gray)[0])

    def mean_distance(diversity: float) -> float:
        drawn = drawing.predict(gray, count=5, diversity=diversity)[1:]
        return float(np.mean([np.linalg.norm(mean_color(each) - answer) for each in drawn]))

    full, half, none = (mean_distance(diversity) for diversity in (1.0, 0.5, 0.0))
    assert full > 3
    assert half == pytest.approx(full / 2, rel=1e-3)
    assert none == 0


def test_a_single_answer_does_not_depend_on_the_seed(drawing, gray):
    assert np.array_equal(drawing(gray), drawing(gray, seed=9, diversity=2.0))


def test_every_page_of_a_picture_has_variants(drawing, gray):
    bordered = np.pad(gray[:160, :200], 40, constant_values=255)
    pixels = np.concatenate([bordered, bordered[::-1], gray[:240, :280]])
    variants = drawing.predict(Image(pixels, format="tiff", pages=3), count=3, seed=1)
    assert [len(chroma.pages()) for chroma in variants] == [3, 3, 3]
    assert drawing.apply(Image(pixels, format="tiff", pages=3), variants[2]).pages == 3


def test_a_model_without_noise_and_wrong_counts_are_errors_of_one_line(gray, drawing, make_model):
    with pytest.raises(ConfigError, match="tiny cannot draw variants, because"):
        Colorizer(make_model()).predict(gray, count=2)
    with pytest.raises(
        ConfigError, match=f"17 variants were requested; give at most {MAX_VARIANTS}"
    ):
        drawing.predict(gray, count=17)
    with pytest.raises(ConfigError, match="tta averages predictions"):
        drawing.predict(gray, count=2, tta=True)
    with pytest.raises(ConfigError, match="diversity is 3; give a number from 0 to 2"):
        Options(diversity=3)


def test_the_farthest_colors_are_chosen_and_the_nearest_of_them_come_first():
    colors = (1, 0), (9, 0), (9, 0.5), (0, -8), (0.5, -8), (0, 2)
    answer, *drawn = make_planes((0, 0), *colors)
    chosen = choose_variants(answer, drawn, 3)
    assert [colors[number] for number in chosen] == [(0, 2), (0.5, -8), (9, 0.5)]


def test_colors_are_compared_where_they_are():
    """Two draws of equal mean color differ, if they have their colors elsewhere."""
    answer, left, right = make_planes((0, 0), (0, 0), (0, 0))
    left[:, :8, 0] = 20
    right[:, 8:, 0] = 20
    drawn = [left, left + 1, right, right + 1]
    first, second = choose_variants(answer, drawn, 2)
    assert {first // 2, second // 2} == {0, 1}


def test_seeds_of_draws_differ_and_more_variants_have_the_draws_of_fewer():
    seeds = [seed for start in range(50) for seed in draw_seeds(start, 8)]
    assert len(set(seeds)) == len(seeds)
    assert draw_seeds(3, 8)[:4] == draw_seeds(3, 4)
    assert all(0 <= seed < 2**63 for seed in draw_seeds(2**63 - 1, 2))


def test_the_noises_of_a_pair_of_draws_are_opposite():
    one, opposite, other, _ = (
        RENDERERS["noise"](Options(seed=seed, diversity=0.5), (20, 30)) for seed in draw_seeds(3, 4)
    )
    assert np.array_equal(one, -opposite)
    assert one.std() == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_the_noise_of_no_seed_draws_a_stronger_tint_than_that_of_another(seed):
    noise = RENDERERS["noise"](Options(seed=seed, diversity=1.5), (20, 30))
    assert np.linalg.norm(noise.mean((1, 2))) == pytest.approx(1.5 * np.sqrt(2 / 600), rel=1e-3)
    assert noise.std() == pytest.approx(1.5, rel=0.05)


def test_what_opposite_draws_share_is_reduced():
    """Both draws of the first pair change a* by 5 more than their noise does, those of
    the second pair by nothing."""
    answer, *drawn = make_planes((1, 2), (10, 2), (2, 2), (1, 7), (1, -3))
    balanced = balance_draws(answer, drawn)
    assert np.allclose(balanced, make_planes((8, 2), (0, 2), (1, 7), (1, -3)))


def test_the_mean_of_a_pair_is_the_answer_where_changes_are_opposite(drawing, gray):
    answer, *drawn = drawing.predict(gray, count=3, seed=5)
    assert np.allclose(np.mean([each.ab for each in drawn], axis=0), answer.ab, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 15])
def test_as_many_variants_as_requested_come_also_of_tiny_pictures(drawing, count):
    assert len(drawing.predict(np.full((2, 3), 90, np.uint8), count=count)) == count


def test_diverse_draws_the_colorings_of_default_where_there_are_several():
    assert choose_model("default", 2, ["default", "diverse"]) == "diverse"
    assert choose_model("default", 1, ["default", "diverse"]) == "default"
    assert choose_model("default", 2, ["default"]) == "default"
    assert choose_model("mine.onnx", 2, ["default", "diverse"]) == "mine.onnx"


def test_variants_of_diverse_do_not_depend_on_the_number_of_threads(gray):
    """It follows from how many photos are colorized at a time."""
    alone, among_others = (
        Colorizer("diverse", threads=threads).predict(gray, count=3, seed=7) for threads in (1, 2)
    )
    for one, other in zip(alone, among_others, strict=True):
        assert np.array_equal(one.ab, other.ab)
