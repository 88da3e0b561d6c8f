"""``colorizenet train``, ``export`` and ``info``, as a user meets them."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from colorizenet import cli
from colorizenet.training.config import RunConfig, differences, from_json
from colorizenet.training.fit import read_checkpoint
from colorizenet.training.recipes import RECIPES

OVERRIDES = {
    "data.root": "photos",
    "data.val": "others",
    "data.downloads": "kept",
    "data.size": 64,
    "data.val_size": 128,
    "data.val_pictures": 7,
    "data.min_crop": 0.5,
    "data.screen.min_side": 99,
    "data.screen.min_colorfulness": 3.5,
    "data.screen.max_tone": 0.75,
    "data.max_corrupt": 0.25,
    "data.cache_gb": 1.5,
    "data.workers": 3,
    "network.encoder": "resnet18",
    "network.pretrained": "none",
    "network.widths": (64, 32, 16, 8),
    "network.queries": 7,
    "augment.zoom": 0.3,
    "augment.stretch": 0.2,
    "augment.saturation": 0.4,
    "augment.film": 0.5,
    "augment.blur": 0.05,
    "augment.noise": 0.15,
    "augment.jpeg": 0.25,
    "augment.fade": 0.35,
    "augment.sizes": (64, 96),
    "task.loss": "l1",
    "task.corner": 7.5,
    "task.gradient": 0.2,
    "task.perceptual": 0.3,
    "task.lpips": 0.4,
    "task.looked_at": 0.5,
    "task.bins": 0.1,
    "task.colorfulness": 0.05,
    "task.vgg16": "vgg16.safetensors",
    "optim.lr": 1e-4,
    "optim.encoder_lr": 1e-5,
    "optim.betas": (0.5, 0.99),
    "optim.weight_decay": 0.5,
    "optim.warmup": 17,
    "optim.schedule": "plateau",
    "optim.plateau_patience": 4,
    "optim.plateau_factor": 0.7,
    "optim.clip": 0.0,
    "start": "runs/before",
    "pictures": 12,
    "batch_size": 5,
    "validate_every": 6,
    "patience": 8,
    "checkpoint_every": 3,
    "ema": 0.5,
    "precision": "32-true",
    "seed": 9,
}


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def arguments(overrides) -> list[str]:
    given = []
    for name, value in overrides.items():
        given += [flag(name), *map(str, value if isinstance(value, tuple) else (value,))]
    return given


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line; what it exits with, and the lines of stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*given: str) -> tuple[int, list[str], list[str]]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(given))
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out.splitlines(), told.err.splitlines()

    return run


@pytest.fixture
def configured(run, monkeypatch, tmp_path):
    """The configuration that a command line asks for, without a run."""

    def configured(*given: str) -> RunConfig:
        asked = []
        with monkeypatch.context() as patched:
            patched.setattr(fit_module, "fit", lambda config, *_, **__: asked.append(config))
            status, _, told = run("train", *given, "--out", str(tmp_path / "run"))
        assert (status, told) == (0, [])
        return asked[0]

    return configured


@pytest.fixture
def tiny_arguments(tiny):
    """What to type for the tiny run, with other settings."""

    def typed(**settings) -> list[str]:
        return arguments(
            differences(RECIPES["encoder_unet"](), dataclasses.replace(tiny, **settings))
        )

    return typed


def fails(told: tuple[int, list[str], list[str]], *parts: str) -> None:
    """On one line, that says what."""
    status, out, err = told
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("colorizenet: ") and all(part in err[0] for part in parts)


# Settings


def test_the_overrides_above_are_all_there_are():
    def settings(config, prefix=""):
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            nested = (
                settings(value, f"{prefix}{field.name}.")
                if dataclasses.is_dataclass(value)
                else None
            )
            yield from nested or [prefix + field.name]

    assert OVERRIDES.keys() == set(settings(RunConfig()))


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_settings_the_recipe_is_what_it_says(configured, recipe):
    assert configured(recipe) == RECIPES[recipe]()


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_setting_of_any_recipe_changes_one_field(configured, recipe):
    config = configured(recipe, "--network.widths", "8", "8", "8", "8", "--optim.warmup", "3")
    assert differences(RECIPES[recipe](), config) == {
        "network.widths": (8, 8, 8, 8),
        "optim.warmup": 3,
    }


@pytest.mark.parametrize("name", OVERRIDES)
def test_one_setting_changes_one_field(configured, name):
    config = configured("encoder_unet", *arguments({name: OVERRIDES[name]}))
    assert differences(RECIPES["encoder_unet"](), config) == {name: OVERRIDES[name]}


def test_all_settings_at_once(configured):
    assert (
        differences(RECIPES["encoder_unet"](), configured("encoder_unet", *arguments(OVERRIDES)))
        == OVERRIDES
    )


def test_the_settings_of_a_resumed_run_are_its_own(run, monkeypatch, finished, tiny):
    asked = []
    monkeypatch.setattr(
        fit_module,
        "fit",
        lambda config, folder, **named: asked.append((config, folder, named["resume"])),
    )
    run("train", "encoder_unet", "--resume", str(finished), "--pictures", "100")
    assert asked == [(dataclasses.replace(tiny, pictures=100), finished, True)]


def test_help_lists_every_setting_and_what_it_means(run):
    status, out, err = run("train", "encoder_unet", "--help")
    shown = "\n".join(out)
    assert (status, err) == (0, [])
    assert [name for name in OVERRIDES if flag(name) not in shown] == []
    assert "Peak learning rate, reached after" in shown
    assert "0.0015" in shown  # the recipe's own default


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_says_the_defaults_of_the_recipe(run, recipe):
    _, out, _ = run("train", recipe, "--help")
    shown = " ".join(" ".join(out).replace("│", " ").split())
    config = RECIPES[recipe]()
    for name, value in (
        ("--pictures", config.pictures),
        ("--optim.lr", config.optim.lr),
        ("--patience", config.patience),
    ):
        default = re.search(rf"{re.escape(name)} (?:INT|FLOAT) .*?\[default: ([^\]]+)\]", shown)
        assert default and float(default[1]) == value
    assert ("--network.encoder" in shown) == (config.network.kind == "encoder_unet")


def test_a_run_is_resumed_with_its_own_recipe(run, finished):
    fails(run("train", "unet", "--resume", str(finished)), "encoder_unet", "unet")


def test_help_lists_the_recipes(run):
    status, out, _ = run("train", "--help")
    assert status == 0
    assert [
        name
        for name in RECIPES
        if not any(name.replace("_", "-") in line or name in line for line in out)
    ] == []


# What goes wrong


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("--optim.lrr", "--optim.lr"), ("--picturs", "--pictures"), ("--data.rot", "--data.root")],
)
def test_a_typo_is_answered_with_what_was_meant(run, typo, meant):
    fails(run("train", "encoder_unet", typo, "3"), typo, f"Did you mean {meant}?")


def test_a_recipe_that_is_none_is_refused(run):
    fails(run("train", "encoder_unett", "--data.root", "x"), "encoder_unett")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--pictures", "many"], ["pictures", "many"]),
        (["--task.loss", "l3"], ["task.loss", "l3"]),
        (["--pictures", "0"], ["pictures is 0"]),
        (["--data.size", "100"], ["data.size 100", "multiples of 32"]),
        (["--network.encoder", "no_such", "--network.pretrained", "none"], ["no_such"]),
        (["--network.widths", "8", "--network.pretrained", "none"], ["widths"]),
    ],
)
def test_a_value_that_cannot_be_is_refused(run, photographs, tmp_path, given, parts):
    command = [
        "train",
        "encoder_unet",
        "--data.root",
        str(photographs),
        "--out",
        str(tmp_path / "run"),
        *given,
    ]
    fails(run(*command), *parts)


def test_missing_data_is_named(run, tmp_path):
    command = [
        "train",
        "encoder_unet",
        "--network.pretrained",
        "none",
        "--out",
        str(tmp_path / "run"),
    ]
    fails(run(*command), "data.root")
    fails(
        run(*command, "--data.root", str(tmp_path / "absent")),
        str(tmp_path / "absent"),
        "does not exist",
    )
    (tmp_path / "empty").mkdir()
    fails(run(*command, "--data.root", str(tmp_path / "empty")), "holds no photograph")


def test_nothing_to_resume_is_named(run, tmp_path):
    fails(run("train", "encoder_unet", "--resume", str(tmp_path)), str(tmp_path))


def test_a_folder_that_holds_a_run_is_left_alone(run, tiny_arguments, finished):
    fails(run("train", "encoder_unet", *tiny_arguments(), "--out", str(finished)), "--resume")


def test_nothing_to_export_is_named(run, tmp_path):
    fails(run("export", str(tmp_path), "--out", str(tmp_path / "out.onnx")), "config.json")


# From photographs to a model


def program(*given: str) -> list[str]:
    return [sys.executable, "-m", "colorizenet", *given]


def test_train_resume_export_info(run, tiny_arguments, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "model.onnx"
    trained = subprocess.run(
        program("train", "encoder_unet", *tiny_arguments(pictures=20), "--out", str(folder)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (trained.returncode, trained.stdout) == (0, f"{folder}\n"), trained.stderr
    lines = trained.stderr.splitlines()
    assert [re.match(r"(\d+) pictures: val/", line) is not None for line in lines] == [
        True,
        True,
    ], trained.stderr

    status, told, _ = run("train", "encoder_unet", "--resume", str(folder), "--pictures", "24")
    assert (status, told) == (0, [str(folder)])
    assert from_json(folder / "config.json").pictures == 24

    figures = tmp_path / "figures.json"
    figures.write_text('{"ciede2000": 12.5}')
    described = [
        "--name",
        "mine",
        "--license",
        "CC0",
        "--figures",
        str(figures),
        "--checkpoint",
        "last",
    ]
    status, told, err = run("export", str(folder), "--out", str(out), *described)
    assert (status, told, err) == (0, [str(out)], [])

    status, told, _ = run("info", str(out))
    card = json.loads("\n".join(told))
    assert status == 0
    assert (card["name"], card["license"], card["figures"]) == ("mine", "CC0", {"ciede2000": 12.5})
    assert (card["recipe"], card["pictures_seen"], card["overrides"]["pictures"]) == (
        "encoder_unet",
        24,
        24,
    )


def test_ctrl_c_ends_it_on_one_line_and_loses_nothing(tiny, tiny_arguments, tmp_path):
    folder = tmp_path / "run"
    settings = tiny_arguments(data=dataclasses.replace(tiny.data, workers=1), pictures=4_000_000)
    command = program("train", "encoder_unet", *settings, "--out", str(folder))
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            while not (folder / "last.ckpt").exists():
                assert process.poll() is None
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, stderr
    assert [
        line for line in stderr.splitlines() if not re.match(r"\d+ pictures: |colorizenet: ", line)
    ] == []
    assert read_checkpoint(folder / "last.ckpt")["pictures_seen"] > 0
