"""Train a network: from a ``RunConfig`` and a folder to a trained ``Task``.

The run folder:

    config.json       all settings
    provenance.json   recipe, commit, versions, SHA-256 of the data, initial run
    metrics.csv       one row for each validation
    last.ckpt         to resume from
    best.ckpt         the weights with the best validation score
    grids/            gray | predicted | true, one picture for each validation
    skipped.tsv       the photos that were skipped, and the reason

A run that is interrupted at any moment and resumed ends with the same weights and the
same ``metrics.csv``, bit for bit, as a run that was not interrupted (on the same
machine).
"""

import dataclasses
import importlib.metadata
import json
import logging
import platform
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from colorizenet.errors import ConfigError, quote
from colorizenet.files import write_atomically
from colorizenet.training.callbacks import (
    AtomicCheckpointIO,
    BestCheckpoint,
    EarlyStop,
    LastCheckpoint,
    Progress,
    Report,
    WeightEMA,
)
from colorizenet.training.checkpoints import (
    load_initial_weights,
    read_checkpoint,
    read_json_file,
)
from colorizenet.training.config import RunConfig, differences, read_json, to_dict, to_json
from colorizenet.training.data.conditions import input_channels
from colorizenet.training.data.loader import Photographs
from colorizenet.training.loggers import LoggerName, make_logger
from colorizenet.training.tasks.base import Task

__all__ = [
    "build_task",
    "choose_precision",
    "find_commit",
    "fit",
]

_FIXED = (
    "inputs",
    "network.",
    "task.",
    "loss.",
    "optim.freeze",
    "optim.schedule",
    "ema",
    "init_from",
    # Scores before and after would not compare.
    "data.val_size",
    "data.val_pictures",
)
"""Settings that a run keeps when it is resumed: names, or prefixes of names."""


def build_task(config: RunConfig, *, pretrained: bool = True) -> Task:
    """Build the network and the task of a run.

    ``pretrained`` False skips the pretrained weights of the network, for where a
    checkpoint replaces them.
    """
    channels = input_channels(config.inputs)
    network = config.network.build(in_channels=channels, pretrained=pretrained)
    return config.task.build(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        config.loss,
        config.optim,
        pictures=config.pictures,
        inputs=config.inputs,
        augment=config.augment,
        seed=config.seed,
    )


def fit(
    config: RunConfig,
    folder: Path,
    *,
    recipe: str = "",
    resume: bool = False,
    logger: LoggerName = "tensorboard",
    show_progress: Callable[[int, int], None] | None = None,
    devices: int = 1,
    nodes: int = 1,
) -> Task:
    """Train into ``folder``, or resume the run in it.

    ``recipe``: its name, for ``provenance.json``. ``show_progress``: called with the
    number of pictures seen and their total after each step. Where ``torchrun`` started
    ``devices`` processes on each of ``nodes`` machines, each calls this function; the
    gradient is the mean over all of their batches, and the first process writes the
    folder.

    Raises ConfigError for contradictory settings and DataError for unusable data. The
    first Ctrl-C saves ``last.ckpt`` after the current step and raises
    KeyboardInterrupt; a second one raises it at once. SIGTERM does what the first
    Ctrl-C does.
    """
    last = folder / "last.ckpt"
    if resume:
        config = _check_resumable(config, folder)
    elif last.exists():
        raise ConfigError(
            f"{quote(folder)} already holds a run; resume it with --resume, or choose another "
            "folder"
        )
    else:
        config = dataclasses.replace(config, precision=choose_precision(config.precision))

    lightning.seed_everything(config.seed, verbose=False)
    data = Photographs(config.data, batch_size=config.batch_size, seed=config.seed)
    task = build_task(config, pretrained=not (resume or config.init_from))
    _check_sizes(config, task)
    _check_validation(config, task, data)
    started_from = None
    if config.init_from and not resume:
        started_from = load_initial_weights(config.init_from, task, data)
    chosen_logger = make_logger(logger, folder, settings=to_dict(config))
    _describe(config, folder, recipe, data, started_from, resume=resume)

    world = devices * nodes
    with _quiet_lightning(), _deferred_interrupt() as interrupted:
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=devices,
            num_nodes=nodes,
            strategy=_choose_strategy(task, world),
            precision=config.precision,  # type: ignore[arg-type]
            max_epochs=1,  # the loader is endless: the task stops after its pictures
            val_check_interval=_steps(config.validate_every, config, world),
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=20,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=chosen_logger,
            callbacks=_callbacks(
                config, task, folder, interrupted, world, show_progress=show_progress
            ),
            plugins=AtomicCheckpointIO(),
            default_root_dir=folder,
            use_distributed_sampler=False,
        )
        trainer.fit(task, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    return task


def choose_precision(precision: str) -> str:
    """``bf16-mixed`` or ``32-true``; for ``auto``, the faster one on this machine.

    bfloat16 is fast on GPUs that compute with it and on CPUs with AVX512-BF16 or AMX.
    Elsewhere it is emulated and several times slower than float32.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bf16-mixed" if fast else "32-true"


def _check_sizes(config: RunConfig, task: Task) -> None:
    """Raise ConfigError for pictures of a size that the network cannot halve."""
    multiple = int(getattr(task.network, "size_multiple", 1))
    for name in ("size", "val_size"):
        if getattr(config.data, name) % multiple:
            raise ConfigError(
                f"data.{name.replace('_', '-')} is {getattr(config.data, name)}; "
                f"give a multiple of {multiple}, as this network needs"
            )


def _check_validation(config: RunConfig, task: Task, data: Photographs) -> None:
    """Raise ConfigError for fewer validation photos than the task needs."""
    count = len(data.chosen_val)
    if count < task.min_val_photos:
        raise ConfigError(
            f"the task {config.task.kind} needs {task.min_val_photos} validation photos or more, "
            f"and there is {count}; add photos, or raise data.val-pictures"
        )


def _check_resumable(config: RunConfig, folder: Path) -> RunConfig:
    """The settings to resume a run with. ConfigError where it cannot be resumed."""
    last = folder / "last.ckpt"
    if not last.is_file():
        raise ConfigError(
            f"{quote(folder)} has no last.ckpt to resume from; give the folder of an "
            "interrupted run"
        )
    before = read_json(folder / "config.json")
    if config.precision == "auto":
        config = dataclasses.replace(config, precision=before.precision)
    changed = [name for name in differences(before, config) if name.startswith(_FIXED)]
    if changed:
        raise ConfigError(
            f"{quote(folder)} was trained with another {' and '.join(changed)}, which cannot "
            "change within a run; resume it without, or start a new run"
        )
    seen = read_checkpoint(last)["pictures_seen"]
    if config.pictures < seen and config.pictures != before.pictures:
        raise ConfigError(
            f"{quote(folder)} has already seen {seen} pictures and pictures is "
            f"{config.pictures}; give at least {seen}"
        )
    return config


@rank_zero_only
def _describe(
    config: RunConfig,
    folder: Path,
    recipe: str,
    data: Photographs,
    started_from: dict[str, Any] | None,
    *,
    resume: bool,
) -> None:
    """Write ``config.json`` and ``provenance.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "provenance.json"
    provenance = {"recipe": recipe} | _collect_provenance(data)
    if resume:
        # The weights come from the recipe, data and initial weights of the run so far,
        # too.
        before = read_json_file(file)
        provenance["recipe"] = before["recipe"]
        known = before["data"]
        provenance["data"] = known + [each for each in provenance["data"] if each not in known]
        started_from = before.get("init_from")
    if config.init_from:
        provenance["init_from"] = started_from
    write_atomically(folder / "config.json", to_json(config).encode())
    write_atomically(file, json.dumps(provenance, indent=2).encode())


def _callbacks(
    config: RunConfig,
    task: Task,
    folder: Path,
    interrupted: threading.Event,
    world: int,
    *,
    show_progress: Callable[[int, int], None] | None,
) -> list[Callback]:
    # What is trained is new unless it started from other weights.
    ramp = not config.init_from or task.initial_network is not task.network
    return [
        *([WeightEMA(config.ema, ramp=ramp)] if config.ema else []),
        Report(folder),
        *([Progress(show_progress)] if show_progress else []),
        *([EarlyStop(task.monitor, config.patience)] if config.patience else []),
        BestCheckpoint(folder, "best", monitor=task.monitor, enable_version_counter=False),
        LastCheckpoint(
            folder / "last.ckpt",
            every=_steps(config.checkpoint_every, config, world),
            interrupted=interrupted,
        ),
    ]


def _choose_strategy(task: Task, world: int) -> str:
    """Lightning's name for the way in which so many processes train a task."""
    if world == 1:
        return "auto"
    return "ddp" if task.trains_all_parameters else "ddp_find_unused_parameters_true"


def _steps(pictures: int, config: RunConfig, world: int) -> int:
    return max(1, pictures // (config.batch_size * world))


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's messages, and warnings that do not apply here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # config.json is written before training starts.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        # The number of workers is the user's choice: data.workers.
        warnings.filterwarnings("ignore", ".*does not have many workers")
        # Lightning's own use of PyTorch.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that is acted on between steps.

    A second one raises KeyboardInterrupt at once. SIGTERM counts as one where it raises
    KeyboardInterrupt, as in the command line. Lightning turns KeyboardInterrupt and
    SIGTERM into SystemExit, which is turned back: nobody should take a run that was
    ended for a finished one.
    """
    interrupted = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if interrupted.is_set():
            signal.default_int_handler(number, frame)
        interrupted.set()

    replaced = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    ]
    try:
        for number in replaced:
            signal.signal(number, handle)
        yield interrupted
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise ended.__context__ from None
        if isinstance(ended, SIGTERMException):
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in replaced:
            signal.signal(number, signal.default_int_handler)


def _collect_provenance(data: Photographs) -> dict[str, Any]:
    packages = ("colorizenet", "torch", "timm", "lightning", "numpy", "opencv-python-headless")
    return {
        "commit": find_commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "data": data.fingerprint(),
        "pictures": {"train": len(data.train), "val": len(data.val)},
    }


def find_commit(file: Path = Path(__file__)) -> str:
    """The commit of the code, of which ``file`` is a part, or "" where it is not a git
    checkout. A package that is installed inside of another project is not a part of
    its repository."""
    git = ["git", "-C", str(file.parent)]
    try:
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", file.name], capture_output=True, check=True
        )
        done = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
