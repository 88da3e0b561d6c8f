"""A configuration -> a trained run: Trainer, callbacks and the run folder.

A run folder holds ``config.json`` (the whole configuration), ``made-with.json`` (versions, data
by name and SHA-256), ``metrics.csv`` with a row for each validation, TensorBoard events,
``last.ckpt`` to resume from, ``best.ckpt`` of the lowest validation loss, ``grids/`` with
gray | predicted | true, and ``skipped.tsv`` with each picture that was skipped, and why.

A run that was stopped, at any moment and in any way, and resumed ends with the weights and the
``metrics.csv`` of one that was not, bit for bit, on the same machine.
"""

import importlib.metadata
import json
import logging
import platform
import signal
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from colorizenet.errors import ConfigError, quote
from colorizenet.files import write_atomically
from colorizenet.training.callbacks import Last, MovingAverage, Patience, Watch, WholeFiles
from colorizenet.training.config import RunConfig, differences, from_json, to_json
from colorizenet.training.data.loader import Photographs
from colorizenet.training.networks.color_queries import silent
from colorizenet.training.tasks.base import Pix2Pix, Pix2PixConfig, Regression, Task

__all__ = ["build_task", "fit", "network_weights", "read_checkpoint"]


def build_task(config: RunConfig, *, pretrained: bool = True) -> Task:
    """The networks and the training step of a run, with first weights or, for a checkpoint, any."""
    network = config.network.build(pretrained=pretrained)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings: Any = {"pictures": config.pictures, "augment": config.augment, "seed": config.seed}
    if isinstance(config.task, Pix2PixConfig):
        return Pix2Pix(network, config.task, config.optim, **settings)
    return Regression(network, config.task, config.optim, **settings)


def fit(
    config: RunConfig,
    folder: Path,
    *,
    recipe: str = "",
    resume: bool = False,
    progress: bool = False,
    devices: int = 1,
    nodes: int = 1,
) -> Task:
    """Train into ``folder``, or go on where the run in it stopped.

    Where ``torchrun`` started ``devices`` processes on each of ``nodes`` machines, each calls this; the
    gradient is the mean over all of their batches, and the folder is written by the first.
    """
    last = folder / "last.ckpt"
    if resume and not last.is_file():
        raise ConfigError(
            f"{quote(folder)} has no last.ckpt to resume from; name the folder of a run that was stopped"
        )
    if not resume and last.exists():
        raise ConfigError(
            f"{quote(folder)} holds a run already; resume it with --resume, or name another folder"
        )

    if resume:
        _check_resumable(from_json(folder / "config.json"), config, folder)
        read_checkpoint(last)

    lightning.seed_everything(config.seed, verbose=False)
    data = Photographs(config.data, batch_size=config.batch_size, seed=config.seed)
    task = build_task(config, pretrained=not (resume or config.start))
    start = _start_from(Path(config.start), task) if config.start and not resume else None
    _describe(config, folder, recipe, data, start)

    world = devices * nodes
    with _quiet(), _interruptible() as interrupted:
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if world > 1 else "auto",
            precision=config.precision,
            max_epochs=1,  # the loader has no end: the task stops the run by its pictures
            val_check_interval=_steps(config.validate_every, config, world),
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=20,
            enable_progress_bar=progress,
            enable_model_summary=False,
            logger=TensorBoardLogger(folder, name="", version=""),
            callbacks=_callbacks(config, task.monitor, folder, interrupted, world),
            plugins=WholeFiles(),
            default_root_dir=folder,
            use_distributed_sampler=False,
        )
        trainer.fit(task, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    return task


def _start_from(run: Path, task: Task) -> dict[str, Any]:
    """Give the network a run's best weights, or those of one of its checkpoints, and tell what is to be known of them.

    Color queries may be new to it.
    """
    folder, file = (run.parent, run) if run.suffix == ".ckpt" else (run, run / "best.ckpt")
    checkpoint = read_checkpoint(file)
    try:
        task.network.load_state_dict(
            silent(task.network.state_dict()) | network_weights(checkpoint)
        )
    except RuntimeError as error:
        raise ConfigError(
            f"the network of {quote(run)} is another than this run's ({quote(error)}); "
            "start with the same settings of network, or leave start out"
        ) from error
    return told_of(folder, checkpoint)


def network_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Those of the network that is exported, of everything that learned in a run."""
    weights = checkpoint["state_dict"].items()
    return {
        name.removeprefix("network."): value
        for name, value in weights
        if name.startswith("network.")
    }


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a run kept: never a pickle, which could run a program."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A foreign border: a missing file, a cut archive and a refused pickle share no base.
        raise ConfigError(
            f"{quote(path)} cannot be read as a checkpoint ({quote(error)}); name the folder of a run"
        ) from error


def _check_resumable(before: RunConfig, now: RunConfig, folder: Path) -> None:
    """What the weights are of, where they began, and what they are punished for, stays in the middle of a run."""
    changed = [
        name
        for name in differences(before, now)
        if name.startswith(("network.", "task.", "ema", "start"))
    ]
    if changed:
        raise ConfigError(
            f"{quote(folder)} was trained with another {' and '.join(changed)}, which a run keeps; "
            "resume it without, or start a new run"
        )


@rank_zero_only
def _describe(
    config: RunConfig, folder: Path, recipe: str, data: Photographs, start: dict[str, Any] | None
) -> None:
    """Leave in the run's folder what it is made with; of a run that is resumed, what it started from stays there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "config.json", to_json(config).encode())
    file = folder / "made-with.json"
    made_with = {"recipe": recipe} | _made_with(data)
    if config.start:
        made_with["start"] = start or _read_json(file)["start"]
    write_atomically(file, json.dumps(made_with, indent=2).encode())


def told_of(run: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What is to be known of a run one of whose checkpoints is used elsewhere, and of those that it started from."""
    made_with, settings = _read_json(run / "made-with.json"), _read_json(run / "config.json")
    return made_with | {"settings": settings, "pictures_seen": checkpoint["pictures_seen"]}


def _read_json(path: Path) -> dict[str, Any]:
    """What a run says of itself."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{quote(path.parent)} does not say how it was made ({quote(error)}); name the whole folder of a run"
        ) from error


def _callbacks(
    config: RunConfig, monitor: str, folder: Path, interrupted: threading.Event, world: int
) -> list[Callback]:
    return [
        *([MovingAverage(config.ema, ramped=not config.start)] if config.ema else []),
        Watch(folder),
        *([Patience(monitor, config.patience)] if config.patience else []),
        ModelCheckpoint(folder, "best", monitor=monitor, enable_version_counter=False),
        Last(
            folder / "last.ckpt",
            every=_steps(config.checkpoint_every, config, world),
            interrupted=interrupted,
        ),
    ]


def _steps(pictures: int, config: RunConfig, world: int) -> int:
    return max(1, pictures // (config.batch_size * world))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's talk of devices and products, and its advice that does not apply here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # A run folder holds our configuration before its first checkpoint.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        # It names a setting of its own; ours is data.workers.
        warnings.filterwarnings("ignore", ".*does not have many workers")
        # What it calls in PyTorch is its affair.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Note the first Ctrl-C, to be obeyed between steps, where nothing is lost; the second does not wait.

    It leaves as what it is: Lightning would end the program, and ignore those that follow.
    """
    asked = threading.Event()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()

    handler = signal.getsignal(signal.SIGINT)
    ours = (
        handler is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    )
    try:
        if ours:
            signal.signal(signal.SIGINT, note)
        yield asked
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise ended.__context__ from None
        raise
    finally:
        if ours:
            signal.signal(signal.SIGINT, handler)


def _made_with(data: Photographs) -> dict[str, Any]:
    packages = ("colorizenet", "torch", "timm", "lightning", "numpy", "opencv-python-headless")
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "data": data.fingerprint(),
        "pictures": {"train": len(data.train), "val": len(data.val)},
    }


def _commit() -> str:
    """The commit this code was checked out at, or "" where it was installed."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
