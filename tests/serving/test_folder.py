"""The folder of a server for temporary files."""

import stat
from functools import partial

import pytest
from gated_colorizer import ScribblingColorizer

from colorizenet.errors import ConfigError
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.folder import ServerFolder
from colorizenet.serving.jobs import Limits


def test_a_folder_is_private_and_deleted_with_its_files(tmp_path):
    folder = ServerFolder(tmp_path)
    assert folder.path.parent == tmp_path and stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "photo.jpg").write_bytes(b"photo")
    folder.delete()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_running_servers_are_left_alone(tmp_path):
    first, second = ServerFolder(tmp_path), ServerFolder(tmp_path)
    (first.path / "photo.jpg").write_bytes(b"photo")
    third = ServerFolder(tmp_path)
    assert (first.path / "photo.jpg").exists() and second.path.exists()
    for folder in (first, second, third):
        folder.delete()
    assert list(tmp_path.iterdir()) == []


def test_what_no_server_made_is_left_alone(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photo.jpg").write_bytes(b"photo")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "colorizenet-linked").symlink_to(precious)
    (temporary / "colorizenet-linked.lock").touch()
    (temporary / "colorizenet-other").mkdir()
    (temporary / "colorizenet-other.lock").symlink_to(precious / "photo.jpg")
    (temporary / "colorizenet-unlocked").mkdir()
    before = sorted(temporary.iterdir())
    ServerFolder(temporary).delete()
    assert sorted(temporary.iterdir()) == before
    assert (precious / "photo.jpg").read_bytes() == b"photo"


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file cannot be written: .*; set TMPDIR to"):
        ServerFolder(tmp_path / "file")


def test_the_processes_of_a_server_write_into_its_folder(
    run_server, make_model, gray, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    models = {"scribbling": partial(ScribblingColorizer, make_model())}
    with run_server(models, Limits(concurrency=2)) as client:
        response = client.post("/v1/colorize", content=encode_image(Image(gray), "png"))
        assert response.status_code == 200, response.text
        (folder,) = (path for path in tmp_path.glob("colorizenet-*") if path.is_dir())
        assert sorted(path.suffix for path in folder.iterdir()) == [".tmp", ".v"]
    assert list(tmp_path.glob("colorizenet-*")) == []
