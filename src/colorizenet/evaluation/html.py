"""The HTML report of an evaluation: one self-contained file, from a jinja2 template."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import jinja2
import numpy as np

from colorizenet import __version__, color
from colorizenet.evaluation.results import (
    HISTOGRAM_EDGE,
    Results,
    format_title,
    format_value,
)
from colorizenet.evaluation.variants import describe_diversity

__all__ = ["render_page"]

_MAX_FAILED = 20
"""Messages about photographs that the page contains."""
_PICTURE_SIDE = 256
"""Longest side of a picture on the page, in pixels."""
_CHART_POINTS = 240
"""Points of a curve, however many photographs there are."""

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("colorizenet.evaluation"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(
    results: Results,
    examples: Mapping[str, Sequence[str]],
    render: Callable[[str], Mapping[str, np.ndarray]],
) -> str:
    """The page as HTML, with every image inside.

    ``examples``: title of a section -> names of photographs. ``render`` gives the
    pictures of a photograph by row, and the photograph itself as ``photograph``.
    """
    settings = {k: v for k, v in results.settings.items() if v not in (None, "", False)}
    command = settings.pop("command", "")
    return _ENVIRONMENT.get_template("report.html").render(
        subject=results.subject,
        version=__version__,
        results=results,
        settings=settings,
        command=command,
        left_out=(results.failed + results.skipped)[:_MAX_FAILED],
        metrics=[
            {"name": name, "title": format_title(name)} for name in results.means[results.subject]
        ],
        photograph_means={
            name: float(np.mean(values)) for name, values in results.photographs.items()
        },
        about={row: _describe(about) for row, about in results.about.items()},
        comparisons=_compare_rows(results),
        diversity=describe_diversity(results),
        histograms={
            name: _encode_png(_draw_histogram(counts))
            for name, counts in results.histograms.items()
        },
        chart=_chart_errors(results),
        sections={
            title: [_show_example(results, name, render(name)) for name in names]
            for title, names in examples.items()
        },
        pictured_rows=_select_pictured_rows(results),
        number=format_value,
    )


def _describe(about: Mapping[str, Any]) -> str:
    """What a row is, in one line."""
    texts = {key: f"{value:.3g}" if key == "strength" else value for key, value in about.items()}
    return ", ".join(
        str(text) if key in ("kind", "description") else f"{key} {text}"
        for key, text in texts.items()
        if text not in (None, "", False)
    )


def _compare_rows(results: Results) -> dict[str, dict[str, dict[str, Any] | None]]:
    """Row -> other row -> share of wins, its interval, and its significance."""

    def compare(one: str, other: str) -> dict[str, Any] | None:
        if one == other:
            return None
        found = results.compare(one, other)
        low, high = found.wins_interval
        verdict = "better" if low > 0.5 else "worse" if high < 0.5 else "undecided"
        return {"wins": found.wins, "low": low, "high": high, "verdict": verdict}

    rows = list(results.values)
    return {one: {other: compare(one, other) for other in rows} for one in rows}


def _draw_histogram(counts: np.ndarray, side: int = 192) -> np.ndarray:
    """Draw counts over a* and b*: each place in its own color, lighter where frequent.

    a* runs to the right, b* upwards; lightness is logarithmic in the count.
    """
    density = np.log1p(counts * (1e6 / max(counts.sum(), 1)))
    density = cv2.resize(
        density / max(density.max(), 1e-9), (side, side), interpolation=cv2.INTER_LINEAR
    )
    axis = np.linspace(-HISTOGRAM_EDGE, HISTOGRAM_EDGE, side, dtype=np.float32)
    ab = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    ab *= np.minimum(1, density * 4)[..., None].astype(np.float32)
    l_star = np.clip(density * 85, 0, 100).astype(np.float32)
    picture = color.compose(l_star, ab, np.dtype(np.uint8))
    return np.ascontiguousarray(picture.transpose(1, 0, 2)[::-1])


def _chart_errors(results: Results) -> dict[str, Any]:
    """Coordinates of a chart of each row's CIEDE2000, sorted from best to worst, in
    percent of the width and the height, from the left and the top."""
    curves = {
        row: np.sort(columns["ciede2000"])
        for row, columns in results.values.items()
        if row != "truth"
    }
    top = max(float(np.max(curve)) for curve in curves.values()) or 1.0

    def place_y(value: float) -> float:
        return 100 - value / top * 100

    def place_points(curve: np.ndarray) -> str:
        last = max(1, len(curve) - 1)
        at = np.linspace(0, len(curve) - 1, min(len(curve), _CHART_POINTS)).astype(int)
        points = ((i / last * 100, place_y(float(curve[i]))) for i in at)
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)

    step = next((step for step in (0.2, 0.5, 1, 2, 5, 10, 20) if top / step <= 8), 50)
    return {
        "ticks": [
            {"label": f"{tick:g}", "y": place_y(float(tick))} for tick in np.arange(0, top, step)
        ],
        "curves": [{"row": row, "points": place_points(curve)} for row, curve in curves.items()],
    }


def _select_pictured_rows(results: Results) -> list[str]:
    """The rows whose pictures differ visibly from the photograph."""
    return [row for row in results.values if row not in ("truth", "oracle 4x", "oracle 8x")]


def _show_example(
    results: Results, name: str, pictures: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    index = results.pictures.index(name)
    errors = {row: float(results.values[row]["ciede2000"][index]) for row in results.values}
    return {
        "name": name,
        "errors": errors,
        "pictures": {
            row: _encode_jpeg(pictures[row])
            for row in (*_select_pictured_rows(results), "photograph")
        },
    }


def _encode_png(rgb: np.ndarray) -> str:
    return _encode_url("png", cv2.imencode(".png", rgb[..., ::-1])[1])


def _encode_jpeg(rgb: np.ndarray) -> str:
    """A picture as a data URL, reduced to ``_PICTURE_SIDE``."""
    scale = _PICTURE_SIDE / max(rgb.shape[:2])
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 88]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encode_url("jpeg", cv2.imencode(".jpg", rgb[..., ::-1], settings)[1])


def _encode_url(kind: str, encoded: np.ndarray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
