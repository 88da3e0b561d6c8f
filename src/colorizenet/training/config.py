"""``RunConfig``: all settings of a training run, and its JSON form."""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from colorizenet.errors import ConfigError, quote
from colorizenet.training.data.augment import AugmentConfig
from colorizenet.training.data.conditions import input_channels
from colorizenet.training.data.loader import DataConfig
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.networks.base import NetworkConfig
from colorizenet.training.networks.denoiser import NoisePredictorConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.base import TaskConfig
from colorizenet.training.tasks.ddpm import DDPMConfig
from colorizenet.training.tasks.diffusion import DiffusionConfig
from colorizenet.training.tasks.frechet import FrechetConfig
from colorizenet.training.tasks.hints import HintsConfig
from colorizenet.training.tasks.optim import OptimConfig
from colorizenet.training.tasks.pix2pix import Pix2PixConfig
from colorizenet.training.tasks.projected_gan import ProjectedGANConfig
from colorizenet.training.tasks.regression import RegressionConfig

__all__ = [
    "RunConfig",
    "config_type_with_defaults",
    "differences",
    "read_json",
    "register_kind",
    "to_dict",
    "to_json",
    "to_run_config",
]


Kind = TypeVar("Kind", bound=type[Any])

_registered: dict[str, type[Any]] = {}
"""Kinds of networks and tasks that are not part of the package, by name."""


def register_kind(config: Kind) -> Kind:
    """Make the folders of runs with a network or task of your own readable: decorates
    its settings, a ``NetworkConfig`` or ``TaskConfig``.

    Resuming and exporting such a run need it. Raises ConfigError for what is no
    dataclass with a ``kind``, and where another one has that name.
    """
    kind, is_data = getattr(config, "kind", None), is_dataclass(config)
    if not is_data or not isinstance(kind, str):
        raise ConfigError(
            f"{config.__name__} is no dataclass with a kind; decorate it with "
            '@dataclass(frozen=True, kw_only=True), and give it kind: ClassVar = "a name"'
        )
    known = {getattr(each, "kind", None) for each in _list_kinds()}
    other = _registered.get(kind, config)
    # The same name in the same module is the class of a cell that runs again.
    if kind in known or (other.__module__, other.__name__) != (config.__module__, config.__name__):
        raise ConfigError(f"there is another network or task of the kind {kind}; choose a name")
    _registered[kind] = config
    return config


def _list_kinds() -> set[Any]:
    """The settings of the networks and tasks of the package."""
    hints = typing.get_type_hints(RunConfig)
    return {each for name in ("network", "task") for each in typing.get_args(hints[name])}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. All lengths are in pictures, so the batch size is free."""

    data: DataConfig = field(default_factory=DataConfig)
    network: EncoderUNetConfig | UNetConfig | NoisePredictorConfig | NetworkConfig = field(
        default_factory=EncoderUNetConfig
    )
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    task: (
        RegressionConfig
        | Pix2PixConfig
        | FrechetConfig
        | ProjectedGANConfig
        | DiffusionConfig
        | DDPMConfig
        | HintsConfig
        | TaskConfig
    ) = field(default_factory=RegressionConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    inputs: tuple[str, ...] = ("lightness",)
    """Inputs of the network, lightness first."""
    init_from: str = ""
    """What the network starts from: a model of the package such as default, an .onnx
    file, a run's folder (its best weights), or one of its checkpoints such as
    runs/first/last.ckpt. Empty for random or pretrained weights."""
    pictures: int = 100_000
    """Length of the run in pictures."""
    batch_size: int = 32
    """Pictures per step on each device."""
    validate_every: int = 20_000
    """Pictures between validations. Each one keeps the weights if they are the best so
    far."""
    patience: int = 0
    """Stop when the validation metric has not improved for this many validations; 0 for
    never."""
    checkpoint_every: int = 5_000
    """Pictures between checkpoints to resume from."""
    ema: float = 0.999
    """Decay per step of the exponential moving average of the weights, which is what is
    validated and exported; 0 for none."""
    precision: Literal["auto", "bf16-mixed", "32-true"] = "auto"
    """Mixed precision with bfloat16, or float32. ``auto`` is bf16-mixed where the
    device computes with bfloat16, else 32-true; a run keeps what it started with."""
    seed: int = 0
    """Seed of the order of the pictures, the augmentations and the initial weights."""

    def __post_init__(self) -> None:
        _check_finite(to_dict(self))
        for name in ("pictures", "batch_size", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; give a number of pictures of at least 1"
                )
        if self.patience < 0:
            raise ConfigError(
                f"patience is {self.patience}; give a number of validations, or 0 for never"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; give a decay from 0 to below 1")
        if self.inputs[:1] != ("lightness",) or len(set(self.inputs)) < len(self.inputs):
            raise ConfigError(
                f"inputs is {quote(' '.join(self.inputs))}; "
                "give lightness first, and each input once"
            )
        if isinstance(self.network, NoisePredictorConfig) != isinstance(self.task, DDPMConfig):
            raise ConfigError(
                f"network is {self.network.kind} and task is {self.task.kind}; "
                "use noise_predictor and ddpm together, as the recipe diffusion_scratch does"
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; give a number from 0 to {2**32 - 1}")
        if isinstance(self.task, DDPMConfig | DiffusionConfig):
            self._check_drawing()
        input_channels(self.inputs)  # raises for an unknown input

    def _check_drawing(self) -> None:
        """Raise ConfigError for settings that diffusion does not heed."""
        if self.inputs != ("lightness",):
            raise ConfigError(
                f"inputs is {quote(' '.join(self.inputs))} and the task {self.task.kind} knows "
                "lightness alone; leave out the others"
            )
        terms = [name for name in ("lpips", "colorfulness", "chroma") if getattr(self.loss, name)]
        if terms:
            raise ConfigError(
                f"the task {self.task.kind} has a loss of its own; leave out "
                f"{', '.join(f'loss.{name}' for name in terms)}"
            )


def config_type_with_defaults(config: Any) -> type:
    """Make a type like that of ``config`` whose defaults are the values of ``config``.

    A command line parser derives its flags and defaults from it. Where a field allows
    several kinds of network or task, the new type has the kind of ``config`` only.
    ``to_run_config`` converts its instances back.
    """
    kind: Any = type(config)
    hints = typing.get_type_hints(kind)
    types, defaults = {}, {}
    for setting in dataclasses.fields(config):
        value = getattr(config, setting.name)
        nested = config_type_with_defaults(value) if is_dataclass(value) else None
        types[setting.name] = nested or hints[setting.name]
        defaults[setting.name] = field(default_factory=nested) if nested else value
    members = {"__annotations__": types, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return dataclass(frozen=True, kw_only=True)(type(kind.__name__, (kind,), defaults | members))


def to_run_config(value: Any) -> RunConfig:
    """Convert an instance of a ``config_type_with_defaults`` to a ``RunConfig``."""
    return _build(RunConfig, to_dict(value))


def to_dict(config: Any) -> dict[str, Any]:
    """All settings by name, nested; of networks and tasks also their ``kind``."""
    return {
        name: to_dict(value) if is_dataclass(value) else value
        for name, value in _list_settings(config).items()
    }


def to_json(config: RunConfig) -> str:
    """All settings as readable JSON."""
    return json.dumps(to_dict(config), indent=2)


def read_json(path: Path) -> RunConfig:
    """Read what ``to_json`` wrote. Raises ConfigError, also for an unknown setting."""
    try:
        return _build(RunConfig, json.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(
            f"{quote(path)} cannot be read ({quote(error.strerror or error)}); "
            "give the folder of a run, or its config.json"
        ) from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ConfigError(
            f"{quote(path)} is not a run configuration of this version ({quote(error)}); "
            "use the version that wrote it, or train again"
        ) from error


def differences(before: Any, after: Any, prefix: str = "") -> dict[str, Any]:
    """The settings that differ: ``{"optim.lr": value after, ...}``."""
    changed: dict[str, Any] = {}
    for name, new in _list_settings(after).items():
        old = _list_settings(before).get(name)
        if is_dataclass(new):
            # Another kind may lack this section: compare with its defaults.
            old = old if is_dataclass(old) else type(new)()
            changed |= differences(old, new, f"{prefix}{name}.")
        elif old != new:
            changed[prefix + name] = new
    return changed


def _check_finite(settings: dict[str, Any], prefix: str = "") -> None:
    """Raise ConfigError for an infinite number or NaN, which would make the weights
    NaN."""
    for name, value in settings.items():
        flag = f"{prefix}{name.replace('_', '-')}"
        if isinstance(value, dict):
            _check_finite(value, f"{flag}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(f"{flag} has the value {number}; give a finite number")


def _list_settings(config: Any) -> dict[str, Any]:
    """Each setting and its value, ``kind`` first where there are several kinds."""
    kind = {"kind": config.kind} if hasattr(config, "kind") else {}
    return kind | {
        setting.name: getattr(config, setting.name) for setting in dataclasses.fields(config)
    }


def _build(hint: Any, value: Any) -> Any:
    """Build a value of the type ``hint``, or the one of its dataclasses by kind."""
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if is_dataclass(kind)]
    if not kinds:
        return tuple(value) if isinstance(value, list) else value
    by_name: dict[Any, Any] = {getattr(kind, "kind", None): kind for kind in kinds}
    name = value.pop("kind", None)
    kind = by_name.get(name) or _registered.get(name)
    if kind is None:
        raise LookupError(f"no network or task has the kind {name}; see register_kind")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _build(hints.get(name), each) for name, each in value.items()})
