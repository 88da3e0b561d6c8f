"""Which photographs are worth learning from: not gray, not toned, not tiny."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from colorizenet.errors import ConfigError
from colorizenet.evaluation import metrics

__all__ = ["Screen", "difference_hash", "sample"]

_LOOK = 32
"""Colors are judged on about this many pixels a side, which is as good as all of them."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What a photograph must have to be learned from. Old and toned pictures teach that the world is brown."""

    min_side: int = 64
    """Leave out pictures with a side shorter than this, in pixels."""
    min_colorfulness: float = 12.0
    """Leave out grayer pictures (Hasler and Süsstrunk 2003: 0 gray, 15 slightly, 45 quite, 80 very colorful)."""
    max_tone: float = 0.99
    """Leave out pictures whose chroma has more than this share in one hue: sepia has 1, a forest about 0.95."""

    def __post_init__(self) -> None:
        if self.min_side < 0 or self.min_colorfulness < 0:
            raise ConfigError(
                "min_side and min_colorfulness cannot be negative; 0 lets every picture in"
            )
        if not 0 < self.max_tone <= 1:
            raise ConfigError(
                f"max_tone is {self.max_tone}; give a share over 0, or 1 to let every picture in"
            )

    def flaw(self, rgb: UInt8[np.ndarray, "h w 3"]) -> str | None:
        """Why this picture is left out, in a few words with the figure, or None."""
        height, width = rgb.shape[:2]
        if min(height, width) < self.min_side:
            return f"tiny: {width} x {height}"
        some = sample(rgb)
        if (
            self.min_colorfulness
            and (colorfulness := metrics.colorfulness(some)) < self.min_colorfulness
        ):
            return f"gray: colorfulness {colorfulness:.1f}"
        if self.max_tone < 1 and (tone := _tone(some)) > self.max_tone:
            return f"toned: {tone:.3f} in one hue"
        return None


def sample(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The pixels that colors are judged on."""
    step = max(1, min(rgb.shape[:2]) // _LOOK)
    return np.ascontiguousarray(rgb[::step, ::step])


def _tone(rgb: UInt8[np.ndarray, "h w 3"]) -> float:
    """The length of the mean a*b* over the mean length of a*b*: 1 where there is one hue, 0 where they balance."""
    ab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]
    chroma = float(np.hypot(ab[..., 0], ab[..., 1]).mean())
    return float(np.hypot(*ab.mean(axis=(0, 1)))) / max(
        chroma, 0.1
    )  # less than that is rounding, of one hue too


def difference_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> int:
    """64 bits that near-identical pictures share: is each of 8 x 9 means lighter than the one on its left?

    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    means = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(means[:, 1:] > means[:, :-1]).tobytes(), "big")
