"""Turn gray photographs into color ones, and train the networks that do it.

>>> import colorizenet as cn
>>> colorizer = cn.Colorizer()
>>> cn.write_image("1921-color.jpg", colorizer(cn.read_image("1921.jpg")))  # doctest: +SKIP
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorizenet.color import lab_to_rgb, rgb_to_lab
    from colorizenet.colorizer import Colorizer
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
    from colorizenet.imaging.image import Image
    from colorizenet.imaging.reading import read_image
    from colorizenet.imaging.writing import write_image
    from colorizenet.modelfile import ModelCard

__version__ = "0.1.0"

os.environ.setdefault(
    "VIPS_WARNING", "1"
)  # libvips reads when it is loaded that it should be silent; see images
os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # some builds of ONNX Runtime report their use; nothing leaves here

# Names are loaded on first use (PEP 562), so that `import colorizenet` is quick.
_HOMES = {
    "color": ("lab_to_rgb", "rgb_to_lab"),
    "colorizer": ("Colorizer",),
    "errors": (
        "ColorizeNetError",
        "ConfigError",
        "DataError",
        "ImageError",
        "ModelFileError",
        "DeviceError",
    ),
    "evaluation.protocol": ("evaluate",),
    "imaging.image": ("Image",),
    "imaging.reading": ("read_image",),
    "imaging.writing": ("write_image",),
    "modelfile": ("ModelCard",),
    "evaluation.report": ("Report",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ColorizeNetError",
    "Colorizer",
    "ConfigError",
    "DataError",
    "Image",
    "ImageError",
    "ModelCard",
    "ModelFileError",
    "DeviceError",
    "Report",
    "evaluate",
    "lab_to_rgb",
    "read_image",
    "rgb_to_lab",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"colorizenet.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
