"""One pair of pictures -> one number, for NumPy arrays. Each says its source, unit and direction.

Pictures are sRGB of 8 bits, ``(H, W, 3)`` uint8, so that a number is about what is shown.
"""

import cv2
import numpy as np

from colorizenet import color

__all__ = ["ciede2000", "colorfulness", "delta_e_2000", "psnr"]

Picture = np.ndarray


def psnr(picture: Picture, truth: Picture) -> float:
    """Peak signal to noise ratio in dB over all channels; higher is better, equal is infinite."""
    error = np.mean((picture.astype(np.float32) - truth.astype(np.float32)) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def colorfulness(picture: Picture) -> float:
    """How colourful one picture is; 0 is grey, photographs are about 40, neither end is "better".

    Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003), with the signed
    opponent axes of the paper: ``|std| + 0.3 |mean|`` of rg = R - G and yb = (R + G) / 2 - B.
    """
    r, g, b = np.moveaxis(picture.astype(np.float32), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    spread = np.hypot(np.std(rg, dtype=np.float64), np.std(yb, dtype=np.float64))
    return float(spread + 0.3 * np.hypot(np.mean(rg, dtype=np.float64), np.mean(yb, dtype=np.float64)))


def ciede2000(picture: Picture, truth: Picture) -> float:
    """Mean CIEDE2000 over the pixels; lower is better, 1 is about a just noticeable difference."""
    difference = delta_e_2000(_lab(picture), _lab(truth))
    return float(np.mean(difference, dtype=np.float64))


def _lab(picture: Picture) -> np.ndarray:
    # Eight bits have 256 values: decoding them by table is exact and spares 3 powers a pixel.
    table = color.rgb_to_linear(np.arange(256, dtype=np.float64) / 255).astype(np.float32)
    return color.linear_to_lab(cv2.LUT(picture, table))


def delta_e_2000(lab: np.ndarray, other: np.ndarray) -> np.ndarray:
    """CIEDE2000 of each pair of Lab colours with kL = kC = kH = 1. Shape: ``(..., 3) -> (...)``.

    CIE 142-2001, after Sharma, Wu and Dalal (2005), whose equations are numbered here.
    """
    l1, a1, b1 = np.moveaxis(lab, -1, 0)
    l2, a2, b2 = np.moveaxis(other, -1, 0)

    mean_chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = (1 - np.sqrt(mean_chroma7 / (mean_chroma7 + 25.0**7))) / 2  # eq. 4
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)

    chromatic = c1 * c2 != 0
    turn = h2 - h1
    turn = np.where(turn > np.pi, turn - 2 * np.pi, np.where(turn < -np.pi, turn + 2 * np.pi, turn))
    turn = np.where(chromatic, turn, 0)
    delta_l, delta_c = l2 - l1, c2 - c1
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)  # eq. 11

    mean_l, c = (l1 + l2) / 2, (c1 + c2) / 2
    # The mean hue lies half the turn on from the first; the hue of a grey does not count.
    h = np.where(chromatic, h1 + turn / 2, h1 + h2)
    t = (
        1
        - 0.17 * np.cos(h - np.radians(30))
        + 0.24 * np.cos(2 * h)
        + 0.32 * np.cos(3 * h + np.radians(6))
        - 0.20 * np.cos(4 * h - np.radians(63))
    )  # eq. 15
    degrees = np.degrees(h) % 360
    blue = np.radians(30) * np.exp(-(((degrees - 275) / 25) ** 2))
    c7 = c**7
    rotation = -np.sin(2 * blue) * 2 * np.sqrt(c7 / (c7 + 25.0**7))  # eq. 16, 17, 21
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * t
    delta_l, delta_c, delta_h = delta_l / s_l, delta_c / s_c, delta_h / s_h
    squared = delta_l**2 + delta_c**2 + delta_h**2 + rotation * delta_c * delta_h
    return np.sqrt(np.maximum(squared, 0))


def _hue(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The hue in 0..2 pi (eq. 7): from -pi, the mean of opposite hues would be the other one."""
    hue = np.arctan2(b, a)
    return np.where(hue < 0, hue + 2 * np.pi, hue)
