"""``examples/places365.py`` downloads from a local server that stands for the
publisher's, with faults."""

import contextlib
import hashlib
import importlib.util
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from colorizenet.errors import DataError
from colorizenet.photosets import split_photos

SCRIPT = Path(__file__).parents[1] / "examples" / "places365.py"


@pytest.fixture(scope="module")
def places():
    spec = importlib.util.spec_from_file_location("places365", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def archives(places, tmp_path_factory, write_photograph, pack) -> dict[str, bytes]:
    """The two archives, with 6 and 20 photos."""
    folder = tmp_path_factory.mktemp("publisher")
    training = [
        write_photograph(folder / "data_256" / "a" / "abbey" / f"0000000{number}.jpg", number)
        for number in range(6)
    ]
    validation = [
        write_photograph(folder / "val_256" / f"Places365_val_000000{number:02}.jpg", number)
        for number in range(1, 21)
    ]
    return {
        places.TRAINING: pack(folder / places.TRAINING, folder, training).read_bytes(),
        places.VALIDATION: pack(folder / places.VALIDATION, folder, validation).read_bytes(),
    }


@dataclass
class Publisher:
    """A server of files, and its faults."""

    files: dict[str, bytes]
    accepts_ranges: bool = True
    break_after: int = 0
    """Bytes after which a connection breaks; 0 for never."""
    breaks: int = 0
    """How often that still happens."""
    requests: list[tuple[str, int]] = field(default_factory=list)
    """File and first byte of each request."""
    address: str = ""

    @property
    def checksums(self) -> dict[str, str]:
        return {name: hashlib.md5(content).hexdigest() for name, content in self.files.items()}


@pytest.fixture
def publisher(archives) -> Iterator[Publisher]:
    published = Publisher(dict(archives))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            first = int(re.findall(r"bytes=(\d+)-", self.headers.get("Range", ""))[0])
            published.requests.append((name, first))
            content = published.files.get(name)
            if content is None:
                self.send_error(404)
                return
            if published.accepts_ranges and first >= len(content):
                self.send_error(416)
                return
            first = first if published.accepts_ranges else 0
            self.send_response(206 if published.accepts_ranges else 200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            body = content[first:]
            if published.breaks:
                published.breaks -= 1
                body = body[: published.break_after]
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        published.address = f"http://127.0.0.1:{server.server_address[1]}/places365/"
        yield published
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(places, publisher):
    def fetch(folder: Path, *, small: bool = False) -> dict[str, int]:
        return places.fetch_places(
            folder,
            small=small,
            mirror=publisher.address,
            checksums=publisher.checksums,
            pause=0,
        )

    return fetch


def list_splits(folder: Path) -> dict[str, list[str]]:
    return {
        split: [photo.name.rpartition("/")[2] for photo in photos]
        for split, photos in split_photos(folder).items()
    }


def test_shards_have_the_splits_that_training_reads(fetch, places, tmp_path):
    assert fetch(tmp_path) == {"test": 18, "train": 6, "val": 2}
    splits = list_splits(tmp_path)
    assert len(splits["train"]) == 6 and len(splits["test"]) == 18
    assert splits["val"] == ["Places365_val_00000010.jpg", "Places365_val_00000020.jpg"]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["places365.json", "test.tar", places.TRAINING, "val.tar"]


def test_a_small_set_is_made_of_the_validation_photos_alone(fetch, publisher, places, tmp_path):
    assert fetch(tmp_path, small=True) == {"test": 2, "train": 16, "val": 2}
    assert {name for name, _ in publisher.requests} == {places.VALIDATION}
    splits = list_splits(tmp_path)
    assert sorted(name for names in splits.values() for name in names) == [
        f"Places365_val_000000{number:02}.jpg" for number in range(1, 21)
    ]
    with pytest.raises(DataError, match="was made with --small; name another folder"):
        fetch(tmp_path)


def test_a_finished_folder_is_left_as_it_is(fetch, publisher, tmp_path):
    counts = fetch(tmp_path)
    publisher.requests.clear()
    assert fetch(tmp_path) == counts and publisher.requests == []


@pytest.mark.parametrize("accepts_ranges", [True, False])
def test_a_broken_download_continues(fetch, publisher, tmp_path, archives, places, accepts_ranges):
    publisher.breaks, publisher.break_after = 2, 5000
    publisher.accepts_ranges = accepts_ranges
    fetch(tmp_path)
    starts = [first for name, first in publisher.requests if name == places.VALIDATION]
    assert starts == ([0, 5000, 10000] if accepts_ranges else [0, 5000, 5000])
    assert (tmp_path / places.TRAINING).read_bytes() == archives[places.TRAINING]


def test_an_interrupted_run_continues_where_it_stopped(
    fetch, publisher, tmp_path, archives, places
):
    half = archives[places.TRAINING][:7000]
    (tmp_path / f"{places.TRAINING}.part").write_bytes(half)
    complete = archives[places.VALIDATION]
    (tmp_path / f"{places.VALIDATION}.part").write_bytes(complete)
    fetch(tmp_path)
    assert publisher.requests == [(places.VALIDATION, len(complete)), (places.TRAINING, 7000)]
    assert (tmp_path / places.TRAINING).read_bytes() == archives[places.TRAINING]


def test_a_server_that_sends_nothing_ends_with_advice(fetch, publisher, tmp_path):
    publisher.breaks, publisher.break_after = 100, 0
    with pytest.raises(DataError, match=r"cannot be downloaded; run the same command again"):
        fetch(tmp_path)
    assert len(publisher.requests) == 5


def test_another_content_than_the_publisher_states_is_deleted(fetch, places, publisher, tmp_path):
    stated = publisher.checksums
    publisher.files[places.TRAINING] = b"another content"
    with pytest.raises(DataError, match=f"has the MD5 .* and not {stated[places.TRAINING]}"):
        places.fetch_places(tmp_path, mirror=publisher.address, checksums=stated, pause=0)
    assert not list(tmp_path.glob("train*"))


def test_what_is_no_archive_of_photos_is_an_error(fetch, places, publisher, tmp_path):
    publisher.files[places.VALIDATION] = b"a page of HTML" * 100
    with pytest.raises(DataError, match="is no tar archive"):
        fetch(tmp_path)
    assert not (tmp_path / "val.tar").exists()
    del publisher.files[places.TRAINING]
    with pytest.raises(DataError, match="HTTP status 404; check --mirror"):
        places.fetch(publisher.address + places.TRAINING, tmp_path / "x.part", "", pause=0)


def test_the_checksums_are_those_of_torchvision(places):
    from torchvision.datasets import Places365

    archives = dict(Places365._IMAGES_META.values())
    assert places.PUBLISHER == Places365._BASE_URL
    assert {name: archives[name] for name in places.MD5} == places.MD5


def test_the_command_prints_counts_and_explains_errors(places, publisher, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        places.main([str(tmp_path), "--small", "--mirror", "ftp://127.0.0.1/"])
    assert end.value.code == 2 and "is no address" in capsys.readouterr().err
    about = {"small": True, "archives": {}, "photos": {"train": 29_200, "val": 3_650}}
    (tmp_path / "places365.json").write_text(json.dumps(about))
    places.main([str(tmp_path), "--small"])
    assert capsys.readouterr().out == f"{tmp_path}: 29,200 train, 3,650 val\n"


def test_shards_are_plain_tar_archives(fetch, tmp_path):
    fetch(tmp_path)
    for shard in tmp_path.glob("*.tar"):
        with tarfile.open(shard, "r:") as tar:
            assert all(member.isfile() for member in tar)
