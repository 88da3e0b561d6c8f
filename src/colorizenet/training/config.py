"""``RunConfig``: everything that decides how a run goes, and how it is kept on disk."""

import dataclasses
import json
import typing
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal

from colorizenet.errors import ConfigError, quote
from colorizenet.training.data.augment import AugmentConfig
from colorizenet.training.data.loader import DataConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.base import OptimConfig, Pix2PixConfig, RegressionConfig

__all__ = ["RunConfig", "as_dict", "differences", "from_json", "offered", "plain", "to_json"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. All lengths are in pictures, so the batch size is free."""

    data: DataConfig = field(default_factory=DataConfig)
    network: EncoderUNetConfig | UNetConfig = field(default_factory=EncoderUNetConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    task: RegressionConfig | Pix2PixConfig = field(default_factory=RegressionConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    start: str = ""
    """Folder of a run whose best weights the network starts from, or one of its files, say runs/first/last.ckpt;
    empty for first weights of its own."""
    pictures: int = 100_000
    """Length of the run, in pictures."""
    batch_size: int = 32
    """Pictures a step, on each device."""
    validate_every: int = 20_000
    """Validate, and keep the weights if they are the best, each time this many pictures were seen."""
    patience: int = 0
    """End the run when the validation loss has not fallen in so many validations; 0 to go on."""
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
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; give a number of pictures of at least 1"
                )
        if self.patience < 0:
            raise ConfigError(
                f"patience is {self.patience}; give a number of validations, or 0 to go on to the end"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; give a decay from 0 to below 1")


def offered(config: Any) -> type:
    """A type of configuration whose defaults are this one's values, for a command line to read its settings from.

    Of the kinds of network and task it knows this one's alone. ``plain`` turns what it makes into the real thing.
    """
    kind: Any = type(config)
    hints = typing.get_type_hints(kind)
    types, defaults = {}, {}
    for setting in dataclasses.fields(config):
        value = getattr(config, setting.name)
        nested = offered(value) if is_dataclass(value) else None
        types[setting.name] = nested or hints[setting.name]
        defaults[setting.name] = field(default_factory=nested) if nested else value
    members = {"__annotations__": types, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return dataclass(frozen=True, kw_only=True)(type(kind.__name__, (kind,), defaults | members))


def plain(config: Any) -> RunConfig:
    """The ``RunConfig`` of the same settings."""
    return _build(RunConfig, as_dict(config))


def as_dict(config: Any) -> dict[str, Any]:
    """The settings by name, nested; where there are several kinds of a thing, with its kind."""
    return {
        name: as_dict(value) if is_dataclass(value) else value
        for name, value in _settings(config).items()
    }


def to_json(config: RunConfig) -> str:
    """The whole configuration as readable JSON."""
    return json.dumps(as_dict(config), indent=2)


def from_json(path: Path) -> RunConfig:
    """Read what ``to_json`` wrote; a setting that this version does not know is an error."""
    try:
        return _build(RunConfig, json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise ConfigError(
            f"{quote(path)} is not a run configuration of this version ({quote(error)}); "
            "use the version that wrote it, or train again"
        ) from error


def differences(before: Any, after: Any, prefix: str = "") -> dict[str, Any]:
    """The settings in which two configurations differ, as ``{"optim.lr": the value after}``."""
    found: dict[str, Any] = {}
    for name, new in _settings(after).items():
        old = _settings(before).get(name)
        if is_dataclass(new):
            known = (
                old if is_dataclass(old) else type(new)()
            )  # another kind may have no such settings
            found |= differences(known, new, f"{prefix}{name}.")
        elif old != new:
            found[prefix + name] = new
    return found


def _settings(config: Any) -> dict[str, Any]:
    """Each setting and its value, the kind first where there are several."""
    kind = {"kind": config.kind} if hasattr(config, "kind") else {}
    return kind | {
        setting.name: getattr(config, setting.name) for setting in dataclasses.fields(config)
    }


def _build(hint: Any, value: Any) -> Any:
    """A configuration of the type, or of one of the types, that ``hint`` names."""
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if is_dataclass(kind)]
    if not kinds:
        return tuple(value) if isinstance(value, list) else value
    by_name: dict[Any, Any] = {getattr(kind, "kind", None): kind for kind in kinds}
    kind = by_name[value.pop("kind", None)]
    hints = typing.get_type_hints(kind)
    return kind(**{name: _build(hints.get(name), each) for name, each in value.items()})
