"""The journal says which results exist and need not be made again."""

import pytest

from colorizenet.errors import ConfigError
from colorizenet.files import open_atomically
from colorizenet.journal import Journal, lock_results


@pytest.fixture
def files(tmp_path):
    """A source outside and a target inside the folder of results."""
    source, target = tmp_path / "a.jpg", tmp_path / "out" / "a.jpg"
    source.write_bytes(b"source")
    target.parent.mkdir()
    return source, target


def write(journal, source, target, content=b"result"):
    with open_atomically(target, lambda path: journal.record(source, target, path)) as file:
        file.write(content)


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


def test_temporary_files_of_a_killed_run_are_removed(files):
    target = files[1]
    leftover = target.with_name(".colorizenet-0123456789abcdef.part")
    leftover.write_bytes(b"half")
    target.with_name("other.part").write_bytes(b"of another program")
    with lock_results(target.parent, [target]):
        assert not leftover.exists() and target.with_name("other.part").exists()


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(ConfigError, match="file cannot be written"),
        lock_results(tmp_path / "file", []),
    ):
        pass
