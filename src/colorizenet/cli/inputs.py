"""The inputs of ``colorizenet colorize``: paths, patterns, and URLs."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import Token

from colorizenet.errors import ConfigError, quote
from colorizenet.files import is_url

__all__ = ["expand_patterns", "parse_input"]


def parse_input(_type: Any, tokens: Sequence[Token]) -> Path | str:
    """A path, or the text of a URL, in which a path would lose slashes."""
    value = tokens[0].value
    if not value:  # an unset variable of a shell; as a path it would be the current folder
        raise ConfigError("an input has an empty name; name a photo, a folder, or . for this one")
    return value if is_url(value) else Path(value)


def expand_patterns(paths: Sequence[Path]) -> list[Path]:
    """Replace patterns such as ``*.jpg`` by files, where no file has that very name.

    Most shells do this; those of Windows do not.
    """
    expanded: list[Path] = []
    for path in paths:
        if os.path.lexists(path) or not glob.has_magic(str(path)):
            expanded.append(path)
            continue
        # Not Path.glob, because patterns may be absolute.
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
        if not found:
            raise ConfigError(f"no file matches {quote(path)}; check the pattern")
        expanded += map(Path, found)
    return expanded
