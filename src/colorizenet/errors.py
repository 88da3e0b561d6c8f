"""Every exception this package raises on purpose.

ColorizeNetError
├── ImageError        a picture cannot be read or written, or its shape is wrong
│   ├── DamagedImageError     its file is damaged or cut short
│   └── UnwritableImageError  the wanted format cannot hold it
├── ModelFileError    a model file is not from ColorizeNet, is damaged, or is too new
├── DeviceError       ONNX Runtime cannot run on the requested device
├── DataError         photos to train or evaluate with are missing or damaged
└── ConfigError       a setting is unknown, of the wrong type, or contradictory

A message has three parts: what is wrong, with names and numbers; what was expected;
what to do. It is one line, so names from outside (files, addresses, other libraries) go
through ``quote``.
"""

import errno

__all__ = [
    "ColorizeNetError",
    "ConfigError",
    "DamagedImageError",
    "DataError",
    "DeviceError",
    "ImageError",
    "ModelFileError",
    "UnwritableImageError",
    "check_minimum",
    "explain_write_error",
    "quote",
]


class ColorizeNetError(Exception):
    """The base class of every error that the package raises on purpose."""


class ImageError(ColorizeNetError):
    """A picture cannot be read or written, or has an unsupported shape."""


class DamagedImageError(ImageError):
    """The file of a picture is damaged or cut short."""


class UnwritableImageError(ImageError):
    """A picture cannot be written in the format that is wanted."""


class ModelFileError(ColorizeNetError):
    """A model file was not exported by ColorizeNet, is damaged, or is too new."""


class DeviceError(ColorizeNetError):
    """ONNX Runtime cannot run on the requested device."""


class DataError(ColorizeNetError):
    """The photos for training or evaluation are missing, damaged or too few."""


class ConfigError(ColorizeNetError):
    """A setting is unknown, of the wrong type, or contradictory."""


def quote(name: object) -> str:
    """Return a name as it may appear in a message: one printable line.

    >>> quote("holiday.jpg"), quote("two\\nlines.jpg")
    ('holiday.jpg', "'two\\\\nlines.jpg'")
    """
    text = str(name)
    # Undecodable bytes of a file name arrive as lone surrogates, which no stream can
    # print.
    printable = text.isprintable() and not any("\ud800" <= c <= "\udfff" for c in text)
    return text if printable else ascii(text)


def explain_write_error(path: object, error: OSError) -> str:
    """Say that a result cannot be written, why, and what to do."""
    advice = "choose another --out"
    if error.errno == errno.ENAMETOOLONG:  # also that of a photo and the ending .colors.json
        advice = "shorten the name of the photo or of --out"
    return f"{quote(path)} cannot be written: {error.strerror}; {advice}"


def check_minimum(minimum: float, group: str, config: object, *names: str) -> None:
    """Raise ConfigError where a setting of a configuration is below ``minimum`` or NaN.

    ``group`` is the first part of the settings' names on the command line.
    """
    for name in names:
        if not getattr(config, name) >= minimum:  # also for NaN
            raise ConfigError(
                f"{group}.{name.replace('_', '-')} is {getattr(config, name)}; "
                f"give a number of at least {minimum:g}"
            )
