"""What the pages say is so."""

import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("samples/*.md")])


def test_the_page_of_the_command_line_is_what_make_docs_writes(tmp_path):
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_cli_reference.py", tmp_path / "cli.md"], check=True
    )
    assert (ROOT / "docs" / "cli.md").read_text() == (tmp_path / "cli.md").read_text(), (
        "run `make docs`"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert missing == []


def test_every_sample_is_credited():
    credits = (ROOT / "samples" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in credits for path in (ROOT / "samples").glob("*.jpg"))


@pytest.fixture
def tool(monkeypatch):
    """Import one of the programs in scripts/."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


def test_the_table_of_ablations_is_that_of_the_figures_that_are_kept(tool):
    ablations = tool("ablations")
    measured = json.loads(ablations.MEASURED.read_text())
    page = ablations.PAGE.read_text(encoding="utf-8")
    assert page == ablations.with_table(page, measured), "run `python scripts/ablations.py`"
    assert {run["seen"] for run in measured["runs"].values()} == {
        measured["runs"][measured["baseline"]]["seen"]
    }


def test_the_readmes_table_is_that_of_the_models_that_ship(tool):
    model_table = tool("model_table")
    from colorizenet.modelfile import load_model, shipped_models

    measured = json.loads(model_table.MEASURED.read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == model_table.with_table(readme, measured), "run `make model-table`"
    models = {row: about for row, about in measured["rows"].items() if about["kind"] == "model"}
    assert {row: about["sha256"] for row, about in models.items()} == {
        name: load_model(name).sha256 for name in shipped_models()
    }, "run `make model-table PICTURES=...`"


def test_the_readme_says_how_pictures_are_prepared_as_the_code_does_it():
    from colorizenet import color
    from colorizenet.training.recipes import RECIPES

    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    recipes = {name: recipe() for name, recipe in RECIPES.items()}
    data = recipes["unet"].data
    assert f"`L / {color.L_SCALE:g}`" in text and f"`ab / {color.AB_SCALE:g}`" in text
    larger = recipes["unet256"].data.size
    assert (
        f"{data.size} px to train ({larger} px in `unet256` and `pix2pix`) and {data.val_size} px"
        in text
    )
    assert (
        recipes["pix2pix"].data.size == larger
        and recipes["pix2pix"].batch_size == recipes["unet256"].batch_size
    )
    assert f"{data.min_crop:.0%}".rstrip("%") + " to 100 % of the short side" in text
    assert (
        f"Batches hold {recipes['unet'].batch_size} pictures ({recipes['unet256'].batch_size} in `unet256`"
        in text
    )
    assert recipes["encoder_unet"].batch_size == 32 and recipes["tiny"].batch_size == 16


def test_what_a_network_sees_is_what_the_readme_says():
    """sRGB to Lab by color's own numbers, L / 100 and ab / 128, and splits of 80/10/10."""
    import torch

    from colorizenet import color
    from colorizenet.photosets import _hashed_split
    from colorizenet.training.data.augment import to_network

    rgb = torch.randint(0, 256, (2, 4, 6, 3), dtype=torch.uint8)
    lightness, ab = to_network(rgb)
    lab = color.rgb_to_lab(rgb.double() / 255)
    assert lightness.shape == (2, 1, 4, 6) and ab.shape == (2, 2, 4, 6)
    assert torch.allclose(lightness[:, 0].double(), lab[..., 0] / 100, atol=1e-5)
    assert torch.allclose(ab.movedim(1, -1).double(), lab[..., 1:] / 128, atol=1e-5)
    shares = Counter(_hashed_split(f"{number}.jpg") for number in range(5000))
    assert [round(shares[split] / 500) for split in ("train", "val", "test")] == [8, 1, 1]
