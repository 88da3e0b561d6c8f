"""``evaluate --variants``: models draw, and the best, the mean and the spread count."""

import itertools
import json
import shutil
from collections.abc import Sequence

import numpy as np
import pytest

from colorizenet import cli
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.evaluation.protocol import evaluate
from colorizenet.evaluation.variants import build_variant_table, measure_diversity
from colorizenet.options import Options


@pytest.fixture
def drawing(drawing_model) -> Colorizer:
    return Colorizer(drawing_model, threads=1)


class Brightness:
    """A metric of which each pair of variants has the difference."""

    def __call__(self, pictures: np.ndarray, truths: np.ndarray) -> list[float]:
        return pictures.mean(axis=(1, 2, 3)).tolist()

    def compare_variants(self, variants: Sequence[np.ndarray]) -> list[float]:
        pairs = itertools.combinations(np.asarray(variants, float), 2)
        return np.mean([np.abs(a - b).mean(axis=(1, 2, 3)) for a, b in pairs], axis=0).tolist()


def test_the_best_is_best_and_the_first_is_the_answer(folder, drawing):
    report = evaluate(drawing, folder, variants=4, seed=3, picture_size=64)
    errors = {row: values["ciede2000"] for row, values in report.values.items()}
    variants = [errors[f"drawing, variant {number}"] for number in (1, 2, 3, 4)]
    assert np.array_equal(errors["drawing, best of 4"], np.min(variants, axis=0))
    assert (errors["drawing, mean of 4"] <= np.max(variants, axis=0)).all()
    plain = evaluate(drawing, folder, picture_size=64)
    assert np.array_equal(variants[0], plain.values["drawing"]["ciede2000"])
    assert report.subject == "drawing, variant 1"


def test_each_photo_has_noise_of_its_own(folder, drawing, tmp_path):
    photo = next(folder.rglob("*.png"))
    for name in ("one", "two"):
        shutil.copy(photo, tmp_path / (name + photo.suffix))
    report = evaluate(drawing, tmp_path, variants=3, picture_size=64)
    answer, drawn = (report.values[f"drawing, variant {number}"]["ciede2000"] for number in (1, 2))
    assert answer[0] == answer[1]
    assert drawn[0] != drawn[1]
    again = evaluate(drawing, tmp_path, variants=3, picture_size=64)
    assert np.array_equal(again.values["drawing, variant 2"]["ciede2000"], drawn)


def test_diversity_grows_with_the_temperature(folder, drawing):
    def measure(diversity: float) -> dict[str, float]:
        options = Options(diversity=diversity)
        report = evaluate(
            drawing,
            folder,
            options=options,
            variants=3,
            picture_size=64,
            pair_metrics={"lpips_vgg": Brightness()},
        )
        assert set(report.values["gray"]) >= {"lpips_vgg"}
        return report.mean_diversity["drawing"]

    none, half, full = (measure(diversity) for diversity in (0.0, 0.5, 1.0))
    assert set(full) == {"ciede2000", "mean_color", "lpips_vgg"}
    for name in full:
        assert none[name] < 1e-4 < half[name] < full[name]


def test_diversity_is_that_of_flat_colors():
    """Two pictures whose a* and b* are constant differ by their distance everywhere."""
    one, other = (
        np.full((16, 16, 3), color, np.uint8) for color in ((120, 110, 100), (100, 110, 120))
    )
    found = measure_diversity([one, other])
    assert found["ciede2000"] > 10
    assert found["mean_color"] == pytest.approx(
        measure_diversity([one, other, one, other])["mean_color"] * np.sqrt(1.5), rel=1e-5
    )
    assert measure_diversity([one, one]) == {"ciede2000": 0, "mean_color": 0}


def test_the_command_prints_a_table_and_writes_reports(folder, drawing_model, tmp_path, capsys):
    report, page = tmp_path / "r.json", tmp_path / "r.html"
    arguments = [str(folder), "--model", str(drawing_model), "--picture-size", "64", "--limit", "2"]
    arguments += ["--variants", "3", "--seed", "5", "--diversity", "0.5"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", *arguments, "--report-json", str(report), "--report-html", str(page)])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split("  ")[0] for line in lines[2:]]
    assert labels[:4] == [
        f"drawing, {label}" for label in ("answer", "one draw", "best of 3", "mean of 3")
    ]
    assert lines[-1].startswith("drawing: variants differ from each other by")
    written = json.loads(report.read_text())
    assert written["settings"]["variants"] == 3 and written["settings"]["diversity"] == 0.5
    assert "--seed 5 --diversity 0.5 --variants 3" in written["settings"]["command"]
    assert set(written["diversity"]["drawing"]) == {"ciede2000", "mean_color"}
    html = page.read_text()
    assert "drawing, variant 3" in html and "variants differ from each other" in html


class BrightestDifference:
    """A metric of sets: how much the brightest pixels of two sets differ."""

    def __init__(self):
        self.brightest = {}

    def add(self, row, pictures):
        self.brightest[row] = max(self.brightest.get(row, 0), int(pictures.max()))

    def distance(self, one, other):
        return float(abs(self.brightest[one] - self.brightest[other]))


def test_metrics_that_were_asked_for_are_columns_of_the_table(folder, drawing):
    metric = BrightestDifference()
    sets = {"brightest": metric}
    report = evaluate(drawing, folder, variants=3, picture_size=64, set_metrics=sets)
    headings, lines = build_variant_table(report)
    assert headings[-1].startswith("brightest") and len(headings) == 6
    drawn = [metric.distance(f"drawing, variant {k}", "photographs") for k in (2, 3)]
    assert float(lines[1][-1]) == pytest.approx(np.mean(drawn), abs=0.01)


def test_a_model_that_draws_nothing_is_an_error(folder, colorizer, capsys):
    with pytest.raises(ConfigError, match="tiny cannot draw variants"):
        evaluate(colorizer, folder, variants=4, picture_size=64)
    with pytest.raises(ValueError, match="variants exclude hints"):
        evaluate(colorizer, folder, variants=4, hints=(1,))
    for flags in (["--variants", "4", "--hints", "1"], ["--diversity", "0.5"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["evaluate", str(folder), *flags])
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
