"""The JavaScript of the page against results of Python, step by step."""

import base64
import json
from typing import Any

import numpy as np
import pytest

import write_vectors

TOLERANCE = 1e-4
"""Of L*, a* and b*, of probabilities, and of fractions of a picture."""
OTHER_PROCESSOR = 10 * TOLERANCE
"""The same, where OpenCV sums in another order, as it does with AVX-512."""
STEPS = {
    "color": "Color",
    "reduction": "Reduction",
    "borders": "Borders",
    "upsampling": "Upsampling",
    "hints": "Hints",
    "suggestions": "Suggestions",
}


def read_vectors(name: str) -> dict[str, Any]:
    return json.loads((write_vectors.FOLDER / f"{name}.json").read_text())


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """All numbers and texts of a document, by their place; arrays are decoded."""
    if isinstance(value, dict) and value.keys() == {"dtype", "shape", "data"}:
        array = np.frombuffer(base64.b64decode(value["data"]), value["dtype"])
        return {path: array.reshape(value["shape"])}
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [flatten(each, f"{path}/{key}") for key, each in items]
        return {key: each for part in parts for key, each in part.items()}
    return {path: value}


@pytest.mark.parametrize("name", STEPS)
def test_the_vectors_are_those_that_python_computes(name):
    """If this fails, run scripts/write_vectors.py, and change the JavaScript too."""
    written, computed = flatten(read_vectors(name)), flatten(write_vectors.make_vectors(name))
    assert written.keys() == computed.keys()
    for path, value in computed.items():
        if isinstance(value, str | None):
            assert written[path] == value, path
        else:
            # OpenCV rounds some levels otherwise on other processors.
            rounding = 1 if getattr(value, "dtype", None) == np.uint8 else OTHER_PROCESSOR
            np.testing.assert_allclose(
                np.asarray(written[path], float), np.asarray(value, float), 0, rounding, path
            )


@pytest.mark.parametrize("name", STEPS)
def test_the_javascript_computes_the_same(bare_page, name):
    differences = bare_page.evaluate(
        """async ({ vectors, step }) => {
          const modules = {};
          for (const name of ["color", "reduce", "borders", "upsample", "hints", "suggestions"]) {
            modules[name] = await import(`./browser/${name}.js`);
          }
          const site = await (await fetch("assets/site.json")).json();
          const bytes = await (await fetch("assets/suggestions.bin")).arrayBuffer();
          const table = modules.suggestions.readTable(bytes, site.suggestions);
          const compare = await import("./compare.js");
          return compare[`compare${step}`](modules, vectors, table);
        }""",
        {"vectors": read_vectors(name), "step": STEPS[name]},
    )
    assert differences
    levels = {key: value for key, value in differences.items() if key.startswith("levels")}
    others = {key: value for key, value in differences.items() if key not in levels}
    assert max(levels.values(), default=0) <= 1, levels
    assert max(others.values(), default=0) <= TOLERANCE, others
