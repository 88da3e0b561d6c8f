"""Check the distributions as users install them: `make packaging`.

    python scripts/check_packaging.py [PYTHON ...]

Builds wheel and sdist, and checks what the package index shows of them. Each Python
(by default each one of this machine that the package supports) gets an environment with
the wheel, its extra ``cpu`` and the versions of ``constraints.txt``, and colorizes a
photo there, without torch; the first one does so with the lowest versions, too. For
each extra, the newest and the lowest versions that ``pyproject.toml`` allows, and those
of ``constraints.txt``, are resolved for the first Python, but not installed. Needs the
package index.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "cat.jpg"
LOWEST = ["--resolution", "lowest-direct"]
PINNED = ["--constraint", str(ROOT / "constraints.txt")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="*", help="interpreters or versions, such as 3.12")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_distributions(Path(folder) / "dist")
        pythons = given.pythons or find_pythons()
        environment = Path(folder) / "environment"
        for python in pythons:
            check_installation(wheel, python, environment, PINNED)
        check_installation(wheel, pythons[0], environment, LOWEST)
        for extra in list_extras():
            # The tools of developers are not pinned, and may need other versions.
            for versions in ([], LOWEST) if extra == "dev" else ([], LOWEST, PINNED):
                check_resolution(extra, versions, python=pythons[0])
        run("uvx", "--python", pythons[0], "--from", f"{wheel}[cpu]", "colorizenet", "--version")


def run(tool: str, *arguments: object) -> str:
    """Run uv, uvx or a module of Python. Returns its output, exits if it fails."""
    command = [sys.executable, "-m", "uv"]
    command += ["tool", "run"] if tool == "uvx" else []
    command = command if tool in ("uv", "uvx") else [sys.executable, "-m", tool]
    done = subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{tool} {' '.join(map(str, arguments))} failed:\n{done.stderr}{done.stdout}")
    return done.stdout


def build_distributions(folder: Path) -> Path:
    """Build wheel and sdist and check their description. Returns the wheel."""
    run("uv", "build", "--out-dir", folder)
    files = [path for path in folder.iterdir() if path.suffix in (".whl", ".gz")]
    run("twine", "check", "--strict", *files)
    print(f"built and checked: {', '.join(sorted(path.name for path in files))}")
    return next(path for path in files if path.suffix == ".whl")


def find_pythons() -> list[str]:
    """The newest installed interpreter of each version that the package supports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    listed = run("uv", "python", "list", "--only-installed", "--output-format", "json")
    found: dict[tuple[int, int], str] = {}
    for each in json.loads(listed):
        version = each["version_parts"]["major"], each["version_parts"]["minor"]
        if version >= lowest and each["implementation"] == "cpython":
            found.setdefault(version, each["path"])
    return [path for _, path in sorted(found.items())]


def check_installation(wheel: Path, python: str, environment: Path, versions: list[str]) -> None:
    """Install the wheel with the extra cpu, and colorize a photo.

    ``versions``: flags of uv that choose them.
    """
    run("uv", "venv", "--quiet", "--clear", "--python", python, environment)
    program = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run("uv", "pip", "install", "--python", program, *versions, f"{wheel}[cpu]")
    command = [program, "-m", "colorizenet", "colorize", SAMPLE, "--out", environment / "out"]
    subprocess.run(command, check=True, capture_output=True)
    code = "import sys, importlib.util as u; print(sys.version.split()[0], u.find_spec('torch'))"
    version, torch = subprocess.check_output([program, "-c", code], text=True).split()
    if torch != "None" or not (environment / "out" / SAMPLE.name).exists():
        sys.exit(f"Python {version}: torch is {torch}, or no photo was colorized")
    print(f"Python {version}, {' '.join(versions)}: installed and colorized a photo")


def list_extras() -> list[str]:
    """The extras that exist on this system."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    others = set() if sys.platform == "win32" else {"directml"}
    return [name for name in project["optional-dependencies"] if name not in others]


def check_resolution(extra: str, versions: list[str], *, python: str) -> None:
    """Resolve the versions of an extra, without installing them.

    ``versions``: flags of uv that choose them; without, the newest.
    """
    compiled = run(
        *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
        *("--python", python, *versions, "--extra", extra, ROOT / "pyproject.toml"),
    )
    count = sum(line[:1].isalnum() for line in compiled.splitlines())
    print(f"colorizenet[{extra}], {' '.join(versions) or 'newest'}: {count} packages")


if __name__ == "__main__":
    main()
