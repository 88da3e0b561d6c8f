"""Type checkers in strict mode accept a program that uses the package, as installed,
and find its mistakes."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import colorizenet

RIGHT = '''
"""A program that uses the public names of ColorizeNet."""

from pathlib import Path

import numpy as np

import colorizenet as cn


def colorize_folder(folder: Path, target: Path, *, strength: float = 1.0) -> list[Path]:
    colorizer = cn.Colorizer("default", device="cpu")
    hint = cn.Hint(x=0.5, y=0.5, rgb=(46, 107, 58))
    options = cn.Options(strength=strength, hints=(hint, *cn.read_hints("more.json")))
    written: list[Path] = []
    for path in sorted(folder.glob("*.jpg")):
        try:
            image: cn.Image = cn.read_image(path)
            chroma: cn.Chroma = colorizer.predict(image, options)[0]
            result = colorizer.apply(image, chroma, options)
        except cn.ImageError as error:
            print(f"{path}: {error}")
            continue
        cn.write_image(target / path.name, result, quality=90)
        written.append(target / path.name)
    return written


def measure(folder: Path) -> tuple[float, str, list[str]]:
    colorizer = cn.Colorizer()
    card: cn.ModelCard = colorizer.card
    report: cn.Report = cn.evaluate(colorizer, folder, limit=10)
    lab = np.asarray(cn.rgb_to_lab(np.zeros((2, 2, 3))))
    assert lab.shape == (2, 2, 3)
    return report.mean["ciede2000"], card.license, report.worst[:3]
'''
WRONG = """
import colorizenet as cn

cn.Options(strength="much")
cn.Colorizer(device=1)
image: int = cn.read_image("1921.jpg")
"""
MISTAKES = [4, 5, 6]
"""Lines of ``WRONG``."""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> tuple[Path, Path]:
    """A folder with both programs, and the Python of an environment that has the
    package installed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "right.py").write_text(RIGHT.lstrip())
    (folder / "wrong.py").write_text(WRONG)
    builder = venv.EnvBuilder(with_pip=False, symlinks=sys.platform != "win32")
    builder.create(folder / "env")
    context = builder.ensure_directories(folder / "env")
    scheme = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    source = Path(colorizenet.__file__).parents[1]
    (packages / "installed.pth").write_text(f"{source}\n{sysconfig.get_path('purelib')}\n")
    return folder, Path(context.env_exe)


def test_mypy_understands_the_public_names(project):
    folder, python = project
    command = [sys.executable, "-m", "mypy", "--strict", "--output", "json"]
    command += ["--cache-dir", "cache", "--python-executable", str(python)]
    done = subprocess.run(
        [*command, "right.py", "wrong.py"], cwd=folder, capture_output=True, text=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [(each["file"], each["line"]) for each in found if each["severity"] == "error"]
    assert errors == [("wrong.py", line) for line in MISTAKES], done.stdout + done.stderr


def test_pyright_understands_the_public_names(project):
    folder, python = project
    settings = {"typeCheckingMode": "strict", "include": ["*.py"]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", str(python)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in found
        if each["severity"] == "error"
    ]
    assert errors == [("wrong.py", line) for line in MISTAKES], done.stdout
