"""Model files: what they say about themselves, and the models inside the package.

A model is an ONNX file. Its metadata holds a ``ModelCard`` as JSON under
``METADATA_KEY``, so a network and its units cannot be separated. Inputs are those the
card lists, each ``(N, channels, H, W)``; the output ``ab`` is ``(N, 2, h, w)``. All are
in network units.
"""

import dataclasses
import hashlib
import importlib
import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from colorizenet import color
from colorizenet.errors import DeviceError, ModelFileError, quote
from colorizenet.files import check_regular

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "FOLDER",
    "FORMAT",
    "LIGHTNESS",
    "METADATA_KEY",
    "NOISE",
    "SIMILARITY",
    "Input",
    "Model",
    "ModelCard",
    "list_devices",
    "load_model",
    "model_path",
    "shipped_models",
]

FORMAT = 2
"""The card format that this version writes, and the newest that it reads."""
METADATA_KEY = "colorizenet"
SIMILARITY = "similarity"
"""Name of the output that says what is similar in the picture, if a network has it:
``(N, 1 + C, H, W)`` of the size of ab, as ``hints.spread_residuals`` reads it."""

_RENAMED = {
    "licence": "license",
    "figures": "metrics",
    "limits": "limitations",
    "start": "init_from",
    "blend": "average_with",
}
"""Keys of format 1 and their names in format 2."""

FOLDER = Path(__file__).with_name("models")
"""The folder of the models that are shipped with the package."""


_NUMBERS = (("l_scale", 1e-3, 1e6), ("ab_scale", 1e-3, 1e6), ("strength", 0, 4))
"""Numbers of a card, and their ranges."""
_WHOLE_NUMBERS = (
    ("format", 1, FORMAT),
    ("size", 16, 4096),
    ("size_multiple", 1, 1024),
    ("parameters", 0, 1e15),
    ("pictures_seen", 0, 1e15),
    ("seed", -(2**64), 2**64),
)
"""Whole numbers of a card, and their ranges."""


class Input(NamedTuple):
    """One input of a network: ``(N, channels, H, W)`` in network units."""

    name: str
    channels: int


LIGHTNESS = Input("lightness", 1)
"""The input that every network has."""
NOISE = Input("noise", 2)
"""The input of a network that draws colorings: one for each standard normal noise.
Noise of 0 gives the answer that is not random."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a caller must know to run a model, and what a user should know about it."""

    format: int = FORMAT
    """Version of this card."""
    name: str
    """Name of the model."""
    task: str
    """How the model was trained: regression, pix2pix or diffusion."""
    recipe: str = ""
    """Name of the training recipe."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the recipe."""
    inputs: tuple[Input, ...] = (LIGHTNESS,)
    """Inputs of the network, in order."""
    l_scale: float = color.L_SCALE
    """L* divided by this is the lightness input."""
    ab_scale: float = color.AB_SCALE
    """The output times this is a* and b*."""
    strength: float = 1.0
    """Factor from 0 to 4 for the predicted chroma, chosen on validation pictures."""
    size: int = 256
    """Preferred short side of the network input, in pixels."""
    size_multiple: int = 32
    """Sides of the network input must be multiples of this."""
    parameters: int = 0
    """Number of trained parameters."""
    pictures_seen: int = 0
    """Number of training pictures, counting repetitions."""
    seed: int = 0
    """Seed of the initial weights and of the order of the pictures."""
    data: list[dict[str, str]] = field(default_factory=list)
    """Training data: name and SHA-256 of each part."""
    init_from: dict[str, Any] = field(default_factory=dict)
    """The run whose weights this one started from, with its ``init_from``; or empty."""
    average_with: dict[str, Any] = field(default_factory=dict)
    """The run whose weights were averaged with this one's, and alpha; or empty."""
    license: str = ""
    """Terms of use, and the terms of the training data."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Measured quality."""
    limitations: str = ""
    """Known weaknesses."""
    commit: str = ""
    """Commit of the training code."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries used for training."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a value of the wrong type or out of range."""
        for name, low, high in _NUMBERS:
            _check_number(name, getattr(self, name), low, high)
        for name, low, high in _WHOLE_NUMBERS:
            value = getattr(self, name)
            _check_number(name, value, low, high)
            if not isinstance(value, int):
                raise ValueError(f"{name} is {_shorten(value)}; expected a whole number")
        for name in ("name", "task", "recipe", "license", "limitations", "commit"):
            _check_type(name, getattr(self, name), str, "a text")
        for name in ("overrides", "init_from", "average_with", "metrics", "versions"):
            _check_type(name, getattr(self, name), dict, "an object")
        for name, value in self.metrics.items():
            _check_number(f"metrics.{name}", value, -1e12, 1e12)
        _check_type("data", self.data, list, "a list")
        for part in [*self.data, self.versions]:
            _check_type("data", part, dict, "an object")
            for value in part.values():
                _check_type("data or versions", value, str, "a text")
        if LIGHTNESS not in self.inputs:
            raise ValueError(
                f"inputs are {_shorten(self.inputs)}; expected lightness with 1 channel among them"
            )
        names = [each.name for each in self.inputs]
        if len(set(names)) < len(names):
            raise ValueError(f"inputs are {_shorten(self.inputs)}; expected different names")
        self.to_json().encode()  # a lone surrogate is no text

    def takes(self, name: str) -> bool:
        """Whether the network has an input of this name."""
        return any(each.name == name for each in self.inputs)

    def to_json(self) -> str:
        """The card as JSON, as it stands in the metadata of a model file."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=2)


def _shorten(value: object) -> str:
    """A value of a card as a message shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # NaN is in no range
        raise ValueError(f"{name} is {_shorten(value)}; expected a number from {low:g} to {high:g}")


def _check_type(name: str, value: object, kind: type, description: str) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {_shorten(value)}; expected {description}")


@dataclass(frozen=True)
class Model:
    """A loaded model: its session, its card, and the SHA-256 of its file."""

    session: "onnxruntime.InferenceSession"
    card: ModelCard
    sha256: str

    def list_outputs(self) -> list[str]:
        """The outputs of the network: ab, and similarity if it has that."""
        names = {each.name for each in self.session.get_outputs()}
        return ["ab", SIMILARITY] if SIMILARITY in names else ["ab"]

    def memory_returning_options(self) -> "onnxruntime.RunOptions | None":
        """Options of a run after which ONNX Runtime returns its memory to the system;
        None on a device other than the CPU."""
        if self.session.get_providers()[0] != "CPUExecutionProvider":
            return None
        options = _import_onnxruntime().RunOptions()
        options.log_severity_level = 4
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options


@cache
def shipped_models(folder: Path = FOLDER) -> dict[str, dict[str, str]]:
    """The models inside the package: name -> ``{"file": ..., "sha256": ...}``."""
    return json.loads((folder / "index.json").read_text(encoding="utf-8"))


def model_path(source: str | os.PathLike[str], *, folder: Path = FOLDER) -> Path:
    """The file of a model that is named as ``load_model`` takes it."""
    shipped = shipped_models(folder).get(str(source))
    return folder / shipped["file"] if shipped else Path(source)


def load_model(
    source: str | os.PathLike[str],
    *,
    device: str = "cpu",
    threads: int = 0,
    folder: Path = FOLDER,
) -> Model:
    """Load a model by its name in ``shipped_models`` or by its path.

    ``device`` is cpu, cuda, tensorrt, openvino, coreml, dml or another that the
    installed ONNX Runtime offers. ``threads`` is the number of CPU threads, 0 for all.
    ``folder`` holds the shipped models. Raises ``ModelFileError`` for a file that is
    missing, damaged or too new, and ``DeviceError`` for an unusable device.
    """
    shipped = shipped_models(folder).get(str(source))
    path = model_path(source, folder=folder)
    try:
        check_regular(path)
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"model {quote(source)} cannot be read: {error.strerror}; "
            f"give one of {', '.join(shipped_models(folder))} or an ONNX file"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if shipped and sha256 != shipped["sha256"]:
        raise ModelFileError(
            f"the model {source} inside the package is damaged: its SHA-256 is {sha256[:12]}… "
            f"and should be {shipped['sha256'][:12]}…; reinstall colorizenet"
        )
    session = _session(content, quote(source), _execution_provider(device), threads)
    return Model(session, _card(session, quote(source)), sha256)


def _import_onnxruntime() -> Any:
    """ONNX Runtime. The user installs the distribution that suits the machine."""
    try:
        return importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise DeviceError(
            "ONNX Runtime is not installed; pip install 'colorizenet[cpu]', or [gpu], [openvino] "
            "or [directml] for other hardware"
        ) from error


def list_devices() -> dict[str, str]:
    """The devices that the installed ONNX Runtime supports, and its names for them.

    Raises ``DeviceError`` where it is not installed.
    """
    return {
        provider.removesuffix("ExecutionProvider").lower(): provider
        for provider in _import_onnxruntime().get_available_providers()
        if provider != "AzureExecutionProvider"  # it calls a remote service
    }


def _execution_provider(name: str) -> str:
    """The name that ONNX Runtime has for a device. Raises ``DeviceError``."""
    available = list_devices()
    if name.lower() not in available:
        raise DeviceError(
            f"this onnxruntime cannot run on {quote(name)}, "
            f"only on {', '.join(sorted(available))}; "
            "install the onnxruntime package for that device (onnxruntime-gpu for cuda), or use cpu"
        )
    return available[name.lower()]


def _session(
    content: bytes, name: str, provider: str, threads: int
) -> "onnxruntime.InferenceSession":
    onnxruntime = _import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors arrive as exceptions
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:
        # Errors of ONNX Runtime have no common base class.
        raise ModelFileError(
            f"{name} is not an ONNX model that onnxruntime can load on {provider}; "
            "export it again, or use cpu"
        ) from error
    if session.get_providers()[0] != provider:
        # ONNX Runtime goes on with the CPU when a device's libraries do not load.
        raise DeviceError(
            f"onnxruntime could not start {provider} and would have used "
            f"{session.get_providers()[0]}; check the device's driver and libraries, or use cpu"
        )
    return session


def _card(session: "onnxruntime.InferenceSession", name: str) -> ModelCard:
    """The card in a model's metadata. Raises ``ModelFileError``."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelFileError(
            f"{name} is not an ONNX file exported by ColorizeNet; "
            "write one with `colorizenet export`"
        )
    try:
        card = _parse_card(text, name)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        reason = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else error
        raise ModelFileError(
            f"the card of {name} is damaged ({quote(reason)}); export the model again"
        ) from error
    _check_network(session, card, name)
    return card


def _parse_card(text: str, name: str) -> ModelCard:
    """The card in a text of JSON. Raises ``ModelFileError`` if it is too new, and
    errors of many kinds if it is damaged."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"it is {_shorten(values)}; expected an object")
    found = values["format"]
    if found > FORMAT:
        raise ModelFileError(
            f"{name} has model format {_shorten(found)} and this version reads up to {FORMAT}; "
            "upgrade colorizenet"
        )
    if found == 1:
        values = {_RENAMED.get(key, key): value for key, value in values.items()}
    known = {each.name for each in dataclasses.fields(ModelCard)}
    values = {key: value for key, value in values.items() if key in known}
    if "inputs" in values:
        _check_type("inputs", values["inputs"], list, "a list")
        inputs = []
        for each, channels in values["inputs"]:
            _check_type("the name of an input", each, str, "a text")
            _check_number(f"channels of {each}", channels, 1, 1024)
            _check_type(f"channels of {each}", channels, int, "a whole number")
            inputs.append(Input(each, channels))
        values["inputs"] = tuple(inputs)
    return ModelCard(**values)


def _check_network(session: "onnxruntime.InferenceSession", card: ModelCard, name: str) -> None:
    """Raise ``ModelFileError`` for a card that does not fit its network, which would
    fail much later."""
    inputs = {each.name: each for each in session.get_inputs()}
    if set(inputs) != {each.name for each in card.inputs}:
        raise ModelFileError(
            f"{name} has the inputs {quote(', '.join(sorted(inputs)))} and its card lists "
            f"{quote(', '.join(each.name for each in card.inputs))}; export the model again"
        )
    outputs = {each.name: each for each in session.get_outputs()}
    if "ab" not in outputs:
        raise ModelFileError(
            f"{name} has the outputs {quote(', '.join(outputs))}; expected ab; "
            "export the model again"
        )
    expected: list[tuple[str, Any, int | None]] = [
        (each.name, inputs[each.name], each.channels) for each in card.inputs
    ]
    expected.append(("ab", outputs["ab"], 2))
    if SIMILARITY in outputs:
        expected.append((SIMILARITY, outputs[SIMILARITY], None))  # any number from 2 on
    for part, tensor, channels in expected:
        shape = tensor.shape or []
        fits = len(shape) == 4 and (
            not isinstance(shape[1], int)
            or (shape[1] > 1 if channels is None else shape[1] == channels)
        )
        if tensor.type != "tensor(float)" or not fits:
            raise ModelFileError(
                f"{name} has {quote(part)} of shape {quote(shape)} and type {tensor.type}; "
                f"expected (N, {channels or '2 or more'}, H, W) of float; export the model again"
            )
