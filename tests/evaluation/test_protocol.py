"""The evaluation that docs/protocol.md defines: rows, values, photographs left out."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from colorizenet.color import lightness
from colorizenet.colorizer import Colorizer
from colorizenet.errors import DataError, ImageError
from colorizenet.evaluation import metrics
from colorizenet.evaluation.protocol import evaluate, evaluate_rows
from colorizenet.evaluation.rows import build_reference_rows
from colorizenet.evaluation.truth import Truth, prepare_picture, read_truth
from colorizenet.options import Options
from colorizenet.photosets import Photo, list_photos

PICTURES = 6


class CountingColorizer(Colorizer):
    """Counts the runs of the network."""

    runs = 0

    def predict(self, *arguments, **settings):
        self.runs += 1
        return super().predict(*arguments, **settings)


# Rows and values


def test_rows_are_references_first_and_then_models(report):
    assert list(report.values) == ["gray", "truth", "oracle 4x", "oracle 8x", "tiny"]
    means = report.means
    order = [means[row]["ciede2000"] for row in ("truth", "oracle 4x", "oracle 8x", "gray")]
    assert order == sorted(order) and order[0] < 0.5 < order[-1]
    assert means["gray"]["colorfulness"] == 0
    assert means["truth"]["psnr"] > 40
    assert report.subject == "tiny" and report.mean == means["tiny"]


def test_every_row_has_a_value_of_every_metric_for_every_photograph(report):
    for columns in report.values.values():
        assert columns.keys() == metrics.METRICS.keys()
        assert all(column.shape == (PICTURES,) for column in columns.values())


def test_the_input_of_a_model_is_the_lightness_alone(draw):
    truth = Truth(Photo("one", Path("one.png")), draw(1))
    assert truth.gray.shape == truth.rgb.shape[:2] and truth.gray.dtype == np.uint8
    assert np.abs(lightness(truth.gray) - truth.l_star).max() < 0.25  # as near as 8 bits allow


def test_values_are_those_of_pictures_from_the_colorizer(report, folder, colorizer):
    name = report.pictures[0]
    bgr = cv2.imread(str(folder / name))
    assert bgr is not None
    rgb = prepare_picture(bgr[..., ::-1], 64)
    picture = colorizer(Truth(Photo(name, folder / name), rgb).gray)
    assert report.values["tiny"]["ciede2000"][0] == metrics.ciede2000(picture, rgb)
    assert np.array_equal(report.render(name)["tiny"], picture)


@pytest.mark.parametrize("jobs", [1, 3])
def test_values_are_equal_to_the_last_digit_for_any_number_of_jobs(report, folder, colorizer, jobs):
    again = evaluate(colorizer, folder, picture_size=64, jobs=jobs)
    assert json.dumps(again.as_dict()["per_picture"]) == json.dumps(report.as_dict()["per_picture"])
    assert again.intervals == report.intervals and again.examples == report.examples


def test_settings_choose_the_photographs(folder, colorizer):
    def names(**settings):
        return evaluate(colorizer, folder, picture_size=32, **settings).pictures

    assert names(split="test") == ["test/1.png", "test/3.png", "test/5.png"]
    assert names(limit=2) == ["test/1.png", "test/3.png"]


@pytest.mark.parametrize(
    ("settings", "shape"), [({"full": True}, (96, 120, 3)), ({"picture_size": 48}, (48, 48, 3))]
)
def test_pictures_are_squares_or_whole(folder, colorizer, settings, shape):
    report = evaluate(colorizer, folder, limit=1, **settings)
    assert {picture.shape for picture in report.render("test/1.png").values()} == {shape}


@pytest.mark.parametrize("options", [Options(strength=0.5), Options(size=32), Options(tta=True)])
def test_options_apply_to_the_models(folder, colorizer, report, options):
    other = evaluate(colorizer, folder, picture_size=64, options=options)
    assert not np.array_equal(other.values["tiny"]["psnr"], report.values["tiny"]["psnr"])
    assert np.array_equal(other.values["truth"]["psnr"], report.values["truth"]["psnr"])
    truth = read_truth(list_photos(folder)[0], 64)
    picture = colorizer(truth.gray, options)
    assert other.values["tiny"]["psnr"][0] == metrics.psnr(picture, truth.rgb)
    stated = {name: other.settings[name] for name in ("strength", "size", "tta")}
    assert stated == {name: getattr(options, name) for name in stated}
    assert stated.items() <= other.about["tiny"].items()


def test_the_network_runs_once_per_photograph_with_the_html_report(folder, model_path, tmp_path):
    colorizer = CountingColorizer(model_path, threads=1)
    report = evaluate(colorizer, folder, picture_size=64)
    report.to_html(tmp_path / "report.html")
    assert colorizer.runs == PICTURES


def test_progress_counts_all_photographs(folder, colorizer):
    calls = []
    evaluate(colorizer, folder, picture_size=32, on_progress=lambda *counts: calls.append(counts))
    assert calls == [(done, PICTURES) for done in range(1, PICTURES + 1)]


# Color policy


def test_a_display_p3_photograph_is_converted_to_srgb(tmp_path, colorizer):
    p3 = _display_p3_profile()
    stored = np.full((64, 64, 3), (200, 100, 60), np.uint8)
    stored[:32] = (60, 120, 90)
    PillowImage.fromarray(stored).save(tmp_path / "p3.png", icc_profile=p3)
    truth = read_truth(list_photos(tmp_path)[0], 64)
    for row, expected in ((16, (60, 120, 90)), (48, (200, 100, 60))):
        assert np.abs(truth.rgb[row, 0].astype(int) - _p3_to_srgb(expected)).max() <= 1
        assert np.abs(truth.rgb[row, 0].astype(int) - expected).max() > 4
    report = evaluate(colorizer, tmp_path, picture_size=64)
    assert report.means["truth"]["ciede2000"] < 0.5


def _display_p3_profile() -> bytes:
    """P3 primaries with the sRGB curve: Pillow's sRGB profile with other columns."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Columns of Display P3 to XYZ, adapted to D50 (Apple's profile).
    columns = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for number in range(int.from_bytes(profile[128:132], "big")):
        entry = 132 + 12 * number
        tag, offset = (
            bytes(profile[entry : entry + 4]),
            int.from_bytes(profile[entry + 4 : entry + 8], "big"),
        )
        for i, value in enumerate(columns.get(tag, ())):
            at = offset + 8 + 4 * i
            profile[at : at + 4] = round(value * 65536).to_bytes(4, "big", signed=True)
    return bytes(profile)


def _p3_to_srgb(rgb: tuple[int, int, int]) -> np.ndarray:
    """The same color in sRGB, by the matrices of the two spaces (both D65)."""
    encoded = np.array(rgb) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    matrix = np.array(  # CSS Color 4: P3 to XYZ, then XYZ to sRGB
        [
            [1.2249401, -0.2249404, 0.0],
            [-0.0420569, 1.0420571, 0.0],
            [-0.0196376, -0.0786361, 1.0982735],
        ]
    )
    linear = np.clip(matrix @ linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(int)


# Photographs that are left out


def test_gray_photographs_are_left_out_with_a_message(tmp_path, colorizer, draw, save):
    save(tmp_path / "a.png", draw(0))
    gray = cv2.cvtColor(draw(1), cv2.COLOR_RGB2GRAY)
    cv2.imwrite(str(tmp_path / "b.png"), gray)
    save(tmp_path / "c.jpg", np.repeat(gray[..., None], 3, axis=2))
    report = evaluate(colorizer, tmp_path, picture_size=32)
    assert report.pictures == ["a.png"] and report.failed == []
    assert [message.split(" (")[0] for message in report.skipped] == [
        "b.png is gray",
        "c.jpg is gray",
    ]
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"none of 2 photographs .* gray .* needs color"):
        evaluate(colorizer, tmp_path, picture_size=32)


def test_a_slightly_tinted_photograph_is_evaluated(tmp_path, colorizer, draw, save):
    gray = cv2.cvtColor(draw(1), cv2.COLOR_RGB2GRAY).astype(np.float32)
    sepia = np.clip(gray[..., None] * np.array([1.05, 1.0, 0.92]), 0, 255).astype(np.uint8)
    save(tmp_path / "sepia.png", sepia)
    assert evaluate(colorizer, tmp_path, picture_size=32).pictures == ["sepia.png"]


def test_pictures_that_cannot_be_decoded_are_left_out_with_a_message(
    tmp_path, colorizer, draw, save
):
    save(tmp_path / "a.png", draw(0))
    (tmp_path / "b\nc.png").write_bytes(b"no picture")
    report = evaluate(colorizer, tmp_path, picture_size=32)
    assert report.pictures == ["a.png"]
    assert len(report.failed) == 1 and report.failed[0].startswith("'b\\nc.png' ")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="none of 1 photographs"):
        evaluate(colorizer, tmp_path)


def test_whole_pictures_that_are_too_small_are_left_out_with_a_message(
    tmp_path, colorizer, draw, save
):
    for name, height, width in (("large", 40, 30), ("thin", 10, 60), ("least", 11, 11)):
        save(tmp_path / f"{name}.png", draw(0, height, width))
    report = evaluate(colorizer, tmp_path, full=True)
    assert report.pictures == ["large.png", "least.png"]
    assert report.failed == [
        "thin.png is 60 x 10 and the metrics need at least 11 x 11 pixels; enlarge it"
    ]


# Further metrics


class CountingSetMetric:
    """Counts the pictures of each row; the distance is the sum of two counts."""

    def __init__(self):
        self.counts = {}

    def add(self, row, pictures):
        self.counts[row] = self.counts.get(row, 0) + len(pictures)

    def distance(self, row, other):
        return float(self.counts[row] + self.counts[other])


def test_a_picture_that_a_metric_refuses_is_in_no_row(tmp_path, colorizer, draw, save):
    sides = (40, 20, 40, 30)
    for number, side in enumerate(sides):
        save(tmp_path / f"{number}.png", draw(number, side, side))

    def brightness(pictures, truths):
        if pictures.shape[1] < 30:
            raise ImageError("it is too small; enlarge it")
        return [float(truth.mean()) for truth in truths] * (len(pictures) // len(truths))

    report = evaluate(
        colorizer,
        tmp_path,
        full=True,
        pair_metrics={"brightness": brightness},
        set_metrics={"count": CountingSetMetric()},
    )
    # In their order, although batches are grouped by size.
    assert report.pictures == ["0.png", "2.png", "3.png"]
    assert report.failed == ["1.png: it is too small; enlarge it"]
    means = [float(draw(number, sides[number], sides[number]).mean()) for number in (0, 2, 3)]
    assert list(report.values["gray"]["brightness"]) == means
    assert report.values["gray"]["psnr"].shape == report.photographs["colorfulness"].shape == (3,)
    assert report.mean["count"] == 6


def test_batches_of_large_pictures_are_small(tmp_path, draw, save):
    for number in range(4):
        save(tmp_path / f"{number}.png", draw(number, 700, 750))
    sizes = []

    def count(pictures, truths):
        sizes.append(len(truths))
        return [0.0] * len(pictures)

    rows = build_reference_rows()[:1]
    evaluate_rows(rows, list_photos(tmp_path), picture_size=None, pair_metrics={"count": count})
    assert sizes == [2, 2]


def test_further_metrics_get_every_picture_once_in_batches(folder, colorizer):
    sizes = []

    def brightness(pictures, truths):
        assert pictures.shape[1:] == truths.shape[1:] and pictures.dtype == np.uint8
        sizes.append(len(pictures))
        return [float(picture.mean()) for picture in pictures]

    report = evaluate(
        colorizer,
        folder,
        picture_size=32,
        pair_metrics={"brightness": brightness},
        set_metrics={"count": CountingSetMetric()},
    )
    assert sum(sizes) == PICTURES * len(report.values)
    assert report.mean["count"] == 2 * PICTURES and report.mean["brightness"] > 0
    assert report.values["gray"]["brightness"].shape == (PICTURES,)


def test_evaluation_does_not_import_torch(tmp_path, draw, save, model_path):
    save(tmp_path / "a.png", draw(0))
    program = (
        "import sys, colorizenet as cn\n"
        f"report = cn.evaluate(cn.Colorizer({str(model_path)!r}), {str(tmp_path)!r}, "
        "picture_size=32)\n"
        f"report.to_html({str(tmp_path / 'report.html')!r})\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
