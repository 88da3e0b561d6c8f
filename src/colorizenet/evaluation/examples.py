"""The photographs that a report contains, chosen while they are measured.

Networks' answers are stored for these photographs only, so that a report can be made
without running a network again, whether 40 photographs were measured or 100,000.
"""

import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np

from colorizenet.evaluation.confidence import SEED

__all__ = ["ExampleSelection"]

_SECTIONS = {
    "Random sample": 12,
    "Worst CIEDE2000": 10,
    "Most desaturated": 10,
    "Most oversaturated": 10,
}
"""Title -> number of photographs."""


class ExampleSelection:
    """The photographs that score highest in each section, with data of each.

    Call ``add`` for the photographs in their order. Of equal scores, the first one
    stays.
    """

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[float, int, str, Any]]] = {
            title: [] for title in _SECTIONS
        }
        self._generator = np.random.default_rng(SEED)
        self._count = 0

    def add(self, name: str, values: Mapping[str, float], colorfulness: float, data: Any) -> None:
        """Consider a photograph.

        ``values``: the metrics of the row that the report is about; ``colorfulness``:
        that of the photograph itself; ``data``: anything, returned by ``collect_data``.
        """
        gain = values["colorfulness"] - colorfulness
        scores = self._generator.random(), values["ciede2000"], -gain, gain
        for (title, limit), score in zip(_SECTIONS.items(), scores, strict=True):
            entry = (score, -self._count, name, data)  # the count makes entries distinct
            heap = self._heaps[title]
            if len(heap) < limit:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
        self._count += 1

    def list_names(self) -> dict[str, list[str]]:
        """Section -> names by score; the random sample in the photographs' order."""
        by_score = {
            title: sorted(heap, key=lambda entry: (-entry[0], -entry[1]))
            for title, heap in self._heaps.items()
        }
        by_score["Random sample"].sort(key=lambda entry: -entry[1])
        return {title: [name for _, _, name, _ in heap] for title, heap in by_score.items()}

    def collect_data(self) -> dict[str, Any]:
        """Name -> the data of the photograph."""
        return {name: data for heap in self._heaps.values() for _, _, name, data in heap}
