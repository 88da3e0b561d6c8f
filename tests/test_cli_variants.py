"""``colorizenet colorize --variants``: its files, its journal and its errors."""

import json
from pathlib import Path

import numpy as np
import pytest

from colorizenet.cli import main
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import write_image


@pytest.fixture
def colorize(tmp_path, monkeypatch, capsys, drawing_model, gray):
    """Run the command in the folder of the test; returns status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", Image(gray[:96, :128]))

    def run(*arguments: str, model: str | Path = drawing_model) -> tuple[int, list[str], str]:
        with pytest.raises(SystemExit) as ended:
            main(["colorize", *arguments, "--model", str(model)])
        printed = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), printed.out.split(), printed.err

    return run


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*g"))}


def test_variants_are_numbered_files_and_a_contact_sheet(colorize, tmp_path):
    status, printed, _ = colorize("a.png", "--variants", "4", "--seed", "7")
    names = ["a-1.png", "a-2.png", "a-3.png", "a-4.png", "a-variants.jpg"]
    assert status == 0
    assert printed == [f"colorized/{name}" for name in names]
    files = read_all(tmp_path / "colorized")
    assert sorted(files) == names and len(set(files.values())) == 5
    colorize("a.png", "--out", "plain")
    assert files["a-1.png"] == (tmp_path / "plain" / "a.png").read_bytes()
    sheet = read_image(tmp_path / "colorized" / "a-variants.jpg").pixels.astype(int)
    assert sheet.shape[1] == 5 * 320
    chroma = [np.ptp(sheet[10:-10, left + 10 : left + 310], axis=2).mean() for left in (0, 640)]
    assert chroma[0] < 2 < 5 < chroma[1], "gray is left"


def test_a_seed_gives_the_same_bytes_and_another_seed_others(colorize, tmp_path):
    for out, seed in (("x", "7"), ("y", "7"), ("z", "8")):
        assert colorize("a.png", "--variants", "3", "--seed", seed, "--out", out)[0] == 0
    x, y, z = (read_all(tmp_path / out) for out in "xyz")
    assert x == y
    assert x["a-1.png"] == z["a-1.png"] and x["a-2.png"] != z["a-2.png"]


def test_variants_are_redone_only_if_a_setting_of_them_changes(colorize, tmp_path):
    command = ("a.png", "--variants", "2", "--seed", "7", "--json")
    status, printed, _ = colorize(*command)
    assert status == 0
    assert "colorized/a-2.png" in " ".join(printed)
    before = read_all(tmp_path / "colorized")
    (tmp_path / "colorized" / "a-variants.jpg").unlink()
    assert '"colorized"' in " ".join(colorize(*command)[1]), "the contact sheet was missing"
    assert read_all(tmp_path / "colorized") == before
    assert '"skipped"' in " ".join(colorize(*command)[1])
    assert '"colorized"' in " ".join(colorize(*command, "--diversity", "0.5")[1])
    assert read_all(tmp_path / "colorized")["a-2.png"] != before["a-2.png"]
    lines = (tmp_path / "colorized" / ".colorizenet" / "results.jsonl").read_text().splitlines()
    key = json.loads(lines[-1])["key"]
    assert '"variants": 2' in key and '"seed": 7' in key and '"diversity": 0.5' in key


def test_photos_of_similar_names_do_not_share_files(colorize, tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(np.full((64, 64), 90, np.uint8)))
    write_image(tmp_path / "in" / "a-1.png", Image(np.full((64, 64), 160, np.uint8)))
    status, printed, _ = colorize("in", "--variants", "2", "--contact-sheet", "all.png")
    assert status == 0 and len(set(printed)) == 6
    assert read_image(tmp_path / "all.png").pixels.shape[1] == 3 * 320


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.png", "--seed", "7"], "--seed is for --variants; add --variants 6"),
        (["a.png", "--diversity", "0.5"], "--diversity is for --variants"),
        (["a.png", "--variants", "17"], "--variants"),
        (["a.png", "--variants", "2", "--tta"], "tta averages predictions"),
        (["a.png", "--variants", "2", "--out", "b.png"], "--out b.png is one; name a folder"),
        (["-", "--variants", "2"], "writes several files and - is one"),
    ],
)
def test_what_variants_exclude_is_an_error_of_one_line(colorize, arguments, expected, tmp_path):
    status, printed, message = colorize(*arguments)
    assert status == 2 and not printed
    assert expected in message and message.count("\n") == 1
    assert not (tmp_path / "colorized").exists()


def test_a_model_that_draws_nothing_is_an_error_before_any_photo(colorize, make_model, tmp_path):
    status, _, message = colorize("a.png", "--variants", "6", model=make_model())
    assert status == 2 and message.count("\n") == 1
    assert "the model tiny cannot draw variants, because it has no input noise" in message
    assert not list(tmp_path.glob("colorized/*.png"))
