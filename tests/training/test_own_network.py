"""Networks and tasks outside of the package, as the documentation has them."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.modelfile import load_model
from colorizenet.training import config as config_module
from colorizenet.training.config import RunConfig, read_json, register_kind, to_json
from colorizenet.training.export import export_run
from colorizenet.training.fit import fit
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks import DiffusionConfig

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.fixture(autouse=True)
def _no_kinds_of_other_tests(monkeypatch):
    monkeypatch.setattr(config_module, "_registered", {})


class Scaled(nn.Module):
    """Chroma of a quarter of the size of lightness, proportional to it."""

    size_multiple = 4

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(2))

    def forward(self, condition):
        return self.slope[:, None, None] * nn.functional.avg_pool2d(condition[:, :1], 4)


@dataclass(frozen=True, kw_only=True)
class ScaledConfig:
    kind: ClassVar = "scaled"
    unused: tuple[int, ...] = (1, 2)

    def build(self, *, in_channels: int = 1, pretrained: bool = True) -> Scaled:
        return Scaled()


@pytest.fixture
def registered() -> type:
    return register_kind(ScaledConfig)


def test_the_page_trains_a_network_and_a_task_and_exports_one_from_elsewhere(
    tiny, gray, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def make_short(*, network, data, task=tiny.task, pictures=0) -> RunConfig:
        assert data.root == "photos"
        return dataclasses.replace(tiny, network=network, task=task)

    part = PAGE.read_text(encoding="utf-8").partition("## Your own network")[2]
    blocks = re.findall(r"```python\n(.*?)```", part.partition("\n## ")[0], re.DOTALL)
    names: dict[str, Any] = {"make_short": make_short}
    for block in blocks:
        exec(block.replace("RunConfig(", "make_short("), names)
    assert "smooth" in (tmp_path / "runs" / "smooth" / "metrics.csv").read_text()
    for name, scale in (("small", 128), ("elsewhere", 110)):
        model = load_model(tmp_path / f"{name}.onnx")
        assert model.card.name == name and model.card.ab_scale == scale
        colored = Colorizer(tmp_path / f"{name}.onnx")(gray)
        assert colored.shape == (*gray.shape, 3) and np.ptp(colored, axis=2).max() > 0


def test_a_run_of_ones_own_network_is_read_resumed_and_exported(tiny, registered, tmp_path):
    config = dataclasses.replace(tiny, network=registered(unused=(3,)), pictures=24)
    run = tmp_path / "run"
    fit(config, run)
    assert read_json(run / "config.json") == config
    task = fit(dataclasses.replace(config, pictures=48), run, resume=True)
    assert task.pictures_seen == 48
    export_run(run, tmp_path / "own.onnx", checkpoint="last", dtype="fp32")
    lightness = np.random.default_rng(0).random((2, 1, 12, 8), np.float32)
    [ab] = load_model(tmp_path / "own.onnx").session.run(None, {"lightness": lightness})
    assert ab.shape == (2, 2, 3, 2) and np.abs(ab).max() > 1e-4


def test_a_kind_that_is_not_registered_is_an_error(tiny, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(to_json(dataclasses.replace(tiny, network=ScaledConfig())))
    with pytest.raises(ConfigError, match="has the kind scaled; see register_kind"):
        read_json(file)


def test_a_kind_is_registered_once(registered):
    assert register_kind(ScaledConfig) is registered

    @dataclass(frozen=True, kw_only=True)
    class Other(ScaledConfig):
        pass

    for taken in (Other, UNetConfig):
        with pytest.raises(ConfigError, match=rf"of the kind {taken.kind}; choose"):
            register_kind(taken)
    with pytest.raises(ConfigError, match="Scaled is no dataclass with a kind"):
        register_kind(Scaled)


def test_diffusion_around_a_network_without_layers_is_an_error(tiny, registered, tmp_path):
    config = dataclasses.replace(tiny, network=registered(), task=DiffusionConfig())
    with pytest.raises(ConfigError, match="Scaled lacks encode, expand or decode"):
        fit(config, tmp_path / "run")
