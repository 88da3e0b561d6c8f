"""``RunConfig``: everything that decides how a run goes, and how it is kept on disk."""

import dataclasses
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from colorizenet.errors import ConfigError, quoted
from colorizenet.training.data import DataConfig
from colorizenet.training.encoder_unet import EncoderUNetConfig
from colorizenet.training.tasks import OptimConfig, RegressionConfig

__all__ = ["RunConfig", "differences", "from_json", "to_json"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. All lengths are in pictures, so the batch size is free."""

    data: DataConfig = field(default_factory=DataConfig)
    network: EncoderUNetConfig = field(default_factory=EncoderUNetConfig)
    task: RegressionConfig = field(default_factory=RegressionConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    pictures: int = 100_000
    """Length of the run, in pictures."""
    batch_size: int = 32
    """Pictures a step, on each device."""
    validate_every: int = 20_000
    """Validate and keep a checkpoint each time this many pictures were seen."""
    checkpoint_every: int = 5_000
    """Renew the checkpoint to resume from each time this many pictures were seen."""
    ema: float = 0.999
    """Decay a step of the averaged weights, which are those that are validated and exported; 0 for none."""
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    """bfloat16 where it is safe, or float32 everywhere."""
    seed: int = 0
    """The order of the pictures, the cuts and the first weights follow from it."""

    def __post_init__(self) -> None:
        for name in ("pictures", "batch_size", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give a number of pictures of at least 1")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; give a decay from 0 to below 1")


def to_json(config: RunConfig) -> str:
    """The whole configuration as readable JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(path: Path) -> RunConfig:
    """Read what ``to_json`` wrote; a setting that this version does not know is an error."""
    try:
        return _build(RunConfig, json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{quoted(path)} is not a run configuration of this version ({quoted(error)}); "
            "use the version that wrote it, or train again"
        ) from error


def differences(before: Any, after: Any, prefix: str = "") -> dict[str, Any]:
    """The settings in which two configurations differ, as ``{"optim.lr": the value after}``."""
    found: dict[str, Any] = {}
    for setting in dataclasses.fields(after):
        name = prefix + setting.name
        old, new = getattr(before, setting.name), getattr(after, setting.name)
        if dataclasses.is_dataclass(new):
            found |= differences(old, new, f"{name}.")
        elif old != new:
            found[name] = new
    return found


def _build(kind: type, values: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    built = {}
    for name, value in values.items():
        hint = hints.get(name)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            value = _build(hint, value)
        elif isinstance(value, list):
            value = tuple(value)
        built[name] = value
    return kind(**built)
