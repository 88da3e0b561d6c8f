"""Hints as people and programs write them: JSON files, JSON objects, and short texts.

A file is named after its photo (``1921.jpg``: ``1921.hints.json``) and reads::

    {"version": 1, "hints": [{"x": 0.31, "y": 0.62, "color": "#2e6b3a", "radius": 0.02},
                             {"x": 0.75, "y": 0.2, "color": "neutral"}]}
"""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from colorizenet.errors import ConfigError, quote
from colorizenet.files import open_for_reading, write_atomically
from colorizenet.options import DEFAULT_RADIUS, MAX_HINTS, Hint, Options

__all__ = [
    "HINTS_SUFFIX",
    "NEUTRAL",
    "VERSION",
    "describe_options",
    "format_hint",
    "parse_hint",
    "parse_hint_objects",
    "parse_json",
    "read_hints",
    "write_hints",
]

VERSION = 1
"""The version of hint files that this version writes, and the newest that it reads."""
HINTS_SUFFIX = ".hints.json"
"""What the name of a hint file has in place of the photo's extension."""
NEUTRAL = "neutral"
"""The color that stands for ``rgb=None``."""

_LONGEST_FILE = 1 << 20
"""Bytes of a hint file at most."""
_KEYS = ("x", "y", "color", "radius")


def read_hints(path: str | os.PathLike[str]) -> tuple[Hint, ...]:
    """The hints in a file. Raises ``ConfigError`` for one that is missing or wrong."""
    name = quote(path)
    try:
        with open_for_reading(path) as file:
            encoded = file.read(_LONGEST_FILE + 1) or b""
    except OSError as error:
        raise ConfigError(f"the hints {name} cannot be read: {error.strerror}") from error
    if len(encoded) > _LONGEST_FILE:
        raise ConfigError(f"{name} has more than {_LONGEST_FILE >> 20} MiB; expected hints as JSON")
    try:
        document = parse_json(encoded)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON ({quote(error)}); correct it") from error
    if not isinstance(document, dict) or document.keys() != {"version", "hints"}:
        raise ConfigError(
            f'{name} holds no hints; expected {{"version": {VERSION}, "hints": [...]}} '
            "and no other keys"
        )
    version = document["version"]
    if isinstance(version, bool) or version != VERSION:
        raise ConfigError(
            f"{name} has version {quote(version)} of hints and this version of colorizenet "
            f"reads {VERSION}; upgrade colorizenet, or write the file again"
        )
    return parse_hint_objects(document["hints"], name)


def parse_json(encoded: bytes) -> Any:
    """The value of a JSON text. Raises ``ValueError``, also where an object has a key
    twice, of which Python would silently take the last."""
    return json.loads(encoded, object_pairs_hook=_make_object)


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key} is there twice")
        made[key] = value
    return made


def write_hints(path: str | os.PathLike[str], hints: Sequence[Hint]) -> None:
    """Write hints to a file. Raises ``OSError``."""
    objects = [format_hint(hint) for hint in hints]
    lines = ",\n  ".join(map(json.dumps, objects))
    text = f'{{"version": {VERSION}, "hints": [\n  {lines}\n]}}\n'
    write_atomically(Path(path), text.encode())


def format_hint(hint: Hint) -> dict[str, Any]:
    """A hint as a JSON object."""
    return {
        "x": float(hint.x),
        "y": float(hint.y),
        "color": NEUTRAL if hint.rgb is None else "#{:02x}{:02x}{:02x}".format(*hint.rgb),
        "radius": float(hint.radius),
    }


def describe_options(options: Options) -> dict[str, Any]:
    """Options as a JSON object, with hints as hint files have them."""
    described = dataclasses.asdict(dataclasses.replace(options, hints=()))
    return described | {"hints": [format_hint(hint) for hint in options.hints]}


def parse_hint_objects(objects: Any, where: str) -> tuple[Hint, ...]:
    """Hints from a list of JSON objects. ``ConfigError`` begins with ``where``."""
    if not isinstance(objects, list):
        raise ConfigError(f"{where}: hints are no list; give a list of objects")
    if len(objects) > MAX_HINTS:
        raise ConfigError(f"{where}: there are {len(objects)} hints; give at most {MAX_HINTS}")
    return tuple(
        _parse_object(each, f"{where}: hint {number}") for number, each in enumerate(objects, 1)
    )


def parse_hint(text: str) -> Hint:
    """A hint from a text ``X,Y,#RRGGBB[,RADIUS]``, or with the word neutral for the
    color."""
    parts = [part.strip() for part in text.split(",")]
    where = f"the hint {quote(text)}"
    if len(parts) not in (3, 4):
        raise ConfigError(f"{where} has {len(parts)} parts; give X,Y,#RRGGBB or X,Y,#RRGGBB,RADIUS")
    try:
        x, y, *radius = (float(part) for part in (*parts[:2], *parts[3:]))
    except ValueError as error:
        raise ConfigError(
            f"{where} has something other than numbers for X, Y or RADIUS; "
            "give X,Y,#RRGGBB or X,Y,#RRGGBB,RADIUS"
        ) from error
    return _make_hint(where, x, y, parts[2], *radius)


def _parse_object(given: Any, where: str) -> Hint:
    if not isinstance(given, dict):
        raise ConfigError(f"{where} is no object; give x, y and color")
    if unknown := sorted(map(str, given.keys() - set(_KEYS))):
        raise ConfigError(
            f"{where} has the unknown key {quote(unknown[0])}; expected {', '.join(_KEYS)}"
        )
    if missing := [key for key in _KEYS[:3] if key not in given]:
        raise ConfigError(f"{where} has no {missing[0]}; give x, y and color")
    return _make_hint(
        where, given["x"], given["y"], given["color"], given.get("radius", DEFAULT_RADIUS)
    )


def _make_hint(where: str, x: Any, y: Any, color: Any, radius: Any = DEFAULT_RADIUS) -> Hint:
    try:
        hint = Hint(x=x, y=y, rgb=_parse_color(color), radius=radius)
        # A whole number in a file is the same hint as one with a point.
        return dataclasses.replace(hint, x=float(x), y=float(y), radius=float(radius))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _parse_color(color: Any) -> tuple[int, int, int] | None:
    if color == NEUTRAL:
        return None
    if not isinstance(color, str) or not re.fullmatch("#[0-9a-fA-F]{6}", color):
        _reject_color(color)
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


def _reject_color(color: Any) -> NoReturn:
    shown = quote(color)
    shown = shown if len(shown) <= 40 else f"{shown[:40]}…"
    raise ConfigError(f"the color is {shown}; give one such as #2e6b3a, or {NEUTRAL}")
