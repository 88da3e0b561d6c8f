"""The notebooks of ``examples/`` work on a little data, from the first cell to the
last."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from colorizenet.training.export import export_run

# Jupyter leaves sockets open.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="commands are written as for a shell"),
]

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = Path(__file__).parents[2] / "samples" / "cat.jpg"
NAMES = ["colorize", "fine_tune", "sample_variants", "train_gan"]
SMALLER = (
    "--pictures 16 --validate-every 16 --batch-size 8 --optim.warmup 8 --data.size 64 "
    "--data.val-size 64 --data.val-pictures 4 --data.workers 0 "
    "--network.encoder test_efficientnet --network.widths 16 8 8 8"
)
SMALLER_DIFFUSION = (
    "--task.steps 1 --task.draws 2 --task.val-draws 2 --task.denoiser.widths 8 8 "
    "--task.denoiser.fine-width 8 --task.denoiser.blocks 1 --task.guidance 1 --task.sampler euler"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_photograph, finished) -> Path:
    """A folder with color photos, a gray photo and a small model."""
    folder = tmp_path_factory.mktemp("notebooks")
    for number in range(30):
        write_photograph(folder / "photos" / f"{number}.jpg", number, height=96, width=112)
    shutil.copy(SAMPLE, folder / "1921.jpg")
    export_run(finished, folder / "small.onnx")
    return folder


@pytest.fixture
def run_notebook(folder, monkeypatch) -> Callable[..., Any]:
    """Execute a notebook with other parameters; returns it with its outputs."""
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(folder / ".ipython"))

    def run(name: str, **parameters: str) -> Any:
        notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
        [index] = [
            number
            for number, cell in enumerate(notebook.cells)
            if "parameters" in cell.metadata.get("tags", ())
        ]
        known = re.findall(r"^(\w+) = ", notebook.cells[index].source, re.MULTILINE)
        assert set(parameters) <= set(known)
        given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(index + 1, nbformat.v4.new_code_cell(given))
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=600, resources=resources).execute()
        printed = collect_text(notebook)
        assert "Traceback" not in printed and "Error" not in printed, printed
        return notebook

    return run


def collect_text(notebook: Any) -> str:
    """What the cells of a notebook print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def count_pictures(notebook: Any) -> int:
    """The number of pictures that the cells of a notebook show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum(
        "image/jpeg" in (data := output.get("data", {})) or "image/png" in data
        for output in outputs
    )


def test_these_are_the_notebooks():
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_valid_and_have_no_outputs(name):
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert notebook.cells[0].source.startswith("# ")


def test_photos_are_colorized(run_notebook):
    notebook = run_notebook("colorize", PHOTO="1921.jpg")
    assert count_pictures(notebook) == 2 + 3 + 1
    assert "probability" in collect_text(notebook)


def test_a_model_is_fine_tuned(run_notebook, folder):
    notebook = run_notebook(
        "fine_tune",
        MODEL="small.onnx",
        RATES="",
        SETTINGS=f"{SMALLER} --network.queries 0",
    )
    assert count_pictures(notebook) == 1
    assert "'val/ciede2000': '" in collect_text(notebook)
    assert (folder / "fine-tuned.onnx").is_file()


def test_a_gan_is_trained(run_notebook, folder):
    notebook = run_notebook(
        "train_gan",
        DATA="photos",
        SETTINGS=f"{SMALLER} --network.pretrained none",
        REGRESSION="",
        GAN="--task.discriminator-warmup 8 --network.queries 0",
    )
    assert count_pictures(notebook) == 2
    assert "regression vs. gan: lower CIEDE2000 on" in collect_text(notebook)
    assert (folder / "report.html").is_file()


def test_variants_are_sampled(run_notebook):
    settings = f"{SMALLER} {SMALLER_DIFFUSION} --network.queries 0"
    notebook = run_notebook("sample_variants", DATA="photos", MODEL="small.onnx", SETTINGS=settings)
    assert count_pictures(notebook) == 4
    printed = collect_text(notebook)
    values = {
        row: float(value)
        for row, value in re.findall(r"diverse, (variant 1|best of 4) ([\d.]+)", printed)
    }
    assert values["best of 4"] <= values["variant 1"]
