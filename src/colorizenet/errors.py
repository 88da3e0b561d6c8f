"""Every exception this package raises on purpose.

ColorizeNetError
├── ImageError        the picture cannot be read or written, or has a shape we do not take
├── ModelFileError    the model file is not one of ours, is damaged, or is too new
├── ProviderError     ONNX Runtime cannot run on the device that was asked for
├── DataError         the training pictures are missing, damaged or too few
└── ConfigError       a setting is unknown, of the wrong type, or contradictory

A message has three parts: what is wrong, with names and numbers; what was expected; what
to do. It is one line: names that come from outside go through ``quote``.
"""

__all__ = [
    "ColorizeNetError",
    "ConfigError",
    "DataError",
    "ImageError",
    "ModelFileError",
    "DeviceError",
    "quote",
]


class ColorizeNetError(Exception):
    """The base of all of them: catch this to catch what we foresaw."""


class ImageError(ColorizeNetError):
    """The picture cannot be read or written, or has a shape we do not take."""


class ModelFileError(ColorizeNetError):
    """The model file is not one of ours, is damaged, or is too new."""


class DeviceError(ColorizeNetError):
    """ONNX Runtime cannot run on the device that was asked for."""


class DataError(ColorizeNetError):
    """The training pictures are missing, damaged or too few."""


class ConfigError(ColorizeNetError):
    """A setting is unknown, of the wrong type, or contradictory."""


def quote(name: object) -> str:
    """A name as it may appear in a message: on one line, with nothing a terminal would obey.

    >>> quote("holiday.jpg"), quote("two\\nlines.jpg")
    ('holiday.jpg', "'two\\\\nlines.jpg'")
    """
    text = str(name)
    # Undecodable bytes of a file name arrive as lone surrogates, which no stream can print.
    printable = text.isprintable() and not any("\ud800" <= c <= "\udfff" for c in text)
    return text if printable else ascii(text)
