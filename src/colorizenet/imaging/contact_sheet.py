"""One picture that shows many photos and their colorized results."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from colorizenet.errors import ConfigError
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import MAX_PIXELS, open_image
from colorizenet.imaging.resampling import resize

__all__ = ["draw_contact_sheet"]

_MARGIN = 4
"""White pixels around each photo."""


def draw_contact_sheet(
    groups: Sequence[Sequence[Path]],
    *,
    columns: int = 2,
    tile: int = 320,
    threads: int = 1,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """Draw gray | color of each group of files, ``(photo, result)`` or ``(photo,
    result, ...)``, ``tile`` pixels wide each.

    ``columns`` is the number of groups in a row; all have the same number of files.
    Raises ``ImageError`` for a file that cannot be read, and ``ConfigError`` without
    groups.
    """
    if not groups:
        raise ConfigError(
            "a contact sheet needs at least one colorized photo; name some that can be read"
        )
    side = tile - 2 * _MARGIN
    with ThreadPoolExecutor(threads) as pool:
        thumbnails = list(
            pool.map(
                lambda path: _read_thumbnail(path, side, max_pixels),
                [path for group in groups for path in group],
            )
        )
    length = len(groups[0])
    for index in range(0, len(thumbnails), length):
        gray = cv2.cvtColor(thumbnails[index], cv2.COLOR_RGB2GRAY)
        thumbnails[index] = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    rows = []
    for start in range(0, len(thumbnails), length * columns):
        cells = thumbnails[start : start + length * columns]
        height = max(cell.shape[0] for cell in cells)
        row = np.full((height, length * columns * tile, 3), 255, np.uint8)
        for number, cell in enumerate(cells):
            top = (height - cell.shape[0]) // 2
            left = number * tile + (tile - cell.shape[1]) // 2
            row[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        rows.append(np.pad(row, ((_MARGIN, _MARGIN), (0, 0), (0, 0)), constant_values=255))
    return Image(np.vstack(rows))


def _read_thumbnail(path: Path, side: int, max_pixels: int) -> np.ndarray:
    """The first page of a photo, resized to fit a square: ``(h, w, 3)`` uint8."""
    with open_image(path, max_pixels=max_pixels) as file:
        scale = side / max(file.shape)
        height, width = (max(1, round(length * scale)) for length in file.shape)
        floats = file.dtype.kind == "f"
        rgb = file.read_rgb8() if floats else file.reduce_rgb8(min(height, width))
    return resize(rgb, height, width)
