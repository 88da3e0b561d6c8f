"""Every code block of the README and of the documentation works.

Blocks are executed page by page, in a folder with a few small photos and models.
Commands that cannot be executed here are in ``NOT_RUN`` with the reason; they are
checked without being executed: a ``colorizenet`` command line must parse, the target of
``make`` and the script and flags of ``python`` must exist.
"""

import ast
import configparser
import importlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from colorizenet import cli
from colorizenet.cli.app import DASH
from colorizenet.hintfiles import read_hints, write_hints
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import write_image
from colorizenet.options import Hint

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("console", "sh", "bat")
ADDRESS = "http://127.0.0.1:8000"
"""Where the pages have their server."""

NOT_RUN = (
    (".*", r"pip (install|wheel)|uvx |pipx |py -m pip |uv ", "need a package index"),
    (".*", r"make ", "installs everything; .ci/run runs the targets"),
    (".*", r"docker |syft ", "needs Docker"),
    (".*", r"torchrun ", "needs several GPUs; tests/training/test_distributed.py runs it"),
    (".*", r"tensorboard ", "runs until it is stopped"),
    (".*", r"(\w+=\$\(.*\) )?colorizenet serve", "runs until it is stopped; see `server`"),
    ("README|index|training", r"colorizenet (prepare|train|export)", "takes hours; tests/training"),
    ("tutorial", r"", "tests/training/test_tutorial.py and test_paper_tutorial.py run this page"),
    ("experiments", r"", "takes hours, with photos that are not here"),
    ("cli", r"", "usage lines; test_docs.py compares the page with the command line"),
    ("archives", r".*--(engine|tsa) |.*s3:", "needs a cluster, a store or a time stamp authority"),
    (".*", r"python (scripts|benchmarks)/", "takes hours"),
)
"""Page, start of a command, and why it is not executed."""
PYTHON_NOT_RUN = {
    "archives": "needs a cluster; tests/test_ray.py runs it",
    "training": "takes hours; tests/training/test_own_network.py runs it on a few pictures",
}


@dataclass(frozen=True)
class Block:
    """A fenced code block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.name}:{self.line}"

    def list_commands(self) -> list[str]:
        """The commands of a shell block; those of several lines are joined."""
        lines = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines()
        return [line for line in lines if line.strip()]


def find_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(page, text.count("\n", 0, fence.start()) + 1, fence[2], fence[3]) for fence in fences
    ]


BLOCKS = [block for page in PAGES for block in find_blocks(page)]


def find_reason(page: Path, command: str) -> str | None:
    """Why a command is not executed, if it is not."""
    for where, start, reason in NOT_RUN:
        if re.fullmatch(where, page.stem) and re.match(start, command):
            return reason
    return None


def each_block(*languages: str) -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.name)


def test_every_block_has_a_language_that_is_tested():
    known = {*SHELL, "python", "json", "ini", "nginx", "text"}
    drawings = [block for block in BLOCKS if not block.language]
    assert {block.language for block in BLOCKS} <= known | {""}
    assert [block.page.stem for block in drawings] == ["architecture"]
    assert not any("colorizenet " in block.text for block in drawings)
    fences = sum(page.read_text(encoding="utf-8").count("```") for page in PAGES)
    assert fences == 2 * len(BLOCKS)


def test_every_exception_has_a_command():
    for where, start, reason in NOT_RUN:
        commands = [
            command
            for block in BLOCKS
            if block.language in SHELL and re.fullmatch(where, block.page.stem)
            for command in block.list_commands()
        ]
        assert any(re.match(start, command) for command in commands), reason
    with_python = {block.page.stem for block in BLOCKS if block.language == "python"}
    assert set(PYTHON_NOT_RUN) <= with_python


@pytest.fixture(scope="module")
def with_recipes() -> None:
    cli.train.mount_recipes()


@each_block(*SHELL)
def test_commands_are_spelled_correctly(block, tmp_path, monkeypatch, with_recipes):
    monkeypatch.chdir(tmp_path)
    for command in block.list_commands():
        words = shlex.split(command, comments=True)
        if "=" in words[0]:  # variables before a command, or alone
            words = words[words.index("colorizenet") :] if "colorizenet" in words else []
        check_command(block, words)


def check_command(block: Block, words: list[str]) -> None:
    """Check a command as far as is possible without executing it."""
    if words[:3] == ["py", "-m", "colorizenet"]:
        words = words[2:]
    if words[:1] == ["torchrun"]:
        words = words[words.index("-m") + 1 :]
    if words[:2] == ["docker", "run"]:
        words = words[words.index("colorizenet") :]
    match words:
        case ["colorizenet", *_] if block.page.stem == "cli":
            verb = next(iter(words[1:]), "COMMAND")
            assert verb in ("COMMAND", "--install-completion") or verb in cli.app, block.name
        case ["colorizenet", *arguments] if arguments:
            parse(arguments)
        case ["make", target, *variables]:
            makefile = (ROOT / "Makefile").read_text()
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
            names = [word.partition("=")[0] for word in variables]
            assert all(re.search(rf"^{name} \?=", makefile, re.MULTILINE) for name in names)
        case ["python", script, *arguments] if script.endswith(".py"):
            source = (ROOT / script).read_text(encoding="utf-8")
            missing = [word for word in arguments if word.startswith("--") and word not in source]
            assert not missing, f"{script} has no {missing}"
        case ["pip" | "uvx" | "pipx" | "py" | "uv", *arguments]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            known = project["optional-dependencies"]
            used = [name for word in arguments for name in re.findall(r"\[([\w,]+)\]", word)]
            assert "constraints.txt" not in words or (ROOT / "constraints.txt").is_file()
            assert all(extra in known for name in used for extra in name.split(","))


def parse(arguments: list[str]) -> None:
    """Parse a command line as ``colorizenet`` does, without running it."""
    arguments = arguments[: next((i for i, word in enumerate(arguments) if word in "<>|"), None)]
    for flag in ("--resume", "--config"):
        if flag in arguments:
            write_settings(arguments[1], Path(arguments[arguments.index(flag) + 1]))
    if "prepare" not in arguments:
        arguments = [DASH if word == "-" else word for word in arguments]
    cli.app.parse_args(arguments, exit_on_error=False, print_error=False)


def write_settings(recipe: str, path: Path) -> None:
    """Write the settings of a recipe, as a run of it has them."""
    from colorizenet.training.config import to_json
    from colorizenet.training.recipes import RECIPES

    path = path if path.suffix == ".json" else path / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(RECIPES[recipe]()))


@each_block("bat")
def test_windows_commands_work_in_cmd_and_powershell(block):
    for command in block.list_commands():
        assert command.startswith("py -m ")
        assert not set(command) & set("'`$%^~\\;&|<>#"), command


@each_block("python")
def test_python_blocks_use_names_that_exist(block):
    imported = {}
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = importlib.import_module(alias.name)
                imported[alias.asname or alias.name.partition(".")[0]] = (
                    module if alias.asname else sys.modules[alias.name.partition(".")[0]]
                )
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                imported[alias.asname or alias.name] = getattr(module, alias.name)
    for node in ast.walk(ast.parse(block.text)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in imported
        ):
            assert hasattr(imported[node.value.id], node.attr), f"{block.name}: {node.attr}"


@each_block("json")
def test_json_blocks_are_valid_and_those_of_hints_can_be_read(block, tmp_path):
    content = json.loads(block.text)
    if "hints" in content:
        assert content["version"] == 1
        (tmp_path / "1921.hints.json").write_text(block.text)
        assert read_hints(tmp_path / "1921.hints.json")


@each_block("ini")
def test_services_start_a_command_that_exists(block):
    unit = configparser.ConfigParser(inline_comment_prefixes="#")
    unit.read_string(block.text)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "colorizenet"
    parse(arguments)


@each_block("nginx")
def test_proxies_pass_requests_to_the_port_of_the_server(block):
    assert f"proxy_pass {ADDRESS};" in block.text
    assert block.text.count("{") == block.text.count("}")
    settings = re.sub(r"#.*", "", block.text).replace("\\\n", " ").splitlines()
    assert all(line.strip()[-1:] in ("", ";", "{", "}") for line in settings)


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """The folder of the programs that the commands of the pages start."""
    folder = tmp_path_factory.mktemp("bin")
    for name, call in (("colorizenet", "-m colorizenet"), ("python", ""), ("py", "")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory, gray, color, write_model, write_noise_model, write_photograph) -> Path:
    """The photos, hints and models that the pages name."""
    folder = tmp_path_factory.mktemp("pages")
    small = np.ascontiguousarray(gray[::2, ::2])
    for name in ("1921.jpg", "1921.tif", "scans/1921.tif", "scans/album/1921.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, Image(small))
    for number in range(3):
        name = f"{number}.jpg"
        write_photograph(folder / "photos" / name, number, height=80, width=96)
        write_photograph(folder / "folder" / name, number + 1, height=80, width=96)
    hints = (Hint(x=0.3, y=0.6, rgb=(46, 107, 58)),)
    for name in ("1921.hints.json", "notes/album/1921.hints.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_hints(folder / name, hints)
    write_model(folder / "mine.onnx")
    for name in ("diverse.onnx", "drawing.onnx", "scratch.onnx"):
        write_noise_model(folder / name)
    return folder


@pytest.fixture(scope="module")
def server(source) -> Iterator[str]:
    """The address of a server, which draws variants."""
    models = ["--model", source / "drawing.onnx", "--model", "default"]
    command = [sys.executable, "-m", "colorizenet", "serve", "--port", "0", "--concurrency", "2"]
    with subprocess.Popen([*command, *models], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            yield re.findall(r"http://\S+", process.stderr.readline())[0]
        finally:
            process.terminate()


RUNNABLE = [
    page
    for page in PAGES
    if any(
        block.page == page
        and (
            (block.language == "python" and page.stem not in PYTHON_NOT_RUN)
            or (
                block.language in SHELL
                and not all(find_reason(page, command) for command in block.list_commands())
            )
        )
        for block in BLOCKS
    )
]


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for bash")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_blocks_of_a_page_work_in_their_order(
    page, source, programs, tmp_path, monkeypatch, request
):
    home = tmp_path / "home"
    shutil.copytree(source, home)
    monkeypatch.chdir(home)
    environment = {**os.environ, "HOME": str(home)}
    environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    names: dict[str, object] = {}
    for block in find_blocks(page):
        text = block.text
        if ADDRESS in text and block.language in (*SHELL, "python"):
            if not any(each in text for each in ("curl", "urllib")):
                continue
            text = text.replace(ADDRESS, request.getfixturevalue("server"))
        if block.language == "python" and page.stem not in PYTHON_NOT_RUN:
            exec(compile(text, block.name, "exec"), names)
        elif block.language in SHELL:
            run_commands(Block(page, block.line, block.language, text), environment)


def run_commands(block: Block, environment: dict[str, str]) -> None:
    """Run the commands of a block, and check that the files they name are there."""
    commands = [each for each in block.list_commands() if not find_reason(block.page, each)]
    script = "\n".join(["set -euo pipefail", *commands])
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{block.name}: {done.stderr}"
    for command in commands:
        words = shlex.split(command, comments=True)
        for flag, name in itertools.pairwise(words):
            if flag in ("-o", "--out", ">", "--report-html", "--report-json"):
                assert Path(name).exists(), f"{block.name}: {name} was not written"
