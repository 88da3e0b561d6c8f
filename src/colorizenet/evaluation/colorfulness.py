"""How colorful one picture is, without a truth to compare with."""

import math

import cv2

from colorizenet.evaluation.arrays import RGB8, check_picture, sum_squares

__all__ = ["OpponentSums", "colorfulness", "colorfulness_absolute"]


def colorfulness(picture: RGB8) -> float:
    """Colorfulness; 0 is gray, photographs are about 40, neither direction is better.

    Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003), with the
    signed opponent axes of the paper: ``|std| + 0.3 |mean|`` of rg = R - G and yb = (R
    + G) / 2 - B.
    """
    return OpponentSums(picture).signed()


def colorfulness_absolute(picture: RGB8) -> float:
    """Colorfulness as computed by DDColor's code and others; neither direction is
    better.

    The formula of ``colorfulness`` applied to ``|R - G|`` and ``|(R + G) / 2 - B|``,
    which is *not* that of Hasler and Süsstrunk: without signs, red beside green does
    not spread but shifts, so a picture of many hues scores less. Only for comparison
    with published tables that use absolute axes.
    """
    return OpponentSums(picture).absolute()


class OpponentSums:
    """Sums over one picture of rg = R - G and of 2 yb = R + G - 2B, exact integers."""

    def __init__(self, picture: RGB8) -> None:
        red, green, blue = cv2.split(check_picture(picture))
        red_green = cv2.add(red, green, dtype=cv2.CV_16S)
        twice_blue = cv2.add(blue, blue, dtype=cv2.CV_16S)
        pairs = (red, green), (red_green, twice_blue)
        self._pixels = red.size
        self._sums = [round(cv2.sumElems(one)[0] - cv2.sumElems(other)[0]) for one, other in pairs]
        self._absolute_sums = [round(cv2.norm(*pair, cv2.NORM_L1)) for pair in pairs]
        self._squares = [sum_squares(*pair) for pair in pairs]

    def signed(self) -> float:
        """Compute ``colorfulness``."""
        return self._compute(self._sums)

    def absolute(self) -> float:
        """Compute ``colorfulness_absolute``."""
        return self._compute(self._absolute_sums)

    def _compute(self, sums: list[int]) -> float:
        n = self._pixels
        rg_std, yb_std = (
            math.sqrt(n * square - s * s) / n for s, square in zip(sums, self._squares, strict=True)
        )
        rg_mean, yb_mean = (s / n for s in sums)
        return math.hypot(rg_std, yb_std / 2) + 0.3 * math.hypot(rg_mean, yb_mean / 2)
