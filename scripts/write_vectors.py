"""Write ``tests/vectors/*.json``: inputs and results of each step around the network.

The JavaScript of the page computes the same steps in the browser;
``tests/site/test_vectors.py`` compares it with these files, and says when they are
stale.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from colorizenet import color
from colorizenet.hints import Discs, describe_similarity, sample_color, spread_residuals
from colorizenet.imaging.borders import Border, Side, find_border
from colorizenet.imaging.resampling import network_shape, resize
from colorizenet.options import Hint
from colorizenet.suggestions import load_table
from colorizenet.upsample import Chroma, EdgeUpsampler, compute_slope

FOLDER = Path(__file__).parents[1] / "tests" / "vectors"


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """Encode an array of uint8 or float32 with its shape, in base64."""
    assert array.dtype in (np.uint8, np.float32), array.dtype
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": array.shape, "data": data}


def make_picture(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Make an RGB picture ``(h, w, 3)`` uint8 of smooth shapes, edges and noise."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = []
    for _ in range(3):
        waves = generator.uniform(2, 12, 2)
        plane = 128 + 60 * np.sin(waves[0] * x + waves[1] * y + generator.uniform(0, 6))
        plane += 50 * (x + y > generator.uniform(0.4, 1.2)) + generator.normal(0, 6, x.shape)
        planes.append(plane)
    return np.clip(np.rint(np.dstack(planes)), 0, 255).astype(np.uint8)


def write_color(generator: np.random.Generator) -> dict[str, Any]:
    """Lightness of pixels, and colors from L*, a* and b*, also outside sRGB."""
    pixels = generator.integers(0, 256, (1, 512, 3)).astype(np.uint8)
    pixels[:, :256] = np.arange(256)[:, None]
    lab = np.column_stack([generator.uniform(0, 100, 512), generator.uniform(-90, 90, (512, 2))])
    lab[:64, 1:] = 0
    lab = lab.astype(np.float32)
    some = lab[::8].astype(np.float64)
    return {
        "pixels": encode_array(pixels[0]),
        "lightness": encode_array(color.lightness(pixels)[0]),
        "pixels_lab": encode_array(color.rgb_to_lab(pixels[0] / 255).astype(np.float32)),
        "lab": encode_array(lab),
        "composed": encode_array(
            color.compose(lab[None, :, 0], lab[None, :, 1:], np.dtype(np.uint8))[0]
        ),
        "faded": encode_array(color.fade_to_gamut(some).astype(np.float32)),
    }


def write_reduction(generator: np.random.Generator) -> dict[str, Any]:
    """Pictures resized by each of the methods, and sizes of network inputs."""
    cases = []
    for shape, target in [
        ((37, 53), (20, 29)),  # by area
        ((48, 64), (12, 16)),  # halved, then a half
        ((48, 64), (11, 15)),  # halved, then by area
        ((36, 48), (12, 16)),  # a third
        ((48, 40), (8, 5)),
        ((48, 51), (24, 51)),
        ((20, 25), (32, 40)),  # enlarged
        ((31, 40), (32, 32)),  # one side grows
    ]:
        picture = make_picture(generator, *shape)
        cases.append(
            {"picture": encode_array(picture), "resized": encode_array(resize(picture, *target))}
        )
    shapes = [
        [*shape, short, multiple, *network_shape(shape, short, multiple)]
        for shape in [(3000, 4000), (4000, 3000), (33, 47), (160, 160), (100, 2000), (1, 500)]
        for short, multiple in [(160, 32), (256, 16), (100, 1)]
    ]
    return {"cases": cases, "network_shapes": shapes}


def write_borders(generator: np.random.Generator) -> dict[str, Any]:
    """Scans with borders of several kinds, and what is found."""
    height, width = 72, 96

    def make(*layers: tuple[float, tuple[int, int, int, int]], turn: float = 0) -> np.ndarray:
        scan = np.clip(make_picture(generator, height, width)[..., 0].astype(float), 30, 220)
        y, x = np.mgrid[:height, :width]
        for level, (top, bottom, left, right) in layers:
            down, across = y + turn * (x - width / 2), x - turn * (y - height / 2)
            outside = (down < top) | (down >= height - bottom)
            scan[outside | (across < left) | (across >= width - right)] = level
        return np.clip(np.rint(scan + generator.normal(0, 1, scan.shape)), 0, 255).astype(np.uint8)

    scans = [
        make(),
        make((250, (6, 6, 6, 6))),
        make((5, (9, 7, 12, 10)), (250, (4, 4, 4, 4))),
        make((245, (8, 8, 8, 8)), turn=0.012),
        make((3, (0, 0, 20, 0))),
        make((120, (10, 10, 0, 0))),
    ]
    cases = []
    for scan in scans:
        border = find_border(scan, (720, 960))
        cases.append({"scan": encode_array(scan), "border": border and _list_sides(border)})
    assert sum(case["border"] is not None for case in cases) >= 4
    return {"cases": cases}


def _list_sides(border: Border) -> list[dict[str, float]]:
    names = ("edge", "rise", "margin", "outer", "inner")
    return [
        {**{name: float(getattr(side, name)) for name in names}, "lightness": float(side.l_star)}
        for side in border.sides
    ]


def make_chroma(
    generator: np.random.Generator, height: int, width: int, border: Border | None = None
) -> Chroma:
    """Make the answer of a network."""
    ab = make_picture(generator, height, width)[..., :2].astype(np.float32) / 4 - 30
    l_star = color.lightness(make_picture(generator, height, width))
    return Chroma(ab, l_star, () if border is None else (border,))


def encode_chroma(chroma: Chroma) -> dict[str, Any]:
    """Encode chroma as the page has it."""
    border = chroma.borders[0] if chroma.borders else None
    return {
        "ab": encode_array(chroma.ab),
        "lightness": encode_array(chroma.l_star),
        "border": border and _list_sides(border),
    }


def write_upsampling(generator: np.random.Generator) -> dict[str, Any]:
    """Chroma at full size, with and without a border."""
    top = Side(edge=0.1, rise=0.02, margin=0.02, outer=0.07, inner=0.13, l_star=60)
    left = Side(edge=0.2, rise=0, margin=0.04, outer=0.16, inner=0.24, l_star=75)
    cases = []
    for border, shape in [(None, (33, 47)), (Border(top=top, left=left, right=left), (40, 60))]:
        chroma = make_chroma(generator, 9, 12, border)
        l_star = color.lightness(make_picture(generator, *shape))
        upsampler = EdgeUpsampler(chroma.ab, chroma.l_star, shape, border=border)
        slope = compute_slope(chroma.ab, chroma.l_star, ridge=30)
        cases.append(
            {
                "chroma": encode_chroma(chroma),
                "slope": encode_array(slope),
                "lightness": encode_array(l_star),
                "upsampled": encode_array(upsampler.rows(l_star, 0)),
            }
        )
    return {"cases": cases}


def write_hints(generator: np.random.Generator) -> dict[str, Any]:
    """Hints spread over small chroma, their discs, and the colors of places."""
    shape = 36, 48
    hints = [
        Hint(x=0.2, y=0.3, rgb=(200, 60, 40), radius=0.1),
        Hint(x=0.25, y=0.35, rgb=(40, 90, 160), radius=0.08),
        Hint(x=0.8, y=0.7, rgb=None),
        Hint(x=0.55, y=0.95, rgb=(30, 140, 50), radius=0.2),
    ]
    cases = []
    for border in (None, Border(top=Side(0.05, 0, 0.01, 0.04, 0.06, 90))):
        chroma = make_chroma(generator, 12, 16, border)
        ab = chroma.ab * np.float32(1.2)
        similarity = describe_similarity(chroma.ab, chroma.l_star)
        spread = spread_residuals(ab, similarity, hints, shape, border=border)
        flat = generator.uniform(-20, 20, (2, *shape)).astype(np.float32)
        enforced = flat.copy()
        Discs(hints, shape).enforce(enforced[0], enforced[1], 0)
        places = [(0.1, 0.02), (0.5, 0.5), (1.0, 1.0)]
        sampled = [sample_color(chroma, Hint(x=x, y=y, rgb=None), shape) for x, y in places]
        cases.append(
            {
                "chroma": encode_chroma(chroma),
                "scaled": encode_array(ab),
                "spread": encode_array(spread),
                "flat": encode_array(flat),
                "enforced": encode_array(enforced),
                "places": places,
                "sampled": [[l_star, *map(float, found)] for l_star, found in sampled],
            }
        )
    given = [
        {
            "x": hint.x,
            "y": hint.y,
            "radius": hint.radius,
            "color": hint.rgb and "#{:02x}{:02x}{:02x}".format(*hint.rgb),
        }
        for hint in hints
    ]
    return {"shape": shape, "hints": given, "cases": cases}


def write_suggestions(generator: np.random.Generator) -> dict[str, Any]:
    """Suggested colors of places."""
    cases = []
    for _ in range(40):
        l_star, *ab = (float(n) for n in generator.uniform((0, -80, -80), (100, 80, 80)))
        found = load_table().suggest(l_star, np.array(ab), 5)
        colors = ["#{:02x}{:02x}{:02x}".format(*each.rgb) for each in found]
        cases.append([l_star, *ab, colors, [each.probability for each in found]])
    return {"cases": cases}


WRITERS = {
    "color": write_color,
    "reduction": write_reduction,
    "borders": write_borders,
    "upsampling": write_upsampling,
    "hints": write_hints,
    "suggestions": write_suggestions,
}


def make_vectors(name: str) -> dict[str, Any]:
    """Make what a file holds; the same each time."""
    return WRITERS[name](np.random.default_rng(22))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in WRITERS:
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(make_vectors(name), indent=1) + "\n")
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)
