"""Many pictures: where results go, and that one bad file does not stop the rest."""

import os
from pathlib import Path

import numpy as np
import pytest

from colorizenet.batch import colorize_all, contact_sheet, plan
from colorizenet.errors import ConfigError
from colorizenet.images import Image, encode_image, read_image, write_image


def in_red(image: Image) -> Image:
    """A colorizer that needs no network."""
    return image.with_pixels(np.dstack([image.pixels, image.pixels // 2, image.pixels // 2]))


@pytest.fixture
def photograph(grey):
    def save(path: Path, format: str = "jpeg") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(Image(grey), format))
        return path

    return save


def targets(jobs, out):
    return {job.source.name: job.target.relative_to(out).as_posix() for job in jobs}


def test_a_folder_is_mirrored_and_names_are_kept(tmp_path, photograph):
    for name in ("a.jpg", "deep/er/b.JPG", "deep/c.jpeg"):
        photograph(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    photograph(tmp_path / "in" / ".hidden.jpg")
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    assert targets(jobs, tmp_path / "out") == {"a.jpg": "a.jpg", "b.JPG": "deep/er/b.JPG", "c.jpeg": "deep/c.jpeg"}


def test_several_folders_keep_their_own_names(tmp_path, photograph):
    one, two = photograph(tmp_path / "one" / "a.jpg"), photograph(tmp_path / "two" / "a.jpg")
    jobs = plan([one.parent, two.parent], tmp_path / "out")
    assert [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs] == ["one/a.jpg", "two/a.jpg"]


def test_no_two_results_share_a_name(tmp_path, photograph):
    folder = tmp_path / "in"
    for name in ("a.jpg", "a.jpeg", "a.png", "A.JPG", "a.jpg.png"):
        photograph(folder / name, "png" if name.endswith(".png") else "jpeg")
    jobs = plan([folder], tmp_path / "out", format="png")
    names = [str(job.target).casefold() for job in jobs]
    assert len(names) == 5 == len(set(names))
    assert all(job.target.suffix == ".png" for job in jobs)


def test_a_result_is_never_put_over_its_input(tmp_path, photograph):
    path = photograph(tmp_path / "a.jpg")
    (job,) = plan([path], tmp_path)
    assert job.target != path
    before = path.read_bytes()
    assert [done.error for done in colorize_all([job], in_red)] == [None]
    assert path.read_bytes() == before and job.target.exists()


def test_a_result_is_never_put_over_another_input(tmp_path, photograph):
    """a.png is an input of the same call, and the result of a.jpg as PNG would have its name."""
    first, second = photograph(tmp_path / "a.jpg"), photograph(tmp_path / "a.png", "png")
    jobs = plan([first, second], tmp_path, format="png")
    assert not {job.target for job in jobs} & {first, second}


def test_results_inside_the_input_folder_are_not_read_again(tmp_path, photograph):
    photograph(tmp_path / "a.jpg")
    out = tmp_path / "colorized"
    for _ in range(2):
        jobs = plan([tmp_path], out)
        assert targets(jobs, out) == {"a.jpg": "a.jpg"}
        list(colorize_all(jobs, in_red, overwrite=True))


def test_the_ending_is_that_of_the_format_it_really_is(tmp_path, photograph):
    photograph(tmp_path / "in" / "really-a-png.jpg", "png")
    (job,) = plan([tmp_path / "in"], tmp_path / "out")
    assert job.target.name == "really-a-png.png"


def test_one_bad_file_does_not_stop_the_rest(tmp_path, photograph):
    folder = tmp_path / "in"
    for name in "abcde":
        photograph(folder / f"{name}.jpg")
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:4000])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "e.jpg").unlink()
    (folder / "e.jpg").symlink_to(folder / "nowhere")
    out = tmp_path / "out"
    done = list(colorize_all(plan([folder], out), in_red, workers=3))
    assert [Path(d.job.source).name for d in done] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"], "in order"
    assert [bool(d.error) for d in done] == [False, True, False, True, True]
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "c.jpg"], "nothing half-written"
    assert "b.jpg" in done[1].error and "cut short" in done[1].error


def test_results_that_are_there_are_left_alone_unless_told(tmp_path, photograph):
    jobs = plan([photograph(tmp_path / "a.jpg")], tmp_path / "out")
    list(colorize_all(jobs, in_red))
    jobs[0].target.write_bytes(b"mine")
    (done,) = colorize_all(jobs, in_red)
    assert done.skipped and jobs[0].target.read_bytes() == b"mine"
    (done,) = colorize_all(jobs, in_red, overwrite=True)
    assert not done.skipped and read_image(jobs[0].target).pixels.ndim == 3


def test_a_place_that_cannot_be_written_fails_that_picture_only(tmp_path, photograph):
    jobs = plan([photograph(tmp_path / "in" / "deep" / "a.jpg"), photograph(tmp_path / "b.jpg")], tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").mkdir()
    done = list(colorize_all(jobs, in_red, overwrite=True))
    assert "cannot be written" in done[0].error and done[1].error is None


def test_names_that_no_one_expects(tmp_path, photograph):
    folder = tmp_path / "in"
    for name in ("two\nlines.jpg", "émoji 🌻.jpg", "[bold]rich[/bold].jpg", "-dash.jpg"):
        photograph(folder / name)
    undecodable = folder / os.fsdecode(b"latin-\xe9.jpg")
    photograph(undecodable)
    out = tmp_path / "out"
    done = list(colorize_all(plan([folder], out), in_red))
    assert not any(d.error for d in done)
    assert {path.name for path in out.iterdir()} == {path.name for path in folder.iterdir()}


def test_the_contact_sheet_shows_grey_beside_colour(tmp_path, photograph):
    path = photograph(tmp_path / "a.jpg")
    result = tmp_path / "colour.png"
    write_image(result, in_red(read_image(path)))
    sheet = contact_sheet([(path, result)] * 3, tile=100).pixels
    assert sheet.shape == (2 * (61 + 8), 400, 3)
    chroma = np.ptp(sheet.astype(int), axis=2)
    assert chroma[10:60, 10:90].max() <= 1, "left is grey"
    assert chroma[10:60, 110:190].max() > 30, "right is in colour"
    assert (sheet[69:, 200:] == 255).all(), "the fourth place is empty"
    with pytest.raises(ConfigError, match="at least one"):
        contact_sheet([])


def test_whose_name_a_result_gets_does_not_depend_on_its_neighbours_order(tmp_path, photograph):
    for name in ("p.jpg", "p.jpeg", "q.jpg"):
        photograph(tmp_path / "in" / name)
    jobs = plan([tmp_path / "in"], tmp_path / "out", format="png")
    assert targets(jobs, tmp_path / "out") == {"p.jpg": "p.jpg.png", "p.jpeg": "p.jpeg.png", "q.jpg": "q.png"}


def test_too_little_memory_fails_that_picture_only(tmp_path, photograph):
    def starved(image: Image) -> Image:
        if image.format == "png":
            raise MemoryError
        return in_red(image)

    photograph(tmp_path / "in" / "a.png", "png")
    photograph(tmp_path / "in" / "b.jpg")
    first, second = colorize_all(plan([tmp_path / "in"], tmp_path / "out"), starved)
    assert first.error and "more memory" in first.error and second.error is None
