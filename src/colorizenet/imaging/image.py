"""The decoded picture that readers return and writers take."""

from dataclasses import dataclass, field, replace

import numpy as np

__all__ = ["Image", "Metadata"]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The metadata of a file, as blocks of bytes that no library has rewritten.

    Sizes, orientation and thumbnails in them are those of the file. They are brought up
    to date when a result is written (see ``metadata.build_blocks``).
    """

    exif: bytes = b""
    """EXIF, without ``Exif\\0\\0``: a small TIFF file."""
    xmp: bytes = b""
    """XMP in UTF-8; the parts of extended XMP are merged."""
    iptc: bytes = b""
    """IPTC-IIM datasets."""
    photoshop: tuple[tuple[int, bytes], ...] = ()
    """Further resources of Photoshop that stay true: numbers and contents."""
    texts: tuple[tuple[bytes, bytes], ...] = ()
    """Text chunks of a PNG: types and contents, unchanged."""
    comments: tuple[bytes, ...] = ()
    """Comments of a JPEG, in the encoding of the file."""
    aspect: tuple[float, float] | None = None
    """Resolution without a unit, across and down, which states only the shape of a
    pixel; None where the file states none."""
    jpeg_quality: int = 0
    """Quality of a JPEG on the scale of libjpeg, 1 to 100; 0 for other files."""
    jpeg_full_chroma: bool = False
    """Whether a JPEG holds color at full resolution (4:4:4)."""


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
    metadata: Metadata = field(default=Metadata(), repr=False)
    """EXIF, XMP, IPTC, texts and comments of the file."""
    resolution: tuple[float, float] | None = None
    """Pixels per millimeter, across and down; None where the file states none."""
    pages: int = 1
    """How many pages of equal height a TIFF has."""
    compression: str = "deflate"
    """How a TIFF is compressed, as libvips names it."""
    note: str = ""
    """A note about the origin of the colors, written into the file; may be empty."""
    warnings: tuple[str, ...] = ()
    """What could not be honored or is left out, each a sentence for a person."""

    def with_pixels(self, pixels: np.ndarray) -> "Image":
        """Return the same picture with other pixels of the same height and width."""
        if pixels.shape[:2] != self.pixels.shape[:2]:
            raise ValueError(
                f"pixels of {pixels.shape[:2]} cannot replace those of {self.pixels.shape[:2]}"
            )
        return replace(self, pixels=pixels)
