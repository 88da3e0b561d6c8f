"""The decoded picture that readers make and writers take."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

__all__ = ["Image"]


@dataclass(frozen=True)
class Image:
    """A decoded picture: upright, sRGB, and the rest of what its file carried."""

    pixels: np.ndarray
    """(H, W) gray or (H, W, 3) sRGB, uint8, uint16 or float32 in 0..1; of several pages, one below the other."""
    alpha: np.ndarray | None = None
    """(H, W) of the same dtype, 0 is transparent; or None."""
    format: str = "png"
    """The format it came in, a key of ``FORMATS``."""
    carried: dict[str, tuple[int, Any]] = field(default_factory=dict, repr=False)
    """EXIF, XMP and IPTC as libvips names and types them."""
    resolution: tuple[float, float] | None = None
    """Pixels a millimeter, across and down; None where the file states none."""
    pages: int = 1
    """How many pages of equal height, as a TIFF may have."""
    compression: str = "deflate"
    """How a TIFF of it is compressed, as libvips names it."""
    note: str = ""
    """What is written into the file about who made its colors; empty where nobody did."""
    warnings: tuple[str, ...] = ()
    """What could not be honored or kept, each a line for a person."""

    def with_pixels(self, pixels: np.ndarray) -> "Image":
        """The same picture with other pixels of the same height and width."""
        if pixels.shape[:2] != self.pixels.shape[:2]:
            raise ValueError(
                f"pixels of {pixels.shape[:2]} cannot replace those of {self.pixels.shape[:2]}"
            )
        return replace(self, pixels=pixels)
