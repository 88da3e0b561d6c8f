"""Which photos are colorized, and the file of each result."""

import os
from pathlib import Path

import numpy as np
import pytest
import pyvips

from colorizenet.errors import ConfigError
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image, write_image
from colorizenet.planning import LeftOut, plan_jobs


@pytest.fixture
def save_photo(gray):
    def save(path: Path, format: str = "jpeg") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(Image(gray[:40, :50]), format))
        return path

    return save


def targets(jobs, out):
    return {job.source.name: job.target.relative_to(out).as_posix() for job in jobs}


def test_a_folder_is_mirrored_and_names_are_kept(tmp_path, save_photo):
    for name in ("a.jpg", "deep/er/b.JPG", "deep/c.jpeg"):
        save_photo(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not a photo")
    save_photo(tmp_path / "in" / ".hidden.jpg")
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "out")
    assert targets(jobs, tmp_path / "out") == {
        "a.jpg": "a.jpg",
        "b.JPG": "deep/er/b.JPG",
        "c.jpeg": "deep/c.jpeg",
    }


def test_several_folders_keep_their_own_names(tmp_path, save_photo):
    one, two = save_photo(tmp_path / "one" / "a.jpg"), save_photo(tmp_path / "two" / "a.jpg")
    jobs = plan_jobs([one.parent, two.parent], tmp_path / "out")
    assert [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs] == [
        "one/a.jpg",
        "two/a.jpg",
    ]


def test_a_photo_that_is_named_twice_gets_one_job(tmp_path, save_photo, monkeypatch):
    photo = save_photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "link.jpg").symlink_to(photo)
    monkeypatch.chdir(tmp_path)
    jobs = plan_jobs([Path("in"), photo, Path("in/../in/a.jpg")], tmp_path / "out")
    assert [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs] == [
        "a.jpg",
        "link.jpg",
    ]


def test_no_two_targets_are_the_same_file(tmp_path, save_photo):
    folder = tmp_path / "in"
    for name in ("a.jpg", "a.jpeg", "a.png", "A.JPG", "a.jpg.png"):
        save_photo(folder / name, "png" if name.endswith(".png") else "jpeg")
    jobs = plan_jobs([folder], tmp_path / "out", format="png")
    names = [str(job.target).casefold() for job in jobs]
    assert len(names) == 5 == len(set(names))
    assert all(job.target.suffix == ".png" for job in jobs)


def test_a_target_is_never_an_input(tmp_path, save_photo):
    path = save_photo(tmp_path / "a.jpg")
    (job,) = plan_jobs([path], tmp_path)
    assert job.target != path
    first, second = path, save_photo(tmp_path / "a.png", "png")
    jobs = plan_jobs([first, second], tmp_path, format="png")
    assert not {job.target for job in jobs} & {first, second}


def test_results_inside_the_input_folder_are_not_inputs(tmp_path, save_photo):
    save_photo(tmp_path / "a.jpg")
    out = tmp_path / "colorized"
    save_photo(out / "b.jpg")
    assert targets(plan_jobs([tmp_path], out), out) == {"a.jpg": "a.jpg"}
    with pytest.raises(ConfigError, match="both the input and the folder of the results"):
        plan_jobs([tmp_path], tmp_path)


def test_the_extension_is_that_of_the_format_of_the_content(tmp_path, save_photo):
    save_photo(tmp_path / "in" / "really-a-png.jpg", "png")
    (job,) = plan_jobs([tmp_path / "in"], tmp_path / "out")
    assert (job.target.name, job.format) == ("really-a-png.png", "png")


def test_a_suffix_is_added_before_the_extension(tmp_path, save_photo):
    for name in ("a.jpg", "b.c.jpeg", "d"):
        save_photo(tmp_path / name)
    names = ["a.jpg", "b.c.jpeg", "d"]
    out = tmp_path / "out"
    jobs = plan_jobs([tmp_path / name for name in names], out, suffix="-color")
    assert [job.target.name for job in jobs] == ["a-color.jpg", "b.c-color.jpeg", "d-color.jpg"]
    jobs = plan_jobs([tmp_path / "a.jpg"], out, suffix="-color", format="webp")
    assert [job.target.name for job in jobs] == ["a-color.webp"]


def test_the_target_of_a_photo_does_not_depend_on_the_order_of_the_others(tmp_path, save_photo):
    for name in ("p.jpg", "p.jpeg", "q.jpg"):
        save_photo(tmp_path / "in" / name)
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "out", format="png")
    assert targets(jobs, tmp_path / "out") == {
        "p.jpg": "p.jpg.png",
        "p.jpeg": "p.jpeg.png",
        "q.jpg": "q.png",
    }


def test_a_format_that_cannot_hold_a_photo_is_replaced_with_a_reason(tmp_path):
    blank = np.zeros((4, 4), np.uint8)
    write_image(tmp_path / "alpha.png", Image(blank, blank))
    write_image(tmp_path / "pages.tif", Image(np.zeros((8, 4), np.uint8), pages=2))
    write_image(tmp_path / "deep.png", Image(np.zeros((4, 4), np.uint16)))
    frame = pyvips.Image.identity().embed(0, 0, 256, 9).write_to_buffer(".gif")
    (tmp_path / "frame.gif").write_bytes(frame)

    def plan(name: str, format: str | None) -> tuple[str, str | None, str]:
        (job,) = plan_jobs([tmp_path / name], tmp_path / "out", format=format)
        return job.target.name, job.format, job.reason

    assert plan("alpha.png", "jpeg") == ("alpha.png", "png", "jpeg holds no transparency")
    assert plan("deep.png", "webp") == ("deep.png", "png", "webp holds 8 bits and it has 16")
    assert plan("pages.tif", "png")[:2] == ("pages.tif", "tiff")
    assert (
        plan("frame.gif", None)[:2] == ("frame.png", "png") and "gif" in plan("frame.gif", None)[2]
    )
    assert plan("frame.gif", "webp") == ("frame.webp", "webp", "")


@pytest.mark.parametrize(
    ("name", "format"), [("a.jpg", None), ("a.jpg", "png"), ("a.png", "tiff"), ("a.tif", None)]
)
def test_only_the_first_bytes_are_read_where_they_decide_the_format(
    name, format, tmp_path, save_photo
):
    """64 bytes are not a header: a plan that needed one would fail to read it."""
    known = {".jpg": "jpeg", ".png": "png", ".tif": "tiff"}[Path(name).suffix]
    path = save_photo(tmp_path / name, known)
    path.write_bytes(path.read_bytes()[:64])
    (job,) = plan_jobs([path], tmp_path / "out", format=format)
    assert (job.format, job.reason) == (format or known, "")


def test_unusual_names_are_kept(tmp_path, save_photo):
    folder = tmp_path / "in"
    names = ["two\nlines.jpg", "émoji 🌻.jpg", "[bold]rich[/bold].jpg", "-dash.jpg"]
    names.append(os.fsdecode(b"latin-\xe9.jpg"))
    for name in names:
        save_photo(folder / name)
    jobs = plan_jobs([folder], tmp_path / "out")
    out = tmp_path / "out"
    assert {job.target.relative_to(out).as_posix() for job in jobs} == set(names)


def test_a_missing_photo_gets_a_job_that_will_fail(tmp_path):
    (job,) = plan_jobs([tmp_path / "missing.jpg"], tmp_path / "out", format="png")
    assert job.source == tmp_path / "missing.jpg" and job.reason == ""


def test_what_gets_no_job_is_named(tmp_path, save_photo):
    folder = tmp_path / "in"
    save_photo(folder / "a.jpg")
    save_photo(folder / "scan.bmp")
    (folder / "b.psd").write_bytes(b"8BPS")
    (folder / ".hidden.psd").write_bytes(b"8BPS")
    save_photo(tmp_path / "elsewhere" / "c.jpg")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    left_out: list[LeftOut] = []
    jobs = plan_jobs([folder], tmp_path / "out", left_out=left_out)
    assert [job.source.name for job in jobs] == ["a.jpg", "scan.bmp"]
    assert {(each.path.name, each.why) for each in left_out} == {
        ("b.psd", "other format"),
        ("linked", "linked folder"),
    }


def test_a_folder_that_cannot_be_searched_does_not_stop_the_others(
    tmp_path, save_photo, monkeypatch
):
    folder = tmp_path / "in"
    save_photo(folder / "a.jpg")
    save_photo(folder / "closed" / "b.jpg")
    scan = os.scandir

    def refuse(path):  # permissions do not bind the superuser
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    left_out: list[LeftOut] = []
    (job,) = plan_jobs([folder], tmp_path / "out", left_out=left_out)
    assert job.source.name == "a.jpg"
    assert left_out == [LeftOut(folder / "closed", "cannot be searched", "Permission denied")]
    with pytest.raises(ConfigError, match="closed cannot be searched: Permission denied"):
        plan_jobs([folder], tmp_path / "out")


def test_a_photo_that_its_own_format_cannot_hold_becomes_png(tmp_path):
    import imagecodecs

    (tmp_path / "deep.jxl").write_bytes(
        imagecodecs.jpegxl_encode(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16)
    )
    (job,) = plan_jobs([tmp_path / "deep.jxl"], tmp_path / "out")
    assert (job.target.name, job.format) == ("deep.png", "png")
    assert "jxl holds 8 bits" in job.reason
