"""Colors at given places: spread over a network's chroma, and enforced at full size.

A model without an input for hints follows them by regression. At each hint, the
residual is its a* and b* less the prediction there. Residuals are spread by a Gaussian
process (kriging) over coordinates f that say what is similar::

    k(p, q) = exp(-|f(p) - f(q)|)
    residual(p) = k(p, H) (k(H, H) + noise I)^-1 residual(H)

So a hint colors what the network takes for the same thing, less so with distance, and
hints that are close to each other do not add up. A model may give the coordinates
itself: they are learned (deep kernel learning, Wilson et al. 2016). For others they
are lightness, predicted a* and b*, and place.

Small residuals are spread widely, and what is left of large ones is not: the network's
errors are alike all over a picture, but a dress that a user wants green is one object.
Levin, Lischinski and Weiss (2004) spread colors by optimization, iColoriT (Yun et al.
2023) by attention.

At full size, the disc of each hint then gets its color exactly. Where discs overlap,
the nearest center counts.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from colorizenet import color
from colorizenet.imaging.borders import Border, locate_photo
from colorizenet.options import Hint, Options
from colorizenet.upsample import Chroma, EdgeUpsampler

__all__ = [
    "NEAR",
    "NOISE",
    "PLAUSIBLE",
    "SCALES",
    "Discs",
    "HintedUpsampler",
    "describe_similarity",
    "make_upsamplers",
    "sample_color",
    "spread_residuals",
]

SCALES = (50.0, 28.0, 28.0, 1.2, 1.2)
"""Differences of lightness, of predicted a* and b*, and of place (in short sides of the
picture) over which a small residual falls to 1 / e."""
NEAR = 3.0
"""By this factor, what is left of a large residual is spread less far."""
PLAUSIBLE = 20.0
"""A residual of this chroma is half an error of the network, which it repeats
elsewhere, and half a wish of the user, which is about one object."""
NOISE = 0.03
"""Variance of what a hint does not know of its surroundings."""

_KERNEL_VALUES = 1 << 15
"""Values of the kernel that are computed at once: they fit the cache, and below 2^18
multiply-adds OpenBLAS stays single-threaded."""

_SMALLEST_RADIUS = 1.0
"""A disc has at least this radius in pixels of the photo, so that it covers one."""
_RIM = 0.25
"""Width of the soft rim around a disc, as a fraction of its radius."""


def make_upsamplers(
    chroma: Chroma, shape: tuple[int, int], options: Options, *, spread: bool
) -> "list[EdgeUpsampler | HintedUpsampler]":
    """The upsampler of each page of a picture, with the strength and the hints of
    ``options``.

    ``shape`` is the height and width of a page. Hints apply to the first page.
    ``spread``: whether the residuals at the hints are spread, as for a network that
    does not know them.
    """
    if not options.hints:
        return [*chroma.make_upsamplers(shape, options.strength)]
    pages = chroma.pages()
    border = chroma.borders[0] if chroma.borders else None
    scaled = [ab * np.float32(options.strength) for ab, _ in pages]
    if spread:
        similarity = chroma.similarity
        if similarity is None:
            similarity = describe_similarity(*pages[0])
        scaled[0] = spread_residuals(scaled[0], similarity, options.hints, shape, border=border)
    stacked = scaled[0] if chroma.ab.ndim == 3 else np.stack(scaled)
    first, *others = replace(chroma, ab=stacked).make_upsamplers(shape, 1)
    return [HintedUpsampler(first, Discs(options.hints, shape)), *others]


def sample_color(chroma: Chroma, place: Hint, shape: tuple[int, int]) -> tuple[float, np.ndarray]:
    """L* and the predicted a* and b*, ``(2,)``, at the place of a hint on the first
    page.

    ``shape`` is the height and width of the page. For a place in the border they are
    those of the nearest place of the photo.
    """
    ab, l_star = chroma.pages()[0]
    box = locate_photo(chroma.borders[0] if chroma.borders else None, shape)
    inside = np.subtract((place.x * shape[1], place.y * shape[0]), (box.left, box.top))
    places = (inside / box.shape[::-1]).clip(0, 1) * l_star.shape[::-1]
    sampled = _sample(np.dstack([l_star, ab]), places[None])[0]
    return float(sampled[0]), sampled[1:]


class HintedUpsampler:
    """An ``EdgeUpsampler`` that then enforces hints. Thread-safe."""

    def __init__(self, upsampler: EdgeUpsampler, discs: "Discs") -> None:
        self._upsampler, self._discs = upsampler, discs

    def planes(self, l_star: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """As ``EdgeUpsampler.planes``."""
        a, b = self._upsampler.planes(l_star, top)
        self._discs.enforce(a, b, top)
        return a, b


def describe_similarity(predicted: np.ndarray, l_star: np.ndarray) -> np.ndarray:
    """What is similar in a picture, for a model that does not say it: ``(h, w, 6)``.

    ``predicted`` is the network's answer, ``(h, w, 2)``, and ``l_star`` the lightness,
    ``(h, w)``. The first channel is ``PLAUSIBLE``, the others are coordinates.
    """
    height, width = l_star.shape
    unit = min(height, width)
    similarity = np.empty((height, width, 6), np.float32)
    similarity[..., 1] = l_star
    similarity[..., 2:4] = predicted
    similarity[..., 4] = (np.arange(width, dtype=np.float32) + 0.5) / unit
    similarity[..., 5] = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / unit
    similarity[..., 1:] /= np.array(SCALES, np.float32)
    similarity[..., 0] = PLAUSIBLE
    return similarity


def spread_residuals(
    ab: np.ndarray,
    similarity: np.ndarray,
    hints: Sequence[Hint],
    shape: tuple[int, int],
    *,
    border: Border | None = None,
) -> np.ndarray:
    """Add to small chroma what makes it follow hints: ``(h, w, 2) -> (h, w, 2)``.

    ``similarity``, ``(h, w, 1 + c)``, has the chroma up to which a residual at a place
    is plausible, and ``c`` coordinates, whose distances say what is similar. ``shape``
    is the height and width of the photo, with its ``border``, which the small planes
    leave out.
    """
    places, wanted = _place_hints(hints, shape, border, ab.shape)
    if not len(places):
        return ab
    known = _sample(similarity, places)
    plausible, known = np.maximum(known[:, :1], 1e-6), known[:, 1:]
    residual = wanted - _sample(ab, places)
    length = np.hypot(residual[:, :1], residual[:, 1:])
    wide = _Regression(known, residual / (1 + (length / plausible) ** 4), 1)
    near = _Regression(known, residual - wide(known), NEAR)
    coordinates = similarity[..., 1:].reshape(-1, known.shape[1])
    spread = np.empty((len(coordinates), 2), np.float32)
    step = max(1, _KERNEL_VALUES // len(known))
    for start in range(0, len(coordinates), step):
        part = coordinates[start : start + step]
        spread[start : start + step] = wide(part) + near(part)
    return ab + spread.reshape(ab.shape)


class _Regression:
    """The mean of a Gaussian process with an exponential kernel, given some values.

    ``known``: coordinates ``(n, c)``; ``values``: ``(n, 2)``; ``scale``: of distances.
    """

    def __init__(self, known: np.ndarray, values: np.ndarray, scale: float) -> None:
        self._center, self._scale = known.mean(axis=0), np.float32(scale)
        scaled = (known - self._center) * self._scale
        squares = np.square(scaled).sum(axis=1, keepdims=True)
        # |f - g|^2 = |f|^2 - 2 f g + |g|^2 as one product of matrices
        self._known = np.hstack([-2 * scaled, np.ones_like(squares), squares]).T
        inner = self._compute_kernel(known).astype(np.float64)
        inner[np.diag_indices(len(known))] += NOISE
        self._weights = np.linalg.solve(inner, values).astype(np.float32)

    def __call__(self, coordinates: np.ndarray) -> np.ndarray:
        """The mean at other coordinates: ``(m, c) -> (m, 2)``."""
        return self._compute_kernel(coordinates) @ self._weights

    def _compute_kernel(self, coordinates: np.ndarray) -> np.ndarray:
        """The similarity to what is known: ``(m, c) -> (m, n)``, 0 to 1."""
        scaled = (coordinates - self._center) * self._scale
        squares = np.square(scaled).sum(axis=1, keepdims=True)
        distance = np.hstack([scaled, squares, np.ones_like(squares)]) @ self._known
        np.maximum(distance, 0, out=distance)
        np.sqrt(distance, out=distance)
        np.negative(distance, out=distance)
        return cv2.exp(distance).reshape(distance.shape)


def _place_hints(
    hints: Sequence[Hint], shape: tuple[int, int], border: Border | None, small: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The hints inside the border: their places in pixels of the small planes, ``(n,
    2)`` as x and y, and their a* and b*, ``(n, 2)``."""
    box = locate_photo(border, shape)
    places = np.array([(hint.x * shape[1], hint.y * shape[0]) for hint in hints], np.float64)
    places = (places - (box.left, box.top)) / box.shape[::-1]
    inside = ((places >= 0) & (places <= 1)).all(axis=1)
    wanted = np.array([_convert_color(hint) for hint in hints], np.float32)
    return (places * small[1::-1])[inside].astype(np.float32), wanted[inside]


def _convert_color(hint: Hint) -> np.ndarray:
    """a* and b* of a hint."""
    if hint.rgb is None:
        return np.zeros(2, np.float32)
    return color.rgb_to_lab(np.array(hint.rgb, np.float32) / 255)[1:]


def _sample(planes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Planes at some places, interpolated: ``(h, w, c), (n, 2) -> (n, c)``."""
    height, width = planes.shape[:2]
    x, y = (places - 0.5).clip(0, (width - 1, height - 1)).T
    left, above = (
        np.minimum(x.astype(int), max(0, width - 2)),
        np.minimum(y.astype(int), max(0, height - 2)),
    )
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    across, down = (x - left)[:, None], (y - above)[:, None]
    upper = planes[above, left] * (1 - across) + planes[above, right] * across
    lower = planes[below, left] * (1 - across) + planes[below, right] * across
    return upper * (1 - down) + lower * down


class Discs:
    """The discs of hints in a picture of ``shape``, each with the color of its hint."""

    def __init__(self, hints: Sequence[Hint], shape: tuple[int, int]) -> None:
        height, width = shape
        colors: dict[tuple[float, float, float], list[np.ndarray]] = {}
        for hint in hints:
            radius = max(hint.radius * min(shape), _SMALLEST_RADIUS)
            place = float(radius), float(hint.x * width), float(hint.y * height)
            colors.setdefault(place, []).append(_convert_color(hint))
        # Small discs first, for they count where the distances are equal.
        self._discs = [(*place, np.mean(colors[place], axis=0)) for place in sorted(colors)]

    def enforce(self, a: np.ndarray, b: np.ndarray, top: int) -> None:
        """Change some rows of chroma, ``(n, W)`` each, the first of which is number
        ``top``."""
        rows, width = a.shape
        found = []
        for radius, x, y, ab in self._discs:
            reach = radius * (1 + _RIM)
            first, last = max(0, int(y - reach) - top), min(rows, int(y + reach) + 2 - top)
            left, right = max(0, int(x - reach)), min(width, int(x + reach) + 2)
            if first < last and left < right:
                found.append((np.s_[first:last, left:right], radius, x, y, ab))
        if not found:
            return
        lowest = np.full(a.shape, np.inf, np.float32)
        amount, wanted_a, wanted_b = (np.zeros(a.shape, np.float32) for _ in range(3))
        for window, radius, x, y, ab in found:
            down = np.arange(window[0].start, window[0].stop) + (top + 0.5 - y)
            across = np.arange(window[1].start, window[1].stop) + (0.5 - x)
            distance = np.sqrt(down[:, None] ** 2 + across**2).astype(np.float32)
            # Pixels outside of all discs belong to the disc whose edge is nearest.
            beyond = np.maximum(distance - np.float32(radius), 0)
            rank = np.where(beyond > 0, beyond + 1e6, distance)
            nearest = rank < lowest[window]
            lowest[window][nearest] = rank[nearest]
            share = np.clip(1 - beyond / np.float32(_RIM * radius), 0, 1)
            amount[window][nearest] = share[nearest]
            wanted_a[window][nearest], wanted_b[window][nearest] = ab
        for plane, wanted in ((a, wanted_a), (b, wanted_b)):
            wanted -= plane
            wanted *= amount
            plane += wanted
