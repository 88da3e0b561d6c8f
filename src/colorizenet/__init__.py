"""Colorize black-and-white photos, and train the networks that do it.

>>> import colorizenet as cn
>>> cn.colorize("gray.jpg", "color.jpg")  # doctest: +SKIP
>>> colorizer = cn.Colorizer()
>>> cn.write_image("color.jpg", colorizer("gray.jpg"))  # doctest: +SKIP
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorizenet.batch import colorize
    from colorizenet.color import lab_to_rgb, rgb_to_lab
    from colorizenet.colorizer import Chroma, Colorizer
    from colorizenet.errors import (
        ColorizeNetError,
        ConfigError,
        DataError,
        DeviceError,
        ImageError,
        ModelFileError,
    )
    from colorizenet.evaluation.protocol import evaluate
    from colorizenet.evaluation.report import Report
    from colorizenet.hintfiles import read_hints, write_hints
    from colorizenet.imaging.image import Image
    from colorizenet.imaging.reading import read_image
    from colorizenet.imaging.writing import write_image
    from colorizenet.modelfile import ModelCard
    from colorizenet.options import Hint, Options, Output

__version__ = "0.1.0"

# Read by libvips when it is loaded: no warnings on stderr (see imaging.reading).
os.environ.setdefault("VIPS_WARNING", "1")
# Some builds of ONNX Runtime send usage data.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Names are loaded on first use (PEP 562), so that `import colorizenet` is quick.
_MODULES = {
    "batch": ("colorize",),
    "color": ("lab_to_rgb", "rgb_to_lab"),
    "colorizer": ("Chroma", "Colorizer"),
    "errors": (
        "ColorizeNetError",
        "ConfigError",
        "DataError",
        "DeviceError",
        "ImageError",
        "ModelFileError",
    ),
    "evaluation.protocol": ("evaluate",),
    "evaluation.report": ("Report",),
    "hintfiles": ("read_hints", "write_hints"),
    "imaging.image": ("Image",),
    "imaging.reading": ("read_image",),
    "imaging.writing": ("write_image",),
    "modelfile": ("ModelCard",),
    "options": ("Hint", "Options", "Output"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Chroma",
    "ColorizeNetError",
    "Colorizer",
    "ConfigError",
    "DataError",
    "DeviceError",
    "Hint",
    "Image",
    "ImageError",
    "ModelCard",
    "ModelFileError",
    "Options",
    "Output",
    "Report",
    "colorize",
    "evaluate",
    "lab_to_rgb",
    "read_hints",
    "read_image",
    "rgb_to_lab",
    "write_hints",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"colorizenet.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
