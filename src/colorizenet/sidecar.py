"""Sidecars: the colors of one result as a file of a few kilobytes, without the photo.

A sidecar is JSON. It holds the small chroma and everything else that the result
follows from, but for the photo itself, which its SHA-256 identifies. So an archive can
keep the original and the sidecar, and make the colored picture whenever it is needed.

Chroma is rounded to ``1 / _STEPS`` of a unit of a* and b* and stored as a PNG of 16
bits for each page, a* above b*. Of a photo with hints, there is also what the model
takes for similar, rounded and stored alike. The result that is written along with a
sidecar follows from the rounded values too, so that both give the same picture.
"""

import base64
import binascii
import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from colorizenet import __version__
from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.files import compute_sha256, open_atomically, open_for_reading
from colorizenet.hintfiles import describe_options, parse_hint_objects
from colorizenet.imaging.borders import Border, Side
from colorizenet.imaging.conversion import Source, open_picture
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.reading import MAX_PIXELS, ImageFile, open_image, read_image
from colorizenet.merging import STREAM_ABOVE, Merger, describe_colors
from colorizenet.options import Options, Output
from colorizenet.reduction import reduce_picture
from colorizenet.upsample import Chroma

__all__ = ["Sidecar", "read_sidecar", "round_chroma"]

_KIND, _VERSION = "colorizenet-colors", 1
_STEPS = 8
"""Steps of stored chroma for each unit of a* and b*."""
_FINE_STEPS = 256
"""Steps of stored similarity for each unit of its coordinates."""
_ZERO = 1 << 15
_LONGEST_FILE = 1 << 27
"""Bytes of a sidecar at most."""
_MOST_VALUES = 1 << 25
"""Numbers in the planes of a picture at most, whose file is then short enough. 22
planes of similarity have as many for a network input of 2,000 x 3,000 pixels."""
_SMALL = 1 << 22
"""Numbers up to which planes are compressed as much as possible, which takes seconds
for so many."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """The colors of one result."""

    source: str
    """Name of the photo, without its folder."""
    source_sha256: str
    model: str
    """Name of the model that made the colors."""
    model_sha256: str
    takes_hints: bool
    """Whether the model knows hints."""
    short: int
    """Short side of the network input in pixels."""
    multiple: int
    """What the sides of the network input are multiples of."""
    options: Options
    output: Output
    """How the result is written; the format is always given."""
    chroma: Chroma
    """The colors; ``l_star`` is empty in a sidecar that was read."""
    result_sha256: str | None = None
    """SHA-256 of the result; None where only the sidecar was written."""
    software: str = __version__
    """Version of ColorizeNet that wrote the sidecar."""

    def encode(self) -> bytes:
        """The sidecar as a file."""
        pages = self.chroma.ab if self.chroma.ab.ndim == 4 else self.chroma.ab[None]
        document = {
            "kind": _KIND,
            "version": _VERSION,
            "software": self.software,
            "source": {"name": self.source, "sha256": self.source_sha256},
            "result": {"sha256": self.result_sha256},
            "model": {
                "name": self.model,
                "sha256": self.model_sha256,
                "takes_hints": self.takes_hints,
            },
            "input": {"short": self.short, "multiple": self.multiple},
            "options": describe_options(self.options),
            "output": dataclasses.asdict(self.output),
            "borders": [
                border and [list(dataclasses.astuple(side)) for side in border.sides]
                for border in self.chroma.borders
            ],
            "chroma": [_encode_planes(ab, _STEPS) for ab in pages],
        }
        if self.options.hints and self.chroma.similarity is not None:
            document["similarity"] = _encode_planes(self.chroma.similarity, _FINE_STEPS)
        return json.dumps(document, indent=1, default=float).encode() + b"\n"

    def apply(
        self,
        photo: Path,
        target: Path,
        *,
        threads: int = 1,
        max_pixels: int = MAX_PIXELS,
        stream_above: int = STREAM_ABOVE,
    ) -> None:
        """Write the colored picture of a photo, whole or not at all.

        The file is that which was written along with the sidecar, bit for bit, where
        the version of ColorizeNet is the same. ``stream_above`` is that of the
        ``Worker`` which wrote it. Raises ``ConfigError`` where the photo
        is another one, and ``ImageError`` where it cannot be read.
        """
        merger = Merger(threads, spread_hints=not self.takes_hints)
        note = describe_colors(self.options, self.output)
        format = self.output.format or ""
        with open_image(photo, max_pixels=max_pixels) as file:
            found = compute_sha256(photo)
            if found != self.source_sha256:
                raise ConfigError(
                    f"{quote(photo)} has the SHA-256 {found[:12]}… and the sidecar is for "
                    f"{quote(self.source)} with {quote(self.source_sha256[:12])}…; "
                    "name the photo that the sidecar was made for"
                )
            streamed = file.pixel_count > stream_above and FORMATS[format].saver
            picture = file if streamed else file.read()
            chroma = self.restore(picture)
            with open_atomically(target) as result:
                merger.write(
                    result,
                    picture,
                    chroma,
                    self.options,
                    format=format,
                    quality=self.output.quality,
                    note=note,
                )

    def restore(self, picture: Source | ImageFile) -> Chroma:
        """The chroma with the lightness of the photo, as ``Merger`` needs both.

        Raises ``ConfigError`` for a picture with another number of pages.
        """
        opened = picture if isinstance(picture, ImageFile) else open_picture(picture)
        count = 1 if isinstance(opened, np.ndarray) else opened.pages
        pages = self.chroma.ab if self.chroma.ab.ndim == 4 else self.chroma.ab[None]
        if count != len(pages):
            raise ConfigError(
                f"the number of pages of the photo is {count} and the sidecar is for "
                f"{len(pages)}; name the photo that the sidecar was made for"
            )
        reduced = reduce_picture(
            opened, self.short, self.multiple, borders=self.chroma.borders or ()
        )
        l_star = reduced.lightness(*pages.shape[1:3])
        return replace(self.chroma, l_star=l_star if len(l_star) > 1 else l_star[0])


def round_chroma(chroma: Chroma, options: Options) -> Chroma:
    """Chroma, and what is similar if there are hints, as a sidecar can hold them.

    Raises ``ImageError`` for colors that are too large for one, as of a network input
    of many megapixels.
    """
    similarity = chroma.similarity if options.hints else None
    if chroma.ab.size + (0 if similarity is None else similarity.size) > _MOST_VALUES:
        raise ImageError(
            "the colors of so many pixels and pages are too large for a sidecar; "
            "choose a smaller --size, or write no sidecar"
        )
    rounded = replace(chroma, ab=_round(chroma.ab, _STEPS))
    if similarity is None:
        return rounded
    return replace(rounded, similarity=_round(similarity, _FINE_STEPS))


def read_sidecar(path: str | os.PathLike[str]) -> Sidecar:
    """Read a sidecar. Raises ``ConfigError`` for one that is missing or damaged."""
    name = quote(path)
    try:
        with open_for_reading(path) as file:
            encoded = file.read(_LONGEST_FILE + 1) or b""
    except OSError as error:
        raise ConfigError(f"the sidecar {name} cannot be read: {error.strerror}") from error
    try:
        if len(encoded) > _LONGEST_FILE:
            raise ValueError(f"it has more than {_LONGEST_FILE >> 20} MiB")
        document = json.loads(encoded)
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise ValueError("it is another kind of file")
        if document.get("version") != _VERSION:
            raise ValueError(
                f"it has version {quote(document.get('version'))} and this version of "
                f"colorizenet reads {_VERSION}"
            )
        return _parse(document)
    except KeyError as error:
        raise ConfigError(f"{name} is no usable sidecar: it has no {error.args[0]}") from error
    except (ValueError, TypeError, RecursionError, ConfigError, ImageError) as error:
        raise ConfigError(
            f"{name} is no usable sidecar: {quote(error)}; expected a file that "
            "colorizenet colorize --sidecar wrote"
        ) from error


def _parse(document: Mapping[str, Any]) -> Sidecar:
    source, model, size = (document[name] for name in ("source", "model", "input"))
    settings = dict(_expect(document["options"], dict))
    settings["hints"] = parse_hint_objects(settings.get("hints", []), "options")
    output = Output(**_expect(document["output"], dict))
    if output.format is None:
        raise ValueError("it names no format")
    borders = tuple(map(_parse_border, _expect(document["borders"], list)))
    planes = [_decode_planes(each, 2, _STEPS) for each in _expect(document["chroma"], list)]
    if not planes or len({plane.shape for plane in planes}) > 1:
        raise ValueError("its chroma is missing, or differs in size")
    if borders and len(borders) != len(planes):
        raise ValueError(f"it has {len(borders)} borders and {len(planes)} pages")
    short, multiple = (_expect_number(size[name], 1, 4096) for name in ("short", "multiple"))
    ab = planes[0] if len(planes) == 1 else np.stack(planes)
    similarity = None
    if "similarity" in document:
        similarity = _parse_similarity(document["similarity"], planes[0].shape[:2])
    return Sidecar(
        source=_expect(source["name"], str),
        source_sha256=_expect(source["sha256"], str),
        result_sha256=document["result"]["sha256"],
        model=_expect(model["name"], str),
        model_sha256=_expect(model["sha256"], str),
        takes_hints=_expect(model["takes_hints"], bool),
        short=short,
        multiple=multiple,
        options=Options(**settings),
        output=output,
        chroma=Chroma(ab, np.empty(0, np.float32), borders, similarity),
        software=_expect(document["software"], str),
    )


def _expect(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{quote(value)[:40]} is not of the type {kind.__name__}")
    return value


def _expect_number(value: Any, low: float, high: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{quote(value)[:40]} is not a number from {low} to {high}")
    return value


def _parse_border(sides: Any) -> Border | None:
    if sides is None:
        return None
    if not isinstance(sides, list) or [len(_expect(side, list)) for side in sides] != [6] * 4:
        raise ValueError("a border has not four sides of six numbers")
    parsed = [Side(*(_expect_number(number, -100, 100) for number in side)) for side in sides]
    border = Border(*parsed)
    if max(*(side.inner for side in parsed), *(side.outer for side in parsed)) >= 0.5:
        raise ValueError("a border takes half of the picture or more")
    return border


def _parse_similarity(text: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What is similar, ``(h, w, 1 + c)``, of a picture whose chroma has this shape."""
    stacked = _decode_planes(text, 1, _FINE_STEPS)
    count, rest = divmod(len(stacked), shape[0])
    if rest or count < 2 or stacked.shape[1] != shape[1]:
        raise ValueError("its similarity and its chroma differ in size")
    return np.ascontiguousarray(np.moveaxis(stacked.reshape(count, *shape), 0, -1))


def _round(planes: np.ndarray, steps: int) -> np.ndarray:
    return (np.rint(planes * steps).clip(-_ZERO, _ZERO - 1) / steps).astype(np.float32)


def _encode_planes(planes: np.ndarray, steps: int) -> str:
    """Planes ``(h, w, c)`` that were rounded, one above the other."""
    stacked = np.concatenate([*np.moveaxis(planes, -1, 0)]) * steps + _ZERO
    levels = np.rint(stacked).clip(0, 65535).astype(np.uint16)
    effort = 9 if levels.size <= _SMALL else 3
    _, encoded = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, effort])
    return base64.b64encode(encoded.tobytes()).decode()


def _decode_planes(text: Any, count: int, steps: int) -> np.ndarray:
    """``count`` planes that are one above the other: ``(h, w, count)`` float32."""
    try:
        encoded = base64.b64decode(_expect(text, str), validate=True)
    except binascii.Error as error:
        raise ValueError("its chroma is not encoded as base64") from error
    pixels = read_image(encoded, max_pixels=_MOST_VALUES).pixels
    if pixels.ndim != 2 or pixels.dtype != np.uint16 or len(pixels) % count:
        raise ValueError("its chroma is not gray with 16 bits")
    planes = np.split(pixels.astype(np.float32), count)
    return (np.stack(planes, axis=-1) - np.float32(_ZERO)) * np.float32(1 / steps)
