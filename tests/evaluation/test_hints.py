"""``evaluate --hints``: models get hints of the true colors, and gain by them."""

import json

import numpy as np
import pytest

from colorizenet import cli, color
from colorizenet.evaluation.hints import build_hint_table, draw_hints
from colorizenet.evaluation.protocol import evaluate
from colorizenet.evaluation.results import format_title
from colorizenet.evaluation.truth import read_truth
from colorizenet.photosets import list_photos


def test_hints_have_the_true_color_and_follow_from_the_seed(folder):
    truth = read_truth(list_photos(folder)[0], 64)
    hints = draw_hints(truth, 20, 0)
    assert hints[:5] == draw_hints(truth, 5, 0) != draw_hints(truth, 5, 1)
    for hint in hints:
        found = color.rgb_to_lab(np.array(hint.rgb) / 255)[1:]
        assert found == pytest.approx(truth.ab[int(hint.y * 64), int(hint.x * 64)], abs=12)


def test_errors_fall_with_the_number_of_hints(folder, colorizer):
    report = evaluate(colorizer, folder, hints=(50, 2), picture_size=64)
    rows = [report.means[f"tiny, {count} hints"] for count in (0, 2, 50)]
    assert rows[0] == evaluate(colorizer, folder, picture_size=64).means["tiny"]
    assert rows[0]["ciede2000"] > rows[1]["ciede2000"] > rows[2]["ciede2000"]
    assert rows[0]["psnr"] < rows[1]["psnr"] < rows[2]["psnr"]


class MeanError:
    """A stand-in for a Fréchet distance: lower where the pictures are more alike."""

    def __init__(self):
        self.pictures = {}

    def add(self, name, pictures):
        self.pictures.setdefault(name, []).append(pictures.astype(float))

    def distance(self, one, other):
        pairs = zip(self.pictures[one], self.pictures[other], strict=True)
        return float(np.mean([np.abs(a - b).mean() for a, b in pairs]))


def test_the_table_has_further_metrics_and_their_gains(folder, colorizer):
    def compute_error(pictures, truths):
        rows = pictures.reshape(-1, *truths.shape).astype(float)
        return np.abs(rows - truths).mean(axis=(2, 3, 4)).ravel()

    report = evaluate(
        colorizer,
        folder,
        hints=(50,),
        picture_size=64,
        pair_metrics={"lpips_alex": compute_error},
        set_metrics={"frechet_vgg16": MeanError()},
    )
    headings, (without, hinted) = build_hint_table(report)
    titles = [format_title(name) for name in ("lpips_alex", "frechet_vgg16")]
    assert headings[5:] == [titles[0], "gain", titles[1], "gain"]
    for name, column in (("lpips_alex", 5), ("frechet_vgg16", 7)):
        before, after = (report.means[f"tiny, {count} hints"][name] for count in (0, 50))
        assert after < before
        assert float(without[column]) == pytest.approx(before, rel=1e-2)
        assert float(hinted[column]) == pytest.approx(after, rel=1e-2)
        assert without[column + 1] == "0.000"
        assert float(hinted[column + 1]) == pytest.approx(before - after, rel=1e-2)


def test_the_command_prints_the_gains(folder, model_path, tmp_path, capsys):
    report = tmp_path / "r.json"
    arguments = [str(folder), "--model", str(model_path), "--picture-size", "64", "--limit", "2"]
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["evaluate", *arguments, "--hints", "1,5", "--seed", "3", "--report-json", str(report)]
        )
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-1] == "gain"
    names = [line.split("  ")[0] for line in lines[2:]]
    stem = model_path.stem
    assert names == [f"{stem}, 0 hints", f"{stem}, 1 hint", f"{stem}, 5 hints"]
    settings = json.loads(report.read_text())["settings"]
    assert settings["hints"] == [1, 5] and settings["seed"] == 3
    assert "--hints 1,5 --seed 3" in settings["command"]


@pytest.mark.parametrize("hints", ["many", "-1", "129", "1,,2"])
def test_wrong_numbers_of_hints_are_one_line(folder, hints, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", str(folder), f"--hints={hints}"])
    assert ended.value.code == 2 and f"--hints {hints}" in capsys.readouterr().err
