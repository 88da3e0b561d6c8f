"""The report of an evaluation: results and example pictures, as JSON and as HTML."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from colorizenet.evaluation import html
from colorizenet.evaluation.results import Results
from colorizenet.files import open_atomically, write_atomically

__all__ = ["Report"]


@dataclass(frozen=True, kw_only=True)
class Report(Results):
    """The results of an evaluation, and the pictures that belong to them."""

    examples: dict[str, list[str]]
    """Title of a section of the HTML page -> names of its photographs."""
    render: Callable[[str], dict[str, np.ndarray]] = field(repr=False)
    """Name of a photograph -> picture of each row, and the photograph: ``photograph``.

    Networks run again only for photographs that are not among ``examples``."""

    def as_dict(self) -> dict[str, Any]:
        """The content of the JSON file; there, infinite values are strings."""
        return self.summarize() | {"per_picture": list(self.iterate_values())}

    def to_json(self, path: str | Path) -> None:
        """Write everything but pictures as JSON, with a line for each photograph."""
        with open_atomically(Path(path)) as file:
            # One photograph at a time, for there may be a million of them.
            file.write(json.dumps(_replace_infinities(self.summarize()), indent=1)[:-2].encode())
            before = ',\n "per_picture": [\n  '
            for values in self.iterate_values():
                file.write((before + json.dumps(_replace_infinities(values))).encode())
                before = ",\n  "
            file.write(b"\n ]\n}\n")

    def to_html(self, path: str | Path) -> None:
        """Write one self-contained HTML page with tables, charts and pictures."""
        page = html.render_page(self, self.examples, self.render)
        # Names of files may hold bytes that are no text.
        write_atomically(Path(path), page.encode(errors="backslashreplace"))


def _replace_infinities(value: Any) -> Any:
    """JSON has no infinity: numbers that are not finite become strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _replace_infinities(each) for key, each in value.items()}
    return (
        [_replace_infinities(each) for each in value] if isinstance(value, list | tuple) else value
    )
