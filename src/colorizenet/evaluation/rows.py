"""The rows of an evaluation: references, models, and other people's pictures.

A row colorizes in two steps, as ``Colorizer`` does: ``predict`` runs a network, and
``apply`` makes a picture of its answer. A report keeps the answers for the pictures
that it contains, so that no network runs twice.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from colorizenet import color
from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.errors import DataError, quote
from colorizenet.evaluation.arrays import RGB8
from colorizenet.evaluation.chromacache import ChromaCache
from colorizenet.evaluation.truth import Truth, crop_center
from colorizenet.imaging.resampling import resize
from colorizenet.options import Options, choices
from colorizenet.photosets import SUFFIXES, Photo, read_photo
from colorizenet.upsample import EdgeUpsampler

__all__ = [
    "BASELINE",
    "MODEL",
    "FunctionRow",
    "ModelRow",
    "Row",
    "describe_options",
    "build_prediction_rows",
    "build_reference_rows",
]

MODEL = "model"
"""Kind of the rows of models."""
BASELINE = "baseline"
"""Kind of the rows of other people's pictures."""


class Row(ABC):
    """One row of the table: a way to colorize a photograph, and its description."""

    def __init__(self, name: str, about: dict[str, Any]) -> None:
        self.name, self.about = name, about

    def predict(self, truth: Truth) -> Chroma | None:
        """The network's answer; None for a row without a network."""
        return None

    @abstractmethod
    def apply(self, truth: Truth, chroma: Chroma | None) -> RGB8:
        """The row's picture, of the size of the photograph. Runs no network."""


class FunctionRow(Row):
    """A row without a network: a function from the photograph to the row's picture."""

    def __init__(
        self, name: str, colorize: Callable[[Truth], RGB8], about: dict[str, Any] | None = None
    ) -> None:
        super().__init__(name, about or {})
        self._colorize = colorize

    def apply(self, truth: Truth, chroma: Chroma | None = None) -> RGB8:
        return self._colorize(truth)


class ModelRow(Row):
    """What a model makes of the gray picture.

    With ``answers``, the network runs only for photographs whose answer is not there
    yet.
    """

    def __init__(
        self,
        name: str,
        colorizer: Colorizer,
        options: Options = Options(),
        *,
        answers: ChromaCache | None = None,
    ) -> None:
        about = {"kind": MODEL, "card": colorizer.card.name, "sha256": colorizer.sha256}
        about |= {"license": colorizer.card.license} | describe_options(options)
        super().__init__(name, about)
        self._colorizer, self._options, self._answers = colorizer, options, answers

    def predict(self, truth: Truth) -> Chroma:
        key = self.name, truth.photo
        chroma = self._answers.get(key) if self._answers else None
        if chroma is None:
            [chroma] = self._colorizer.predict(truth.gray, self._options)
            if self._answers:
                self._answers.put(key, replace(chroma, similarity=None))  # without hints
        return chroma

    def apply(self, truth: Truth, chroma: Chroma | None) -> RGB8:
        assert chroma is not None
        return self._colorizer.apply(truth.gray, chroma, self._options)


def describe_options(options: Options) -> dict[str, Any]:
    """The options as a report states them: those that apply to every model."""
    return {
        choice.name: getattr(options, choice.name) for choice in choices(Options) if choice.simple
    }


def build_reference_rows() -> list[Row]:
    """No color, true color through the pipeline, and true chroma at low resolution."""

    def describe(text: str) -> dict[str, Any]:
        return {"kind": "reference", "description": text}

    return [
        FunctionRow(
            "gray",
            lambda truth: np.repeat(truth.gray[..., None], 3, axis=2),
            describe("the gray input, unchanged"),
        ),
        FunctionRow(
            "truth",
            lambda truth: truth.with_chroma(truth.ab),
            describe("the true colors, merged and rounded as a model's are"),
        ),
        *(
            FunctionRow(
                f"oracle {factor}x",
                lambda truth, factor=factor: _colorize_by_oracle(truth, factor),
                describe(f"the true chroma, reduced {factor} times and upsampled"),
            )
            for factor in (4, 8)
        ),
    ]


def _colorize_by_oracle(truth: Truth, factor: int) -> RGB8:
    """The true chroma at 1 / ``factor`` of the size, upsampled as a model's is."""
    height, width = truth.l_star.shape
    small = max(1, width // factor), max(1, height // factor)
    ab = cv2.resize(truth.ab, small, interpolation=cv2.INTER_AREA)
    l_small = cv2.resize(truth.l_star, small, interpolation=cv2.INTER_AREA)
    upsampler = EdgeUpsampler(ab, l_small, (height, width))
    return truth.with_chroma(upsampler.rows(truth.l_star, 0))


def build_prediction_rows(name: str, folder: Path, photos: Sequence[Photo]) -> list[Row]:
    """Two rows for a folder of pictures: as they are, and with the true lightness.

    A picture belongs to the photograph of the same file stem. The second row keeps only
    the pictures' chroma, so that the compression of their lightness does not count.
    """
    files = _find_by_stem(name, folder, [Path(photo.name).stem for photo in photos])

    def read(truth: Truth) -> RGB8:
        path = files[Path(truth.name).stem]
        height, width = truth.rgb.shape[:2]
        return resize(
            crop_center(read_photo(Photo(str(path), path)), height / width), height, width
        )

    def with_true_lightness(truth: Truth) -> RGB8:
        return truth.with_chroma(color.rgb_to_lab(read(truth).astype(np.float32) / 255)[..., 1:])

    return [
        FunctionRow(name, read, {"kind": BASELINE}),
        FunctionRow(
            f"{name}, true L*",
            with_true_lightness,
            {"kind": "baseline with true lightness"},
        ),
    ]


def _find_by_stem(name: str, folder: Path, stems: Sequence[str]) -> dict[str, Path]:
    """File stem -> picture of a folder. ``DataError`` where a stem has none, or two."""
    if not folder.is_dir():
        raise DataError(
            f"{quote(folder)} is not a folder; give --predictions {name}=DIR, a folder of "
            "colorized pictures"
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in files:
                raise DataError(
                    f"{quote(folder)} has two pictures named {quote(path.stem)}; remove one"
                )
            files[path.stem] = path
    if missing := [stem for stem in stems if stem not in files]:
        raise DataError(
            f"{quote(folder)} lacks {len(missing)} of {len(stems)} pictures (the first: "
            f"{quote(missing[0])}); give a picture of the same file stem for each photograph"
        )
    if len(set(stems)) < len(stems):
        raise DataError(
            "two of the photographs have the same file stem, so that their predictions cannot be "
            "distinguished; rename one of them"
        )
    return files
