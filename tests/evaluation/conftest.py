"""Color photographs, a tiny model, and the report of its evaluation."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from colorizenet.colorizer import Colorizer
from colorizenet.evaluation.protocol import evaluate
from colorizenet.evaluation.report import Report

Draw = Callable[..., np.ndarray]
PICTURES = 6


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Five real color photographs, 192 x 192 uint8."""
    found = {}
    for name in ("astronaut", "chelsea", "coffee", "rocket", "retina"):
        picture = getattr(skimage.data, name)()
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = np.ascontiguousarray(picture[top : top + side, left : left + side])
        found[name] = cv2.resize(square, (192, 192), interpolation=cv2.INTER_AREA)
    return found


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Smooth shapes in many colors, RGB, the same for the same number."""

    def draw(number: int, height: int = 96, width: int = 120) -> np.ndarray:
        small = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)

    return draw


@pytest.fixture(scope="session")
def save() -> Callable[[Path, np.ndarray], Path]:
    """Write an RGB picture, in the format that the file name says."""

    def save(path: Path, rgb: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[..., ::-1])
        return path

    return save


@pytest.fixture(scope="session")
def folder(tmp_path_factory, draw, save) -> Path:
    """Six photographs: three in the training split and three in the test split."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(PICTURES):
        save(root / ("test" if number % 2 else "train") / f"{number}.png", draw(number))
    return root


@pytest.fixture(scope="session")
def model_path(tmp_path_factory, write_model) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def colorizer(model_path) -> Colorizer:
    return Colorizer(model_path, threads=1)


@pytest.fixture(scope="session")
def report(folder, colorizer) -> Report:
    return evaluate(colorizer, folder, picture_size=64)


@pytest.fixture
def predictions(tmp_path, draw) -> Path:
    """The true colors in lossy files, some of another size, in folders of their own."""
    for number in range(PICTURES):
        rgb = draw(number)
        if number % 2:
            rgb = cv2.resize(rgb, (240, 192), interpolation=cv2.INTER_CUBIC)
        path = tmp_path / "predictions" / str(number % 2) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    return tmp_path / "predictions"
