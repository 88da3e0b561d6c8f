"""Every choice a caller can make, defined once.

The Python API takes ``Options``; the command line, the HTTP API, the web page and the
journal of a batch derive their settings from ``choices(Options)`` and
``choices(Output)``.
"""

import dataclasses
import numbers
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from colorizenet.errors import ConfigError, quote
from colorizenet.imaging.formats import FORMATS

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DEFAULT_RADIUS",
    "MAX_HINTS",
    "MAX_VARIANTS",
    "RENDERERS",
    "Choice",
    "Hint",
    "Options",
    "Output",
    "Renderer",
    "choices",
    "render_input",
]

MAX_HINTS = 128
"""Number of hints that one picture may have."""
MAX_VARIANTS = 16
"""Colorings of one photo that can be requested at once."""
DEFAULT_RADIUS = 0.0125
"""Radius of a hint as a fraction of the short side of the picture."""


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
    """Network input that the setting needs; None where every model has it."""
    values: tuple[str, ...] | None
    """The values that are allowed; None where the type and the range say it."""
    composite: bool = False
    """Whether the value has parts, for which each interface has a form of its own."""

    @property
    def simple(self) -> bool:
        """Whether the setting is one value that every model has: a flag, a query
        parameter, a control."""
        return self.needs is None and not self.composite


def _setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    needs: str | None = None,
    values: tuple[str, ...] | None = None,
    composite: bool = False,
) -> Any:
    """A field of ``Options`` or ``Output``, with what a ``Choice`` of it says."""
    metadata = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "needs": needs,
        "values": values,
        "composite": composite,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A color for one place. Raises ``ConfigError`` for values out of range."""

    x: float
    """Position as a fraction of the width of the upright picture, from 0 to 1."""
    y: float
    """Position as a fraction of the height of the upright picture, from 0 to 1."""
    rgb: tuple[int, int, int] | None
    """sRGB color, 0 to 255. Its lightness is ignored. None keeps the place neutral."""
    radius: float = DEFAULT_RADIUS
    """Radius of the place as a fraction of the short side, from 0 to 0.5."""

    def __post_init__(self) -> None:
        for name, low, high in (("x", 0, 1), ("y", 0, 1), ("radius", 0, 0.5)):
            if not _is_number(getattr(self, name), low, high):
                raise ConfigError(
                    f"{name} of a hint is {quote(getattr(self, name))}; "
                    f"give a number from {low} to {high}"
                )
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.rgb is None:
            return
        if not (
            isinstance(self.rgb, tuple)
            and len(self.rgb) == 3
            and all(
                isinstance(value, numbers.Integral) and _is_number(value, 0, 255)
                for value in self.rgb
            )
        ):
            raise ConfigError(
                f"rgb of a hint is {quote(self.rgb)}; "
                "give a tuple of three whole numbers from 0 to 255"
            )
        object.__setattr__(self, "rgb", tuple(map(int, self.rgb)))


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
    hints: tuple[Hint, ...] = _setting(
        (), "Colors at given places. Their order does not matter.", composite=True
    )
    seed: int = _setting(
        0,
        "Seed of the variants: other seeds draw other colors.",
        minimum=0,
        maximum=2**63 - 1,
        needs="noise",
    )
    diversity: float = _setting(
        1.0,
        "How much variants differ: 0 not at all; above 1, patches of wrong color may appear.",
        minimum=0,
        maximum=2,
        needs="noise",
    )

    def __post_init__(self) -> None:
        _check_values(self)
        if not isinstance(self.hints, list | tuple) or not all(
            isinstance(hint, Hint) for hint in self.hints
        ):
            raise ConfigError(f"hints are {quote(self.hints)}; give a tuple of Hint objects")
        if len(self.hints) > MAX_HINTS:
            raise ConfigError(f"there are {len(self.hints)} hints; give at most {MAX_HINTS}")
        # Sorted, because sums of floats depend on their order.
        object.__setattr__(self, "hints", tuple(sorted(self.hints, key=_sort_key)))

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
        values=tuple(name for name, format in FORMATS.items() if format.written),
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
        _check_values(self)


def choices(kind: type) -> list[Choice]:
    """The settings of ``Options`` or ``Output``, in order."""
    types = typing.get_type_hints(kind)
    return [
        Choice(each.name, types[each.name], each.default, **each.metadata)
        for each in dataclasses.fields(kind)
    ]


def render_input(
    name: str,
    options: Options,
    shape: tuple[int, int],
    renderers: "Mapping[str, Renderer] | None" = None,
) -> "np.ndarray":
    """A network input made from a caller's options: ``(channels, h, w)`` float32.

    ``shape`` is the height and width of the network input. ``renderers`` replaces
    ``RENDERERS``. Raises ``ConfigError`` for an input that no renderer makes.
    """
    known = RENDERERS if renderers is None else renderers
    if name not in known:
        raise ConfigError(
            f"the model takes {quote(name)}, which this version cannot make from the options "
            f"(it can make {', '.join(known)}); upgrade colorizenet, or choose another model"
        )
    return known[name](options, shape)


def _sort_key(hint: Hint) -> tuple[float, float, float, tuple[int, ...]]:
    return hint.x, hint.y, hint.radius, hint.rgb or ()


def _check_values(settings: Any) -> None:
    """Raise ``ConfigError`` for a value of the wrong type or out of range, and turn
    numbers into those of Python."""
    for choice in choices(type(settings)):
        value = getattr(settings, choice.name)
        if value is None and choice.default is None:
            continue
        if choice.type is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{choice.name} is {quote(value)}; give True or False")
        elif choice.values is not None:
            if value not in choice.values:
                raise ConfigError(
                    f"{choice.name} is {quote(value)}; give one of {', '.join(choice.values)}"
                )
        elif choice.minimum is not None and choice.maximum is not None:
            whole = choice.type is not float
            if not _is_number(value, choice.minimum, choice.maximum) or (
                whole and not isinstance(value, numbers.Integral)
            ):
                raise ConfigError(
                    f"{choice.name} is {quote(value)}; give a {'whole ' if whole else ''}number "
                    f"from {choice.minimum} to {choice.maximum}"
                )
            # Numbers of NumPy cannot be written as JSON.
            number = typing.cast(Any, value)
            object.__setattr__(settings, choice.name, int(number) if whole else float(number))


def _is_number(value: object, low: float, high: float) -> bool:
    """Whether a value is a finite number of a range, both ends included."""
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and low <= typing.cast(float, value) <= high  # as NaN never is
    )


def _render_hints(options: Options, shape: tuple[int, int]) -> "np.ndarray":
    """Hints as planes: coverage in 0..1, then coverage times the mean a* and b*.

    a* and b* are in network units. Each pixel is the mean of a grid of samples, so that
    a hint smaller than a pixel counts with its area. The order of the hints has no
    effect.
    """
    # NumPy is imported late because the command line needs only the list of choices.
    import numpy as np

    from colorizenet import color

    height, width = shape
    if not options.hints:
        return np.zeros((3, height, width), np.float32)
    samples = 4
    rows = (np.arange(height * samples, dtype=np.float32) + 0.5) / samples
    columns = (np.arange(width * samples, dtype=np.float32) + 0.5) / samples
    count = np.zeros((height * samples, width * samples), np.float32)
    total = np.zeros((2, *count.shape), np.float32)
    for hint in options.hints:
        radius = max(hint.radius * min(shape), 0.5)
        window = tuple(
            slice(*np.searchsorted(samples_of, (center - radius, center + radius + 1 / samples)))
            for samples_of, center in ((rows, hint.y * height), (columns, hint.x * width))
        )
        across = columns[window[1]] - hint.x * width
        down = rows[window[0], None] - hint.y * height
        inside = down**2 + across**2 <= radius**2
        ab = np.zeros(2, np.float32)
        if hint.rgb is not None:
            ab = color.normalize_ab(color.rgb_to_lab(np.array(hint.rgb, np.float32) / 255)[1:])
        count[window] += inside
        total[:, *window] += inside * ab[:, None, None]
    planes = np.concatenate([np.minimum(count, 1)[None], total / np.maximum(count, 1)])
    lines = planes.reshape(3, height, samples, width * samples).sum(2)
    return lines.reshape(3, height, width, samples).sum(3) / np.float32(samples**2)


def _render_noise(options: Options, shape: tuple[int, int]) -> "np.ndarray":
    """Normal noise, whose deviation is ``diversity``: the temperature. The noises of
    the seeds ``2 k`` and ``2 k + 1`` are opposite.

    The means of the two planes, which decide the tint of the whole picture, are always
    as large together as is expected of them, so no seed draws stronger tints than
    another.
    """
    import numpy as np

    if options.diversity == 0:
        return np.zeros((2, *shape), np.float32)
    noise = np.random.default_rng(options.seed >> 1).standard_normal((2, *shape), np.float32)
    mean = noise.mean((1, 2), keepdims=True)
    noise += mean * (np.sqrt(2 / noise[0].size) / np.linalg.norm(mean) - 1)
    return noise * np.float32(-options.diversity if options.seed & 1 else options.diversity)


Renderer = Callable[[Options, tuple[int, int]], "np.ndarray"]
"""Makes a network input from the options: ``(options, (h, w)) -> (channels, h, w)``."""

RENDERERS: Mapping[str, Renderer] = {"hints": _render_hints, "noise": _render_noise}
"""How each further network input follows from the options."""
