"""Color photos are distinguished from gray and toned ones."""

import cv2
import numpy as np
import pytest
import skimage.data

from colorizenet import color
from colorizenet.imaging.toning import COLORED, is_colored, measure_color_variation


def tone(gray: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """A gray photo with chroma added: ``(H, W, 3)`` uint8."""
    l_star = color.lightness(gray)
    lab = np.dstack([l_star, np.broadcast_to(a, gray.shape), np.broadcast_to(b, gray.shape)])
    return np.rint(np.clip(color.lab_to_rgb(lab), 0, 1) * 255).astype(np.uint8)


def test_gray_photos_are_not_colored(gray):
    assert measure_color_variation(gray) == 0
    assert measure_color_variation(np.dstack([gray] * 3)) < 0.1
    noise = np.random.default_rng(0).normal(0, 12, (*gray.shape, 3))
    noisy = np.clip(gray[..., None] + noise, 0, 255).astype(np.uint8)
    assert not is_colored(noisy), "noise of a scanner"


@pytest.mark.parametrize("quality", [40, 100])
def test_toned_photos_are_not_colored(gray, quality):
    light = color.lightness(gray) / 100
    y, x = np.mgrid[-1 : 1 : gray.shape[0] * 1j, -1 : 1 : gray.shape[1] * 1j]
    corners = np.clip(x**2 + y**2, 0, 1.5)
    toned = {
        "sepia": tone(gray, 12, 28),
        "cyanotype": tone(gray, -8 * light, -35 * (1 - light)),
        "split toning": tone(gray, 10 - 20 * light, -25 + 50 * light),
        "yellowed corners": tone(gray, 4 + 3 * corners, 10 + 10 * corners),
    }
    for name, pixels in toned.items():
        encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
        assert not is_colored(np.ascontiguousarray(decoded)), name


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_color_photos_are_colored_in_any_depth(name, dtype):
    pixels = getattr(skimage.data, name)()
    scale = {"uint8": np.uint8(1), "uint16": np.uint16(257), "float32": np.float32(1 / 255)}[dtype]
    assert measure_color_variation(pixels.astype(dtype) * scale) > COLORED + 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 3)])
def test_tiny_pictures_are_measured_too(shape):
    assert measure_color_variation(np.full((*shape, 3), 90, np.uint8)) == pytest.approx(0, abs=1e-3)
