"""What a model file says about itself, and the models that ship inside the package.

A model is an ONNX file. Its metadata holds the ``ModelCard`` as JSON under ``METADATA_KEY``,
so that a model and its units cannot part. Input ``lightness`` (N, 1, H, W), output ``ab``
(N, 2, h, w), both in the network units that the card states.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime

from colorizenet import color
from colorizenet.errors import ModelFileError, ProviderError, quoted

__all__ = ["FORMAT", "METADATA_KEY", "Model", "ModelCard", "load_model", "model_path", "shipped_models"]

FORMAT = 1
"""The newest format of the card that this version reads."""
METADATA_KEY = "colorizenet"

_FOLDER = Path(__file__).with_name("models")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a caller must know to run a model, and what anyone should know before using one."""

    format: int = FORMAT
    """Version of this card."""
    name: str
    """What the model is called."""
    task: str
    """What it learnt by: regression or pix2pix."""
    recipe: str = ""
    """The recipe it was trained by."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """The settings that differed from the recipe's."""
    l_scale: float = color.L_SCALE
    """L* divided by this is its input."""
    ab_scale: float = color.AB_SCALE
    """Its output times this is a* and b*."""
    strength: float = 1.0
    """What its chroma is multiplied by before anyone asks for more or less; found on validation pictures."""
    size: int = 256
    """The short side, in pixels, at which it does best."""
    size_multiple: int = 32
    """Sides of its input must be multiples of this."""
    parameters: int = 0
    """How many numbers it learnt."""
    pictures_seen: int = 0
    """How many pictures it was trained on, counted each time."""
    seed: int = 0
    """What its first weights and the order of its pictures followed from."""
    data: list[dict[str, str]] = field(default_factory=list)
    """What it was trained on: name and SHA-256 of each part."""
    start: dict[str, Any] = field(default_factory=dict)
    """The run whose weights it started from: its recipe, settings, data, pictures, and its own start; or nothing."""
    blend: dict[str, Any] = field(default_factory=dict)
    """The run whose weights were mixed into its own, and the share of them; or nothing."""
    licence: str = ""
    """Under what terms it may be used, and the terms of its data."""
    figures: dict[str, float] = field(default_factory=dict)
    """Measured quality."""
    limits: str = ""
    """What it is known to get wrong."""
    commit: str = ""
    """The version of the code that trained it."""
    versions: dict[str, str] = field(default_factory=dict)
    """The libraries that trained it."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=2)


@dataclass(frozen=True)
class Model:
    """A loaded model: the session that runs it, its card, and the SHA-256 of its file."""

    session: onnxruntime.InferenceSession
    card: ModelCard
    sha256: str


@cache
def shipped_models() -> dict[str, dict[str, str]]:
    """The models inside the package: name -> ``{"file": ..., "sha256": ...}``."""
    return json.loads((_FOLDER / "index.json").read_text(encoding="utf-8"))


def model_path(source: str | os.PathLike[str]) -> Path:
    """The file of a model that is named as ``load_model`` takes it."""
    shipped = shipped_models().get(str(source))
    return _FOLDER / shipped["file"] if shipped else Path(source)


def load_model(source: str | os.PathLike[str], *, provider: str = "cpu", threads: int = 0) -> Model:
    """Load a model by its name in ``shipped_models`` or by its path.

    ``provider`` is where it runs: cpu, cuda, tensorrt, openvino, coreml, dml, ...; it is an error
    where that cannot be started. ``threads`` 0 takes every core.
    """
    shipped = shipped_models().get(str(source))
    path = model_path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        names = ", ".join(shipped_models())
        raise ModelFileError(
            f"model {quoted(source)} cannot be read: {error.strerror}; give one of {names} or an .onnx file"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if shipped and sha256 != shipped["sha256"]:
        raise ModelFileError(
            f"the model {source} inside the package is damaged: its SHA-256 is {sha256[:12]}… "
            f"and should be {shipped['sha256'][:12]}…; reinstall colorizenet"
        )
    session = _session(content, quoted(source), _provider(provider), threads)
    return Model(session, _card(session, quoted(source)), sha256)


def _provider(name: str) -> str:
    available = {
        provider.removesuffix("ExecutionProvider").lower(): provider
        for provider in onnxruntime.get_available_providers()
        if provider != "AzureExecutionProvider"  # it runs nothing here, and the CPU would
    }
    if name.lower() not in available:
        raise ProviderError(
            f"this onnxruntime cannot run on {quoted(name)}, only on {', '.join(sorted(available))}; "
            "install the onnxruntime package for that device (onnxruntime-gpu for cuda), or use cpu"
        )
    return available[name.lower()]


def _session(content: bytes, name: str, provider: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings are about itself
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:
        # A foreign border: onnxruntime's errors have no common base.
        raise ModelFileError(
            f"{name} is not an ONNX model that onnxruntime can load on {provider}; export it again, or use cpu"
        ) from error
    if session.get_providers()[0] != provider:
        # ONNX Runtime goes on with the CPU when a device's libraries do not load.
        raise ProviderError(
            f"onnxruntime could not start {provider} and would have used {session.get_providers()[0]}; "
            "check the device's driver and libraries, or use cpu"
        )
    return session


def _card(session: onnxruntime.InferenceSession, name: str) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelFileError(f"{name} is an ONNX file without our card; write it with `colorizenet export`")
    try:
        given = json.loads(text)
        found = given["format"]
        if found > FORMAT:
            raise ModelFileError(
                f"{name} has model format {found} and this version reads up to {FORMAT}; upgrade colorizenet"
            )
        known = {f.name for f in dataclasses.fields(ModelCard)}
        return ModelCard(**{key: value for key, value in given.items() if key in known})
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"the card of {name} is damaged ({quoted(error)}); export the model again") from error
