"""What the pages say is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("samples/*.md")])


def test_the_page_of_the_command_line_is_what_make_docs_writes(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs" / "write_cli.py", tmp_path / "cli.md"], check=True)
    assert (ROOT / "docs" / "cli.md").read_text() == (tmp_path / "cli.md").read_text(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert missing == []


def test_every_sample_is_credited():
    credits = (ROOT / "samples" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in credits for path in (ROOT / "samples").glob("*.jpg"))


def test_the_readme_says_how_pictures_are_prepared_as_the_code_does_it():
    from colorizenet import color
    from colorizenet.training.data import DataConfig

    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"`L / {color.L_SCALE:g}`" in text and f"`ab / {color.AB_SCALE:g}`" in text
    assert f"{DataConfig().size} px to train and {DataConfig().val_size} px to validate" in text
