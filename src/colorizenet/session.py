"""One picture that is colorized many times, as by a user who changes hints.

What does not depend on the change is computed once: the file is decoded once, reduced
once for each size of the network input, and the network runs only for options that
change its answer.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Protocol

from colorizenet.errors import ConfigError, quote
from colorizenet.hints import sample_color
from colorizenet.imaging.conversion import Source, convert_like, open_picture, split_pages
from colorizenet.modelfile import ModelCard
from colorizenet.options import Hint, Options
from colorizenet.suggestions import MAX_SUGGESTIONS, Suggestion, load_table
from colorizenet.upsample import Chroma

__all__ = ["Session"]

_ANSWERS = 8
"""Answers of the network that a session holds; each takes less than a megabyte."""


class Predictor(Protocol):
    """What a session needs of a ``Colorizer``."""

    card: ModelCard

    def reduce(self, picture: Any, options: Options) -> Any:
        """Reduce a picture to the size of the network input."""

    def predict(self, picture: Any, options: Options) -> list[Chroma]:
        """Run the network."""
        ...

    def apply(self, picture: Any, chroma: Chroma, options: Options) -> Any:
        """Merge chroma with the lightness of a picture."""


class Session:
    """A picture and what a model makes of it. Made by ``Colorizer.session``."""

    picture: Source
    """The picture, as it was given."""

    def __init__(self, colorizer: Predictor, picture: Source) -> None:
        self._colorizer, self.picture = colorizer, picture
        self._opened = open_picture(picture)
        self._shape = split_pages(self._opened)[0].shape[:2]
        # Nothing that is cached refers to the session, or only the garbage collector
        # would free its picture.
        reduce = lru_cache(1)(partial(_reduce, colorizer, self._opened))
        self._predict = lru_cache(_ANSWERS)(partial(_predict, colorizer, reduce))

    def __call__(self, options: Options = Options(), **overrides: Any) -> Any:
        """Colorize the picture. The result is that of ``Colorizer.__call__``."""
        options = replace(options, **overrides)
        colored = self._colorizer.apply(self._opened, self.predict(options), options)
        return convert_like(colored, self.picture)

    def predict(self, options: Options = Options()) -> Chroma:
        """The network's answer, computed only if no earlier call needed the same."""
        hints = options.hints if self._colorizer.card.takes("hints") else ()
        return self._predict(replace(options, hints=hints, strength=1.0))

    def suggest(self, x: float, y: float, n: int = 5) -> list[Suggestion]:
        """Likely colors at a place of the first page, the most likely one first.

        ``x`` and ``y`` are fractions of the width and the height. Each color has the
        lightness of the place. ``n`` is 1 to 10. Raises ``ConfigError``.
        """
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_SUGGESTIONS:
            raise ConfigError(f"n is {quote(n)}; give a whole number from 1 to {MAX_SUGGESTIONS}")
        place = Hint(x=x, y=y, rgb=None)  # rejects places outside of the picture
        l_star, ab = sample_color(self.predict(), place, self._shape)
        return load_table().suggest(l_star, ab, n)


def _reduce(colorizer: Predictor, opened: Any, size: int | None) -> Any:
    return colorizer.reduce(opened, Options(size=size))


def _predict(colorizer: Predictor, reduce: Callable[[int | None], Any], options: Options) -> Chroma:
    [chroma] = colorizer.predict(reduce(options.size), options)
    return chroma
