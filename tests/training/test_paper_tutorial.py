"""The commands of the tutorial from Places365 to a paper work, in their order, on a
little data."""

import csv
import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from colorizenet import Options, cli, read_image

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SMALLER = [
    *("--pictures", "16", "--validate-every", "16", "--batch-size", "8", "--optim.warmup", "8"),
    *("--data.size", "64", "--data.val-size", "64", "--data.val-pictures", "4"),
    *("--data.workers", "0", "--network.encoder", "test_efficientnet"),
    *("--network.pretrained", "none", "--network.widths", "16", "8", "8", "8"),
]
"""Settings of every run of the test."""
SMALLER_DIFFUSION = [
    *("--task.steps", "1", "--task.draws", "2", "--task.val-draws", "2"),
    *("--task.denoiser.widths", "8", "8", "--task.denoiser.fine-width", "8"),
    *("--task.denoiser.blocks", "1", "--task.guidance", "1", "--task.sampler", "euler"),
]
"""Further settings of diffusion, whose export takes minutes with four steps."""
SMALLER_GAN = ["--task.discriminator-warmup", "0"]
"""Further settings of the GAN, whose warm-up is longer than the runs of the test."""


def list_commands() -> list[list[str]]:
    part = PAGE[PAGE.index("## 6. Places365") :]
    blocks = re.findall(r"```console\n(.*?)```", part, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def import_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def home(tmp_path_factory, write_photograph, pack) -> Path:
    """A folder with Places365 as its script lays it out: 40 photos, in three shards."""
    home = tmp_path_factory.mktemp("home")
    photos = [
        write_photograph(
            home / "val_256" / f"Places365_val_{number:08}.jpg", number, height=96, width=96
        )
        for number in range(1, 41)
    ]
    archive = pack(home / "val_256.tar", home, photos)
    places = import_example("places365")
    (home / "places365").mkdir()
    places.split_archive(archive, home / "places365", places.SPLITS[True])
    return home


def run_command(words: list[str]) -> None:
    if words[0] == "colorizenet":
        smaller = SMALLER if words[1] == "train" else []
        more = {"diffusion": SMALLER_DIFFUSION, "pix2pix_encoder": SMALLER_GAN}
        smaller = [*smaller, *more.get(words[2], [])]
        for flag in set(smaller) & {word for word in words if word.startswith("--")}:
            place = words.index(flag)  # that of SMALLER takes its place
            words = [*words[:place], *words[place + 2 :]]
        with pytest.raises(SystemExit) as end:
            cli.main([*words[1:], *smaller])
        assert not end.value.code, words
    else:
        assert words[0] == "python"
        import_example(Path(words[1]).stem).main(words[2:])


def test_commands_of_the_second_part_work_in_their_order(home, monkeypatch):
    monkeypatch.chdir(home)
    download, *commands = list_commands()
    assert download == ["python", "examples/places365.py", "places365", "--small"]
    assert [words[1] for words in commands] == [
        *("prepare", "train", "export", "train", "export", "train", "export"),
        *("evaluate", "evaluate", "examples/paper.py"),
    ]
    for words in commands:
        run_command(words)

    report = json.loads(Path("report.json").read_text())
    assert report["settings"]["split"] == "test" and report["pictures"] == 4
    models = ["baseline", "gan", "diffusion"]
    assert [row for row, about in report["rows"].items() if about["kind"] == "model"] == models
    check_table(report, models)
    figure = read_image("paper/figure.png").pixels
    assert figure.shape == (4 * 260 - 4, 5 * 260 - 4, 3)  # gray, three models, photograph
    assert (figure[:256, :256] == figure[:256, :256, :1]).all()
    caption = Path("paper/figure.tex").read_text()
    assert "From left to right: gray, baseline, gan, diffusion, photograph" in caption
    assert "The 4 photos are a random sample" in caption


def check_table(report: dict, models: list[str]) -> None:
    """The table has the means of the report, in CSV and in LaTeX."""
    with Path("paper/table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["row"] for line in lines} == {"gray", *models}
    for line in lines:
        assert float(line["mean"]) == float(report["mean"][line["row"]][line["metric"]])
    latex = Path("paper/table.tex").read_text()
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 1
    [heading] = [line for line in latex.splitlines() if "CIEDE2000" in line and "&" in line]
    columns = heading.count("&")
    assert f"{{l{'r' * columns}}}" in latex
    body = [line for line in latex.splitlines() if line.startswith(("gray", *models))]
    assert len(body) == 4 and all(line.count("&") == columns for line in body)
    assert f"{report['mean']['gan']['ciede2000']:.2f}"[:4] in body[2]
    with Path("paper/pictures.csv").open(newline="") as file:
        values = list(csv.DictReader(file))
    assert {line["photo"] for line in values} == {each["name"] for each in report["per_picture"]}


def test_the_figure_has_the_options_of_the_report():
    paper = import_example("paper")
    settings = {"split": None, "strength": 1.2, "size": 128, "tta": True}
    report = {"settings": settings, "rows": {"matched": {"strength": 0.5, "size": 128}}}
    assert paper.read_options(report, "matched") == Options(strength=0.5, size=128, tta=True)
    assert paper.read_options(report, "default") == Options(strength=1.2, size=128, tta=True)


def test_special_characters_are_escaped_in_latex():
    paper = import_example("paper")
    assert paper.escape("a_b & 5 % ↓ \\") == r"a\_b \& 5 \% $\downarrow$ \textbackslash{}"


def test_a_file_that_is_no_report_is_an_error(tmp_path, capsys):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(SystemExit) as end:
        import_example("paper").main([str(tmp_path / "report.json"), str(tmp_path / "paper")])
    assert end.value.code == 2
    assert "report.json is no report (it has other keys)" in capsys.readouterr().err
