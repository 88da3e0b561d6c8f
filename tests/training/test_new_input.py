"""A further network input, from a caller's options through training to ONNX and back.

``tint`` is a made-up input of three channels: one of ones, and the mean a* and b* of
the picture. It exists in this file only: no module of the package is changed for it.
"""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.modelfile import LIGHTNESS, Input, ModelCard
from colorizenet.options import RENDERERS, Hint, Options
from colorizenet.training.data.augment import AugmentConfig, augment_batch
from colorizenet.training.data.conditions import CONDITIONS, Condition, input_channels
from colorizenet.training.export import export_network, export_run
from colorizenet.training.fit import fit
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.base import sum_losses
from colorizenet.training.tasks.optim import OptimConfig
from colorizenet.training.tasks.regression import RegressionConfig

INPUTS = ("lightness", "tint")


@dataclass(frozen=True, kw_only=True)
class TintOptions(Options):
    tint: tuple[float, float] = field(
        default=(0.0, 0.0),
        metadata={
            "help": "Mean a* and b* of the result.",
            "minimum": None,
            "maximum": None,
            "needs": "tint",
            "values": None,
        },
    )


def render_tint(options, shape):
    """The planes of ``tint`` from a caller's options."""
    ab = color.normalize_ab(np.array(options.tint, np.float32))
    return np.broadcast_to(np.array([1, *ab], np.float32)[:, None, None], (3, *shape)).copy()


def draw_tint(lightness, ab, _generator):
    """The planes of ``tint`` from a training batch."""
    if ab is None:
        return lightness.new_zeros(len(lightness), 3, *lightness.shape[2:])
    mean = ab.mean(dim=(2, 3), keepdim=True)
    return torch.cat([torch.ones_like(mean[:, :1]), mean], dim=1).expand(-1, -1, *ab.shape[2:])


def test_new_input_goes_from_options_through_training_to_onnx_and_back(gray, tmp_path):
    conditions = {**CONDITIONS, "tint": Condition(3, draw_tint)}
    torch.manual_seed(0)
    config = UNetConfig(widths=(8, 8, 8))
    task = RegressionConfig().build(
        config.build(in_channels=input_channels(INPUTS, conditions=conditions)),
        LossConfig(pixel="l2"),
        OptimConfig(),
        pictures=1000,
        inputs=INPUTS,
        conditions=conditions,
    )
    optimizer = torch.optim.Adam(task.network.parameters(), lr=1e-2)
    flat = torch.randint(40, 216, (8, 1, 1, 3), dtype=torch.uint8).expand(-1, 16, 16, -1)
    for step in range(60):
        sample = augment_batch(
            flat.contiguous(), AugmentConfig(), step, inputs=INPUTS, conditions=conditions
        )
        optimizer.zero_grad()
        sum_losses(task.training_losses(sample)).backward()
        optimizer.step()

    card = ModelCard(
        name="tinted",
        task="regression",
        inputs=(LIGHTNESS, Input("tint", 3)),
        size=32,
        size_multiple=task.network.size_multiple,
    )
    export_network(task.exported(), card, tmp_path / "tinted.onnx")
    colorizer = Colorizer(tmp_path / "tinted.onnx", renderers={**RENDERERS, "tint": render_tint})
    assert colorizer.card.inputs == card.inputs
    red, green = (
        colorizer.predict(gray, TintOptions(tint=(a, 0.0)))[0].ab[..., 0].mean() for a in (40, -40)
    )
    assert red > 10 and green < -10
    colored = colorizer(gray, TintOptions(tint=(40.0, 0.0)))
    assert colored.shape == (*gray.shape, 3) and colored[..., 0].mean() > colored[..., 1].mean()

    with pytest.raises(ConfigError, match="takes tint"):
        Colorizer(tmp_path / "tinted.onnx")(gray)


def test_model_trained_with_hints_follows_them(tiny, gray, tmp_path):
    network = UNetConfig(widths=(8, 16))
    config = dataclasses.replace(tiny, network=network, inputs=("lightness", "hints"), ema=0.0)
    fit(config, tmp_path / "run")
    card = export_run(tmp_path / "run", tmp_path / "hints.onnx")
    assert card.inputs == (LIGHTNESS, Input("hints", 3))
    colorizer = Colorizer(tmp_path / "hints.onnx")
    hints = (Hint(x=0.5, y=0.5, rgb=(255, 0, 0), radius=0.3),)
    [without], [hinted] = (colorizer.predict(gray, Options(hints=each)) for each in ((), hints))
    assert np.abs(hinted.ab - without.ab).max() > 0.1


def test_a_model_without_the_input_follows_hints_too(finished, gray, tmp_path):
    export_run(finished, tmp_path / "plain.onnx")
    hints = (Hint(x=0.5, y=0.5, rgb=(255, 0, 0), radius=0.1),)
    result = Colorizer(tmp_path / "plain.onnx")(gray, Options(hints=hints))
    red, green, _ = result[result.shape[0] // 2, result.shape[1] // 2].astype(int)
    assert red > green + 50
