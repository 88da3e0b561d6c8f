"""The package as a whole: its public names, and what it imports."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import colorizenet
from colorizenet import errors


def run_in_fresh_interpreter(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_every_public_name_exists_and_is_documented():
    assert set(colorizenet.__all__) <= set(dir(colorizenet))
    for name in colorizenet.__all__:
        assert getattr(colorizenet, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        colorizenet.nonsense  # noqa: B018


def test_the_public_names_are_these():
    """A name that is added or removed here changes the code of users."""
    assert colorizenet.__all__ == [
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


def test_type_checkers_see_the_same_public_names():
    """``__getattr__`` hides the names from type checkers, so imports show them."""
    source = Path(colorizenet.__file__).read_text()
    [block] = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imported = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == sorted(colorizenet.__all__)
    for name, module in imported.items():
        assert getattr(colorizenet, name) is getattr(importlib.import_module(module or ""), name)
    assert Path(colorizenet.__file__).with_name("py.typed").exists()


def test_every_exception_is_in_the_tree_that_is_drawn():
    for name in errors.__all__:
        member = getattr(errors, name)
        if isinstance(member, type):
            assert issubclass(member, errors.ColorizeNetError)
            assert name in (errors.__doc__ or "")


def test_constraints_allow_what_the_package_requires():
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = (root / "constraints.txt").read_text().splitlines()
    pinned: dict[str, list[str]] = {}
    for line in lines:
        if line[:1].isalnum():
            constraint = Requirement(line)
            [version] = constraint.specifier
            assert version.operator == "=="
            pinned.setdefault(constraint.name, []).append(version.version)
    extras = project["optional-dependencies"]
    required = project["dependencies"] + [
        text
        for extra in ("cpu", "serve", "formats", "provenance", "ray", "train", "cloud")
        for text in extras[extra]
    ]
    for requirement in map(Requirement, required):
        if requirement.name != "colorizenet":
            versions = pinned[requirement.name.lower()]
            assert all(version in requirement.specifier for version in versions), requirement


def list_imports(module: str, *heavy: str) -> str:
    return run_in_fresh_interpreter(
        f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    )


@pytest.mark.parametrize("module", ["cli", "colorizer", "batch", "evaluation.metrics"])
def test_inference_never_imports_torch(module):
    assert list_imports(f"colorizenet.{module}", "torch", "lightning", "onnx") == "[]"


def test_importing_the_package_and_the_command_line_imports_nothing_heavy():
    assert list_imports("colorizenet.cli", "numpy", "cv2", "pyvips", "onnxruntime") == "[]"
