"""Train a model like ``default`` from raw photos to the ONNX file, as a chain of runs.

    python scripts/train_default.py PHOTOS WORK [--evaluate DIR] [--smoke] ...

PHOTOS is a folder of photos of any depth, or tar shards. WORK gets

    shards/           the prepared photos; manifest.tsv lists what became of each
    STAGE/            the run folder of each of STAGES
    model.onnx        the last stage, averaged with an earlier one
    report.json       of ``colorizenet evaluate``, with --evaluate
    provenance.json   data lists, settings and checkpoints, with SHA-256

After an interruption, run the same command again: it skips what is finished and resumes
the rest. --smoke trains tiny networks on few pictures, as a test of the script.

The ``default`` model in the package was made by a longer chain of runs, which
docs/experiments.md describes. This chain has the losses and settings of the last runs
of the seventh model, and the encoder of the present one.
``colorizenet train hints --init-from WORK/model.onnx --network.queries 20`` then
teaches the model where hints spread.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colorizenet.errors import ColorizeNetError
from colorizenet.files import write_atomically
from colorizenet.training.checkpoints import read_checkpoint
from colorizenet.training.config import RunConfig, read_json, to_dict
from colorizenet.training.export import export_run
from colorizenet.training.fit import fit
from colorizenet.training.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of the chain."""

    name: str
    """Name of its run folder."""
    recipe: str
    init_from: str = ""
    """Name of the stage whose best weights it starts from."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the recipe, by their dotted names."""


STAGES = (
    Stage(
        name="regression",
        recipe="encoder_queries",
        settings={
            "network.pretrained": "package",
            "loss.colorfulness": 0.0,
            "pictures": 300_000,
            "seed": 1,
        },
    ),
    Stage(
        name="colorful",
        recipe="encoder_queries",
        init_from="regression",
        settings={
            "network.pretrained": "package",
            "loss.colorfulness": 0.03,
            "optim.lr": 7e-4,
            "optim.encoder_lr": 1.8e-4,
            "optim.warmup": 1500,
            "pictures": 80_000,
            "seed": 2,
        },
    ),
    Stage(
        name="perceptual",
        recipe="encoder_queries",
        init_from="colorful",
        settings={
            "network.pretrained": "package",
            "loss.colorfulness": 0.07,
            "loss.lpips": 0.3,
            "loss.perceptual_batch_fraction": 0.25,
            "optim.lr": 4e-4,
            "optim.encoder_lr": 1e-4,
            "optim.warmup": 1500,
            "pictures": 80_000,
            "seed": 3,
        },
    ),
)
AVERAGE_WITH, ALPHA = "colorful", 0.3
"""The stage whose last weights get the share ALPHA in those of the model."""
PREPARED_SIDE = 192
"""Short side of the prepared photos in pixels."""
COMMON: Mapping[str, Any] = {"data.size": 128, "data.val_size": 160}
"""Settings of all stages. The model's network input size is the validation size."""

SMOKE_SIDE = 64
SMOKE: Mapping[str, Any] = {
    "data.size": 32,
    "data.val_size": 64,
    "data.val_pictures": 4,
    "data.workers": 0,
    "network.encoder": "test_efficientnet",
    "network.pretrained": "none",
    "network.widths": (8, 8, 8, 8),
    "network.queries": 0,  # their export takes a minute
    "loss.lpips": 0.0,  # its weights are a download
    "optim.warmup": 4,
    "pictures": 16,
    "batch_size": 4,
    "validate_every": 8,
    "checkpoint_every": 4,
    "ema": 0.9,
}
"""Settings of all stages with --smoke."""


def main(arguments: list[str] | None = None) -> None:
    """Run the chain. Exits with status 2 for an error, and with 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", help="folder of photos, or tar shards")
    parser.add_argument("work", type=Path, help="folder for everything that is written")
    parser.add_argument("--evaluate", help="photos that no stage is trained on, to measure")
    parser.add_argument("--vgg16", default="", help="file of VGG16's weights for LPIPS")
    parser.add_argument("--license", default="", help="terms of use, for the model card")
    parser.add_argument("--smoke", action="store_true", help="tiny networks and few pictures")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        train_chain(
            given.photos,
            given.work,
            vgg16=given.vgg16,
            license=given.license,
            evaluate=given.evaluate,
            smoke=given.smoke,
        )
    except (ColorizeNetError, subprocess.CalledProcessError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again to go on\n")


def train_chain(
    photos: str,
    work: Path,
    *,
    vgg16: str = "",
    license: str = "",
    evaluate: str | None = None,
    smoke: bool = False,
) -> None:
    """Prepare, train all stages, average, export; measure if ``evaluate`` is given."""
    work.mkdir(parents=True, exist_ok=True)
    shards, model = work / "shards", work / "model.onnx"
    prepare(photos, shards, SMOKE_SIDE if smoke else PREPARED_SIDE)
    configs = {stage.name: make_config(stage, work, vgg16=vgg16, smoke=smoke) for stage in STAGES}
    for stage in STAGES:
        train_stage(stage, configs[stage.name], work / stage.name)

    provenance: dict[str, Any] = {
        "data": {"manifest.tsv": hash_file(shards / "manifest.tsv")}
        | {path.name: hash_file(path) for path in sorted(shards.glob("*.tar"))},
        "stages": [
            describe_stage(stage, configs[stage.name], work / stage.name) for stage in STAGES
        ],
        "average_with": {"stage": AVERAGE_WITH, "alpha": ALPHA},
    }
    record = work / "provenance.json"
    before = json.loads(record.read_text()) if record.is_file() else {}
    # Compared as JSON, in which tuples are lists.
    now = json.loads(json.dumps(provenance))
    finished = all(before.get(name) == value for name, value in now.items())
    if not (finished and model.is_file() and before.get("model") == hash_file(model)):
        logging.info("export: %s", model)
        export_run(
            work / STAGES[-1].name,
            model,
            checkpoint="last",
            average_with=work / AVERAGE_WITH,
            alpha=ALPHA,
            name=work.resolve().name,
            license=license,
        )
    provenance["model"] = hash_file(model)
    write_atomically(record, json.dumps(provenance, indent=2).encode())
    if evaluate:
        run("evaluate", evaluate, "--model", str(model), "--report-json", str(work / "report.json"))


def prepare(photos: str, shards: Path, side: int) -> None:
    """Make training shards. A finished folder is left as it is."""
    run("prepare", photos, str(shards), "--size", str(side), "--downloads", str(shards.parent))


def run(*arguments: str) -> None:
    """Run ``colorizenet``. Raises CalledProcessError where it fails."""
    subprocess.run([sys.executable, "-m", "colorizenet", *arguments], check=True)


def make_config(stage: Stage, work: Path, *, vgg16: str = "", smoke: bool = False) -> RunConfig:
    """The configuration of a stage."""
    settings = {
        **COMMON,
        **stage.settings,
        "data.root": str(work / "shards"),
        "loss.vgg16": vgg16,
        "init_from": str(work / stage.init_from) if stage.init_from else "",
    }
    config: RunConfig = override(RECIPES[stage.recipe](), settings)
    return override(config, SMOKE) if smoke else config


def override(config: Any, settings: Mapping[str, Any]) -> Any:
    """Replace settings of a configuration, by their dotted names."""
    for name, value in settings.items():
        first, _, rest = name.partition(".")
        value = override(getattr(config, first), {rest: value}) if rest else value
        config = dataclasses.replace(config, **{first: value})
    return config


def train_stage(stage: Stage, config: RunConfig, folder: Path) -> None:
    """Train a stage. An interrupted one is resumed, a finished one skipped."""
    last = folder / "last.ckpt"
    if last.is_file() and read_checkpoint(last)["pictures_seen"] >= config.pictures:
        logging.info("%s: finished already", stage.name)
        return
    logging.info("%s: %d pictures", stage.name, config.pictures)
    fit(config, folder, recipe=stage.recipe, resume=last.is_file())


def describe_stage(stage: Stage, config: RunConfig, folder: Path) -> dict[str, Any]:
    """What ``provenance.json`` records about a finished stage."""
    settings = to_dict(read_json(folder / "config.json"))
    return {
        "name": stage.name,
        "recipe": stage.recipe,
        "init_from": stage.init_from,
        "settings": {name: value for name, value in settings.items() if name != "init_from"},
        "provenance": json.loads((folder / "provenance.json").read_text()),
        "checkpoints": {name: hash_file(folder / name) for name in ("best.ckpt", "last.ckpt")},
    }


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
