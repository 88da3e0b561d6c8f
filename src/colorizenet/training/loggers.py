"""Experiment loggers of Lightning, by name: tensorboard, csv, wandb, mlflow.

Each is imported only when it is chosen. The run folder needs none of them:
``metrics.csv`` and ``grids/`` are always written.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from colorizenet.errors import ConfigError

__all__ = ["LoggerName", "log_image", "make_logger"]

LoggerName = Literal["tensorboard", "csv", "wandb", "mlflow"]
"""The loggers that ``make_logger`` knows."""


def make_logger(name: LoggerName, folder: Path, *, settings: dict[str, Any]) -> Logger:
    """Make a logger for the run in ``folder`` with the ``settings``.

    tensorboard and csv write into the folder. wandb and mlflow also record the
    settings, and write where their own settings say; a resumed run is a new entry of
    the same name. Raises ConfigError where the package of the logger is not installed.
    """
    package, make = _LOGGERS[name]
    if package and find_spec(package) is None:
        raise ConfigError(
            f"the logger {name} needs the package {package}, which is not installed; "
            f"pip install {package}, or choose another logger"
        )
    logger = make(folder)
    if name in ("wandb", "mlflow"):
        logger.log_hyperparams(settings)
    return logger


class _TensorBoard(TensorBoardLogger):
    """Lightning's logger without its ``hparams.yaml``, which would be empty."""

    def save(self) -> None:
        self.experiment.flush()


def _make_tensorboard(folder: Path) -> Logger:
    return _TensorBoard(folder, name="", version="")


def _make_csv(folder: Path) -> Logger:
    return CSVLogger(folder, name="csv", flush_logs_every_n_steps=1)


def _make_wandb(folder: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        project="colorizenet", name=folder.name, group=folder.name, save_dir=str(folder)
    )


def _make_mlflow(folder: Path) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger("colorizenet", run_name=folder.name, save_dir=str(folder / "mlruns"))


_LOGGERS: Mapping[str, tuple[str, Callable[[Path], Logger]]] = MappingProxyType(
    {
        "tensorboard": ("tensorboard", _make_tensorboard),
        "csv": ("", _make_csv),
        "wandb": ("wandb", _make_wandb),
        "mlflow": ("mlflow", _make_mlflow),
    }
)
"""The package that a logger needs, and the function that makes it."""


def log_image(logger: Any, title: str, rgb: np.ndarray, pictures_seen: int) -> None:
    """Send a picture, ``(H, W, 3)`` uint8, to a logger that takes pictures."""
    experiment = logger.experiment
    match type(logger).__name__:
        case "_TensorBoard":
            experiment.add_image(title, rgb, pictures_seen, dataformats="HWC")
        case "WandbLogger":
            logger.log_image(title, [rgb], step=pictures_seen)
        case "MLFlowLogger":
            experiment.log_image(logger.version, rgb, f"grids/{pictures_seen:09d}.png")
