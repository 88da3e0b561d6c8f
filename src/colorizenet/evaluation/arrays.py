"""Checks and exact sums that the metrics share."""

import cv2
import numpy as np

__all__ = ["RGB8", "STRIP_PIXELS", "check_pair", "check_picture", "sum_values", "sum_squares"]

RGB8 = np.ndarray
"""An sRGB picture, ``(H, W, 3)`` uint8."""

STRIP_PIXELS = 32_768
"""Pixels that are measured at a time: 128 KiB per float32 plane, so that a strip and
what is computed from it fit the processor's cache."""


def check_pair(picture: RGB8, truth: RGB8) -> tuple[RGB8, RGB8]:
    """Return two pictures of equal size as contiguous arrays. Raises ``ValueError``."""
    picture, truth = check_picture(picture), check_picture(truth)
    if picture.shape != truth.shape:
        raise ValueError(
            f"the picture is {picture.shape} and its truth {truth.shape}; "
            "give two pictures of one size"
        )
    return picture, truth


def check_picture(picture: RGB8) -> RGB8:
    """Return a picture as a contiguous array. Raises ``ValueError``."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"a picture is (H, W, 3) of uint8, and this one is {picture.shape} of "
            f"{picture.dtype}; convert it"
        )
    return np.ascontiguousarray(picture)


def sum_values(values: np.ndarray) -> float:
    """Sum in double precision, always in the same order and by one thread."""
    return float(values.sum(dtype=np.float64))


def sum_squares(one: np.ndarray, other: np.ndarray) -> int:
    """Sum the squared differences of two arrays of integers, exactly."""
    return round(cv2.norm(one, other, cv2.NORM_L2SQR))  # OpenCV may return 4.000000001
