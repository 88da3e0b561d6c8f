"""Rows of other people's pictures."""

import numpy as np
import pytest

from colorizenet.color import lightness
from colorizenet.errors import DataError
from colorizenet.evaluation.protocol import evaluate


def test_predictions_have_a_row_as_they_are_and_one_with_the_true_lightness(
    folder, colorizer, predictions
):
    report = evaluate(colorizer, folder, picture_size=64, predictions={"true": predictions})
    assert list(report.values)[-2:] == ["true", "true, true L*"]
    assert report.means["true"]["ciede2000"] < report.means["tiny"]["ciede2000"]
    for name in report.pictures:
        pictures = report.render(name)
        own = lightness(pictures["photograph"])
        assert np.abs(lightness(pictures["true, true L*"]) - own).max() < 0.6
        assert np.abs(lightness(pictures["true"]) - own).max() > 1
    won = report.compare("true", "tiny")
    assert won.wins == 1 and won.wins_interval[0] > 0.5
    assert won.difference < 0 and won.difference_interval[1] < 0
    lost = report.compare("tiny", "true")
    assert lost.wins == 0 and lost.difference == -won.difference


def test_predictions_must_have_every_picture_once(folder, colorizer, predictions, tmp_path):
    (predictions / "0" / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 6 pictures .*: 2"):
        evaluate(colorizer, folder, predictions={"other": predictions})
    (predictions / "0" / "3.png").write_bytes((predictions / "1" / "3.jpg").read_bytes())
    with pytest.raises(DataError, match="two pictures named 3"):
        evaluate(colorizer, folder, predictions={"other": predictions})
    with pytest.raises(DataError, match="is not a folder"):
        evaluate(colorizer, folder, predictions={"other": tmp_path / "absent"})


def test_photographs_of_the_same_stem_cannot_have_predictions(
    tmp_path, colorizer, draw, save, predictions
):
    for suffix in ("png", "jpg"):
        save(tmp_path / "photographs" / f"1.{suffix}", draw(1))
    with pytest.raises(DataError, match="same file stem"):
        evaluate(colorizer, tmp_path / "photographs", predictions={"other": predictions})
