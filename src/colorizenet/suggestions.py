"""Likely colors of a place, from its lightness and from the color a model predicts.

A model gives one color, which is a compromise where several are likely. The table
``suggestions.npz`` knows how often photographs have other colors there: of pixels of
about this lightness, for which the default model predicts about this color, it holds
the colors that are within ΔE*ab 10 of as many true ones as possible, the first one
alone, the second one of those that the first does not cover, and so on.
``scripts/count_suggestions.py`` counts it.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorizenet import color

__all__ = ["MAX_SUGGESTIONS", "TABLE", "Suggestion", "SuggestionTable", "load_table"]

MAX_SUGGESTIONS = 10
"""Number of colors in each cell of the table."""
TABLE = Path(__file__).with_name("suggestions.npz")
"""The table of the package."""


class Suggestion(NamedTuple):
    """A likely color of a place."""

    rgb: tuple[int, int, int]
    """The color in sRGB, with the lightness of the place."""
    probability: float
    """Share of the places of this lightness and predicted color, 0 to 1, whose true
    color is within ΔE*ab 10 of this one, and not of a more likely suggestion."""


@dataclass(frozen=True)
class SuggestionTable:
    """Colors by lightness and predicted color.

    The cells are cubes of side ``step`` in L*, and ``ab_step`` in a* and b*; the first
    ones are around L* = ``step / 2`` and a* = b* = ``-limit``.
    """

    colors: np.ndarray
    """a* and b*: ``(cells of L*, of a*, of b*, MAX_SUGGESTIONS, 2)``, int8."""
    shares: np.ndarray
    """Probabilities in 1 / 255: ``(cells of L*, of a*, of b*, MAX_SUGGESTIONS)``,
    uint8."""
    provenance: dict[str, Any]
    """Model, photographs and settings that the table was counted with."""

    def suggest(self, l_star: float, predicted: np.ndarray, count: int) -> list[Suggestion]:
        """The ``count`` most likely colors for a lightness and predicted a* and b*,
        ``(2,)``."""
        lightnesses, across, _ = self.colors.shape[:3]
        level = min(int(l_star / 100 * lightnesses), lightnesses - 1)
        limit = float(self.provenance["limit"])
        spacing = 2 * limit / (across - 1)
        cell = np.rint((np.asarray(predicted).clip(-limit, limit) + limit) / spacing).astype(int)
        where = level, *cell.tolist()
        lab = np.empty((count, 3))
        lab[:, 0], lab[:, 1:] = np.clip(l_star, 0, 100), self.colors[where][:count]
        rgb = np.rint(color.lab_to_rgb(color.fade_to_gamut(lab)).clip(0, 1) * 255).astype(int)
        return [
            Suggestion((red, green, blue), share / 255)
            for (red, green, blue), share in zip(
                rgb.tolist(), self.shares[where][:count].tolist(), strict=True
            )
        ]


@cache
def load_table(path: Path = TABLE) -> SuggestionTable:
    """Read a table, once."""
    with np.load(path, allow_pickle=False) as arrays:
        provenance = json.loads(str(arrays["provenance"]))
        return SuggestionTable(arrays["colors"], arrays["shares"], provenance)
