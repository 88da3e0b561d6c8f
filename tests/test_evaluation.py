"""A table that anyone can repeat: rows, figures, their certainty, and what a report shows of them."""

import json
import math
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from colorizenet import cli
from colorizenet.colorizer import Colorizer
from colorizenet.errors import DataError, ImageError
from colorizenet.evaluation import metrics
from colorizenet.evaluation import protocol as evaluation
from colorizenet.evaluation.report import Report, _percentiles, _resampled_means, _wilson
from colorizenet.photosets import list_photos

PICTURES = 6


def photograph(number: int, height: int = 96, width: int = 120) -> np.ndarray:
    """Smooth shapes in many colors, RGB."""
    small = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    for number in range(PICTURES):
        path = root / ("test" if number % 2 else "train") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), photograph(number)[..., ::-1])
    return root


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(threads=1)


@pytest.fixture(scope="module")
def report(folder, colorizer) -> Report:
    return evaluation.evaluate(colorizer, folder, size=64)


# Rows


def test_rows_stand_in_the_order_that_they_must(report):
    assert list(report.figures) == ["gray", "truth", "oracle 4x", "oracle 8x", "default"]
    means = report.means
    order = [means[row]["ciede2000"] for row in ("truth", "oracle 4x", "oracle 8x", "gray")]
    assert order == sorted(order) and order[0] < 0.5 < order[-1]
    assert means["gray"]["colorfulness"] == 0
    assert means["truth"]["psnr"] > 40
    assert report.subject == "default" and report.mean == means["default"]


def test_every_row_has_every_figure_of_every_picture(report):
    for of in report.figures.values():
        assert of.keys() == metrics.METRICS.keys()
        assert all(values.shape == (PICTURES,) for values in of.values())


def test_a_model_sees_gray_and_nothing_else(folder):
    seen = []
    truth = evaluation.Truth("one", photograph(1))

    def shown(truth):
        seen.append(truth.gray)
        return truth.rgb

    assert shown(truth) is truth.rgb and seen[0].shape == truth.rgb.shape[:2]
    assert (
        np.abs(evaluation.color.lightness(seen[0]) - truth.l_star).max() < 0.25
    )  # as near as 8 bits come


def test_figures_are_those_of_the_command_that_colors(report, folder, colorizer):
    name = report.pictures[0]
    truth = evaluation.protocol_picture(cv2.imread(str(folder / name))[..., ::-1], 64)
    shown = colorizer(evaluation.Truth(name, truth).gray)
    assert report.figures["default"]["ciede2000"][0] == metrics.ciede2000(shown, truth)
    assert np.array_equal(report.show(name)["default"], shown)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_figures_every_time_to_the_last_digit(report, folder, colorizer, workers):
    again = evaluation.evaluate(colorizer, folder, size=64, workers=workers)
    assert json.dumps(again.as_dict()["each"]) == json.dumps(report.as_dict()["each"])
    assert again.intervals == report.intervals


def test_settings_choose_the_pictures(folder, colorizer):
    def names(**settings):
        return evaluation.evaluate(colorizer, folder, size=32, **settings).pictures

    assert names(split="test") == ["test/1.png", "test/3.png", "test/5.png"]
    assert names(limit=2) == ["test/1.png", "test/3.png"]
    full = evaluation.evaluate(colorizer, folder, full=True, limit=1)
    assert full.show("test/1.png")["default"].shape == (96, 120, 3)
    assert report_size(evaluation.evaluate(colorizer, folder, size=48, limit=1)) == (48, 48, 3)


def report_size(report: Report) -> tuple[int, ...]:
    return report.show(report.pictures[0])["photograph"].shape


# Rivals


@pytest.fixture
def rival(tmp_path, folder):
    """True colors, in lossy files, some of another size and in folders of their own."""
    for number in range(PICTURES):
        rgb = photograph(number)
        if number % 2:
            rgb = cv2.resize(rgb, (240, 192), interpolation=cv2.INTER_CUBIC)
        path = tmp_path / "rival" / str(number % 2) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    return tmp_path / "rival"


def test_a_rival_is_measured_as_it_is_and_on_the_true_lightness(folder, colorizer, rival):
    report = evaluation.evaluate(colorizer, folder, size=64, against={"true": rival})
    assert list(report.figures)[-2:] == ["true", "true, own L*"]
    assert report.means["true"]["ciede2000"] < report.means["default"]["ciede2000"]
    for name in report.pictures:
        shown = report.show(name)
        lightness = evaluation.color.lightness(shown["photograph"])
        assert np.abs(evaluation.color.lightness(shown["true, own L*"]) - lightness).max() < 0.6
        assert np.abs(evaluation.color.lightness(shown["true"]) - lightness).max() > 1
    won = report.compare("true", "default")
    assert (
        won.wins == 1
        and won.wins_interval[0] > 0.5
        and won.difference < 0
        and won.difference_interval[1] < 0
    )
    lost = report.compare("default", "true")
    assert lost.wins == 0 and lost.difference == -won.difference


def test_a_rival_must_have_every_picture_once(folder, colorizer, rival, tmp_path):
    (rival / "0" / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 6 pictures .*: 2"):
        evaluation.evaluate(colorizer, folder, against={"rival": rival})
    (rival / "0" / "3.png").write_bytes((rival / "1" / "3.jpg").read_bytes())
    with pytest.raises(DataError, match="two pictures called 3"):
        evaluation.evaluate(colorizer, folder, against={"rival": rival})
    with pytest.raises(DataError, match="is no folder"):
        evaluation.evaluate(colorizer, folder, against={"rival": tmp_path / "absent"})


# What goes wrong


def test_pictures_that_cannot_be_decoded_are_named_and_left_out(tmp_path, colorizer):
    cv2.imwrite(str(tmp_path / "a.png"), photograph(0))
    (tmp_path / "b\nc.png").write_bytes(b"no picture")
    report = evaluation.evaluate(colorizer, tmp_path, size=32)
    assert report.pictures == ["a.png"]
    assert len(report.failed) == 1 and report.failed[0].startswith("'b\\nc.png' ")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="none of 1 pictures"):
        evaluation.evaluate(colorizer, tmp_path)


def test_whole_pictures_that_are_too_small_are_named_and_left_out(tmp_path, colorizer):
    for name, height, width in (("large", 40, 30), ("thin", 10, 60), ("least", 11, 11)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), photograph(0, height, width))
    report = evaluation.evaluate(colorizer, tmp_path, full=True)
    assert report.pictures == ["large.png", "least.png"]
    assert report.failed == ["thin.png is 60 x 10 and metrics look at 11 x 11 and more; enlarge it"]


def test_a_picture_that_a_metric_refuses_is_in_no_row_and_no_figure(tmp_path, colorizer):
    for number, side in enumerate((40, 20, 40, 30)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photograph(number, side, side))

    def brightness(pictures, truths):
        if pictures.shape[1] < 30:
            raise ImageError("it is too small; enlarge it")
        return [float(truth.mean()) for truth in truths]

    class Counting(dict):
        def add(self, row, pictures):
            self[row] = self.get(row, 0) + len(pictures)

        def distance(self, row, other):
            return float(self[row] + self[other])

    asked = {"pair_metrics": {"brightness": brightness}, "set_metrics": {"counted": Counting()}}
    report = evaluation.evaluate(colorizer, tmp_path, full=True, **asked)
    assert report.pictures == [
        "0.png",
        "2.png",
        "3.png",
    ]  # in their order, though sizes came in batches
    assert report.failed == ["1.png: it is too small; enlarge it"]
    means = [
        float(photograph(number, side, side).mean()) for number, side in ((0, 40), (2, 40), (3, 30))
    ]
    assert list(report.figures["gray"]["brightness"]) == means
    assert report.figures["gray"]["psnr"].shape == report.photographs["colorfulness"].shape == (3,)
    assert report.mean["counted"] == 6


def test_large_pictures_do_not_wait_for_each_other(tmp_path, colorizer):
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photograph(number, 700, 800))
    seen = []

    def counting(pictures, truths):
        seen.append(len(truths))
        return [0.0] * len(truths)

    rows = evaluation.standard_rows()[:1]
    evaluation.evaluate_rows(
        rows, list_photos(tmp_path), size=None, pair_metrics={"counted": counting}
    )
    assert seen == [2, 2, 2]


def test_what_is_kept_of_a_picture_is_its_name_and_its_figures():
    rows = evaluation.standard_rows()
    figures = dict.fromkeys(metrics.METRICS, 0.5)
    counted = evaluation._Counted(rows)
    for number in range(3):
        histograms = {name: np.zeros((64, 64)) for name in (*counted.figures, "photographs")}
        own, of_rows = {"colorfulness": 1.0}, {row.name: dict(figures) for row in rows}
        counted.add(evaluation._Measured(str(number), photograph(0), own, of_rows, histograms, {}))
    kept = [
        *counted.own.values(),
        *(column for of in counted.figures.values() for column in of.values()),
    ]
    assert all(column.itemsize * len(column) == 24 for column in kept)


# More metrics


def test_metrics_from_elsewhere_see_every_picture_once_in_batches(folder, colorizer):
    seen = []

    class Counting:
        def __init__(self):
            self.added = {}

        def add(self, row, pictures):
            self.added[row] = self.added.get(row, 0) + len(pictures)

        def distance(self, row, other):
            return float(self.added[row] == self.added[other])

    def brightness(pictures, truths):
        assert pictures.shape == truths.shape and pictures.dtype == np.uint8
        seen.append(len(pictures))
        return [float(picture.mean()) for picture in pictures]

    report = evaluation.evaluate(
        colorizer,
        folder,
        size=32,
        pair_metrics={"brightness": brightness},
        set_metrics={"counting": Counting()},
    )
    assert sum(seen) == PICTURES * len(report.figures)
    assert report.mean["counting"] == 1 and report.mean["brightness"] > 0
    assert report.figures["gray"]["brightness"].shape == (PICTURES,)


# Certainty


def bootstrap(columns: np.ndarray) -> list[tuple[float, float]]:
    return _percentiles(_resampled_means(columns), columns)


def test_an_interval_is_as_wide_as_the_noise():
    values = np.random.default_rng(1).normal(5, 2, (4000, 2))
    for low, high in bootstrap(values):
        assert high - low == pytest.approx(2 * 1.96 * 2 / math.sqrt(4000), rel=0.1)
        assert low < 5.1 and high > 4.9
    assert bootstrap(np.full((10, 1), 3.0)) == [(3.0, 3.0)]
    assert bootstrap(np.array([[1.0], [math.inf]])) == [(1.0, math.inf)]


@pytest.mark.parametrize("metric", ["ciede2000", "colorfulness"])
def test_a_difference_is_resampled_as_a_column_of_its_own(report, metric):
    def column(row):
        own = report.photographs[metric] if metric == "colorfulness" else 0
        return np.abs(report.figures[row][metric] - own)

    difference = (column("default") - column("gray"))[:, None]
    (interval,) = bootstrap(difference)
    assert report.compare("default", "gray", metric).difference_interval == pytest.approx(interval)


def test_wilsons_interval():
    assert _wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)  # Newcombe (1998)
    assert _wilson(0.0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert _wilson(1.0, 20) == pytest.approx((0.8389, 1), abs=1e-4)


def test_for_colorfulness_the_nearer_to_the_photograph_is_better(report):
    assert report.compare("truth", "gray", "colorfulness").wins == 1
    assert report.means["gray"]["delta_colorfulness"] == pytest.approx(
        float(np.mean(report.photographs["colorfulness"]))
    )


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_models_are_made_equally_colorful(folder, colorizer, report, share):
    wanted = share * report.mean["colorfulness"]
    pale = evaluation.evaluate(colorizer, folder, size=64, colorfulness=wanted)
    assert pale.mean["colorfulness"] == pytest.approx(wanted, rel=0.005)
    assert pale.about["default"]["strength"] == pytest.approx(share, rel=0.1)


def test_a_colorfulness_that_no_strength_reaches_is_refused(folder, colorizer, tmp_path):
    with pytest.raises(DataError, match=r"as colorful as 400 .*: strength 2 gives [1-9]"):
        evaluation.evaluate(colorizer, folder, size=64, colorfulness=400)
    with pytest.raises(ValueError, match="over 0"):
        evaluation.evaluate(colorizer, folder, size=64, colorfulness=-5)
    # Of a flat picture every pixel takes the next of 256 values at once: there is nothing between two steps.
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((64, 64, 3), (90, 120, 160), np.uint8))
    steps = evaluation.evaluate(colorizer, tmp_path, size=64).mean["colorfulness"]
    with pytest.raises(DataError, match="ask for another"):
        evaluation.evaluate(colorizer, tmp_path, size=64, colorfulness=steps / 1000)


def test_a_line_says_who_is_nearer(folder, colorizer, rival):
    report = evaluation.evaluate(colorizer, folder, size=64, against={"rival": rival})
    (line,) = report.verdicts()
    pairs = report.compare("default", "rival")
    assert line.startswith(
        f"default against rival: nearer on {pairs.wins:.0%} of the photographs ("
    )
    assert f"CIEDE2000 {pairs.difference:+.2f} (" in line
    assert (pairs.wins, pairs.difference > 0) == (0, True)


# The report


def test_json_holds_everything_and_is_json(report, tmp_path):
    report.to_json(tmp_path / "report.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert told["protocol"] == evaluation.PROTOCOL
    assert told["mean"]["default"]["ciede2000"] == pytest.approx(report.mean["ciede2000"])
    assert told["interval"]["default"]["ciede2000"][0] < told["mean"]["default"]["ciede2000"]
    assert len(told["each"]) == PICTURES and told["each"][0]["name"] == report.pictures[0]
    assert re.fullmatch("[0-9a-f]{64}", told["rows"]["default"]["sha256"])
    assert (
        told["compared"]["default"]["gray"]["ciede2000"]["wins"]
        == report.compare("default", "gray").wins
    )


def test_the_page_holds_all_that_it_shows_and_obeys_no_name(tmp_path, colorizer):
    cv2.imwrite(str(tmp_path / "<b>&.png"), photograph(0))
    report = evaluation.evaluate(colorizer, tmp_path, size=32)
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>&" not in page and "&lt;b&gt;&amp;.png" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "http" not in page
    for title in (
        "Figures",
        "Who wins",
        "A random dozen",
        "The worst",
        "desaturated",
        "over-colored",
    ):
        assert title in page
    assert "$" not in page
    assert page.count("data:image/") >= 4 * 3  # four sections, one picture, three shown


@pytest.fixture
def run(capsys):
    def run(*given: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["evaluate", *given])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_the_command_line_prints_the_table_and_writes_reports(run, folder, rival, tmp_path):
    reports = "--report-json", str(tmp_path / "r.json"), "--report-html", str(tmp_path / "r.html")
    status, out, err = run(str(folder), "--size", "64", "--against", f"rival={rival}", *reports)
    assert (status, err) == (0, "")
    assert out.startswith(f"{PICTURES} photographs, protocol")
    heads = re.split("  +", out.splitlines()[1].strip())
    assert heads == [
        "gray",
        "truth",
        "oracle 4x",
        "oracle 8x",
        "default",
        "rival",
        "rival, own L*",
        "photographs",
    ]
    assert [
        line.split(" ")[0].split("\N{NO-BREAK SPACE}")[0] for line in out.splitlines()[2:5]
    ] == [
        "PSNR",
        "SSIM",
        "CIEDE2000",
    ]
    told = json.loads((tmp_path / "r.json").read_text())
    assert f"{told['mean']['default']['ciede2000']:.2f}" in out
    assert out.splitlines()[-1].startswith("default against rival: nearer on ")
    assert told["settings"]["command"].startswith("colorizenet evaluate ")
    assert (tmp_path / "r.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--against", "folder"), "NAME=DIR"),
        (("--against", "default={}"), "same name"),
        (("--size", "63"), "odd"),
        (("--report-json", "absent/r.json"), "does not exist"),
        (("--model", "absent"), "absent"),
        (("--split", "val"), "val"),
        (("--strength", "1.1", "--colorfulness", "20"), "leave out --strength"),
        (("--colorfulness", "0"), "> 0"),
        (("--colorfulness", "900"), "ask for another"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(run, folder, arguments, said):
    status, out, err = run(str(folder), *(word.format(folder) for word in arguments))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_the_strength_that_was_found_is_told_and_repeats_it(
    run, folder, colorizer, report, tmp_path
):
    wanted = f"{0.7 * report.mean['colorfulness']:.3g}"
    arguments = "--size", "64", "--colorfulness", wanted, "--report-json", str(tmp_path / "r.json")
    status, _, err = run(str(folder), *arguments)
    told = json.loads((tmp_path / "r.json").read_text())
    assert status == 0 and f"--colorfulness {wanted}" in told["settings"]["command"]
    (strength,) = re.findall(r"^colorizenet: default with --strength (\S+)$", err, re.MULTILINE)
    assert float(strength) == pytest.approx(told["rows"]["default"]["strength"], rel=0.01)
    again = evaluation.evaluate(colorizer, folder, size=64, strength=float(strength))
    assert again.mean["colorfulness"] == pytest.approx(float(wanted), rel=0.01)


def test_a_picture_that_fails_makes_status_1(run, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), photograph(0))
    (tmp_path / "b.png").write_bytes(b"no picture")
    status, out, err = run(str(tmp_path), "--size", "32")
    assert status == 1 and "b.png" in err and out.startswith("1 photographs")


def test_evaluating_needs_no_torch(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), photograph(0))
    program = (
        "import sys, colorizenet as cn\n"
        f"cn.evaluate(cn.Colorizer(), {str(tmp_path)!r}, size=32)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
