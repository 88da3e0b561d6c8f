"""Every choice a caller can make, defined once.

The Python API takes ``Options``; the command line, the HTTP API, the web page and the
journal of a batch derive their settings from ``choices(Options)`` and ``choices(Output)``.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from colorizenet import color
from colorizenet.errors import ConfigError, quote

__all__ = ["MAX_HINTS", "Choice", "Hint", "Options", "Output", "choices", "render_input"]

MAX_HINTS = 128
"""Number of hints that one picture may have."""


class Choice(NamedTuple):
    """One setting, as an interface needs to know it."""

    name: str
    type: Any
    """Annotated type of the field."""
    default: Any
    help: str
    """One or two sentences for a user."""
    minimum: float | None
    maximum: float | None
    needs: str | None
    """Network input without which the setting has no effect; None where every model has it."""


def _setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    needs: str | None = None,
) -> Any:
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "needs": needs}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Hint:
    """The user's word on the color at one place.

    ``x``, ``y``: position as fractions of the width and height of the upright picture.
    ``rgb``: an sRGB color of 0..255 whose lightness is ignored, or None to keep the place
    neutral. ``radius``: a fraction of the short side.
    """

    x: float
    y: float
    rgb: tuple[int, int, int] | None
    radius: float = 0.0125

    def __post_init__(self) -> None:
        for name, low, high in (("x", 0, 1), ("y", 0, 1), ("radius", 0, 0.5)):
            if not low <= getattr(self, name) <= high:  # NaN is not
                raise ConfigError(
                    f"{name} of a hint is {getattr(self, name)}; give a number from {low} to {high}"
                )
        if self.rgb is not None and not (
            len(self.rgb) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in self.rgb)
        ):
            raise ConfigError(f"rgb of a hint is {self.rgb}; give three whole numbers of 0..255")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a picture is colorized. Raises ``ConfigError`` for values out of range."""

    strength: float = _setting(
        1.0,
        "How much color: 0 is gray, 1 what the model predicts, 2 twice as much.",
        minimum=0,
        maximum=2,
    )
    size: int | None = _setting(
        None,
        "Short side of the network input in pixels. By default the model's preferred size.",
        minimum=32,
        maximum=2048,
    )
    tta: bool = _setting(
        False,
        "Test-time augmentation: average over four predictions, mirrored and at another size. "
        "Slower and steadier.",
    )
    hints: tuple[Hint, ...] = _setting((), "Colors at given places.", needs="hints")
    seed: int = _setting(
        0, "Seed of the random draws.", minimum=0, maximum=2**63 - 1, needs="noise"
    )

    def __post_init__(self) -> None:
        _check_ranges(self)
        if len(self.hints) > MAX_HINTS:
            raise ConfigError(f"there are {len(self.hints)} hints; give at most {MAX_HINTS}")

    def needed_inputs(self) -> dict[str, str]:
        """Network inputs that the non-default settings need: ``{input: setting}``."""
        return {
            choice.needs: choice.name
            for choice in choices(Options)
            if choice.needs and getattr(self, choice.name) != choice.default
        }


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a result is written. Raises ``ConfigError`` for values out of range."""

    format: str | None = _setting(
        None,
        "Format of the result. By default the photo's own; PNG or TIFF where a format cannot "
        "hold the result.",
    )
    quality: int | None = _setting(
        None,
        "Quality of lossy formats from 1 to 100. By default JPEG 92, WebP 90, AVIF 75, HEIC 85, "
        "JPEG XL 92.",
        minimum=1,
        maximum=100,
    )
    provenance: bool = _setting(
        True, "Write a note into EXIF and XMP that the colors are reconstructed."
    )

    def __post_init__(self) -> None:
        _check_ranges(self)


def choices(kind: type) -> list[Choice]:
    """The settings of ``Options`` or ``Output``, in order."""
    types = typing.get_type_hints(kind)
    return [
        Choice(each.name, types[each.name], each.default, **each.metadata)
        for each in dataclasses.fields(kind)
    ]


def _check_ranges(settings: Any) -> None:
    for choice in choices(type(settings)):
        value = getattr(settings, choice.name)
        if choice.minimum is None or value is None:
            continue
        assert choice.maximum is not None
        number = isinstance(value, int | float) and math.isfinite(value)
        if not number or not choice.minimum <= value <= choice.maximum:
            raise ConfigError(
                f"{choice.name} is {quote(value)}; give a number from {choice.minimum:g} to "
                f"{choice.maximum:g}"
            )


def render_input(name: str, options: Options, shape: tuple[int, int]) -> np.ndarray:
    """A network input made from a caller's options: ``(channels, h, w)`` float32.

    ``shape``: height and width of the network input. ``KeyError`` for an unknown input.
    """
    return _RENDERERS[name](options, shape)


def _render_hints(options: Options, shape: tuple[int, int]) -> np.ndarray:
    """Coverage in 0..1 and coverage times mean a* and b*, in network units.

    Each pixel has the mean over a grid of samples, so that a hint smaller than a pixel
    counts with its area. Sums do not depend on the order of the hints: they are sorted.
    """
    height, width = shape
    samples = 4
    rows = (np.arange(height * samples, dtype=np.float32) + 0.5) / samples
    columns = (np.arange(width * samples, dtype=np.float32) + 0.5) / samples
    weight = np.zeros((height * samples, width * samples), np.float32)
    total = np.zeros((2, *weight.shape), np.float32)
    for hint in sorted(
        options.hints, key=lambda hint: (hint.x, hint.y, hint.radius, str(hint.rgb))
    ):
        radius = max(hint.radius * min(shape), 0.5)
        inside = (rows[:, None] - hint.y * height) ** 2 + (
            columns[None] - hint.x * width
        ) ** 2 <= radius**2
        ab = np.zeros(2, np.float32)
        if hint.rgb is not None:
            ab = color.normalize_ab(color.rgb_to_lab(np.array(hint.rgb, np.float32) / 255)[1:])
        weight += inside
        total += inside * ab[:, None, None]
    covered = np.minimum(weight, 1)
    planes = np.concatenate([covered[None], total / np.maximum(weight, 1)])
    return planes.reshape(3, height, samples, width, samples).mean((2, 4))


_RENDERERS: Mapping[str, Any] = {"hints": _render_hints}
"""How each further network input follows from the options."""
