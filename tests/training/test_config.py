"""A configuration on disk says everything, and says it back."""

import dataclasses
import json

import pytest

from colorizenet.errors import ConfigError
from colorizenet.training.config import RunConfig, differences, from_json, to_json
from colorizenet.training.recipes import RECIPES
from colorizenet.training.tasks.base import OptimConfig


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
def test_every_recipe_survives_the_disk(tmp_path, recipe):
    (tmp_path / "config.json").write_text(to_json(recipe()))
    assert from_json(tmp_path / "config.json") == recipe()


def test_what_was_changed_survives_the_disk(tmp_path, tiny):
    (tmp_path / "config.json").write_text(to_json(tiny))
    assert from_json(tmp_path / "config.json") == tiny
    assert isinstance(from_json(tmp_path / "config.json").network.widths, tuple)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values | {"typo": 1},
        lambda values: values | {"optim": values["optim"] | {"momentum": 0.9}},
        lambda values: values | {"optim": 3},
        lambda values: values | {"pictures": "many"},
        lambda values: [values],
    ],
    ids=["unknown", "unknown below", "no settings", "of another type", "a list"],
)
def test_what_is_no_configuration_is_refused(stored, spoil):
    path = stored(spoil)
    with pytest.raises(ConfigError, match="is not a run configuration") as error:
        from_json(path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize("content", ["", "{", None], ids=["empty", "cut short", "absent"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json") as error:
        from_json(tmp_path / "config.json")
    one_line(error)


@pytest.mark.parametrize(
    "settings",
    [
        {"pictures": 0},
        {"batch_size": 0},
        {"validate_every": -1},
        {"checkpoint_every": 0},
        {"ema": 1.0},
        {"ema": -0.1},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        RunConfig(**settings)


def test_a_contradiction_on_disk_is_refused(stored):
    with pytest.raises(ConfigError, match="multiples of 32"):
        from_json(stored(lambda values: values | {"data": values["data"] | {"size": 100}}))


def test_differences_name_what_changed_and_nothing_else():
    changed = dataclasses.replace(RunConfig(), optim=OptimConfig(lr=1.0), seed=3)
    assert differences(RunConfig(), changed) == {"optim.lr": 1.0, "seed": 3}
    assert differences(changed, changed) == {}
