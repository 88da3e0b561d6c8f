"""The strength that reaches a colorfulness, and the cache of networks' answers."""

import cv2
import numpy as np
import pytest

from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.errors import DataError
from colorizenet.evaluation.chromacache import ChromaCache
from colorizenet.evaluation.matching import find_strength
from colorizenet.evaluation.protocol import evaluate
from colorizenet.imaging.borders import Border, Side
from colorizenet.options import Options
from colorizenet.photosets import list_photos

PICTURES = 6


class CountingColorizer(Colorizer):
    """Counts the runs of the network."""

    runs = 0

    def predict(self, *arguments, **settings):
        self.runs += 1
        return super().predict(*arguments, **settings)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_models_reach_the_colorfulness(folder, colorizer, report, share):
    target = share * report.mean["colorfulness"]
    matched = evaluate(colorizer, folder, picture_size=64, match_colorfulness=target)
    assert matched.mean["colorfulness"] == pytest.approx(target, rel=0.005)
    assert matched.about["tiny"]["strength"] == pytest.approx(share, rel=0.1)
    assert "strength" not in matched.settings
    assert matched.settings["match_colorfulness"] == target


def test_a_matched_evaluation_equals_one_at_the_strength_that_was_found(folder, colorizer, report):
    target = 0.6 * report.mean["colorfulness"]
    matched = evaluate(colorizer, folder, picture_size=64, match_colorfulness=target)
    options = Options(strength=matched.about["tiny"]["strength"])
    again = evaluate(colorizer, folder, picture_size=64, options=options)
    assert list(matched.iterate_values()) == list(again.iterate_values())
    name = matched.pictures[0]
    assert np.array_equal(matched.render(name)["tiny"], again.render(name)["tiny"])


def test_the_network_runs_once_per_photograph(folder, model_path, report, tmp_path):
    colorizer = CountingColorizer(model_path, threads=1)
    target = 0.5 * report.mean["colorfulness"]
    steps = []
    matched = evaluate(
        {"one": colorizer},
        folder,
        picture_size=64,
        match_colorfulness=target,
        on_progress=lambda *counts: steps.append(counts),
    )
    matched.to_html(tmp_path / "report.html")
    assert colorizer.runs == PICTURES
    assert steps == [(done, 2 * PICTURES) for done in range(1, 2 * PICTURES + 1)]


def test_a_model_that_cannot_be_so_colorful_is_left_out(folder, model_path, report):
    """The others are measured, whose networks have run by then."""

    class Gray(Colorizer):
        def apply(self, picture, chroma, options=Options()):
            return np.repeat(np.asarray(picture)[..., None], 3, axis=-1)

    target = 0.5 * report.mean["colorfulness"]
    models = {"gray one": Gray(model_path, threads=1), "tiny": Colorizer(model_path, threads=1)}
    matched = evaluate(models, folder, picture_size=64, match_colorfulness=target)
    assert "gray one" not in matched.about and "tiny" in matched.about
    [message] = matched.failed
    assert message.startswith("gray one cannot reach a colorfulness of")
    with pytest.raises(DataError, match="gray one cannot reach"):
        evaluate(
            {"gray one": models["gray one"]}, folder, picture_size=64, match_colorfulness=target
        )


def test_a_strength_is_found_for_the_other_options_too(folder, model_path, report):
    colorizer = CountingColorizer(model_path, threads=1)
    photos = list_photos(folder)
    target = 0.8 * report.mean["colorfulness"]
    strength = find_strength(
        "tiny", colorizer, photos, target, options=Options(size=32), picture_size=64
    )
    options = Options(size=32, strength=strength)
    found = evaluate(colorizer, folder, picture_size=64, options=options)
    assert found.mean["colorfulness"] == pytest.approx(target, rel=0.005)


def test_photographs_that_are_left_out_do_not_count(tmp_path, colorizer, draw, save):
    save(tmp_path / "a.png", draw(0))
    alone = find_strength("tiny", colorizer, list_photos(tmp_path), 20, picture_size=64)
    save(tmp_path / "b.png", np.full((64, 64, 3), 128, np.uint8))
    (tmp_path / "c.png").write_bytes(b"no picture")
    photos = list_photos(tmp_path)
    assert find_strength("tiny", colorizer, photos, 20, picture_size=64) == alone
    assert find_strength("tiny", colorizer, photos[1:], 20, picture_size=64) == 1


def test_a_colorfulness_that_no_strength_reaches_is_refused(folder, colorizer, tmp_path):
    with pytest.raises(DataError, match=r"colorfulness of 400 .*: strength 2 gives [1-9]"):
        evaluate(colorizer, folder, picture_size=64, match_colorfulness=400)
    with pytest.raises(ValueError, match="over 0"):
        evaluate(colorizer, folder, picture_size=64, match_colorfulness=-5)
    # All pixels of a flat picture change at once: nothing lies between two steps.
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((64, 64, 3), (90, 120, 160), np.uint8))
    step = evaluate(colorizer, tmp_path, picture_size=64).mean["colorfulness"]
    with pytest.raises(DataError, match="choose another"):
        evaluate(colorizer, tmp_path, picture_size=64, match_colorfulness=step / 1000)


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
def test_the_cache_gives_answers_back_bit_for_bit(in_memory):
    generator = np.random.default_rng(0)
    answers = {
        side: Chroma(
            generator.normal(size=(side, 2 * side, 2)).astype(np.float32),
            generator.normal(size=(side, 2 * side)).astype(np.float32),
            (None,) if side == 5 else (Border(left=Side(0.1, inner=side / 100)),),
            generator.random((side, 2 * side, 4), np.float32) if side == 8 else None,
        )
        for side in (3, 8, 5)
    }
    with ChromaCache(in_memory) as cache:
        for side, chroma in answers.items():
            cache.put(side, chroma)
        for side, chroma in answers.items():
            found = cache.get(side)
            assert found is not None
            assert np.array_equal(found.ab, chroma.ab)
            assert np.array_equal(found.l_star, chroma.l_star)
            assert found.borders == chroma.borders
            assert (found.similarity is None) == (side != 8)
            assert side != 8 or np.array_equal(found.similarity, chroma.similarity)
        assert cache.get("absent") is None
    cache.put(4, answers[3])
    assert cache.get(3) is None and cache.get(4) is None
