"""``colorizenet evaluate``: table, reports, messages and exit status."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from colorizenet import cli
from colorizenet.evaluation.protocol import evaluate
from colorizenet.options import Options

PICTURES = 6


@pytest.fixture
def run(capsys, model_path):
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["evaluate", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_the_table_is_printed_and_reports_are_written(run, folder, predictions, tmp_path):
    reports = "--report-json", str(tmp_path / "r.json"), "--report-html", str(tmp_path / "r.html")
    compared = "--picture-size", "64", "--predictions", f"other={predictions}"
    status, out, err = run(str(folder), *compared, *reports)
    assert (status, err) == (0, "")
    assert out.startswith(f"{PICTURES} photographs, protocol")
    headings = re.split("  +", out.splitlines()[1].strip())
    references = ["gray", "truth", "oracle 4x", "oracle 8x"]
    assert headings == [*references, "default", "other", "other, true L*", "photographs"]
    first = [re.split("[ \N{NO-BREAK SPACE}]", line)[0] for line in out.splitlines()[2:5]]
    assert first == ["PSNR", "SSIM", "CIEDE2000"]
    content = json.loads((tmp_path / "r.json").read_text())
    assert f"{content['mean']['default']['ciede2000']:.2f}" in out
    assert out.splitlines()[-1].startswith("default vs. other: lower CIEDE2000 on ")
    assert (tmp_path / "r.html").stat().st_size > 10_000


def test_the_command_in_the_report_repeats_it(run, folder, model_path, tmp_path):
    path = tmp_path / "r.json"
    given = [
        "--picture-size",
        "64",
        "--limit",
        "2",
        "--size",
        "32",
        "--tta",
        "--strength",
        "0.87654321",
        "--split",
        "test",
    ]
    status, out, _ = run(
        str(folder), *given, "--model", str(model_path), "--jobs", "1", "--report-json", str(path)
    )
    assert status == 0
    program, verb, *command = json.loads(path.read_text())["settings"]["command"].split()
    assert (program, verb) == ("colorizenet", "evaluate")
    assert command[command.index("--strength") + 1] == "0.87654321"
    assert run(*command) == (0, out, "")
    flags = {"--picture-size", "--limit", "--size", "--tta", "--strength", "--split", "--model"}
    assert {word for word in command if word.startswith("--")} == flags


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--predictions", "folder"), "NAME=DIR"),
        (("--predictions", "a={0}", "--predictions", "a={0}"), "name a twice"),
        (("--predictions", "default={0}"), "same name"),
        (("--picture-size", "63"), "odd"),
        (("--report-json", "absent/r.json"), "does not exist"),
        (("--report-html", "{0}"), "is a folder"),
        (("--model", "absent"), "absent"),
        (("--split", "val"), "val"),
        (("--strength", "1.1", "--match-colorfulness", "20"), "leave out --strength"),
        (("--strength", "3"), "strength"),
        (("--size", "8"), "size"),
        (("--match-colorfulness", "0"), "> 0"),
        (("--match-colorfulness", "900"), "choose another"),
        (("--device", "absent"), "absent"),
    ],
)
def test_a_wrong_command_line_gives_one_line_and_status_2(run, folder, arguments, message):
    status, out, err = run(str(folder), *(word.format(folder) for word in arguments))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is a folder of Linux")
def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(run, folder):
    status, out, err = run(str(folder), "--report-json", "/proc/report.json")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "/proc cannot be written to" in err


def test_the_strength_that_matches_a_colorfulness_is_printed(
    run, folder, colorizer, report, model_path, tmp_path
):
    target = f"{0.7 * report.mean['colorfulness']:.3g}"
    matched = "--picture-size", "64", "--match-colorfulness", target, "--model", str(model_path)
    status, _, err = run(str(folder), *matched, "--report-json", str(tmp_path / "r.json"))
    content = json.loads((tmp_path / "r.json").read_text())
    assert status == 0 and f"--match-colorfulness {target}" in content["settings"]["command"]
    (strength,) = re.findall(r"^colorizenet: tiny has --strength (\S+)$", err, re.MULTILINE)
    assert float(strength) == pytest.approx(content["rows"]["tiny"]["strength"], rel=0.01)
    options = Options(strength=float(strength))
    again = evaluate(colorizer, folder, picture_size=64, options=options)
    assert again.mean["colorfulness"] == pytest.approx(float(target), rel=0.01)


def test_a_photograph_that_fails_gives_status_1_and_a_gray_one_a_warning(
    run, tmp_path, draw, save, model_path
):
    save(tmp_path / "a.png", draw(0))
    save(tmp_path / "b.png", np.full((64, 64, 3), 90, np.uint8))
    arguments = str(tmp_path), "--picture-size", "32", "--model", str(model_path)
    status, out, err = run(*arguments)
    assert status == 0 and out.startswith("1 photographs")
    assert err.startswith("colorizenet: b.png is gray") and err.count("\n") == 1
    (tmp_path / "c.png").write_bytes(b"no picture")
    status, out, err = run(*arguments)
    assert status == 1 and "c.png" in err and out.startswith("1 photographs")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such timer")
def test_ctrl_c_gives_one_line_and_status_130(run, tmp_path, draw, save, model_path):
    save(tmp_path / "0.png", draw(0, 500, 600))
    for number in range(1, 200):
        (tmp_path / f"{number}.png").hardlink_to(tmp_path / "0.png")
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # as Ctrl-C does
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        arguments = str(tmp_path), "--full", "--model", str(model_path), "--jobs", "1"
        status, out, err = run(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert (status, out, err.count("\n")) == (130, "", 1)
    assert "interrupted; no report was written" in err
