"""The colors of the sample photos do not change by accident.

``tests/data/samples.json`` holds each result of the default model, reduced to 32 x 32
pixels. After a change that is meant to change the colors, write it again:

    python tests/test_samples.py
"""

import json
from pathlib import Path

import numpy as np
import pytest

from colorizenet import Colorizer, read_image
from colorizenet.imaging.resampling import resize

SAMPLES = Path(__file__).parents[1] / "samples"
STORED = Path(__file__).with_name("data") / "samples.json"


def reduce_result(colorizer: Colorizer, path: Path) -> np.ndarray:
    """The colorized photo, ``(32, 32, 3)`` uint8."""
    return resize(colorizer(read_image(path)).pixels, 32, 32)


@pytest.fixture(scope="module")
def stored() -> dict[str, list[list[int]]]:
    return json.loads(STORED.read_text())


def test_every_sample_is_stored(stored):
    assert sorted(stored) == sorted(path.name for path in SAMPLES.glob("*.jpg"))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_a_sample_comes_out_as_stored_within_one_level(path, stored):
    expected = np.array(stored[path.name]).reshape(32, 32, 3)
    difference = np.abs(reduce_result(Colorizer(), path).astype(int) - expected)
    assert difference.max() <= 1, f"{(difference > 1).mean():.1%} of the values differ by more"


def write_stored() -> None:
    """Store the present results: one line for each row of pixels."""
    colorizer = Colorizer()
    results = {
        path.name: reduce_result(colorizer, path).reshape(32, -1).tolist()
        for path in sorted(SAMPLES.glob("*.jpg"))
    }
    rows = {
        name: "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in result) + "\n]"
        for name, result in results.items()
    }
    text = ",\n".join(f"{json.dumps(name)}: {result}" for name, result in rows.items())
    STORED.write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    write_stored()
