"""The public class: a picture in, the same picture in color out.

``Colorizer.predict`` runs the network on a small copy of the picture and gives small
chroma; ``Colorizer.apply`` merges that with the full-size lightness. Calling a
``Colorizer`` does both.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import cv2
import numpy as np

from colorizenet import color, variants
from colorizenet.augmentation import average_answers, mirror_inputs
from colorizenet.errors import ConfigError, ModelFileError, quote
from colorizenet.imaging.borders import Border, place_photo
from colorizenet.imaging.conversion import Source, convert_like, open_picture
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import ImageFile
from colorizenet.imaging.resampling import resize
from colorizenet.merging import Merger
from colorizenet.modelfile import LIGHTNESS, NOISE, Input, ModelCard, load_model
from colorizenet.options import RENDERERS, Options, Renderer, render_input
from colorizenet.reduction import Reduced, reduce_picture
from colorizenet.session import Session
from colorizenet.suggestions import Suggestion
from colorizenet.upsample import Chroma

__all__ = ["Chroma", "Colorizer", "Source"]

_KEPT_PIXELS = 300_000
"""ONNX Runtime keeps the memory of network inputs up to this size, about 75 MB."""
_LARGEST_CHROMA = 1e4
"""Absolute values of a* and b* above this are errors of a network; colors of sRGB are
within 110."""


class Colorizer:
    """A loaded model. Build one and share it: calls are independent and thread-safe.

    ``model`` is the name of a model inside the package or the path of an ONNX file
    exported by ColorizeNet. ``device`` is where ONNX Runtime runs it: cpu, cuda, ...
    ``threads`` is the number of CPU threads, 0 for all cores. ``renderers`` makes the
    inputs other than lightness from the options. Raises ``ModelFileError`` or
    ``DeviceError``.
    """

    card: ModelCard
    """What the model says about itself."""
    sha256: str
    """SHA-256 of the model file."""
    merger: Merger
    """Merges answers of this model with pictures."""

    def __init__(
        self,
        model: str | os.PathLike[str] = "default",
        *,
        device: str = "cpu",
        threads: int = 0,
        renderers: Mapping[str, Renderer] = RENDERERS,
    ) -> None:
        loaded = load_model(model, device=device, threads=threads)
        self._session, self.card, self.sha256 = loaded.session, loaded.card, loaded.sha256
        self._returning = loaded.memory_returning_options()
        self._outputs = loaded.list_outputs()
        self._threads = threads or os.cpu_count() or 1
        self.merger = Merger(self._threads, spread_hints=not self.card.takes("hints"))
        self._renderers = renderers

    @overload
    def __call__(
        self, picture: np.ndarray, options: Options = ..., **overrides: Any
    ) -> np.ndarray: ...
    @overload
    def __call__(
        self,
        picture: Image | str | bytes | os.PathLike[str],
        options: Options = ...,
        **overrides: Any,
    ) -> Image: ...
    def __call__(self, picture: Source, options: Options = Options(), **overrides: Any) -> Any:
        """Colorize a picture of any size. Only its lightness is used, and it is kept.

        Arrays are ``(H, W)`` or ``(H, W, 3)`` of uint8, uint16 or floats in 0..1, and
        give an array ``(H, W, 3)`` of the same dtype in sRGB. A PIL image gives a PIL
        image, upright and in sRGB. An ``Image``, a path or encoded bytes give an
        ``Image``. ``overrides`` replace fields of ``options``:
        ``colorizer(picture, strength=1.2)``.
        """
        options = replace(options, **overrides)
        opened = open_picture(picture)
        [chroma] = self.predict(opened, options)
        return convert_like(self.apply(opened, chroma, options), picture)

    def reduce(
        self,
        picture: Source | ImageFile,
        options: Options = Options(),
        *,
        crop_borders: bool = True,
    ) -> Reduced:
        """Reduce a picture to the size of the network input.

        Uniform borders, as scans have, are left out, unless ``crop_borders`` is False.
        An ``ImageFile`` is reduced strip by strip, so it is never in memory as a whole;
        one with a border is decoded once more.
        """
        return reduce_picture(
            picture,
            options.size or self.card.size,
            self.card.size_multiple,
            threads=self._threads,
            borders=None if crop_borders else (),
        )

    def predict(
        self,
        picture: Source | ImageFile | Reduced,
        options: Options = Options(),
        *,
        count: int = 1,
        **overrides: Any,
    ) -> list[Chroma]:
        """Run the network: ``count`` answers, without ``options.strength``.

        The first is the model's answer, which no noise changes. The others need a model
        that takes noise: they are drawn with ``options.seed`` and
        ``options.diversity``, and chosen by ``variants.choose_variants``. ``overrides``
        replace fields of ``options``. Raises ``ConfigError`` where the model lacks an
        input that is needed.
        """
        options = replace(options, **overrides)
        self.check_options(options, count)
        reduced = picture if isinstance(picture, Reduced) else self.reduce(picture, options)
        draws = [replace(options, diversity=0)]
        for seed in variants.draw_seeds(options.seed, variants.count_draws(count)):
            draws.append(replace(options, seed=seed))
        pixels = max(page.shape[0] * page.shape[1] for page in reduced.pages)
        step = max(1, variants.DRAWN_PIXELS // pixels)
        answer, *drawn = [
            chroma
            for start in range(0, len(draws), step)
            for chroma in self._predict_all(reduced, draws[start : start + step])
        ]
        balanced = variants.balance_draws(answer.ab, [chroma.ab for chroma in drawn])
        chosen = variants.choose_variants(answer.ab, balanced, count - 1)
        return [answer, *(replace(answer, ab=balanced[number]) for number in chosen)]

    @overload
    def apply(self, picture: np.ndarray, chroma: Chroma, options: Options = ...) -> np.ndarray: ...
    @overload
    def apply(
        self,
        picture: Image | str | bytes | os.PathLike[str],
        chroma: Chroma,
        options: Options = ...,
    ) -> Image: ...
    def apply(self, picture: Source, chroma: Chroma, options: Options = Options()) -> Any:
        """Merge small chroma with the lightness of a picture, at the picture's own
        size.

        Upsamples the chroma along edges, scales it by ``options.strength``, follows
        ``options.hints``, and fades colors that sRGB cannot hold. Does not run the
        network, so an answer of a model without the input hints serves for any hints.
        """
        return self.merger.merge(picture, chroma, options)

    def apply_strips(
        self, file: ImageFile, chroma: Chroma, options: Options = Options(), *, rows: int
    ) -> Iterator[np.ndarray]:
        """As ``apply``, from top to bottom, for a picture that need not fit into
        memory.

        Yields strips of ``rows`` rows (fewer at the end of a page): ``(n, W, 3)``, or
        ``(n, W, 4)`` with alpha. Decodes the file once more.
        """
        return self.merger.merge_strips(file, chroma, options, rows=rows)

    def session(self, picture: Source) -> Session:
        """Open a picture to colorize it many times, for example with other hints."""
        return Session(self, picture)

    def suggest(self, picture: Source, x: float, y: float, n: int = 5) -> list[Suggestion]:
        """As ``Session.suggest``: likely colors at a place, the most likely first."""
        return self.session(picture).suggest(x, y, n)

    def _predict_all(self, reduced: Reduced, draws: Sequence[Options]) -> list[Chroma]:
        """An answer for each of ``draws``, options that differ in their noise only."""
        borders = reduced.borders or (None,) * len(reduced.pages)
        others = [replace(each, hints=()) for each in draws]  # hints are for the first page
        found = [
            self._run(page, border, others if number else draws)
            for number, (page, border) in enumerate(zip(reduced.pages, borders, strict=True))
        ]
        pages, similarity = [ab for ab, _ in found], found[0][1]
        # Pages with different borders have network inputs of different sizes.
        height, width = np.max([page[0].shape[:2] for page in pages], axis=0).tolist()
        l_star = reduced.lightness(height, width)
        if len(pages) == 1:
            return [Chroma(ab, l_star[0], reduced.borders, similarity) for ab in pages[0]]
        if similarity is not None:
            similarity = _enlarge(similarity, height, width)
        stacked = [
            np.stack([_enlarge(ab, height, width) for ab in answers])
            for answers in zip(*pages, strict=True)
        ]
        return [Chroma(ab, l_star, reduced.borders, similarity) for ab in stacked]

    def check_options(self, options: Options, count: int = 1) -> None:
        """Raise ``ConfigError`` where the model cannot give ``count`` such answers."""
        variants.check_variants(self.card, options, count)
        for name, setting in options.needed_inputs().items():
            if not self.card.takes(name):
                raise ConfigError(
                    f"the model {self.card.name} takes no {name}, which {setting} needs; "
                    f"leave out {setting}, or choose a model that lists {name} among its inputs"
                )

    def _run(
        self, pixels: np.ndarray, border: Border | None, draws: Sequence[Options]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """a* and b* for one picture at network size, from which ``border`` is left out,
        and for each draw: ``(n, h, w, 2)`` float32; and what is similar in it, if the
        model says it: ``(h, w, 1 + c)``."""
        inputs = self._make_inputs(pixels, border, draws)
        ab, similarity = self._run_session(inputs)
        if draws[0].tta:
            multiple = self.card.size_multiple
            shape = [n + max(multiple, n // 4 // multiple * multiple) for n in pixels.shape[:2]]
            larger = self._make_inputs(resize(pixels, *shape), border, draws)
            answers = [
                ab[0],
                self._run_session(mirror_inputs(inputs))[0][0, :, ::-1],
                self._run_session(larger)[0][0],
                self._run_session(mirror_inputs(larger))[0][0, :, ::-1],
            ]
            ab = average_answers(answers)[None]
        ab = ab * np.float32(self.card.ab_scale * self.card.strength)
        self._check_values(ab, _LARGEST_CHROMA)
        return ab, similarity

    def _make_inputs(
        self, pixels: np.ndarray, border: Border | None, draws: Sequence[Options]
    ) -> dict[str, np.ndarray]:
        """The inputs for a picture of network size: ``(1, channels, h, w)`` float32,
        and of noise one for each draw."""
        inputs = {}
        for each in self.card.inputs:
            if each.name == LIGHTNESS.name:
                planes = [color.lightness(pixels)[None] * np.float32(1 / self.card.l_scale)]
            else:
                varied = draws if each.name == NOISE.name else draws[:1]
                planes = [self._render(each, own, pixels.shape[:2], border) for own in varied]
            inputs[each.name] = np.stack(planes)
        return inputs

    def _render(
        self, wanted: Input, options: Options, shape: tuple[int, int], border: Border | None
    ) -> np.ndarray:
        """A further network input: ``(channels, h, w)`` float32."""
        whole, box = place_photo(border, shape)
        plane = render_input(wanted.name, options, whole, self._renderers)
        if plane.shape != (wanted.channels, *whole):
            raise ModelFileError(
                f"the model {self.card.name} takes {wanted.name} with {wanted.channels} channels "
                f"and this version makes {len(plane)}; upgrade colorizenet, or choose another model"
            )
        plane = plane[:, box.top : box.bottom, box.left : box.right]
        return plane.astype(np.float32, copy=False)

    def _run_session(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """The network's outputs: ab in network units, ``(n, h, w, 2)``, and what is
        similar in the first picture, ``(h, w, 1 + c)``, or None."""
        batch = {name: np.ascontiguousarray(planes) for name, planes in inputs.items()}
        count = max(map(len, batch.values()))
        try:
            ab, *more = self._session.run(self._outputs, batch, self._run_options(batch))
        except Exception as error:
            # Errors of ONNX Runtime have no common base class.
            if "alloc" in str(error):
                raise MemoryError("the network needs more memory than is free") from error
            raise ModelFileError(
                f"the model {quote(self.card.name)} cannot be run ({quote(error)}); export it again"
            ) from error
        ab = np.asarray(ab)
        if ab.ndim != 4 or ab.shape[:2] != (count, 2) or 0 in ab.shape:
            raise ModelFileError(
                f"the model {quote(self.card.name)} gave values of shape {ab.shape}; "
                f"expected ({count}, 2, h, w); export it again"
            )
        self._check_values(ab, 100 * _LARGEST_CHROMA)  # what follows must not overflow
        ab = np.moveaxis(ab, 1, -1)
        if not more:
            return ab, None
        similarity = np.moveaxis(np.asarray(more[0])[0], 0, -1)
        if similarity.shape[:2] != ab.shape[1:3]:
            raise ModelFileError(
                f"the model {quote(self.card.name)} gave a similarity of shape "
                f"{similarity.shape[:2]} and chroma of {ab.shape[1:3]}; export it again"
            )
        self._check_values(similarity, 100 * _LARGEST_CHROMA)
        return ab, np.ascontiguousarray(similarity)

    def _check_values(self, values: np.ndarray, largest: float) -> None:
        if not (values.min() >= -largest and values.max() <= largest):  # NaN is in no range
            raise ModelFileError(
                f"the model {quote(self.card.name)} gave values that are not finite or beyond "
                f"{largest:g}; export it again"
            )

    def _run_options(self, batch: dict[str, np.ndarray]) -> Any:
        """Options for ``session.run``, or None.

        ONNX Runtime keeps the memory of its largest run, which is faster, but gigabytes
        after a large input. Without that memory, large inputs take twice as long.
        """
        height, width = batch[LIGHTNESS.name].shape[2:]
        return self._returning if height * width > _KEPT_PIXELS else None


def _enlarge(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Planes of another size: ``(h, w, c) -> (height, width, c)``."""
    if planes.shape[:2] == (height, width):
        return planes
    enlarged = [
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC)
        for plane in cv2.split(np.ascontiguousarray(planes))
    ]
    return np.stack(enlarged, axis=-1)
