"""Sidecars: the colors of results, from which the same results are made again."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from colorizenet import sidecar
from colorizenet.batch import Worker, run_threads
from colorizenet.cli import main
from colorizenet.errors import ConfigError
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import write_image
from colorizenet.options import Hint, Options
from colorizenet.planning import plan_jobs
from colorizenet.sidecar import read_sidecar


@pytest.fixture
def photos(tmp_path, gray) -> Path:
    """A folder of photos of several formats, one of them with pages and a border."""
    folder = tmp_path / "photos"
    folder.mkdir()
    deep = gray.astype(np.uint16) * 257
    bordered = np.pad(gray, 40, constant_values=255)
    write_image(folder / "a.jpg", Image(gray))
    write_image(folder / "deep.tif", Image(deep, format="tiff"))
    write_image(folder / "pages.tif", Image(np.concatenate([bordered, 255 - bordered]), pages=2))
    write_image(folder / "clear.png", Image(gray, alpha=255 - gray))
    return folder


def run(arguments: list[object]) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(each) for each in arguments])
    assert isinstance(exit.value.code, int)
    return exit.value.code


def colorize(photos: Path, out: Path, *more: object) -> int:
    return run(["colorize", photos, "--out", out, *more])


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["--strength", "1.4", "--size", "128", "--no-provenance"],
        ["--hint"],
        ["--format", "avif"],
    ],
)
def test_the_result_is_made_again_bit_for_bit(photos, tmp_path, settings):
    if settings == ["--hint"]:
        for each in photos.glob("[b-z]*"):
            each.unlink()
        settings = ["--hint", "0.4,0.5,#cc2222,0.1", "--hint", "0.1,0.1,neutral"]
    assert colorize(photos, tmp_path / "out", "--sidecar", "also", *settings) == 0
    for photo in photos.iterdir():
        [sidecar] = (tmp_path / "out").glob(f"{photo.stem}.*.colors.json")
        result = sidecar.with_name(sidecar.name.removesuffix(".colors.json"))
        assert run(["apply", photo, sidecar, "--out", tmp_path / "again"]) == 0
        assert (tmp_path / "again" / result.name).read_bytes() == result.read_bytes()


def test_a_sidecar_alone_is_small_and_makes_the_same_picture(photos, tmp_path, samples):
    colorize(samples[3], tmp_path / "both", "--sidecar", "also")
    assert colorize(samples[3], tmp_path / "only", "--sidecar", "only") == 0
    name = samples[3].name
    assert [each.name for each in (tmp_path / "only").glob("[!.]*")] == [f"{name}.colors.json"]
    sidecar = tmp_path / "only" / f"{name}.colors.json"
    assert sidecar.stat().st_size < 20_000
    assert run(["apply", samples[3], sidecar, "--out", tmp_path / "x.jpg"]) == 0
    assert (tmp_path / "x.jpg").read_bytes() == (tmp_path / "both" / name).read_bytes()


def test_rounding_the_colors_changes_hardly_a_pixel(tmp_path, samples):
    colorize(samples[0], tmp_path / "plain", "--format", "png")
    colorize(samples[0], tmp_path / "rounded", "--format", "png", "--sidecar", "also")
    plain, rounded = (
        read_image(tmp_path / name / f"{samples[0].stem}.png").pixels.astype(int)
        for name in ("plain", "rounded")
    )
    assert abs(plain - rounded).max() <= 1


def test_a_photo_in_strips_gives_the_same_picture(tmp_path, gray, make_model):
    write_image(tmp_path / "a.tif", Image(np.tile(gray, (4, 4)), format="tiff"))
    jobs = plan_jobs([tmp_path / "a.tif"], tmp_path / "out", sidecar="also")
    worker = Worker(model=make_model(), stream_above=1000, threads=2)
    [done] = run_threads(jobs, worker)
    assert done.error is None
    sidecar = read_sidecar(jobs[0].sidecars[0])
    sidecar.apply(tmp_path / "a.tif", tmp_path / "again.tif", stream_above=1000)
    assert (tmp_path / "again.tif").read_bytes() == jobs[0].target.read_bytes()


def test_the_second_run_does_nothing_and_a_missing_sidecar_is_written_again(photos, tmp_path):
    out = tmp_path / "out"
    colorize(photos, out, "--sidecar", "also")
    before = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    assert len(before) == 8
    colorize(photos, out, "--sidecar", "also")
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    (out / "a.jpg.colors.json").unlink()
    colorize(photos, out, "--sidecar", "also")
    after = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    assert after.keys() == before.keys()
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed == {"a.jpg", "a.jpg.colors.json"}


def test_a_result_of_somebody_else_is_kept(photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"somebody's work")
    assert colorize(photos, out, "--sidecar", "also", "--dry-run") == 0
    planned = capsys.readouterr().out.splitlines()
    assert f"{photos / 'a.jpg'} -> {out / 'a.jpg.colors.json'}" in planned
    assert colorize(photos, out, "--sidecar", "also", "--dry-run", "--json") == 0
    planned = map(json.loads, capsys.readouterr().out.splitlines())
    kept = {each["target"]: each.get("kept") for each in planned}
    assert kept.pop(str(out / "a.jpg")) == [str(out / "a.jpg")] and set(kept.values()) == {None}

    assert colorize(photos, out, "--sidecar", "also") == 0
    assert (out / "a.jpg").read_bytes() == b"somebody's work"
    sidecar = read_sidecar(out / "a.jpg.colors.json")
    assert sidecar.result_sha256 is None
    printed = capsys.readouterr()
    assert str(out / "a.jpg") not in printed.out.splitlines()
    assert str(out / "a.jpg.colors.json") in printed.out.splitlines()
    assert f"{out / 'a.jpg'} was not written by colorizenet, and was not replaced" in printed.err
    assert read_sidecar(out / "clear.png.colors.json").result_sha256 is not None


def test_a_plan_names_results_whose_names_are_too_long(photos, tmp_path, capsys):
    folder, out = tmp_path / "long", tmp_path / "out"
    folder.mkdir()
    name = "a" * 245 + ".jpg"  # which is too long with the ending of a sidecar
    for each in (name, "b.jpg"):
        (folder / each).write_bytes((photos / "a.jpg").read_bytes())
    assert colorize(folder, out, "--sidecar", "also", "--dry-run") == 0
    printed = capsys.readouterr()
    assert name not in printed.out and str(out / "b.jpg") in printed.out
    assert f"{out / name}.colors.json cannot be written: File name too long" in printed.err
    assert "1 to colorize, 1 cannot be written; nothing was written" in printed.err
    assert colorize(folder, out, "--sidecar", "also", "--dry-run", "--json") == 0
    planned = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["status"] for each in planned] == ["failed", "planned"]


def test_another_photo_is_refused(photos, tmp_path, capsys):
    colorize(photos, tmp_path / "out", "--sidecar", "only")
    sidecar = tmp_path / "out" / "a.jpg.colors.json"
    assert run(["apply", photos / "clear.png", sidecar, "--out", tmp_path / "x.jpg"]) == 2
    assert "the sidecar is for a.jpg" in capsys.readouterr().err
    assert not (tmp_path / "x.jpg").exists()


def test_files_that_exist_and_wrong_names_are_refused(photos, tmp_path, capsys):
    colorize(photos, tmp_path / "out", "--sidecar", "also")
    sidecar = tmp_path / "out" / "a.jpg.colors.json"
    copy = tmp_path / "photo.jpg"
    copy.write_bytes((photos / "a.jpg").read_bytes())
    for target, message in (
        (tmp_path / "out", "exists already"),
        (tmp_path / "x.png", "does not end in .jpg"),
        (copy, "is the photo itself"),
    ):
        assert run(["apply", copy, sidecar, "--out", target]) == 2
        assert message in capsys.readouterr().err
    again = ["apply", copy, sidecar, "--out", tmp_path / "out", "--overwrite"]
    assert run([*again, "--max-pixels", 99]) == 1
    assert "the limit is 99" in capsys.readouterr().err
    assert run(again) == 0


def test_a_result_that_differs_from_the_first_has_status_1(photos, tmp_path, capsys):
    colorize(photos, tmp_path / "out", "--sidecar", "also")
    sidecar = tmp_path / "out" / "a.jpg.colors.json"
    document = json.loads(sidecar.read_text())
    document["software"], document["options"]["strength"] = "9.9", 0.5
    sidecar.write_text(json.dumps(document))
    assert run(["apply", photos / "a.jpg", sidecar, "--out", tmp_path / "x.jpg"]) == 1
    assert "not the same file as the result of colorizenet 9.9" in capsys.readouterr().err


def change(document: dict, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for name in parents:
        document = document[name]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "hints"),
        ("version", 2),
        ("source", 3),
        ("source", {"name": "a"}),
        ("model.takes_hints", "yes"),
        ("input.short", 1e9),
        ("input.multiple", 0),
        ("options", {"strength": float("nan")}),
        ("options", {"unknown": 1}),
        ("options.hints", [{"x": 3}]),
        ("output", {"format": None}),
        ("output", {"format": "exe"}),
        ("borders", [None, None]),
        ("borders", [[[1, 2, 3]]]),
        ("borders", [[[0.4, 0, 0, 0.4, 0.9, 0]] * 4]),
        ("chroma", []),
        ("chroma", ["???"]),
        ("similarity", "???"),
        ("similarity", 3),
        ("chroma", [base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100)).decode()]),
        ("chroma", 5),
    ],
)
def test_damaged_sidecars_are_one_clear_line(photos, tmp_path, path, value):
    colorize(photos / "a.jpg", tmp_path / "out", "--sidecar", "only")
    sidecar = tmp_path / "out" / "a.jpg.colors.json"
    document = json.loads(sidecar.read_text())
    change(document, path, value)
    sidecar.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="is no usable sidecar") as error:
        read_sidecar(sidecar)
    assert "\n" not in str(error.value)


def test_other_files_are_no_sidecars(tmp_path, samples):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for path in (samples[0], tmp_path / "deep.json", tmp_path / "missing"):
        with pytest.raises(ConfigError, match=r"sidecar"):
            read_sidecar(path)


def test_a_sidecar_needs_the_photo_with_all_its_pages(photos, tmp_path, gray):
    colorize(photos, tmp_path / "out", "--sidecar", "only")
    sidecar = read_sidecar(tmp_path / "out" / "pages.tif.colors.json")
    with pytest.raises(ConfigError, match="is 1 and the sidecar is for 2"):
        sidecar.restore(gray)


@pytest.mark.parametrize("mode", ["only", "also"])
def test_colors_that_could_not_be_read_again_are_not_written(mode, tmp_path, samples, monkeypatch):
    monkeypatch.setattr(sidecar, "_MOST_VALUES", 20_000)
    monkeypatch.setattr(sidecar, "_SMALL", 1_000)
    photo = tmp_path / "in" / samples[0].name
    photo.parent.mkdir()
    photo.write_bytes(samples[0].read_bytes())
    hint = Options(hints=(Hint(x=0.5, y=0.5, rgb=(200, 0, 0)),))
    [job] = plan_jobs([photo], tmp_path / "out", sidecar=mode)
    [done] = run_threads([job], Worker(options=hint))
    assert "too large for a sidecar; choose a smaller --size" in done.error
    assert not list((tmp_path / "out").glob("*"))


def test_variants_have_sidecars_of_their_own(tmp_path, gray, drawing_model):
    write_image(tmp_path / "a.png", Image(gray))
    jobs = plan_jobs([tmp_path / "a.png"], tmp_path / "out", variants=3, sidecar="also")
    worker = Worker(model=drawing_model, options=Options(seed=5, diversity=1.5))
    [done] = run_threads(jobs, worker)
    assert done.error is None and len(jobs[0].sidecars) == 3
    for target, path in zip(jobs[0].targets, jobs[0].sidecars, strict=True):
        sidecar = read_sidecar(path)
        assert sidecar.options.seed == 5
        sidecar.apply(tmp_path / "a.png", tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == target.read_bytes()


def test_options_survive_a_round_trip(tmp_path, gray):
    write_image(tmp_path / "a.png", Image(gray))
    hints = (Hint(x=0.1, y=1 / 3, rgb=(1, 2, 3), radius=0.03), Hint(x=1, y=0, rgb=None))
    options = Options(strength=1.1, size=96, tta=True, hints=hints)
    jobs = plan_jobs([tmp_path / "a.png"], tmp_path / "out", sidecar="only")
    [done] = run_threads(jobs, Worker(options=options))
    assert done.error is None
    sidecar = read_sidecar(jobs[0].sidecars[0])
    assert sidecar.options == options
    assert read_sidecar(jobs[0].sidecars[0]).encode() == jobs[0].sidecars[0].read_bytes()
