"""The command line: streams, exit statuses, messages and flags."""

import inspect
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips

from colorizenet import __version__
from colorizenet.cli import app, main
from colorizenet.errors import ImageError
from colorizenet.hintfiles import write_hints
from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image, write_image
from colorizenet.options import Hint, Options, Output, choices


def colorizenet(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "colorizenet", *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, cwd=cwd, timeout=120
    )


def read_line(stderr: bytes) -> str:
    """The only line on stderr."""
    lines = stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("colorizenet: ")
    return lines[0]


@pytest.fixture
def folder(tmp_path, gray) -> Path:
    """Two good photos, one of them in a folder below, and one that is cut short."""
    path = tmp_path / "in"
    (path / "below").mkdir(parents=True)
    good = encode_image(Image(gray), "jpeg")
    (path / "good.jpg").write_bytes(good)
    (path / "below" / "good too.png").write_bytes(encode_image(Image(gray), "png"))
    (path / "cut [short].jpg").write_bytes(good[:5000])
    return path


def test_version_and_help_are_printed():
    assert colorizenet("--version").stdout.decode().strip() == f"colorizenet {__version__}"
    overview = colorizenet("--help").stdout.decode()
    assert all(verb in overview for verb in ("colorize", "export", "info", "models", "train"))
    for verb in ("colorize", "export", "info", "models"):
        help_of = colorizenet(verb, "--help")
        assert help_of.returncode == 0 and b"Usage: colorizenet" in help_of.stdout


def test_a_photo_is_colorized_into_the_default_folder(tmp_path, samples):
    source = next(path for path in samples if path.stem == "cameraman")
    done = colorizenet("colorize", source, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.decode().strip() == "colorized/cameraman.jpg"
    result = read_image(tmp_path / "colorized" / "cameraman.jpg")
    assert result.pixels.shape == (*read_image(source).pixels.shape, 3)
    assert np.ptp(result.pixels.astype(int), axis=2).mean() > 5


def test_a_folder_with_a_bad_photo_in_it(tmp_path, folder):
    out = tmp_path / "out"
    done = colorizenet("colorize", folder, "-o", out, "--contact-sheet", tmp_path / "sheet.png")
    assert done.returncode == 1
    message, summary, repeated = done.stderr.decode().splitlines()
    assert "cut [short].jpg is damaged or cut short" in message
    assert summary.startswith("2 colorized in") and summary.endswith(", 1 failed:")
    assert repeated.strip() == message.removeprefix("colorizenet: ")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*g*.*g")) == [
        "below/good too.png",
        "good.jpg",
    ]
    assert read_image(tmp_path / "sheet.png").pixels.shape == (208 + 8, 1280, 3)


def test_json_describes_each_photo_in_one_line(tmp_path, folder, color_photograph):
    write_image(folder / "color.png", Image(color_photograph))
    done = colorizenet("colorize", folder, "--out", tmp_path / "out", "--json")
    records = {
        Path(record["source"]).name: record
        for record in map(json.loads, done.stdout.decode().splitlines())
    }
    good, color, cut = (records[name] for name in ("good.jpg", "color.png", "cut [short].jpg"))
    assert good["status"] == "colorized" and good["width"] == 451 and good["warnings"] == []
    assert color["status"] == "colorized" and "already in color" in color["warnings"][0]
    assert cut["status"] == "failed" and "cut short" in cut["error"]
    again = colorizenet("colorize", folder, "--out", tmp_path / "out", "--json").stdout.decode()
    records = [json.loads(line) for line in again.splitlines()]
    assert [record.get("reason") for record in records].count("exists") == 3
    changed = colorizenet(
        *("colorize", folder / "color.png", "--out", tmp_path / "new", "--format", "jpeg", "--json")
    )
    assert json.loads(changed.stdout)["target"].endswith("color.jpg")


def test_a_photo_is_read_from_stdin_and_written_to_stdout(tmp_path, gray):
    encoded = encode_image(Image(gray), "png")
    piped = colorizenet("colorize", "-", stdin=encoded)
    assert piped.returncode == 0 and piped.stderr == b""
    assert read_image(piped.stdout).pixels.shape == (300, 451, 3)
    colorizenet("colorize", "-", "--out", tmp_path / "named.png", stdin=encoded)
    assert (tmp_path / "named.png").read_bytes() == piped.stdout
    (tmp_path / "gray.png").write_bytes(encoded)
    for dash in (["--out", "-"], ["-o", "-"], ["--out=-"], ["-o=-"]):
        done = colorizenet("colorize", tmp_path / "gray.png", *dash)
        assert done.stdout == piped.stdout, dash
    broken = colorizenet("colorize", "-", stdin=encoded[:4000])
    assert broken.returncode == 1 and broken.stdout == b""
    assert "the picture is damaged" in read_line(broken.stderr)


def test_16_bits_and_alpha_are_kept(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    alpha = np.random.default_rng(1).integers(0, 65536, (40, 50), dtype=np.uint16)
    write_image(tmp_path / "deep.tif", Image(deep, alpha))
    done = colorizenet("colorize", tmp_path / "deep.tif", "--out", tmp_path / "out")
    result = read_image(tmp_path / "out" / "deep.tif")
    assert done.returncode == 0
    assert (
        result.pixels.dtype == np.uint16
        and result.alpha is not None
        and np.array_equal(result.alpha, alpha)
    )
    converted = colorizenet(
        "colorize", tmp_path / "deep.tif", "--out", tmp_path / "out", "--format", "jpeg"
    )
    assert (
        converted.returncode == 0
        and b"1 photo is written as png: jpeg holds no transparency" in converted.stderr
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("deep*")) == [
        "deep.png",
        "deep.tif",
    ]


def test_options_change_the_result(tmp_path, gray):
    encoded = encode_image(Image(gray), "png")

    def colorize(*options: object) -> np.ndarray:
        return read_image(
            colorizenet("colorize", "-", *options, stdin=encoded).stdout
        ).pixels.astype(int)

    plain = colorize()
    assert np.ptp(colorize("--strength", 0), axis=2).max() == 0
    assert np.ptp(colorize("--strength", 2), axis=2).mean() > 1.5 * np.ptp(plain, axis=2).mean()
    assert np.abs(colorize("--size", 128) - plain).mean() > 0.5
    webp = colorizenet("colorize", "-", "--format", "webp", "--quality", 20, stdin=encoded)
    assert read_image(webp.stdout).format == "webp"
    finer = colorizenet("colorize", "-", "--format", "webp", stdin=encoded)
    assert len(webp.stdout) < len(finer.stdout) / 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["colorize"], "no photo was given"),
        (["colorize", "a.jpg", "--strenth", "1"], "Did you mean --strength?"),
        (["colorize", "a.jpg", "--strength", "3"], "strength"),
        (["colorize", "a.jpg", "--format", "bmp"], "format"),
        (
            ["colorize", "a.jpg", "--format", "png", "--quality", "80"],
            "--quality is for jpeg, webp, avif",
        ),
        (["colorize", "a.jpg", "--model", "missing.onnx"], "model missing.onnx cannot be read"),
        (["colorize", "a.jpg", "--device", "abacus"], "cannot run on abacus"),
        (["colorize", "a.jpg", "--quality", "0"], "quality"),
        (["colorize", "a.jpg", "--quality", "80.5"], "--quality is 80.5; give a whole number"),
        (["colorize", "a.jpg", "--hints", "x"], "the hints x cannot be read"),
        (["colorize", "a.jpg", "--hints", "."], "--hints . has no file for any photo"),
        (["colorize", "a.jpg", "b.jpg", "--hints", "x"], "--hints x is not a folder"),
        (["colorize", "a.jpg", "b.jpg", "--hint", "0,0,neutral"], "--hint is for one photo"),
        (["colorize", "a.jpg", "--hint", "0,2,neutral"], "y of a hint is 2.0"),
        (["colorize", "-", "--hints", "."], "--hints . is a folder"),
        (["colorize", "a.jpg", "--seed", "1"], "--seed"),
        (["colorize", "a.jpg", "-q", "-v"], "exclude each other"),
        (["colorize", "*.jpg"], "no file matches *.jpg"),
        (["colorize", "a.jpg", "-o", "x.png", "--format", "jpeg"], "x.png is a png file"),
        (["colorize", "a.jpg", "-o", "x.png", "--suffix", "x"], "--suffix is for a folder"),
        (["colorize", "a.jpg", "b.jpg", "-o", "x.png"], "is a file and there may be several"),
        (["colorize", "-", "--skip-color"], "- is for one photo, without"),
        (["colorize", "."], "no photo in ."),
        (["colorize", ".", "--out", "-"], "is a folder"),
        (["colorize", "-", "b.jpg"], "is for one photo"),
        (["coulorize"], "Did you mean"),
        (["info", "missing.onnx"], "model missing.onnx cannot be read"),
        (["export", "missing", "--out", "x.onnx"], "missing"),
        (["export", "missing", "--out", "photo.png"], "ends in .onnx"),
        (["colorize", ""], "empty name"),
        (["colorize", "photo.jpg", "--out", ""], "--out is empty"),
        (["train", "missing"], "missing"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    arguments, expected, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    printed = capsys.readouterr()
    assert exit.value.code == 2 and printed.out == ""
    assert expected in read_line(printed.err.encode())
    assert list(tmp_path.iterdir()) == []


def test_hints_come_from_flags_files_and_folders(tmp_path, gray):
    photo = Image(gray[:64, :64])
    for name in ("in/a.png", "in/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name, photo)
    hints = (Hint(x=0.5, y=0.5, rgb=(200, 30, 30), radius=0.2),)
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    file = tmp_path / "notes" / "deep" / "b.hints.json"
    write_hints(file, hints)

    def colorize(*arguments: object) -> str:
        done = colorizenet("colorize", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr.decode()

    stderr = colorize("in", "--hints", "notes", "-o", "folder")
    assert "of no photo" not in stderr
    write_hints(tmp_path / "notes" / "b.hints.json", hints)
    assert "--hints of no photo: notes/b.hints.json\n" in colorize(
        "in", "--hints", "notes", "-o", "other"
    )
    assert colorize("in", "--hints", "notes", "-o", "quiet", "--quiet") == ""
    colorize("in/deep/b.png", "--hints", file, "-o", "file")
    colorize("in/deep/b.png", "--hint", "0.5,0.5,#c81e1e,0.2", "-o", "flag")
    colorize("in/deep/b.png", "-o", "without")
    expected = (tmp_path / "folder/deep/b.png").read_bytes()
    assert (tmp_path / "file/b.png").read_bytes() == expected
    assert (tmp_path / "flag/b.png").read_bytes() == expected
    assert (tmp_path / "without/b.png").read_bytes() != expected
    plain = read_image(tmp_path / "without/b.png").pixels
    assert np.array_equal(read_image(tmp_path / "folder/a.png").pixels, plain)
    stream = encode_image(photo, "png")
    streamed = colorizenet("colorize", "-", "--hints", file, stdin=stream).stdout
    assert np.array_equal(read_image(streamed).pixels, read_image(expected).pixels)


def test_files_and_folders_that_are_left_out_are_named_at_the_end(tmp_path, gray):
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "a.png", Image(gray[:32, :32]))
    for name in ("b.psd", "c.nef"):
        (folder / name).write_bytes(b"other")
    (tmp_path / "elsewhere").mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    done = colorizenet("colorize", "in", "-o", "out", cwd=tmp_path)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 0 and lines[0].startswith("1 colorized in")
    assert lines[1:] == [
        "colorizenet: 2 files of other formats are left out: in/b.psd, in/c.nef",
        "colorizenet: 1 linked folder is left out: in/linked",
    ]
    quiet = colorizenet("colorize", "in", "-o", "out", "-q", cwd=tmp_path)
    assert quiet.returncode == 0 and quiet.stderr == b""


def test_a_folder_that_cannot_be_searched_is_status_1_and_the_others_are_done(tmp_path, gray):
    (tmp_path / "in" / "closed").mkdir(parents=True)
    write_image(tmp_path / "in" / "a.png", Image(gray[:32, :32]))
    program = (  # permissions do not bind the superuser
        "import os, sys\n"
        "scan = os.scandir\n"
        "def refuse(path='.'):\n"
        "    if os.fspath(path).endswith('closed'):\n"
        "        raise PermissionError(13, 'Permission denied', os.fspath(path))\n"
        "    return scan(path)\n"
        "os.scandir = refuse\n"
        "import colorizenet.cli as cli; cli.main(['colorize', 'in', '-o', 'out'])\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 1 and (tmp_path / "out" / "a.png").exists()
    assert b"in/closed cannot be searched: Permission denied" in done.stderr


def test_a_stream_without_end_is_refused_by_its_first_bytes():
    with Path("/dev/zero").open("rb") as endless:
        command = [sys.executable, "-m", "colorizenet", "colorize", "-"]
        done = subprocess.run(command, stdin=endless, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "not in a supported picture format" in read_line(done.stderr)


def test_a_contact_sheet_shows_a_pgm(tmp_path):
    values = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    (tmp_path / "a.pgm").write_bytes(b"P5 64 #w\n48 255\n" + (values % 256).astype("u1").tobytes())
    done = colorizenet("colorize", "a.pgm", "--contact-sheet", "sheet.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "sheet.png").pixels.shape[1] == 1280


def test_a_missing_photo_is_status_1(tmp_path):
    done = colorizenet("colorize", "nowhere\n.jpg", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.decode()
        .splitlines()[0]
        .startswith("colorizenet: 'nowhere\\n.jpg' cannot be read")
    )


def test_models_and_info_describe_the_shipped_models():
    listed = colorizenet("models").stdout.decode()
    assert "default" in listed and "MB" in listed and "ciede2000" in listed
    card = json.loads(colorizenet("info", "default").stdout)
    assert card["name"] == "default" and len(card["sha256"]) == 64 and card["ab_scale"] == 128


def test_a_closed_stdout_gives_no_traceback(folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "colorizenet",
        "colorize",
        str(folder),
        "--out",
        str(tmp_path / "out"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        stderr = process.stderr.read().decode()
    assert "Traceback" not in stderr and "Exception" not in stderr


def test_messages_of_a_closed_stderr_go_nowhere(folder, tmp_path):
    command = f"{sys.executable} -m colorizenet colorize {folder} -o {tmp_path / 'out'} 2>&-"
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 1  # one photo is cut short
    results = {tmp_path / "out" / name for name in ("good.jpg", "below/good too.png")}
    assert set(done.stdout.decode().splitlines()) == set(map(str, results))
    assert all(path.is_file() for path in results)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.touch(), "is empty; expected a picture"),
        (os.mkfifo, "is empty; expected a picture"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: None, "cannot be read: No such file"),
    ],
    ids=["empty", "named pipe", "folder", "missing"],
)
def test_info_says_of_a_photo_what_colorize_says(make, message, tmp_path):
    make(tmp_path / "1921.jpg")
    done = colorizenet("info", "1921.jpg", cwd=tmp_path)
    assert done.returncode == 1
    assert f"1921.jpg {message}" in read_line(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "closed", "message"),
    [
        ("- -o x.png", "<&-", "standard input is closed; pipe a photo into it"),
        ("good.jpg -o -", ">&-", "standard output is closed; name a file"),
    ],
)
def test_a_stream_that_is_closed_from_the_start_is_one_line(arguments, closed, message, folder):
    command = f"{sys.executable} -m colorizenet colorize {arguments} {closed}"
    done = subprocess.run(
        ["sh", "-c", command], stderr=subprocess.PIPE, stdout=None, cwd=folder, check=False
    )
    assert done.returncode == 2 and message in read_line(done.stderr)


@pytest.mark.parametrize("arguments", [("models",), ("colorize", "good.jpg", "-o", "-")])
def test_a_full_stdout_is_one_line_and_status_1(arguments, folder):
    command = [sys.executable, "-m", "colorizenet", *arguments]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=folder, check=False)
    assert done.returncode == 1
    assert "the output cannot be used: No space left" in read_line(done.stderr)


def test_training_without_torch_names_the_extra_to_install():
    program = (
        "import sys; sys.modules['torch'] = None;"  # as if it were not installed
        "import colorizenet.cli as cli; cli.main(['train', 'encoder_unet'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 2
    assert "pip install 'colorizenet[train]'" in read_line(done.stderr)


def test_files_of_the_user_are_not_overwritten(tmp_path, gray):
    encoded = encode_image(Image(gray), "png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded)
    cases = [
        (["colorize", "-", "--out", "a.png"], "a.png exists already"),
        (["colorize", "a.png", "--out", "b.png"], "b.png exists already"),
        (["colorize", "a.png", "--out", "a.png", "--overwrite"], "a.png is the photo itself"),
        (["colorize", "a.png", "--contact-sheet", "a.png"], "is one of the photos"),
        (["colorize", "a.png", "--contact-sheet", "sheet.txt"], "has no format"),
        (["colorize", ".", "--out", "result.png"], "is a file and there may be several"),
        (["colorize", ".", "--out", "."], "both the input and the folder of the results"),
    ]
    for arguments, expected in cases:
        done = colorizenet(*arguments, stdin=encoded, cwd=tmp_path)
        assert done.returncode == 2 and expected in read_line(done.stderr), arguments
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.png": encoded,
        "b.png": encoded,
    }


def test_out_can_be_a_file_for_one_photo(tmp_path, gray):
    write_image(tmp_path / "a.png", Image(gray))
    done = colorizenet("colorize", "a.png", "-o", "deep/x.webp", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.decode().strip() == "deep/x.webp"
    assert read_image(tmp_path / "deep" / "x.webp").format == "webp"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "deep"], "no journal"
    again = colorizenet("colorize", "a.png", "-o", "deep/x.webp", "--overwrite", cwd=tmp_path)
    assert again.returncode == 0
    write_image(tmp_path / "alpha.png", Image(gray, gray))
    refused = colorizenet("colorize", "alpha.png", "-o", "x.jpg", cwd=tmp_path)
    assert refused.returncode == 1 and b"jpeg holds no transparency" in refused.stderr
    stream = encode_image(Image(gray, gray), "png")
    refused = colorizenet("colorize", "-", "-o", "x.jpg", cwd=tmp_path, stdin=stream)
    assert refused.returncode == 1 and "name a png file" in read_line(refused.stderr)
    assert not (tmp_path / "x.jpg").exists()


def test_a_dry_run_prints_the_targets_and_writes_nothing(tmp_path, folder):
    done = colorizenet("colorize", folder, "-o", "out", "--suffix=-color", "-n", cwd=tmp_path)
    assert done.returncode == 2, "there is no short form"
    done = colorizenet("colorize", "in", "-o", "out", "--suffix=-color", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [
        "in/cut [short].jpg -> out/cut [short]-color.jpg",
        "in/good.jpg -> out/good-color.jpg",
        "in/below/good too.png -> out/below/good too-color.png",
    ]
    assert b"3 to colorize; nothing was written" in done.stderr
    assert not (tmp_path / "out").exists()
    colorizenet("colorize", "in", "-o", "out", "--suffix", "-color", cwd=tmp_path)
    assert (tmp_path / "out" / "good-color.jpg").exists()
    before = sorted(tmp_path.rglob("*"))
    again = colorizenet(
        "colorize", "in", "-o", "out", "--suffix=-color", "--dry-run", "--json", cwd=tmp_path
    )
    statuses = [json.loads(line)["status"] for line in again.stdout.decode().splitlines()]
    assert statuses == ["planned", "skipped", "skipped"]
    assert sorted(tmp_path.rglob("*")) == before


def test_patterns_are_expanded_where_the_shell_did_not(tmp_path, gray):
    for name in ("a.png", "b.png", "c.tif", "[d].png"):
        write_image(tmp_path / name, Image(gray[:32, :32]))
    done = colorizenet("colorize", "[ab].png", "*.tif", "[d].png", "--dry-run", cwd=tmp_path)
    sources = [line.partition(" -> ")[0] for line in done.stdout.decode().splitlines()]
    assert sources == ["a.png", "b.png", "c.tif", "[d].png"], "a file of that name comes first"


def test_quiet_prints_errors_only_and_verbose_describes_each_photo(tmp_path, folder):
    quiet = colorizenet("colorize", folder, "-o", tmp_path / "quiet", "-q")
    assert quiet.returncode == 1 and quiet.stdout == b""
    assert "cut [short].jpg is damaged" in read_line(quiet.stderr)
    verbose = colorizenet("colorize", folder, "-o", tmp_path / "verbose", "--verbose")
    lines = verbose.stderr.decode()
    assert "model default (SHA-256 " in lines and "good.jpg: 451 x 300 in" in lines
    again = colorizenet("colorize", folder, "-o", tmp_path / "verbose", "-v").stderr.decode()
    assert "good.jpg: skipped, exists" in again
    assert "2 already there (--overwrite redoes them)" in again


def test_color_photos_are_left_out_with_skip_color_and_named_without(
    tmp_path, gray, color_photograph
):
    write_image(tmp_path / "color.png", Image(color_photograph))
    write_image(tmp_path / "gray.png", Image(gray))
    skipped = colorizenet(
        "colorize", "color.png", "gray.png", "-o", "out", "--skip-color", cwd=tmp_path
    )
    assert skipped.returncode == 0 and skipped.stdout.decode().split() == ["out/gray.png"]
    assert skipped.stderr.decode().strip().endswith("1 already in color")
    warned = colorizenet("colorize", "color.png", "-o", "out", cwd=tmp_path)
    assert warned.returncode == 0 and b"color.png is already in color" in warned.stderr
    stream = (tmp_path / "color.png").read_bytes()
    assert b"already in color" in colorizenet("colorize", "-", stdin=stream).stderr


def test_the_flags_of_colorize_are_the_choices_of_options_and_output():
    command = app["colorize"].default_command
    assert command is not None
    parameters = inspect.signature(command).parameters
    for choice in [*choices(Options), *choices(Output)]:
        assert choice.name in parameters, choice.name
        if choice.simple:
            assert parameters[choice.name].default == choice.default
    text = " ".join(colorizenet("colorize", "--help").stdout.decode().replace("│", " ").split())
    for choice in [*choices(Options), *choices(Output)]:
        flag = f"--{choice.name.replace('_', '-')} "
        assert flag in text, flag
        if choice.simple:
            assert choice.help.split(".")[0].split(" ")[-1] in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(tmp_path, shell):
    command = [sys.executable, "-m", "colorizenet", "--install-completion", "--shell", shell]
    script = tmp_path / "completion"
    done = subprocess.run(
        [*command, "--output", str(script)],
        capture_output=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path), "SHELL": f"/bin/{shell}"},
    )
    assert done.returncode == 0, done.stderr
    assert "--contact-sheet" in script.read_text() or "contact-sheet" in script.read_text()


def interrupt(
    command: list[object], ready: Path, cwd: Path, number: signal.Signals
) -> tuple[int, str]:
    """Start a command, signal it once a file exists; return its status and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "colorizenet", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )
    with process:
        deadline = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_says_in_one_line_what_is_finished_and_how_to_go_on(tmp_path, gray, interruption):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(60):
        write_image(folder / f"{number:02}.png", Image(np.roll(gray, number)))
    command = ["colorize", folder, "--out", "out", "--jobs", 2]
    status, stderr = interrupt(command, tmp_path / "out" / "00.png", tmp_path, interruption)
    assert status == 130 and "Traceback" not in stderr
    [line] = stderr.splitlines()
    finished = len(results_in(tmp_path / "out"))
    assert 1 <= finished < 60
    assert line == (
        f"colorizenet: interrupted; {finished} of 60 photos are finished; "
        "run the same command to go on"
    )
    again = colorizenet(*command, cwd=tmp_path)
    assert again.returncode == 0
    assert f"{60 - finished} colorized" in again.stderr.decode()
    assert len(results_in(tmp_path / "out")) == 60


def test_ctrl_c_before_the_first_photo_is_one_line_too(tmp_path):
    """It waits for stdin, which nobody writes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "colorizenet", "colorize", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert read_line(stderr) == "colorizenet: interrupted; nothing was left half-written"


def test_results_of_earlier_runs_are_no_photos(tmp_path, gray):
    def run(source: str, out: str) -> tuple[set[str], bytes]:
        done = colorizenet("colorize", source, "--out", out, cwd=tmp_path)
        assert done.returncode == 0
        folder = tmp_path / out
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}, done.stderr

    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(gray))
    assert run(".", "one")[0] == {"in/a.png"}
    results, stderr = run(".", "two")
    assert results == {"in/a.png"}
    assert b"1 result of an earlier run is left out: one/in/a.png\n" in stderr
    write_image(tmp_path / "one" / "b.png", Image(gray))  # not by a run
    assert run(".", "three")[0] == {"in/a.png", "one/b.png"}
    # Whoever names the folder wants its results colorized.
    assert run("one", "four")[0] == {"b.png", "in/a.png"}


def test_stdin_is_written_in_the_format_of_the_extension(tmp_path, gray):
    done = colorizenet(
        "colorize", "-", "--out", tmp_path / "x.webp", stdin=encode_image(Image(gray), "png")
    )
    assert done.returncode == 0 and read_image(tmp_path / "x.webp").format == "webp"


def test_a_file_without_extension_needs_a_format(tmp_path, gray):
    stream = encode_image(Image(gray), "png")
    refused = colorizenet("colorize", "-", "--out", "x", stdin=stream, cwd=tmp_path)
    assert refused.returncode == 2 and list(tmp_path.iterdir()) == []
    assert "--out x ends in no extension of a picture format" in read_line(refused.stderr)
    done = colorizenet(
        "colorize", "-", "--out", "x", "--format", "webp", stdin=stream, cwd=tmp_path
    )
    assert done.returncode == 0 and read_image(tmp_path / "x").format == "webp"


def test_what_a_photo_on_stdin_loses_is_named(gray):
    lost = Metadata(
        exif=tiff.make_exif_block({40091: (tiff.BYTE, bytes(70_000))}),
        texts=((b"tEXt", b"Title\0Mill"),),
    )
    encoded = encode_image(Image(gray, metadata=lost), "png")
    done = colorizenet("colorize", "-", "--format", "jpeg", stdin=encoded)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 0 and len(lines) == 2
    assert "the picture has text, which jpeg does not hold and is left out" in lines[0]
    assert "more EXIF than jpeg holds, and its longest tag is left out" in lines[1]
    quiet = colorizenet("colorize", "-", "--format", "jpeg", "--quiet", stdin=encoded)
    assert quiet.stderr == b"" and quiet.stdout == done.stdout


def test_results_go_to_their_file_while_progress_is_on_a_terminal(tmp_path, folder):
    command = [
        sys.executable,
        "-m",
        "colorizenet",
        "colorize",
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    leader, follower = pty.openpty()
    with (tmp_path / "results.jsonl").open("wb") as results:
        subprocess.run(command, stdout=results, stderr=follower, check=False, timeout=120)
    os.close(follower)
    os.close(leader)
    assert (
        len([json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()])
        == 3
    )


def test_bad_photos_only_are_status_1_without_a_contact_sheet(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    done = colorizenet("colorize", "bad.jpg", "--contact-sheet", "sheet.png", cwd=tmp_path)
    assert done.returncode == 1 and not (tmp_path / "sheet.png").exists()


@pytest.fixture
def many(tmp_path, gray) -> Path:
    """A folder of twelve different photos."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(12):
        ending = (".jpg", ".png", ".tif")[i % 3]
        write_image(
            folder / f"{i:02}{ending}", Image(np.roll(gray[: 120 + i, :160], 7 * i, axis=1))
        )
    return folder


def results_in(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.is_dir()}


def test_a_run_that_is_killed_at_any_moment_is_completed_by_the_next(tmp_path, many):
    command = [sys.executable, "-m", "colorizenet", "colorize", str(many), "--out"]
    started = time.monotonic()
    subprocess.run(
        [*command, str(tmp_path / "undisturbed")], check=True, capture_output=True, timeout=120
    )
    whole = time.monotonic() - started
    wanted = results_in(tmp_path / "undisturbed")
    assert len(wanted) == 12
    moments = np.random.default_rng().uniform(0.3, 1, 20) * whole
    orphans = 0
    for i, moment in enumerate(moments):
        out = tmp_path / f"killed-{i % 5}"  # each is disturbed four times
        with subprocess.Popen(
            [*command, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            time.sleep(moment)
            process.kill()
        there = results_in(out) if out.is_dir() else {}
        orphans += sum(name.endswith(".part") for name in there)
        finished = {name: content for name, content in there.items() if not name.endswith(".part")}
        assert finished.items() <= wanted.items(), "what has its name is whole"
        if i == 10:
            shutil.rmtree(tmp_path / "killed-0", ignore_errors=True)  # once more from the beginning
    for i in range(5):
        subprocess.run(
            [*command, str(tmp_path / f"killed-{i}")], check=True, capture_output=True, timeout=120
        )
        assert results_in(tmp_path / f"killed-{i}") == wanted, (
            f"after kills at {moments}, {orphans} orphans"
        )


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path, gray):
    """A limit on the size of files makes writing fail in the middle of a photo."""
    write_image(tmp_path / "large.tif", Image(np.tile(gray, (4, 4)), compression="none"))
    write_image(tmp_path / "small.tif", Image(gray[:32, :32], compression="none"))
    program = (
        "import resource, signal, sys, pathlib\n"
        "from colorizenet.batch import Worker, run_threads\n"
        "from colorizenet.cli.console import print_summary, report\n"
        "from colorizenet.planning import plan_jobs\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "jobs = plan_jobs([pathlib.Path('large.tif'), pathlib.Path('small.tif')],"
        " pathlib.Path(sys.argv[2]))\n"
        "worker = Worker(stream_above=int(sys.argv[1]))\n"
        "results = []\n"
        "report(run_threads(jobs, worker), len(jobs), results)\n"
        "print_summary(results, 0)\n"
    )
    for stream_above in (1 << 40, 1):
        out = tmp_path / f"out-{stream_above}"
        command = [sys.executable, "-c", program, str(stream_above), str(out)]
        done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, timeout=120)
        message, summary, repeated = done.stderr.decode().splitlines()
        assert "large.tif" in message or "1804 x 1200" in message
        assert "cannot be written" in message and repeated.strip() in message
        assert summary.startswith("1 colorized") and summary.endswith("1 failed:")
        assert list(results_in(out)) == ["small.tif"]


def test_entries_of_a_folder_that_are_not_photos_fail_alone(tmp_path, gray):
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "good 🌻\n.jpg", Image(gray))
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.tif")
    (folder / "text.jpg").write_text("hello")
    (folder / "drawing.png").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>"
    )
    (folder / "matrix.tif").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    (folder / "bomb.png").write_bytes(pyvips.Image.black(60_000, 60_000).write_to_buffer(".png"))
    done = colorizenet("colorize", folder, "--out", tmp_path / "out")
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    messages, summary, repeated = lines[:6], lines[6], lines[7:]
    assert summary.startswith("1 colorized") and summary.endswith("6 failed:")
    assert [line.strip() for line in repeated] == [
        message.removeprefix("colorizenet: ") for message in messages
    ]
    assert all(
        message.startswith("colorizenet: ") and message.count(";") >= 1 for message in messages
    )
    assert any(
        "60000 x 60000 pixels and the limit is 2,000,000,000" in message for message in messages
    )
    assert list(results_in(tmp_path / "out")) == ["good 🌻\n.jpg"]


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_jpeg_cut_at_every_tenth_is_an_error(tenth, gray):
    encoded = encode_image(Image(gray), "jpeg")
    with pytest.raises(ImageError):
        read_image(encoded[: len(encoded) * tenth // 10])


def test_photos_are_redone_when_an_option_changes(tmp_path, folder):
    def statuses(*options: object) -> list[str]:
        done = colorizenet(
            "colorize", folder / "good.jpg", "--out", tmp_path / "out", "--json", *options
        )
        return [json.loads(line)["status"] for line in done.stdout.decode().splitlines()]

    assert statuses() == ["colorized"]
    assert statuses() == ["skipped"]
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "out" / "good.jpg").read_bytes()
    assert statuses("--no-provenance") == ["colorized"]
    assert b"compositeWith" not in (tmp_path / "out" / "good.jpg").read_bytes()
    assert statuses("--no-provenance", "--tta") == ["colorized"]
    assert statuses("--no-provenance", "--tta", "--strength", 0.5) == ["colorized"]
    assert statuses("--no-provenance", "--tta", "--strength", 0.5) == ["skipped"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good.jpg", "--suffix", "/x"], "is not a part of a file name"),
        (["good.jpg", "--contact-sheet", "nowhere/s.jpg"], "nowhere does not exist"),
        (["good.jpg", "--contact-sheet", "s.gif"], "has no format that can be written"),
        (["good.jpg", "--contact-sheet", "below"], "has no format that can be written"),
        (["good.jpg", "--out", "x.png", "--quality", "50"], "png is lossless"),
        (["good.jpg", "--out", "kept.jpg", "--sidecar", "also"], "kept.jpg.colors.json exists"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(arguments, message, folder):
    (folder / "kept.jpg.colors.json").write_bytes(b"of the user")
    done = colorizenet("colorize", *arguments, cwd=folder)
    assert done.returncode == 2 and message in read_line(done.stderr)
    assert not (folder / "colorized").exists() and not (folder / "kept.jpg").exists()


def test_a_lone_dash_is_a_stream_only_where_colorize_has_one(folder):
    named = colorizenet("colorize", "good.jpg", "--suffix", "-", cwd=folder)
    assert named.returncode == 0 and (folder / "colorized" / "good-.jpg").exists()
    assert b"//-" not in colorizenet("info", "-", cwd=folder).stderr


def test_a_dry_run_names_what_would_be_written(folder):
    planned = colorizenet("colorize", "good.jpg", "--sidecar", "only", "--dry-run", cwd=folder)
    assert planned.stdout.decode().split() == ["good.jpg", "->", "colorized/good.jpg.colors.json"]
