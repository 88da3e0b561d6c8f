"""``colorizenet train``, ``export`` and ``info``, from the command line."""

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
from colorizenet.training.checkpoints import read_checkpoint
from colorizenet.training.config import RunConfig, differences, read_json, to_json, to_run_config
from colorizenet.training.recipes import RECIPES

OVERRIDES = {
    "data.root": "photos",
    "data.val": "others",
    "data.downloads": "downloaded",
    "data.size": 64,
    "data.val_size": 128,
    "data.val_pictures": 7,
    "data.min_crop": 0.5,
    "data.screen.min_side": 99,
    "data.screen.min_colorfulness": 3.5,
    "data.screen.max_hue_concentration": 0.75,
    "data.max_corrupt": 0.25,
    "data.cache_gb": 1.5,
    "data.workers": 3,
    "network.encoder": "resnet18",
    "network.pretrained": "none",
    "network.widths": (64, 32, 16, 8),
    "network.queries": 7,
    "network.similarity": 5,
    "augment.zoom": 0.3,
    "augment.border": 0.2,
    "augment.rotate": 0.1,
    "augment.film": 0.5,
    "augment.blur": 0.05,
    "augment.noise": 0.15,
    "augment.jpeg": 0.25,
    "augment.fade": 0.35,
    "loss.pixel": "l1",
    "loss.delta": 7.5,
    "loss.lpips": 0.4,
    "loss.perceptual_batch_fraction": 0.5,
    "loss.colorfulness": 0.05,
    "loss.chroma": 0.3,
    "loss.vgg16": "vgg16.safetensors",
    "optim.lr": 1e-4,
    "optim.encoder_lr": 1e-5,
    "optim.betas": (0.5, 0.99),
    "optim.weight_decay": 0.5,
    "optim.warmup": 17,
    "optim.schedule": "plateau",
    "optim.plateau_patience": 4,
    "optim.plateau_factor": 0.7,
    "optim.clip": 0.0,
    "optim.freeze": "encoder",
    "inputs": ("lightness", "hints"),
    "init_from": "runs/before",
    "pictures": 12,
    "batch_size": 5,
    "validate_every": 6,
    "patience": 8,
    "checkpoint_every": 3,
    "ema": 0.5,
    "precision": "32-true",
    "seed": 9,
}
"""A value for each setting, which no recipe has by default."""


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def arguments(overrides) -> list[str]:
    given = []
    for name, value in overrides.items():
        given += [flag(name), *map(str, value if isinstance(value, tuple) else (value,))]
    return given


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line; its exit status, and the lines of stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*given: str) -> tuple[int, list[str], list[str]]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(given))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out.splitlines(), printed.err.splitlines()

    return run


def parse(*given: str) -> tuple[RunConfig, dict[str, object]]:
    """The configuration and the other flags of a command line, without a run."""
    cli.train.mount_recipes()
    _, bound, _ = cli.app.parse_args(["train", *given], exit_on_error=False)
    flags = {name: value for name, value in bound.arguments.items() if name != "settings"}
    settings = bound.arguments.get("settings")
    return to_run_config(settings) if settings else RECIPES[given[0]](), flags


def configure(*given: str) -> RunConfig:
    return parse(*given)[0]


@pytest.fixture
def tiny_arguments(tiny):
    """The flags of the tiny run, with other settings."""

    def typed(**settings) -> list[str]:
        return arguments(
            differences(RECIPES["encoder_unet"](), dataclasses.replace(tiny, **settings))
        )

    return typed


def fails(result: tuple[int, list[str], list[str]], *parts: str) -> None:
    """Check for an error of one line with these parts."""
    status, out, err = result
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("colorizenet: ") and all(part in err[0] for part in parts)


# Settings


def list_settings(config, prefix=""):
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from list_settings(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_overrides_of_this_file_are_all_settings():
    assert OVERRIDES.keys() == set(list_settings(RunConfig()))


@pytest.mark.parametrize("recipe", RECIPES)
def test_defaults_are_those_of_the_recipe(recipe):
    assert configure(recipe) == RECIPES[recipe]()


@pytest.mark.parametrize("recipe", RECIPES)
def test_flags_of_any_recipe_change_their_settings_only(recipe):
    config = configure(recipe, "--network.widths", "8", "8", "8", "8", "--optim.warmup", "3")
    assert differences(RECIPES[recipe](), config) == {
        "network.widths": (8, 8, 8, 8),
        "optim.warmup": 3,
    }


@pytest.mark.parametrize("name", OVERRIDES)
def test_each_flag_changes_its_setting_only(name):
    config = configure("encoder_unet", *arguments({name: OVERRIDES[name]}))
    assert differences(RECIPES["encoder_unet"](), config) == {name: OVERRIDES[name]}


def test_all_flags_together():
    config = configure("encoder_unet", *arguments(OVERRIDES))
    assert differences(RECIPES["encoder_unet"](), config) == OVERRIDES


def test_resumed_run_has_its_own_settings_as_defaults(finished, tiny):
    config, flags = parse("encoder_unet", "--resume", str(finished), "--pictures", "100")
    assert config == dataclasses.replace(tiny, pictures=100)
    assert flags == {"resume": finished}


def test_config_may_be_the_folder_of_a_run(finished, tiny):
    config, _ = parse("encoder_unet", "--config", str(finished), "--pictures", "100")
    assert config == dataclasses.replace(tiny, pictures=100)


def test_config_file_replaces_the_defaults_of_the_recipe(finished, tiny, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(to_json(tiny))
    config, flags = parse("encoder_unet", "--config", str(file), "--optim.lr", "0.5")
    assert config == dataclasses.replace(tiny, optim=dataclasses.replace(tiny.optim, lr=0.5))
    assert flags == {"config": file}


def test_help_lists_each_setting_with_its_meaning_and_default(run):
    status, out, err = run("train", "encoder_unet", "--help")
    printed = "\n".join(out)
    assert (status, err) == (0, [])
    assert [name for name in OVERRIDES if flag(name) not in printed] == []
    assert "Peak learning rate, reached after" in printed
    assert "0.0015" in printed
    assert all(f"--{name}" in printed for name in ("config", "out", "resume", "logger"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_has_the_defaults_of_the_recipe(run, recipe):
    _, out, _ = run("train", recipe, "--help")
    printed = " ".join(" ".join(out).replace("│", " ").split())
    config = RECIPES[recipe]()
    for name, value in (
        ("--pictures", config.pictures),
        ("--optim.lr", config.optim.lr),
        ("--patience", config.patience),
    ):
        default = re.search(rf"{re.escape(name)} (?:INT|FLOAT) .*?\[default: ([^\]]+)\]", printed)
        assert default and float(default[1]) == value
    assert ("--network.encoder" in printed) == (config.network.kind == "encoder_unet")


def test_help_lists_the_recipes(run):
    status, out, _ = run("train", "--help")
    assert status == 0
    assert [
        name
        for name in RECIPES
        if not any(name.replace("_", "-") in line or name in line for line in out)
    ] == []


# Errors


def test_run_of_another_recipe_is_refused(run, finished):
    fails(run("train", "unet", "--resume", str(finished)), "encoder_unet", "unet")
    config = str(finished / "config.json")
    fails(run("train", "unet", "--config", config), "encoder_unet", "unet")


@pytest.mark.parametrize("flag", ["--config", "--out"])
def test_resumed_run_takes_no_other_folder_or_settings(run, finished, flag):
    given = ["--resume", str(finished), flag, str(finished / "config.json")]
    fails(run("train", "encoder_unet", *given), "--resume", f"leave out {flag}")


def test_resuming_with_fewer_pictures_than_were_seen_is_refused(run, finished):
    before = (finished / "config.json").read_text()
    given = ["--resume", str(finished), "--pictures", "40"]
    fails(run("train", "encoder_unet", *given), "already seen 48 pictures", "at least 48")
    assert (finished / "config.json").read_text() == before


def test_missing_config_file_is_named(run, tmp_path):
    file = str(tmp_path / "none.json")
    fails(run("train", "encoder_unet", "--config", file), file)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("--optim.lrr", "--optim.lr"), ("--picturs", "--pictures"), ("--data.rot", "--data.root")],
)
def test_typo_is_answered_with_a_suggestion(run, typo, meant):
    fails(run("train", "encoder_unet", typo, "3"), typo, f"Did you mean {meant}?")


def test_unknown_recipe_is_refused(run):
    fails(run("train", "encoder_unett", "--data.root", "x"), "encoder_unett")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--pictures", "many"], ["pictures", "many"]),
        (["--loss.pixel", "l3"], ["loss.pixel", "l3"]),
        (["--pictures", "0"], ["pictures is 0"]),
        (["--batch-size", "1.5"], ["batch-size is 1.5; give a whole number"]),
        (["--network.widths", "8", "16.5"], ["network.widths is 16.5; give a whole number"]),
        (["--data.size", "100"], ["data.size 100", "multiples of 32"]),
        (["--network.encoder", "no_such", "--network.pretrained", "none"], ["no_such"]),
        (["--network.widths", "8", "--network.pretrained", "none"], ["widths"]),
    ],
)
def test_impossible_value_is_refused(run, photographs, tmp_path, given, parts):
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
    fails(run(*command, "--data.root", str(tmp_path / "empty")), "has no photos")


def test_folder_without_a_run_cannot_be_resumed(run, tmp_path):
    fails(run("train", "encoder_unet", "--resume", str(tmp_path)), str(tmp_path))


def test_existing_run_is_not_overwritten(run, tiny_arguments, finished):
    fails(run("train", "encoder_unet", *tiny_arguments(), "--out", str(finished)), "--resume")


def test_folder_without_a_run_cannot_be_exported(run, tmp_path):
    fails(run("export", str(tmp_path), "--out", str(tmp_path / "out.onnx")), "config.json")


def test_a_place_where_no_file_can_be_written_is_reported_before_the_export(run, tmp_path):
    out = str(tmp_path / "absent" / "out.onnx")
    fails(run("export", str(tmp_path), "--out", out), "absent", "does not exist")
    fails(run("export", str(tmp_path), "--out", str(tmp_path)), "is a folder")


# From photos to a model


def test_train_resume_export_info(run, tiny_arguments, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "model.onnx"
    given = [*tiny_arguments(pictures=20), "--out", str(folder), "--logger", "csv"]
    status, printed, messages = run("train", "encoder_unet", *given)
    assert (status, printed) == (0, [str(folder)])
    assert [re.match(r"(\d+) pictures: val/", line)[1] for line in messages] == ["16", "20"]
    assert (folder / "csv" / "version_0" / "metrics.csv").is_file()
    assert not list(folder.glob("*tfevents*"))

    status, printed, _ = run("train", "encoder_unet", "--resume", str(folder), "--pictures", "24")
    assert (status, printed) == (0, [str(folder)])
    assert read_json(folder / "config.json").pictures == 24

    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"ciede2000": 12.5}')
    given = ["--name", "mine", "--license", "CC0", "--limitations", "small"]
    given += ["--metrics", str(metrics), "--checkpoint", "last", "--dtype", "fp32"]
    assert run("export", str(folder), "--out", str(out), *given) == (0, [str(out)], [])

    status, printed, _ = run("info", str(out))
    card = json.loads("\n".join(printed))
    assert status == 0
    assert {
        name: card[name] for name in ("format", "name", "license", "limitations", "metrics")
    } == {
        "format": 2,
        "name": "mine",
        "license": "CC0",
        "limitations": "small",
        "metrics": {"ciede2000": 12.5},
    }
    assert (card["recipe"], card["pictures_seen"], card["overrides"]["pictures"]) == (
        "encoder_unet",
        24,
        24,
    )


@pytest.mark.parametrize("content", ["[1]", '{"ciede2000": "low"}', "no JSON"])
def test_metrics_that_are_no_numbers_are_refused(run, finished, tmp_path, content):
    metrics = tmp_path / "metrics.json"
    metrics.write_text(content)
    given = ["--out", str(tmp_path / "model.onnx"), "--metrics", str(metrics)]
    fails(run("export", str(finished), *given), str(metrics), "numbers")


@pytest.mark.parametrize(
    ("number", "to_workers"),
    [
        (signal.SIGINT, True),  # as a terminal does
        (signal.SIGTERM, True),  # as systemd does
        (signal.SIGTERM, False),
    ],
)
def test_ctrl_c_prints_one_line_with_the_command_to_go_on(
    tiny, tiny_arguments, run, tmp_path, number, to_workers
):
    folder = tmp_path / "my run"
    settings = tiny_arguments(data=dataclasses.replace(tiny.data, workers=1), pictures=4_000_000)
    program = [sys.executable, "-m", "colorizenet", "train", "encoder_unet"]
    with subprocess.Popen(
        [*program, *settings, "--out", str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while not (folder / "last.ckpt").exists():
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.2)  # until it is in the middle of a step
            if to_workers:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, stderr
    seen = read_checkpoint(folder / "last.ckpt")["pictures_seen"]
    [line] = [line for line in stderr.splitlines() if not re.match(r"\d+ pictures: ", line)]
    assert line == (
        f"colorizenet: interrupted; {seen} of 4000000 pictures are saved in {folder}; "
        f"go on with: colorizenet train encoder_unet --resume '{folder}'"
    )
    resumed = ["--resume", str(folder), "--pictures", str(seen)]
    assert run("train", "encoder_unet", *resumed) == (0, [str(folder)], [])
