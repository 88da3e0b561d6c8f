"""The command line as a person or a script meets it: streams, statuses, messages."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips

from colorizenet import __version__
from colorizenet.errors import ImageError
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image, write_image


def colorizenet(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "colorizenet", *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, cwd=cwd, timeout=120
    )


def one_line(stderr: bytes) -> str:
    lines = stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("colorizenet: ")
    return lines[0]


@pytest.fixture
def folder(tmp_path, gray) -> Path:
    """Two good photographs, one cut short and one in a folder below."""
    path = tmp_path / "in"
    (path / "below").mkdir(parents=True)
    good = encode_image(Image(gray), "jpeg")
    (path / "good.jpg").write_bytes(good)
    (path / "below" / "good too.png").write_bytes(encode_image(Image(gray), "png"))
    (path / "cut [short].jpg").write_bytes(good[:5000])
    return path


def test_the_version_and_the_help():
    assert colorizenet("--version").stdout.decode().strip() == f"colorizenet {__version__}"
    shown = colorizenet("--help").stdout.decode()
    assert all(verb in shown for verb in ("colorize", "export", "info", "models", "train"))
    for verb in ("colorize", "export", "info", "models"):
        help_of = colorizenet(verb, "--help")
        assert help_of.returncode == 0 and b"Usage: colorizenet" in help_of.stdout


def test_a_photograph_goes_in_and_a_color_one_comes_out(tmp_path, samples):
    source = next(path for path in samples if path.stem == "cameraman")
    done = colorizenet("colorize", source, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.decode().strip() == "colorized/cameraman.jpg"
    result = read_image(tmp_path / "colorized" / "cameraman.jpg")
    assert result.pixels.shape == (*read_image(source).pixels.shape, 3)
    assert np.ptp(result.pixels.astype(int), axis=2).mean() > 5


def test_a_folder_with_a_bad_picture_in_it(tmp_path, folder):
    out = tmp_path / "out"
    done = colorizenet("colorize", folder, "--out", out, "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 1
    message, summary = done.stderr.decode().splitlines()
    assert "cut [short].jpg is damaged or cut short" in message
    assert summary.startswith("2 colored in") and summary.endswith("1 failed")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*g*.*g")) == [
        "below/good too.png",
        "good.jpg",
    ]
    assert read_image(tmp_path / "sheet.png").pixels.shape == (208 + 8, 1280, 3)


def test_json_tells_of_each_picture_in_one_line(tmp_path, folder):
    done = colorizenet("colorize", folder, "--out", tmp_path / "out", "--json")
    told = {
        Path(line["source"]).name: line
        for line in map(json.loads, done.stdout.decode().splitlines())
    }
    assert told["good.jpg"]["status"] == "colored" and told["good.jpg"]["width"] == 451
    assert (
        told["cut [short].jpg"]["status"] == "failed"
        and "cut short" in told["cut [short].jpg"]["error"]
    )
    again = colorizenet("colorize", folder, "--out", tmp_path / "out", "--json").stdout.decode()
    assert [json.loads(line)["status"] for line in again.splitlines()].count("skipped") == 2


def test_a_picture_through_the_streams(tmp_path, gray):
    encoded = encode_image(Image(gray), "png")
    piped = colorizenet("colorize", "-", stdin=encoded)
    assert piped.returncode == 0 and piped.stderr == b""
    assert read_image(piped.stdout).pixels.shape == (300, 451, 3)
    colorizenet("colorize", "-", "--out", tmp_path / "named.png", stdin=encoded)
    assert (tmp_path / "named.png").read_bytes() == piped.stdout
    (tmp_path / "gray.png").write_bytes(encoded)
    assert colorizenet("colorize", tmp_path / "gray.png", "--out", "-").stdout == piped.stdout
    broken = colorizenet("colorize", "-", stdin=encoded[:4000])
    assert broken.returncode == 1 and broken.stdout == b""
    assert "the picture is damaged" in one_line(broken.stderr)


def test_sixteen_bits_and_alpha_survive(tmp_path):
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
    kept = colorizenet(
        "colorize", tmp_path / "deep.tif", "--out", tmp_path / "out", "--format", "jpeg"
    )
    assert (
        kept.returncode == 0
        and b"1 picture is written as png: jpeg holds no transparency" in kept.stderr
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("deep*")) == [
        "deep.png",
        "deep.tif",
    ]


def test_choices_change_the_result(tmp_path, gray):
    encoded = encode_image(Image(gray), "png")

    def colored(*options: object) -> np.ndarray:
        return read_image(
            colorizenet("colorize", "-", *options, stdin=encoded).stdout
        ).pixels.astype(int)

    plain = colored()
    assert np.ptp(colored("--strength", 0), axis=2).max() == 0
    assert np.ptp(colored("--strength", 2), axis=2).mean() > 1.5 * np.ptp(plain, axis=2).mean()
    assert np.abs(colored("--size", 128) - plain).mean() > 0.5
    assert (
        read_image(colorizenet("colorize", "-", "--format", "webp", stdin=encoded).stdout).format
        == "webp"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["colorize"], "no photograph named"),
        (["colorize", "a.jpg", "--strenth", "1"], "Did you mean --strength?"),
        (["colorize", "a.jpg", "--strength", "3"], "strength"),
        (["colorize", "a.jpg", "--format", "bmp"], "format"),
        (
            ["colorize", "a.jpg", "--format", "png", "--quality", "80"],
            "--quality is for jpeg, webp, avif",
        ),
        (["colorize", "a.jpg", "--model", "missing.onnx"], "model missing.onnx cannot be read"),
        (["colorize", "a.jpg", "--provider", "abacus"], "cannot run on abacus"),
        (["colorize", "."], "no photograph in ."),
        (["colorize", ".", "--out", "-"], "is a folder"),
        (["colorize", "-", "b.jpg"], "is for one picture"),
        (["coulorize"], "Did you mean"),
        (["info", "missing.onnx"], "model missing.onnx cannot be read"),
        (["export", "missing", "--out", "x.onnx"], "missing"),
        (["train", "missing"], "missing"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(arguments, expected, tmp_path):
    done = colorizenet(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == b""
    assert expected in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_picture_is_status_1(tmp_path):
    done = colorizenet("colorize", "nowhere\n.jpg", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.decode()
        .splitlines()[0]
        .startswith("colorizenet: 'nowhere\\n.jpg' cannot be read")
    )


def test_the_models_that_ship_are_listed_and_described():
    listed = colorizenet("models").stdout.decode()
    assert "default" in listed and "MB" in listed and "ciede2000" in listed
    card = json.loads(colorizenet("info", "default").stdout)
    assert card["name"] == "default" and len(card["sha256"]) == 64 and card["ab_scale"] == 128


def test_a_reader_that_goes_away_is_no_traceback(folder, tmp_path):
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
        told = process.stderr.read().decode()
    assert "Traceback" not in told and "Exception" not in told


def test_training_without_its_extra_says_what_to_install():
    program = (
        "import sys, colorizenet.cli as cli; cli.find_spec = lambda name: None;"
        "sys.argv = ['colorizenet', 'train', 'encoder_unet']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 2
    assert "pip install 'colorizenet[train]'" in one_line(done.stderr)


def test_nothing_of_the_users_is_written_over(tmp_path, gray):
    encoded = encode_image(Image(gray), "png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded)
    refused = [
        (["colorize", "-", "--out", "a.png"], "a.png is there already"),
        (["colorize", "a.png", "--sheet", "a.png"], "is one of the photographs"),
        (["colorize", "a.png", "--sheet", "sheet.txt"], "names no format"),
        (["colorize", "a.png", "--out", "result.png"], "reads like a picture"),
        (["colorize", ".", "--out", "."], "both the input and the place of the results"),
    ]
    for arguments, expected in refused:
        done = colorizenet(*arguments, stdin=encoded, cwd=tmp_path)
        assert done.returncode == 2 and expected in one_line(done.stderr), arguments
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.png": encoded,
        "b.png": encoded,
    }


def test_stdin_is_written_in_the_format_that_its_file_names(tmp_path, gray):
    done = colorizenet(
        "colorize", "-", "--out", tmp_path / "x.webp", stdin=encode_image(Image(gray), "png")
    )
    assert done.returncode == 0 and read_image(tmp_path / "x.webp").format == "webp"


def test_results_reach_their_file_when_progress_is_on_a_terminal(tmp_path, folder):
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
    leader, follower = os.openpty()
    with (tmp_path / "told.jsonl").open("wb") as told:
        subprocess.run(command, stdout=told, stderr=follower, check=False, timeout=120)
    os.close(follower)
    os.close(leader)
    assert (
        len([json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]) == 3
    )


def test_a_folder_of_bad_pictures_only_is_status_1_even_with_a_sheet(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    done = colorizenet("colorize", "bad.jpg", "--sheet", "sheet.png", cwd=tmp_path)
    assert done.returncode == 1 and not (tmp_path / "sheet.png").exists()


@pytest.fixture
def many(tmp_path, gray) -> Path:
    """A folder of a dozen photographs, each another."""
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


def test_a_run_that_is_killed_at_any_moment_is_finished_by_the_next(tmp_path, many):
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


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, gray):
    """A limit on the length of files stands for it: the system refuses to write on, in the midst of a picture."""
    write_image(tmp_path / "large.tif", Image(np.tile(gray, (4, 4)), compression="none"))
    write_image(tmp_path / "small.tif", Image(gray[:32, :32], compression="none"))
    program = (
        "import resource, signal, sys, colorizenet.batch as batch, colorizenet.cli as cli\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "batch.STREAMED = int(sys.argv[1])\n"
        "cli.main(sys.argv[2:])"
    )
    for streamed in (1 << 40, 1):
        out = tmp_path / f"out-{streamed}"
        command = [
            sys.executable,
            "-c",
            program,
            str(streamed),
            "colorize",
            "large.tif",
            "small.tif",
            "--out",
            str(out),
        ]
        done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, timeout=120)
        assert done.returncode == 1 and b"Traceback" not in done.stderr
        message, summary = done.stderr.decode().splitlines()
        assert "large.tif" in message or "1804 x 1200" in message
        assert (
            "cannot be written" in message
            and summary.startswith("1 colored")
            and summary.endswith("1 failed")
        )
        assert list(results_in(out)) == ["small.tif"]


def test_files_that_are_no_files(tmp_path, gray):
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
    *messages, summary = done.stderr.decode().splitlines()
    assert summary.startswith("1 colored") and summary.endswith("6 failed") and len(messages) == 6
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


def test_the_note_and_the_choices_decide_whether_results_are_made_again(tmp_path, folder):
    def statuses(*options: object) -> list[str]:
        done = colorizenet(
            "colorize", folder / "good.jpg", "--out", tmp_path / "out", "--json", *options
        )
        return [json.loads(line)["status"] for line in done.stdout.decode().splitlines()]

    assert statuses() == ["colored"]
    assert statuses() == ["skipped"]
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "out" / "good.jpg").read_bytes()
    assert statuses("--no-note") == ["colored"]
    assert b"compositeWith" not in (tmp_path / "out" / "good.jpg").read_bytes()
    assert statuses("--no-note", "--tta") == ["colored"]
    assert statuses("--no-note", "--tta", "--strength", 0.5) == ["colored"]
    assert statuses("--no-note", "--tta", "--strength", 0.5) == ["skipped"]
