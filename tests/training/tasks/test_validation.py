"""Validation measures what ``evaluate`` measures, and needs no pipeline of its own."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from colorizenet.colorizer import Colorizer
from colorizenet.evaluation.protocol import evaluate
from colorizenet.training.losses import LossConfig
from colorizenet.training.tasks import OptimConfig, RegressionConfig
from colorizenet.training.tasks.validation import make_gray, merge_chroma

SLOPES = (0.3, -0.2)
SIDE = 64


class Linear(nn.Module):
    """The network of the model file of ``make_model``: ab proportional to L, at half
    size."""

    size_multiple = 2

    def forward(self, condition: Tensor) -> Tensor:
        return torch.tensor(SLOPES)[:, None, None] * nn.functional.avg_pool2d(condition, 2)


@pytest.fixture
def task():
    return RegressionConfig().build(Linear(), LossConfig(), OptimConfig(), pictures=1)


@pytest.fixture
def photos(tmp_path, write_photograph) -> list[np.ndarray]:
    """Five square photos, which are also files in the folder ``photos``."""
    paths = [
        write_photograph(tmp_path / "photos" / f"{n}.png", n, height=SIDE, width=SIDE)
        for n in range(5)
    ]
    return [cv2.imread(str(path))[..., ::-1].copy() for path in paths]


def test_validation_gives_the_values_of_evaluate(task, photos, tmp_path, make_model):
    logged: dict[str, float] = {}
    task.log_validation = lambda means, _count: logged.update(means)
    colored = task.validation_step(torch.from_numpy(np.stack(photos)), 0).numpy()

    model = Colorizer(make_model(slope_a=SLOPES[0], slope_b=SLOPES[1]))
    expected = np.stack([model(make_gray(photo)) for photo in photos])
    assert np.abs(colored.astype(int) - expected).max() <= 1  # a rounding of the last bit
    report = evaluate(model, tmp_path / "photos", picture_size=SIDE)
    for name in ("ciede2000", "psnr", "colorfulness"):
        assert logged[name] == pytest.approx(report.means["tiny"][name], rel=1e-3), name


def test_the_validation_loss_is_the_pixel_loss_at_the_size_of_the_prediction(task, photos):
    logged: dict[str, float] = {}
    task.log_validation = lambda means, _count: logged.update(means)
    task.validation_step(torch.from_numpy(np.stack(photos)), 0)
    assert 0 < logged["loss"] < 1


def test_gray_without_chroma_stays_gray(photos):
    gray = make_gray(photos[0])
    colored = merge_chroma(gray, np.zeros((SIDE // 4, SIDE // 4, 2), np.float32))
    assert (colored == gray[..., None]).all()
