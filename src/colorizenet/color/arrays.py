"""What NumPy arrays and PyTorch tensors need to share one formula."""

import sys
from types import ModuleType
from typing import Any, TypeVar

__all__ = ["Array", "find_library", "split_channels"]

Array = TypeVar("Array", bound=Any)
"""A ``numpy.ndarray`` or a ``torch.Tensor`` of floats; results have the same type."""


def find_library(array: Any) -> ModuleType:
    """Return the library of an array of floats, numpy or torch; imports neither."""
    xp = sys.modules[type(array).__module__.partition(".")[0]]
    if xp.__name__ not in ("numpy", "torch"):
        raise ValueError(f"colors are NumPy arrays or PyTorch tensors, not {type(array)}")
    if "float" not in str(array.dtype):
        raise ValueError(f"colors are floats, and this array is {array.dtype}; scale it to 0..1")
    return xp


def split_channels(colors: Array) -> tuple[Array, Array, Array]:
    """Return each channel with a last axis of one: ``(..., 3) -> 3 x (..., 1)``."""
    return colors[..., 0:1], colors[..., 1:2], colors[..., 2:3]
