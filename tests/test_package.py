"""The package as a whole: what it offers, what it imports, and how quickly it starts."""

import subprocess
import sys

import pytest

import colorizenet
from colorizenet import errors


def in_a_fresh_interpreter(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_every_public_name_is_there_and_documented():
    assert set(colorizenet.__all__) <= set(dir(colorizenet))
    for name in colorizenet.__all__:
        assert getattr(colorizenet, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        colorizenet.nonsense  # noqa: B018


def test_the_public_names_are_these():
    """A name added or removed here is a change to the users' code."""
    assert colorizenet.__all__ == [
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


def test_every_exception_is_in_the_tree_that_is_drawn():
    for name in errors.__all__:
        member = getattr(errors, name)
        if isinstance(member, type):
            assert issubclass(member, errors.ColorizeNetError)
            assert name in (errors.__doc__ or "")


def imported_by(module: str, *heavy: str) -> str:
    return in_a_fresh_interpreter(
        f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    )


@pytest.mark.parametrize("module", ["cli", "colorizer", "batch", "metrics"])
def test_inference_never_imports_torch(module):
    assert imported_by(f"colorizenet.{module}", "torch", "lightning", "onnx") == "[]"


def test_importing_the_package_and_the_command_line_imports_nothing_heavy():
    assert imported_by("colorizenet.cli", "numpy", "cv2", "pyvips", "onnxruntime") == "[]"
