"""The journal says which results exist and need not be made again."""

import errno
import fcntl
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from colorizenet.errors import ConfigError
from colorizenet.files import open_atomically
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.journal import Journal, lock_results, read_fingerprint


@pytest.fixture
def files(tmp_path):
    """A source outside and a target inside the folder of results."""
    source, target = tmp_path / "a.jpg", tmp_path / "out" / "a.jpg"
    source.write_bytes(b"source")
    target.parent.mkdir()
    return source, target


def write(journal, source, target, content=b"result"):
    fingerprint = read_fingerprint(source)

    def record(path):
        journal.record(source, target, path, fingerprint=fingerprint)

    with open_atomically(target, record) as file:
        file.write(content)


def test_an_error_of_writing_names_the_file_that_was_wanted(tmp_path):
    (tmp_path / "folder").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name, written, number in (
        ("missing/a.jpg", b"", errno.ENOENT),
        ("folder", b"", errno.EISDIR),  # at the rename
        ("a.jpg", bytes(2_000_000), errno.EFBIG),
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            with pytest.raises(OSError) as caught, open_atomically(tmp_path / name) as file:
                file.write(written)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))
        assert str(caught.value).endswith(f"'{tmp_path / name}'")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_recorded_result_is_finished_until_the_source_or_the_key_changes(files):
    source, target = files
    journal = Journal(target.parent, "key")
    assert not journal.is_finished(source, target)
    write(journal, source, target)
    assert journal.is_finished(source, target)
    assert Journal(target.parent, "key").is_finished(source, target)
    assert not Journal(target.parent, "another key").is_finished(source, target)
    source.write_bytes(b"another source")
    assert not journal.is_finished(source, target)
    source.unlink()
    assert journal.is_finished(source, target), "without its source it cannot be made again"


def test_a_result_whose_rename_was_lost_is_made_again(files):
    source, target = files
    write(Journal(target.parent, "key"), source, target)
    killed = Journal(target.parent, "another key")
    new = target.with_name("new")
    new.write_bytes(b"another result")
    killed.record(source, target, new, fingerprint=read_fingerprint(source))
    for journal in (killed, Journal(target.parent, "third key")):
        assert not journal.is_foreign(target) and not journal.is_finished(source, target)
    target.write_bytes(b"retouched")
    assert Journal(target.parent, "third key").is_foreign(target)


def test_a_result_of_another_photo_that_still_exists_is_found(files):
    source, target = files
    write(Journal(target.parent, "key"), source, target)
    other = source.with_name("b.jpg")
    other.write_bytes(b"source")
    journal = Journal(target.parent, "key")
    assert journal.find_other_source(other, target) == source
    assert journal.find_other_source(source, target) is None
    (source.parent / "link").symlink_to(source.parent)
    assert journal.find_other_source(source.parent / "link" / source.name, target) is None
    source.unlink()
    assert journal.find_other_source(other, target) is None, "the photo may have been moved"


def test_files_of_others_and_changed_results_are_finished_whatever_the_key(files):
    source, target = files
    target.write_bytes(b"written by somebody else")
    assert Journal(target.parent, "key").is_finished(source, target)
    write(Journal(target.parent, "key"), source, target)
    target.write_bytes(b"retouched")
    assert Journal(target.parent, "another key").is_finished(source, target)


def test_damaged_lines_cost_only_what_they_said(files):
    source, target = files
    second = target.with_name("b.jpg")
    journal = Journal(target.parent, "key")
    write(journal, source, target)
    write(journal, source, second)
    lines = target.parent / ".colorizenet" / "results.jsonl"
    lines.write_bytes(b"\xff\x00 not json\n[1]\n" + lines.read_bytes()[:-20])
    again = Journal(target.parent, "another key")
    assert not again.is_finished(source, target), "its line is whole"
    assert again.is_finished(source, second), "a result without a line is never replaced"
    write(again, source, target)
    assert Journal(target.parent, "another key").is_finished(source, target)


def test_one_run_at_a_time_holds_a_folder(tmp_path):
    with (
        lock_results(tmp_path / "out", []),
        pytest.raises(ConfigError, match="another run is writing into"),
        lock_results(tmp_path / "out", []),
    ):
        pass
    with lock_results(tmp_path / "out", []):
        pass


def start_killed_run(folder, target):
    """A run into a folder that is killed while it writes a result."""
    program = (
        "import os, pathlib, sys\n"
        "from colorizenet.files import open_atomically\n"
        "from colorizenet.journal import lock_results\n"
        "folder, target = map(pathlib.Path, sys.argv[1:])\n"
        "with lock_results(folder, [target]), open_atomically(target) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os._exit(9)\n"
    )
    command = [sys.executable, "-c", program, str(folder), str(target)]
    assert subprocess.run(command, check=False).returncode == 9


def find_unfinished(folder):
    return list(folder.glob(".colorizenet-*.part"))


def test_temporary_files_of_a_killed_run_are_removed(files):
    target = files[1]
    start_killed_run(target.parent, target)
    assert len(find_unfinished(target.parent)) == 1
    target.with_name("other.part").write_bytes(b"of another program")
    with lock_results(target.parent, [target]):
        assert find_unfinished(target.parent) == []
        assert target.with_name("other.part").exists()


def test_temporary_files_of_a_run_into_another_folder_are_left_alone(files):
    target = files[1]
    below = target.parent / "below"
    below.mkdir()
    with lock_results(target.parent, [below / "a.jpg"]), open_atomically(below / "a.jpg") as file:
        file.write(b"half")
        start_killed_run(below, below / "b.jpg")
        assert len(find_unfinished(below)) == 2
        with lock_results(below, [below / "b.jpg"]):
            assert len(find_unfinished(below)) == 1
    assert (below / "a.jpg").read_bytes() == b"half"


def test_a_result_that_lost_its_end_is_made_again(files, gray):
    source, target = files
    target = target.with_suffix(".png")
    whole = encode_image(Image(gray), "png")
    journal = Journal(target.parent, "key")
    write(journal, source, target, whole)
    for length in (0, 100, len(whole) // 2, len(whole) - 20):
        target.write_bytes(whole[:length])
        assert not Journal(target.parent, "key").is_finished(source, target), length
    target.write_bytes(encode_image(Image(gray[:50, :50]), "png"))
    assert Journal(target.parent, "key").is_finished(source, target), "a complete picture"
    target.write_bytes(whole + b"more")
    assert Journal(target.parent, "key").is_finished(source, target)


def test_a_complete_picture_that_cannot_be_read_is_the_work_of_somebody_else(files, gray):
    source, target = files
    target = target.with_suffix(".tif")
    journal = Journal(target.parent, "key")
    write(journal, source, target, encode_image(Image(gray), "tiff"))
    tifffile.imwrite(target, np.full((8, 8), 7, np.float32))  # lighter than white
    assert Journal(target.parent, "key").is_finished(source, target)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_gives_a_warning(number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock_results(tmp_path / "out", []) as warning:
        assert "out has no locks" in warning
    monkeypatch.undo()
    with lock_results(tmp_path / "out", []) as warning:
        assert warning == ""


def test_nested_lines_cost_only_what_they_said(files):
    source, target = files
    write(Journal(target.parent, "key"), source, target)
    lines = target.parent / ".colorizenet" / "results.jsonl"
    lines.write_bytes(b"[" * 100_000 + b"\n" + lines.read_bytes())
    assert Journal(target.parent, "key").is_finished(source, target)
    assert not Journal(target.parent, "another key").is_finished(source, target)


@pytest.mark.parametrize("name", ["results.jsonl", "lock", "run"])
def test_symbolic_links_in_place_of_the_journal_are_not_followed(name, files, tmp_path):
    source, target = files
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (target.parent / ".colorizenet").mkdir()
    (target.parent / ".colorizenet" / name).symlink_to(precious)
    with (
        pytest.raises(ConfigError, match="symbolic link"),
        lock_results(target.parent, [target]),
    ):
        pass
    if name == "results.jsonl":
        with pytest.raises(OSError, match="symbolic links"):
            write(Journal(target.parent, "key"), source, target)
        assert not target.exists()
    assert precious.read_bytes() == b"precious"


def test_a_linked_folder_of_the_journal_is_not_followed(files, tmp_path):
    target = files[1]
    (tmp_path / "elsewhere").mkdir()
    (target.parent / ".colorizenet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"), lock_results(target.parent, [target]):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(ConfigError, match="file cannot be written"),
        lock_results(tmp_path / "file", []),
    ):
        pass
