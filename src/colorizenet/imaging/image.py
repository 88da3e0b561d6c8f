"""The decoded picture that readers return and writers take."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

__all__ = ["Image"]


@dataclass(frozen=True)
class Image:
    """A decoded picture, upright and in sRGB, with the metadata of its file."""

    pixels: np.ndarray
    """``(H, W)`` gray or ``(H, W, 3)`` sRGB; uint8, uint16 or float32 in 0..1. Several
    pages are stacked vertically."""
    alpha: np.ndarray | None = None
    """``(H, W)`` of the same dtype, where 0 is transparent; or None."""
    format: str = "png"
    """The format of the file, a key of ``FORMATS``."""
    metadata: dict[str, tuple[int, Any]] = field(default_factory=dict, repr=False)
    """EXIF, XMP, IPTC and comments, by the field names and types of libvips."""
    resolution: tuple[float, float] | None = None
    """Pixels per millimeter, across and down; None where the file states none."""
    pages: int = 1
    """How many pages of equal height a TIFF has."""
    compression: str = "deflate"
    """How a TIFF is compressed, as libvips names it."""
    note: str = ""
    """A note about the origin of the colors, written into the file; may be empty."""
    warnings: tuple[str, ...] = ()
    """What could not be honored or kept, each a sentence for a person."""

    def with_pixels(self, pixels: np.ndarray) -> "Image":
        """Return the same picture with other pixels of the same height and width."""
        if pixels.shape[:2] != self.pixels.shape[:2]:
            raise ValueError(
                f"pixels of {pixels.shape[:2]} cannot replace those of {self.pixels.shape[:2]}"
            )
        return replace(self, pixels=pixels)
