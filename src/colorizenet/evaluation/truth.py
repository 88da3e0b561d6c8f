"""The photograph that every row is compared with, prepared as docs/protocol.md says."""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from colorizenet import color
from colorizenet.errors import DataError, quote
from colorizenet.evaluation import metrics
from colorizenet.evaluation.arrays import RGB8
from colorizenet.imaging.resampling import resize
from colorizenet.photosets import Photo, read_photo

__all__ = [
    "GRAY_COLORFULNESS",
    "PICTURE_SIZE",
    "Truth",
    "crop_center",
    "prepare_picture",
    "read_truth",
]

PICTURE_SIZE = 256
"""Side of the squares that are compared, in pixels."""

GRAY_COLORFULNESS = 2.0
"""Photographs of less colorfulness (0 is gray, 15 slightly colorful) count as gray."""


@dataclass(frozen=True)
class Truth:
    """A photograph in its true colors, and what follows from them."""

    photo: Photo
    """The file that it was read from."""
    rgb: RGB8
    """Prepared by ``prepare_picture``."""

    @property
    def name(self) -> str:
        """Name of the photograph within its source."""
        return self.photo.name

    @cached_property
    def l_star(self) -> np.ndarray:
        """L*, ``(H, W)`` float32."""
        return color.lightness(self.rgb)

    @cached_property
    def ab(self) -> np.ndarray:
        """The true a* and b*, ``(H, W, 2)`` float32."""
        return color.rgb_to_lab(self.rgb.astype(np.float32) / 255)[..., 1:]

    @cached_property
    def gray(self) -> np.ndarray:
        """The gray picture of the same L*, ``(H, W)`` uint8: the models' input."""
        return self.with_chroma(np.zeros((*self.l_star.shape, 2), np.float32))[..., 0]

    @cached_property
    def colorfulness(self) -> float:
        """Colorfulness of the true colors."""
        return metrics.colorfulness(self.rgb)

    @property
    def is_gray(self) -> bool:
        """Whether the photograph has no colors to compare with."""
        return self.colorfulness < GRAY_COLORFULNESS

    def derive_seed(self, seed: int) -> np.random.SeedSequence:
        """The seed of this photograph: another one for each name."""
        return np.random.SeedSequence(
            (seed, zlib.crc32(self.name.encode(errors="surrogateescape")))
        )

    def with_chroma(self, ab: np.ndarray) -> RGB8:
        """Merge the photograph's own L* with other a* and b* of the same size."""
        return color.compose(self.l_star, np.ascontiguousarray(ab, np.float32), np.dtype(np.uint8))


def read_truth(photo: Photo, picture_size: int | None) -> Truth:
    """Read and prepare a photograph.

    ``DataError`` where it cannot be decoded, or is smaller than the metrics need.
    """
    truth = Truth(photo, prepare_picture(read_photo(photo), picture_size))
    height, width = truth.rgb.shape[:2]
    if min(height, width) < metrics.SMALLEST:
        raise DataError(
            f"{quote(photo.name)} is {width} x {height} and the metrics need at least "
            f"{metrics.SMALLEST} x {metrics.SMALLEST} pixels; enlarge it"
        )
    return truth


def prepare_picture(rgb: RGB8, picture_size: int | None) -> RGB8:
    """The center square at ``picture_size`` pixels a side, or all of it for None.

    Reduced by area, or enlarged by cubic interpolation where the square is smaller.
    """
    if picture_size is None:
        return rgb
    return resize(crop_center(rgb, 1.0), picture_size, picture_size)


def crop_center(rgb: RGB8, aspect: float) -> RGB8:
    """The largest centered part whose height / width is ``aspect``.

    All of the picture where its aspect is off by less than 1.5 pixels.
    """
    height, width = rgb.shape[:2]
    if abs(height / width - aspect) < 1.5 / width:
        return rgb
    part_height = min(height, round(width * aspect))
    part_width = min(width, round(height / aspect))
    top, left = (height - part_height) // 2, (width - part_width) // 2
    return rgb[top : top + part_height, left : left + part_width]
