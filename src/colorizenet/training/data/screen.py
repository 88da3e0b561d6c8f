"""Selection of training photos: no gray, sepia or tiny ones; and a hash to find
duplicates."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from colorizenet.errors import ConfigError
from colorizenet.evaluation import metrics

__all__ = ["Screen", "difference_hash", "subsample"]

_SAMPLES = 32
"""Colors are measured on about this many pixels a side, which is as good as all."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Requirements for a training photo: gray and sepia ones teach dull colors."""

    min_side: int = 64
    """Skip photos with a side shorter than this, in pixels."""
    min_colorfulness: float = 12.0
    """Skip photos with less colorfulness (Hasler and Süsstrunk 2003): 0 is gray, 15
    slightly, 45 quite and 80 highly colorful."""
    max_hue_concentration: float = 0.99
    """Skip photos with a higher share of their chroma in one hue: sepia has 1, a forest
    about 0.95."""

    def __post_init__(self) -> None:
        if not (self.min_side >= 0 and self.min_colorfulness >= 0):
            raise ConfigError(
                "min_side and min_colorfulness must be at least 0; 0 accepts every photo"
            )
        if not 0 < self.max_hue_concentration <= 1:
            raise ConfigError(
                f"max_hue_concentration is {self.max_hue_concentration}; "
                "give a share over 0, or 1 to accept every photo"
            )

    def find_flaw(self, rgb: UInt8[np.ndarray, "h w 3"]) -> str | None:
        """The reason to skip a photo, such as ``gray: colorfulness 3.1``, or None."""
        height, width = rgb.shape[:2]
        if min(height, width) < self.min_side:
            return f"tiny: {width} x {height}"
        pixels = subsample(rgb)
        if self.min_colorfulness:
            colorfulness = metrics.colorfulness(pixels)
            if colorfulness < self.min_colorfulness:
                return f"gray: colorfulness {colorfulness:.1f}"
        if self.max_hue_concentration < 1:
            concentration = _measure_hue_concentration(pixels)
            if concentration > self.max_hue_concentration:
                return f"sepia: hue concentration {concentration:.3f}"
        return None


def subsample(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The pixels of a regular grid, on which colors are measured."""
    step = max(1, min(rgb.shape[:2]) // _SAMPLES)
    return np.ascontiguousarray(rgb[::step, ::step])


def _measure_hue_concentration(rgb: UInt8[np.ndarray, "h w 3"]) -> float:
    """Length of the mean a*b* over the mean length: 1 for a single hue."""
    ab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]
    chroma = float(np.hypot(ab[..., 0], ab[..., 1]).mean())
    # Less chroma than 0.1 is rounding, which may have one hue too.
    return float(np.hypot(*ab.mean(axis=(0, 1)))) / max(chroma, 0.1)


def difference_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> int:
    """A hash of 64 bits that is nearly equal for near-duplicates.

    Each bit says whether one of 8 x 9 mean values is lighter than the one on its left.
    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    means = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(means[:, 1:] > means[:, :-1]).tobytes(), "big")
