"""The documentation agrees with the code and with the stored measurements."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import colorizenet
import colorizenet.cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("samples/*.md")])


def test_the_command_line_reference_is_up_to_date(tmp_path):
    script = ROOT / "scripts" / "write_cli_reference.py"
    subprocess.run([sys.executable, script, tmp_path / "cli.md"], check=True)
    assert (ROOT / "docs" / "cli.md").read_text() == (tmp_path / "cli.md").read_text(), (
        "run `make docs`"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_point_to_existing_files(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert missing == []


def test_every_sample_is_credited():
    credits = (ROOT / "samples" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in credits for path in (ROOT / "samples").glob("*.jpg"))


@pytest.fixture
def import_script(monkeypatch):
    """Import a module from scripts/."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


def test_the_table_of_ablations_matches_the_stored_measurements(import_script):
    ablations = import_script("ablations")
    measured = json.loads(ablations.MEASURED.read_text())
    page = ablations.PAGE.read_text(encoding="utf-8")
    assert page == ablations.update_page(page, measured), "run `python scripts/ablations.py`"
    assert {run["pictures_seen"] for run in measured["runs"].values()} == {
        measured["runs"][measured["baseline"]]["pictures_seen"]
    }


def test_the_table_in_the_readme_describes_the_models_in_the_package(import_script):
    model_table = import_script("model_table")
    from colorizenet.modelfile import load_model, shipped_models

    measured = json.loads(model_table.MEASURED.read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == model_table.update_page(readme, measured), "run `make model-table`"
    models = {row: about for row, about in measured["rows"].items() if about["kind"] == "model"}
    assert {row: about["sha256"] for row, about in models.items()} == {
        name: load_model(name).sha256 for name in shipped_models()
    }, "run `make model-table PICTURES=...`"


def test_the_page_of_models_describes_the_models_in_the_package(import_script):
    model_table = import_script("model_table")
    measured = json.loads(model_table.MEASURED.read_text())
    page = model_table.PAGE.read_text(encoding="utf-8")
    assert page == model_table.render_models(measured), "run `make model-table`"


def test_the_citation_and_the_workflow_agree_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == colorizenet.__version__ and citation["license"] == "Apache-2.0"
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["checks"]["steps"][-1] == {"run": ".ci/run"}
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(path.read_text("utf-8"))["body"]


def test_the_deployment_example_fits_the_image_and_the_command_line():
    folder = ROOT / "examples" / "compose"
    services = yaml.safe_load((folder / "compose.yaml").read_text("utf-8"))["services"]
    assert 'ENTRYPOINT ["colorizenet"]' in (ROOT / "Dockerfile").read_text("utf-8")
    serve = colorizenet.cli.app["serve"]
    flags = {name for each in serve.assemble_argument_collection() for name in each.names}
    used = {word for word in services["colorizenet"]["command"] if word.startswith("--")}
    assert used <= flags and {"--host", "--token-file", "--server-name", "--memory"} <= used
    [job] = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["colorizenet:8000"]}]
    assert "reverse_proxy colorizenet:8000" in (folder / "Caddyfile").read_text("utf-8")


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text("utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_documentation_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis.com" not in index
    api = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="colorizenet.{name}"' in api for name in ("colorize", "Colorizer", "Options"))


def test_the_guide_describes_how_recipes_prepare_pictures():
    from colorizenet import color
    from colorizenet.training.recipes import RECIPES

    text = " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf-8").split())
    recipes = {name: recipe() for name, recipe in RECIPES.items()}
    unet, larger = recipes["unet"], recipes["unet256"]

    def find_line(start: str) -> str:
        [line] = [line for line in re.split(r"\.? - |\. ", text) if line.startswith(start)]
        return line

    assert f"`L / {color.L_SCALE:g}`" in text and f"`ab / {color.AB_SCALE:g}`" in text
    assert (
        f"{unet.data.size} px to train ({larger.data.size} px in `unet256` and `pix2pix`) "
        f"and {unet.data.val_size} px to validate" in text
    )
    assert recipes["pix2pix"].data.size == larger.data.size
    assert f"{recipes['hints'].data.size} px for both in `hints`" in text
    crops = find_line("Training uses a random square")
    assert f"{unet.data.min_crop * 100:.0f} to 100 % of the short side" in crops
    whole = {name for name, recipe in recipes.items() if recipe.data.min_crop == 1}
    assert whole == set(re.findall(r"`(\w+)`", crops))
    sizes = {name: recipe.batch_size for name, recipe in recipes.items()}
    smaller = {name for name, size in sizes.items() if size != sizes["unet"]}
    batches = find_line("Batches hold")
    assert f"{sizes['unet']} pictures ({larger.batch_size} in `unet256`" in batches
    found = {}
    for size, names in re.findall(r"(\d+) in ((?:`\w+`(?:, | and )?)+)", batches):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), int(size))
    assert found == {name: sizes[name] for name in smaller}


def test_facts_of_the_readme_stand_in_the_pages_that_they_link_to():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## What it is better at")[2].partition("\n## ")[0]
    facts = section.split("\n- ")[1:]
    assert len(facts) == 5
    for fact in facts:
        [link] = re.findall(r"\]\(([^)]+)\)", fact)
        page = (ROOT / link).read_text(encoding="utf-8")
        numbers = re.findall(r"\d[\d,.]*\d|\d", fact)
        assert numbers, fact
        missing = [n for n in numbers if not re.search(rf"(?<![\d.]){n}(?![\d])", page)]
        assert not missing, f"{link} lacks {missing} of: {fact}"


def test_network_units_are_those_of_the_guide():
    import torch

    from colorizenet import color
    from colorizenet.training.data.augment import to_network

    rgb = torch.randint(0, 256, (2, 4, 6, 3), dtype=torch.uint8)
    lightness, ab = to_network(rgb)
    lab = color.rgb_to_lab(rgb.double() / 255)
    assert lightness.shape == (2, 1, 4, 6) and ab.shape == (2, 2, 4, 6)
    assert torch.allclose(lightness[:, 0].double(), lab[..., 0] / 100, atol=1e-5)
    assert torch.allclose(ab.movedim(1, -1).double(), lab[..., 1:] / 128, atol=1e-5)


def test_photos_without_splits_are_split_80_10_10(tmp_path):
    from colorizenet.photosets import split_photos

    for number in range(2000):
        (tmp_path / f"{number}.jpg").touch()
    splits = split_photos(tmp_path)
    assert [round(len(splits[name]) / 200) for name in ("train", "val", "test")] == [8, 1, 1]


def test_an_audit_names_each_vulnerability_and_says_what_was_not_audited(import_script):
    audit = import_script("audit")
    unknown = {"name": "mine", "skip_reason": "not on PyPI"}
    sound = {"name": "numpy", "version": "2.0", "vulns": []}
    holes = [{"id": "CVE-1", "fix_versions": ["2.1"]}, {"id": "CVE-2", "fix_versions": []}]
    assert audit.summarize([unknown])[0].startswith("Nothing was audited")
    assert audit.summarize([unknown, sound])[1] == []
    summary, found = audit.summarize([unknown, sound, {**sound, "vulns": holes}])
    assert summary == "2 of 3 installed packages were audited; known vulnerabilities: 2."
    assert found == [
        "numpy 2.0 has CVE-1, fixed in 2.1",
        "numpy 2.0 has CVE-2, fixed in no release",
    ]
