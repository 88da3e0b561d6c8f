"""``RunConfig``: its JSON form, its types for a command line, its checks."""

import dataclasses
import json
import math

import pytest

from colorizenet.errors import ConfigError
from colorizenet.training.config import (
    RunConfig,
    config_type_with_defaults,
    differences,
    read_json,
    to_dict,
    to_json,
    to_run_config,
)
from colorizenet.training.data.loader import DataConfig
from colorizenet.training.data.screen import Screen
from colorizenet.training.losses import LossConfig
from colorizenet.training.recipes import RECIPES
from colorizenet.training.tasks import DiffusionConfig, FrechetConfig, OptimConfig
from colorizenet.training.tasks.hints import HintsConfig


@pytest.fixture
def stored(tmp_path):
    def store(change=lambda values: values):
        values = json.loads(to_json(RunConfig()))
        path = tmp_path / "config.json"
        path.write_text(json.dumps(change(values)))
        return path

    return store


def one_line(error) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize("recipe", RECIPES.values())
def test_every_recipe_is_written_and_read(tmp_path, recipe):
    (tmp_path / "config.json").write_text(to_json(recipe()))
    assert read_json(tmp_path / "config.json") == recipe()


def test_changed_settings_are_written_and_read(tmp_path, tiny):
    (tmp_path / "config.json").write_text(to_json(tiny))
    assert read_json(tmp_path / "config.json") == tiny
    assert isinstance(read_json(tmp_path / "config.json").network.widths, tuple)


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values | {"typo": 1},
        lambda values: values | {"optim": values["optim"] | {"momentum": 0.9}},
        lambda values: values | {"optim": 3},
        lambda values: values | {"pictures": "many"},
        lambda values: [values],
    ],
    ids=["unknown", "unknown and nested", "not a section", "wrong type", "list"],
)
def test_other_json_is_an_error(stored, damage):
    path = stored(damage)
    with pytest.raises(ConfigError, match="is not a run configuration") as error:
        read_json(path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize("content", ["", "{"], ids=["empty", "truncated"])
def test_an_unreadable_file_is_an_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json") as error:
        read_json(tmp_path / "config.json")
    one_line(error)


def test_a_missing_file_is_an_error_that_asks_for_a_run(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read.*give the folder of a run") as error:
        read_json(tmp_path / "config.json")
    assert "of this version" not in one_line(error)


@pytest.mark.parametrize(
    "settings",
    [
        {"pictures": 0},
        {"batch_size": 0},
        {"validate_every": -1},
        {"checkpoint_every": 0},
        {"ema": 1.0},
        {"ema": -0.1},
        {"patience": -1},
        {"inputs": ()},
        {"inputs": ("hints", "lightness")},
        {"inputs": ("lightness", "lightness")},
        {"inputs": ("lightness", "typo")},
        {"seed": -1},
        {"seed": 2**32},
        {"task": DiffusionConfig(), "inputs": ("lightness", "hints")},
        {"task": DiffusionConfig(), "loss": LossConfig(lpips=0.3)},
    ],
)
def test_settings_out_of_range_are_an_error(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        RunConfig(**settings)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (OptimConfig, "lr"),
        (OptimConfig, "clip"),
        (LossConfig, "delta"),
        (LossConfig, "chroma"),
        (DataConfig, "cache_gb"),
        (Screen, "min_colorfulness"),
        (DiffusionConfig, "t_std"),
        (HintsConfig, "lambda_leak"),
        (FrechetConfig, "lambda_frechet"),
    ],
)
def test_nan_is_an_error(kind, setting):
    with pytest.raises(ConfigError, match=setting.replace("_", "[-_]")):
        kind(**{setting: math.nan})


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"optim": OptimConfig(lr=math.inf)}, "optim.lr"),
        ({"loss": LossConfig(delta=math.inf)}, "loss.delta"),
        ({"data": DataConfig(cache_gb=math.inf)}, "data.cache-gb"),
        ({"data": DataConfig(screen=Screen(min_colorfulness=math.inf))}, "min-colorfulness"),
        ({"task": DiffusionConfig(guidance=math.nan)}, "task.guidance"),
        ({"task": DiffusionConfig(temperatures=(1.0, math.nan))}, "task.temperatures"),
    ],
)
def test_every_number_is_finite(settings, flag):
    with pytest.raises(ConfigError, match=f"{flag} has the value (inf|nan); give a finite"):
        RunConfig(**settings)


def test_a_contradiction_in_a_file_is_an_error(stored):
    with pytest.raises(ConfigError, match="multiples of 32"):
        read_json(stored(lambda values: values | {"data": values["data"] | {"size": 100}}))


def test_differences_are_the_changed_settings():
    changed = dataclasses.replace(RunConfig(), optim=OptimConfig(lr=1.0), seed=3)
    assert differences(RunConfig(), changed) == {"optim.lr": 1.0, "seed": 3}
    assert differences(changed, changed) == {}


def test_differences_from_another_kind_are_the_kind_and_its_settings():
    changed = RECIPES["pix2pix"]()
    found = differences(RunConfig(), changed)
    assert found["network.kind"] == "unet" and found["task.kind"] == "pix2pix"
    assert found["network.widths"] == changed.network.widths
    assert found["task.lambda_pixel"] == changed.task.lambda_pixel


@pytest.mark.parametrize("recipe", RECIPES.values())
def test_the_type_of_a_recipe_has_its_values_as_defaults(recipe):
    made = config_type_with_defaults(recipe())
    assert to_dict(made()) == to_dict(recipe())
    assert to_run_config(made()) == recipe()
    assert type(to_run_config(made())) is RunConfig


def test_the_type_of_a_recipe_takes_other_values():
    made = config_type_with_defaults(RECIPES["unet"]())
    optim = next(field.type for field in dataclasses.fields(made) if field.name == "optim")
    config = to_run_config(made(optim=optim(lr=0.5), seed=3))
    assert differences(RECIPES["unet"](), config) == {"optim.lr": 0.5, "seed": 3}
