"""Reports: confidence intervals, comparisons, examples, JSON and HTML."""

import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from colorizenet.evaluation.confidence import (
    compute_mean_intervals,
    compute_wilson_interval,
    resample_means,
)
from colorizenet.evaluation.examples import ExampleSelection
from colorizenet.evaluation.html import render_page
from colorizenet.evaluation.measuring import Columns, Measured
from colorizenet.evaluation.metrics import METRICS
from colorizenet.evaluation.protocol import PROTOCOL, evaluate
from colorizenet.evaluation.rows import build_reference_rows
from colorizenet.evaluation.truth import Truth
from colorizenet.photosets import Photo

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = 6


# Confidence


def bootstrap(columns: np.ndarray) -> list[tuple[float, float]]:
    return compute_mean_intervals(resample_means(columns), columns)


def test_an_interval_of_a_mean_has_the_width_of_the_normal_theory():
    values = np.random.default_rng(1).normal(5, 2, (4000, 2))
    for low, high in bootstrap(values):
        assert high - low == pytest.approx(2 * 1.96 * 2 / math.sqrt(4000), rel=0.1)
        assert low < 5.1 and high > 4.9
    assert bootstrap(np.full((10, 1), 3.0)) == [(3.0, 3.0)]
    assert bootstrap(np.array([[1.0], [math.inf]])) == [(1.0, math.inf)]


@pytest.mark.parametrize("metric", ["ciede2000", "colorfulness"])
def test_the_interval_of_a_difference_is_that_of_the_differences(report, metric):
    def column(row):
        own = report.photographs[metric] if metric == "colorfulness" else 0
        return np.abs(report.values[row][metric] - own)

    difference = (column("tiny") - column("gray"))[:, None]
    (interval,) = bootstrap(difference)
    assert report.compare("tiny", "gray", metric).difference_interval == pytest.approx(interval)


def test_wilson_intervals_equal_published_ones():
    assert compute_wilson_interval(0.5, 100) == pytest.approx(
        (0.4038, 0.5962), abs=1e-4
    )  # Newcombe 1998
    assert compute_wilson_interval(0.0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert compute_wilson_interval(1.0, 20) == pytest.approx((0.8389, 1), abs=1e-4)


# Comparisons


def test_the_better_colorfulness_is_the_one_nearer_to_the_photograph(report):
    assert report.compare("truth", "gray", "colorfulness").wins == 1
    assert report.means["gray"]["delta_colorfulness"] == pytest.approx(
        float(np.mean(report.photographs["colorfulness"]))
    )


def test_a_line_compares_the_model_with_each_baseline(folder, colorizer, predictions):
    report = evaluate(colorizer, folder, picture_size=64, predictions={"other": predictions})
    (line,) = report.describe_comparisons()
    found = report.compare("tiny", "other")
    assert line.startswith(
        f"tiny vs. other: lower CIEDE2000 on {found.wins:.0%} of the photographs ("
    )
    assert f"mean difference {found.difference:+.2f} (" in line
    assert (found.wins, found.difference > 0) == (0, True)


# Examples


def test_examples_are_the_extremes_of_all_photographs():
    generator = np.random.default_rng(2)
    errors, colorful, own = generator.uniform(0, 30, (3, 500))
    selection = ExampleSelection()
    for i in range(500):
        values = {"ciede2000": errors[i], "colorfulness": colorful[i]}
        selection.add(str(i), values, own[i], i)
    names = {
        title: [int(name) for name in names] for title, names in selection.list_names().items()
    }
    gain = colorful - own
    assert names["Worst CIEDE2000"] == list(np.argsort(-errors)[:10])
    assert names["Most desaturated"] == list(np.argsort(gain)[:10])
    assert names["Most oversaturated"] == list(np.argsort(-gain)[:10])
    sample = names["Random sample"]
    assert sample == sorted(set(sample)) and len(sample) == 12
    assert 100 < np.mean(sample) < 400
    assert selection.collect_data() == {
        str(i): i for i in {i for each in names.values() for i in each}
    }


def test_the_first_of_equal_photographs_is_the_example():
    selection = ExampleSelection()
    for i in range(50):
        selection.add(str(i), {"ciede2000": 1.0, "colorfulness": 2.0}, 3.0, None)
    assert selection.list_names()["Worst CIEDE2000"] == [str(i) for i in range(10)]


def test_what_stays_in_memory_is_eight_bytes_per_value_and_few_answers(draw):
    rows = build_reference_rows()
    columns = Columns(rows, "gray")
    count = 100
    rgb = draw(0)
    for number in range(count):
        columns.add(
            Measured(
                Truth(Photo(str(number), Path()), rgb),
                {row.name: dict.fromkeys(METRICS, 0.5) for row in rows},
                {name: np.zeros((64, 64)) for name in (*columns.values, "photographs")},
                {},
                {},
            )
        )
    stored = [
        *columns.photographs.values(),
        *(column for by_name in columns.values.values() for column in by_name.values()),
    ]
    assert all(column.itemsize * len(column) == 8 * count for column in stored)
    assert len(columns.examples.collect_data()) <= 42


# Files


def test_the_json_file_has_every_value_and_is_valid_json(report, tmp_path):
    report.to_json(tmp_path / "report.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert content["protocol"] == PROTOCOL
    assert content["mean"]["tiny"]["ciede2000"] == pytest.approx(report.mean["ciede2000"])
    low, _ = content["interval"]["tiny"]["ciede2000"]
    assert low < content["mean"]["tiny"]["ciede2000"]
    assert len(content["per_picture"]) == PICTURES
    assert content["per_picture"][0]["name"] == report.pictures[0]
    assert re.fullmatch("[0-9a-f]{64}", content["rows"]["tiny"]["sha256"])
    wins = content["comparisons"]["tiny"]["gray"]["ciede2000"]["wins"]
    assert wins == report.compare("tiny", "gray").wins
    assert content["skipped"] == content["failed"] == []


def test_the_html_page_is_self_contained_and_escapes_names(tmp_path, colorizer, draw, save):
    save(tmp_path / "<b>&.png", draw(0))
    (tmp_path / "<i>.png").write_bytes(b"no picture")
    report = evaluate(colorizer, tmp_path, picture_size=32)
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>&" not in page and "&lt;b&gt;&amp;.png" in page
    assert "<i>.png" not in page and "&lt;i&gt;.png" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "http" not in page
    for title in (
        "Metrics",
        "Pairwise comparison",
        "Random sample",
        "Worst CIEDE2000",
        "Most desaturated",
        "Most oversaturated",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "{{" not in page and "{%" not in page
    # Four sections of one photograph, with gray, the model and the photograph.
    assert page.count("data:image/jpeg") == 4 * 3


def test_a_photograph_whose_name_is_no_text_is_in_every_report(tmp_path, colorizer, draw, save):
    save(tmp_path / "a.png", draw(0)).rename(tmp_path / os.fsdecode(b"\xff.png"))
    report = evaluate(colorizer, tmp_path, picture_size=32, hints=[1])
    report.to_html(tmp_path / "report.html")
    assert "\\udcff.png" in (tmp_path / "report.html").read_text(encoding="utf-8")
    report.to_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["per_picture"][0]["name"] == (
        os.fsdecode(b"\xff.png")
    )


def test_the_page_of_a_model_with_a_long_name_can_be_read_on_a_phone(
    folder, colorizer, browser, tmp_path
):
    name = "landscapes-of-the-archive-fine-tuned-2026-11-27-last-checkpoint"
    path = tmp_path / "report.html"
    evaluate({name: colorizer}, folder, picture_size=32).to_html(path)
    page = browser.new_page(viewport={"width": 375, "height": 700})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    names = "[...document.querySelectorAll('.wide th:first-child')]"
    widest = f"Math.max(...{names}.map((each) => each.getBoundingClientRect().width))"
    assert page.evaluate(widest) < 375 / 2  # the names stay while values scroll


def test_the_chart_and_the_names_of_photographs_can_be_read_on_a_phone(
    folder, colorizer, browser, tmp_path
):
    path = tmp_path / "report.html"
    evaluate(colorizer, folder, picture_size=32).to_html(path)
    page = browser.new_page(viewport={"width": 375, "height": 700})
    page.goto(path.as_uri())
    box = page.get_by_role("img", name="CIEDE2000 of every photograph").bounding_box()
    assert box and box["width"] > 300 and box["height"] > 200
    label = page.locator(".chart span").first
    assert label.evaluate("(each) => each.getBoundingClientRect().height") > 12
    names = page.locator(".pictures tbody th").evaluate_all(
        "(all) => all.map((each) => each.getBoundingClientRect().width)"
    )
    assert min(names) > 50  # not a letter on each line


@pytest.mark.skipif(not AXE.exists() and "CI" not in os.environ, reason="needs axe-core: npm ci")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_html_page_is_accessible(folder, colorizer, browser, tmp_path, scheme):
    path = tmp_path / "report.html"
    evaluate(colorizer, folder, picture_size=32).to_html(path)
    page = browser.new_page(viewport={"width": 375, "height": 700}, color_scheme=scheme)
    page.goto(path.as_uri())
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({rules: {'empty-table-header': {enabled: false}}})")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []


def test_the_html_page_renders_only_the_examples(report):
    rendered = []

    def render(name):
        rendered.append(name)
        return report.render(name)

    render_page(report, {"Two": report.pictures[:2]}, render)
    assert rendered == report.pictures[:2]


def test_the_worst_photographs_come_first(report):
    errors = dict(zip(report.pictures, report.values["tiny"]["ciede2000"], strict=True))
    assert report.worst == sorted(errors, key=lambda name: -errors[name])
    assert report.examples["Worst CIEDE2000"] == report.worst
