"""Find the uniform borders of scans, which are left out of the network input.

A border is black, white, gray or of the color of paper. It differs from skies, snow,
night and backdrops in two ways: it varies no more than scanner noise does, and it
ends in a straight, sharp edge along most of the photo. Each side has a border of its
own or none, and a border may consist of layers, such as white paper around a black
frame.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from colorizenet import color

__all__ = ["Border", "Box", "Side", "find_border", "locate_photo", "place_photo"]

TOLERANCE = 4.0
"""Lightness that differs less from that of the border, in L*, may be noise."""

_SMALLEST_SIDE = 32
"""In pictures with a shorter side, no borders are looked for."""
_LAYERS = 4
"""Number of layers that a border may have."""
_LARGEST_SHARE = 0.45
"""Largest share of the picture that the border of one side may take."""
_SMALLEST_PHOTO = 0.4
"""Smallest share of the height, and of the width, that the photo must have."""
_THINNEST = 1.5
"""Thinnest border, in pixels of the network input."""
_UNIFORM = 0.85
"""Share of an outermost line of the picture that must have one lightness."""
_STRAIGHT = 0.5
"""Share of the lines from a border into the photo that must leave it at the edge."""
_EARLY = 0.05
"""Share of these lines that may leave it before the edge, as dust and writing do."""
_SHARP = 2 * TOLERANCE
"""Difference of L* by which a line must have left the border two pixels later."""
_DARK, _BRIGHT = 12.0, 90.0
"""Borders of a lightness in between, in L*, must be on two sides at least."""
_SLOPES = (0.0, *(sign * n / 200 for n in range(1, 7) for sign in (1, -1)))
"""Slopes of edges that are tried: scans are turned by up to 1.7 degrees."""


class Box(NamedTuple):
    """Part of a picture, in pixels; ``bottom`` and ``right`` are outside."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Side:
    """The border along one side, in fractions of the picture's height or width."""

    edge: float = 0.0
    """Where the border ends, in the middle of the side; 0 where there is none."""
    rise: float = 0.0
    """How much farther in it ends at the end of the side than at the beginning."""
    margin: float = 0.0
    """How far the true end may be from there."""
    outer: float = 0.0
    """Up to here there is only border, along the whole photo."""
    inner: float = 0.0
    """From here on there is photo, along the whole photo, but for ``margin``."""
    l_star: float = 0.0
    """L* of the border where it ends."""

    def scaled(self, factor: float) -> "Side":
        """The same side in a unit of which one of the former is ``factor``."""
        lengths = self.edge, self.rise, self.margin, self.outer, self.inner
        return Side(*(factor * length for length in lengths), l_star=self.l_star)


@dataclass(frozen=True)
class Border:
    """The border of a picture, which does not depend on the picture's resolution."""

    top: Side = Side()
    bottom: Side = Side()
    left: Side = Side()
    right: Side = Side()

    @property
    def sides(self) -> tuple[Side, Side, Side, Side]:
        """Top, bottom, left and right."""
        return self.top, self.bottom, self.left, self.right

    def inner_box(self, shape: tuple[int, int]) -> Box:
        """The part of a picture of ``shape`` without a border: the network input."""
        height, width = shape
        return Box(
            round(self.top.inner * height),
            height - round(self.bottom.inner * height),
            round(self.left.inner * width),
            width - round(self.right.inner * width),
        )

    def outer_box(self, shape: tuple[int, int]) -> Box:
        """The part of a picture of ``shape`` outside of which there is only border."""
        height, width = shape
        return Box(
            math.floor(self.top.outer * height),
            height - math.floor(self.bottom.outer * height),
            math.floor(self.left.outer * width),
            width - math.floor(self.right.outer * width),
        )


def locate_photo(border: Border | None, shape: tuple[int, int]) -> Box:
    """The part of a picture of ``shape`` that the network gets: all without a
    border."""
    return Box(0, shape[0], 0, shape[1]) if border is None else border.inner_box(shape)


def place_photo(border: Border | None, shape: tuple[int, int]) -> tuple[tuple[int, int], Box]:
    """The size of a whole picture, and the place in it of the photo, whose size without
    the border is ``shape``."""
    height, width = shape
    if border is None:
        return shape, Box(0, height, 0, width)
    whole_height = round(height / (1 - border.top.inner - border.bottom.inner))
    whole_width = round(width / (1 - border.left.inner - border.right.inner))
    top = min(round(border.top.inner * whole_height), whole_height - height)
    left = min(round(border.left.inner * whole_width), whole_width - width)
    return (whole_height, whole_width), Box(top, top + height, left, left + width)


def find_border(pixels: np.ndarray, shape: tuple[int, int]) -> Border | None:
    """Find the border of a picture, or None where it has none.

    ``pixels`` is the picture reduced by area to the size of a network input, ``(h, w)``
    or ``(h, w, 3)`` sRGB; ``shape`` is the size of the picture itself.
    """
    if min(shape) < _SMALLEST_SIDE or not _may_have_border(pixels):
        return None
    plane = color.lightness(pixels)
    found = [Side()] * 4  # top, bottom, left, right, in pixels until the end
    for _ in range(_LAYERS):
        layer = _find_layer(plane, found)
        if not any(layer):
            break
        found = [new or side for side, new in zip(found, layer, strict=True)]
    if not any(side.inner for side in found):
        return None
    lengths = np.repeat(plane.shape, 2).tolist()
    return Border(*(side.scaled(1 / length) for side, length in zip(found, lengths, strict=True)))


class _Edge(NamedTuple):
    """The edge of one layer, seen from a part of the picture, in pixels."""

    first: float
    """The first pixel, in the middle of a side, that may not be border."""
    last: float
    """The first pixel that must be photo."""
    slope: float
    length: int
    """Number of lines of the part."""
    l_star: float

    def to_side(self, start: int, before: int, after: int) -> Side:
        """The same as a side of the picture, in which the part begins at ``start``, and
        has so many lines ``before`` and ``after`` it."""
        turn = abs(self.slope) * self.length / 2
        middle = start + (self.first + self.last) / 2
        return Side(
            edge=middle + self.slope * (after - before) / 2,
            rise=self.slope * (before + self.length + after),
            margin=(self.last - self.first) / 2,
            outer=max(0.0, start + self.first - turn),
            inner=middle + turn,
            l_star=self.l_star,
        )


def _may_have_border(pixels: np.ndarray) -> bool:
    """Whether an outermost line is uniform, which is fast to test."""
    outermost = (0, 1, 2, -1, -2, -3)
    columns = np.ascontiguousarray(pixels[:, outermost].swapaxes(0, 1))
    return any(
        _measure_lines(color.lightness(lines))[1].any() for lines in (pixels[outermost, :], columns)
    )


def _measure_lines(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median L* of each of several lines, ``(n, length)``, and whether the line has
    this lightness almost everywhere."""
    length = lines.shape[1]
    levels = np.partition(lines, length // 2, axis=1)[:, length // 2]
    near = np.abs(lines - levels[:, None]) <= TOLERANCE
    return levels, np.count_nonzero(near, axis=1) >= _UNIFORM * length


def _find_layer(plane: np.ndarray, found: list[Side]) -> list[Side | None]:
    """The sides that have one layer more than those found so far."""
    starts = [math.ceil(side.inner) for side in found]
    top, bottom, left, right = starts
    photo = plane[top : plane.shape[0] - bottom, left : plane.shape[1] - right]
    views = (photo.T, photo[::-1].T, photo, photo[:, ::-1])  # lines that begin at the side
    lengths = np.repeat(plane.shape, 2).tolist()
    room = [
        min(_LARGEST_SHARE * length - start, view.shape[1] - _SMALLEST_PHOTO * length)
        for view, start, length in zip(views, starts, lengths, strict=True)
    ]
    thinnest = [1 if start else _THINNEST for start in starts]
    edges = [_find_edge(*each) for each in zip(views, room, thinnest, strict=True)]
    for number, edge in enumerate(edges):
        if edge and _DARK < edge.l_star < _BRIGHT and len(_find_similar(edges, edge)) < 2:
            edges[number] = None  # a wall, a floor or a sky
    for number, (view, limit, thin) in enumerate(zip(views, room, thinnest, strict=True)):
        for edge in edges:
            similar = _find_similar(edges, edge) if edge else []
            if edges[number] is None and len(similar) >= 2:
                limit = min(limit, 1.5 * max(other.last for other in similar))
                edges[number] = _find_edge(view, limit, thin, similar[0].l_star)
    crosswise = ((left, right), (left, right), (top, bottom), (top, bottom))
    return [
        edge and edge.to_side(start, *ends)
        for edge, start, ends in zip(edges, starts, crosswise, strict=True)
    ]


def _find_similar(edges: list[_Edge | None], edge: _Edge) -> list[_Edge]:
    """The edges of borders of the same lightness as that of ``edge``, itself
    included."""
    return [each for each in edges if each and abs(each.l_star - edge.l_star) < 2 * TOLERANCE]


def _find_edge(
    view: np.ndarray, room: float, thinnest: float, expected: float | None = None
) -> _Edge | None:
    """Find where the border ends that the lines of ``view`` begin with, if there is
    one.

    It takes ``thinnest`` to ``room`` pixels. ``expected`` is the L* of the border of
    other sides: such a border may end where almost all lines still have it, as next to
    a sky of the same lightness.
    """
    # The outermost pixels may be mixed with the background of the scanner.
    levels, uniform = _measure_lines(np.ascontiguousarray(view[:, :3].T))
    if not uniform.any():
        return None
    skip = int(uniform.argmax())
    level = float(levels[skip])
    view = np.ascontiguousarray(view)
    off = np.abs(view[:, skip:] - np.float32(level)) > TOLERANCE
    off = off[:, :-1] & off[:, 1:]  # a single pixel may be dust
    depth = off.argmax(axis=1)
    lines = np.flatnonzero(off[np.arange(len(off)), depth])
    if not len(lines):
        return None
    depth = depth[lines] + skip
    slope = 0.0
    if expected is not None:
        if abs(level - expected) > 2 * TOLERANCE:
            return None
        low = float(np.sort(depth)[int(_EARLY * len(depth))]) - 0.5
        high = low + 3  # which lines end here, and which are photo, is not certain
    else:
        if len(lines) < _SMALLEST_PHOTO * len(view):
            return None
        position = lines - np.float32((len(view) - 1) / 2)
        slope, middle = _fit_edge(depth.astype(np.float32), position)
        rest = depth - slope * position
        if np.count_nonzero(rest < middle - 1.5) > _EARLY * len(lines):
            return None
        later = np.minimum(depth + 2, view.shape[1] - 1)
        sharp = np.abs(view[lines, later] - level) > _SHARP
        sharp &= np.abs(rest - middle) <= 1.5
        if np.count_nonzero(sharp) < _STRAIGHT * len(lines):
            return None
        # The first pixel is a mixture of the border and of a photo like the second one.
        mixed, pure = (view[lines[sharp], depth[sharp] + n] - level for n in (0, 1))
        ends = np.sort(rest[sharp] + 1 - np.clip(mixed / pure, 0, 1))
        few = len(ends) // 10
        middle = float(ends[len(ends) // 2])
        margin = 0.1 + max(middle - float(ends[few]), float(ends[-1 - few]) - middle)
        low, high = middle - margin, middle + margin
    edge = _Edge(low, high, slope, len(view), level)
    fits = low >= thinnest and high + abs(slope) * len(view) / 2 <= room
    return edge if fits else None


def _fit_edge(depth: np.ndarray, position: np.ndarray) -> tuple[float, float]:
    """The slope and the offset of the straight line that most points are on. A line
    that rises by less than a pixel has no slope."""
    slope, middle, most = 0.0, 0.0, 0.0
    for tried in _SLOPES:
        rounded = np.rint(depth - tried * position).astype(int)
        shift = int(rounded.min())
        counts = np.convolve(np.bincount(rounded - shift), (1, 1, 1))
        votes = float(counts.max()) - (0.1 * len(depth) if tried else 0)
        if votes > most:
            slope, middle, most = tried, float(counts.argmax() - 1 + shift), votes
        if most > 0.9 * len(depth):  # without slope
            break
    near = np.abs(depth - slope * position - middle) < 3
    x, y = position[near] - position[near].mean(), depth[near] - depth[near].mean()
    fitted = float(x @ y / max(float(x @ x), 1))
    explained = fitted * float(x @ y) > 0.5 * float(y @ y)
    if abs(fitted) * len(depth) < 1 or not explained:
        return 0.0, middle
    return fitted, float(depth[near].mean() - fitted * position[near].mean())
