"""Listing, splitting, downloading and decoding sets of photos."""

import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from colorizenet.errors import DataError
from colorizenet.photosets import find_photos, list_photos, read_photo, split_photos

SPLITS = ("train", "val", "test")


def names(photos) -> set[str]:
    return {photo.name for photo in photos}


def one_line(error) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


class ShardServer(ThreadingHTTPServer):
    """An HTTP server on this machine that serves ``files`` and records each request."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files_by_path: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.statuses: dict[str, int] = {}
        self.requests: list[str] = []
        self.requested = threading.Event()
        # The rest after the first hundred bytes is sent when this is set.
        self.resumed = threading.Event()
        self.resumed.set()


class Handler(BaseHTTPRequestHandler):
    server: ShardServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        self.server.requested.set()
        body = self.server.files_by_path.get(path, b"")
        self.send_response(
            self.server.statuses.get(path, 200 if path in self.server.files_by_path else 404)
        )
        for name, value in (
            {"Content-Length": str(len(body))} | self.server.headers.get(path, {})
        ).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body[:100])
            self.server.resumed.wait(60)
            self.wfile.write(body[100:])
        except OSError:
            pass  # the client is gone

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ShardServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.resumed.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def shard(tmp_path_factory, write_photograph, pack) -> bytes:
    """A tar of one photograph, a.png."""
    folder = tmp_path_factory.mktemp("packed")
    return pack(folder / "any.tar", folder, [write_photograph(folder / "a.png", 1)]).read_bytes()


def finished_downloads(downloads) -> list[str]:
    """Names of the complete shards in the folder of downloads."""
    return sorted(path.name for path in downloads.rglob("*.tar"))


# Listing


def test_a_folder_of_any_depth_and_shards_of_it_hold_the_same_photos(
    tmp_path, write_photograph, pack
):
    folder = tmp_path / "folder"
    files = [
        write_photograph(folder / name, i)
        for i, name in enumerate(
            ("a.jpg", "b/c.PNG", "b/d/e.webp", "b/f.tif", "b/g.avif", "b/h.jp2")
        )
    ]
    pack(tmp_path / "shards" / "one.tar", folder, files[:2])
    pack(tmp_path / "shards" / "deep" / "two.TAR", folder, files[2:])

    loose = {photo.name: read_photo(photo) for photo in list_photos(folder)}
    packed = {
        re.split("[.]tar/", photo.name, flags=re.IGNORECASE)[1]: read_photo(photo)
        for photo in list_photos(tmp_path / "shards")
    }
    assert loose.keys() == packed.keys()
    assert loose.keys() == {path.relative_to(folder).as_posix() for path in files}
    assert all(np.array_equal(loose[name], packed[name]) for name in loose)


def test_one_shard_can_be_the_whole_root(tmp_path, write_photograph, pack):
    shard = pack(tmp_path / "one.tar", tmp_path, [write_photograph(tmp_path / "a.jpg")])
    assert names(list_photos(shard)) == {"one.tar/a.jpg"}


def test_other_files_are_ignored(tmp_path, write_photograph, pack):
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "labels.json").write_text("{}")
    files = [write_photograph(tmp_path / "a.jpg"), tmp_path / "notes.txt", tmp_path / "labels.json"]
    shard = pack(tmp_path / "shards" / "one.tar", tmp_path, files)
    assert names(list_photos(shard)) == {"one.tar/a.jpg"}
    assert names(list_photos(tmp_path)) == {"a.jpg", "shards/one.tar/a.jpg"}


def test_shards_of_one_name_in_two_folders_are_told_apart(tmp_path, write_photograph, pack):
    photograph = write_photograph(tmp_path / "a.jpg")
    for folder in ("x", "y"):
        pack(tmp_path / "shards" / folder / "one.tar", tmp_path, [photograph])
    assert names(list_photos(tmp_path / "shards")) == {"x/one.tar/a.jpg", "y/one.tar/a.jpg"}


def test_nothing_but_photos_is_read_from_a_shard(tmp_path, write_photograph):
    secret = write_photograph(tmp_path / "secret.png")
    photographs = [
        write_photograph(tmp_path / name, i) for i, name in enumerate(("a.png", "b.png"))
    ]
    other = tmp_path / "other"
    other.write_bytes(b"S" * 700)
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        tar.add(photographs[0], "a.png")
        for name in ("0.pkl", "0.pyd", "0.pickle.gz", "0.json", "__main__.py", "a.jpg.exe"):
            tar.add(other, name)
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.DIRTYPE,
            tarfile.FIFOTYPE,
            tarfile.CHRTYPE,
        ):
            member = tarfile.TarInfo(f"{kind.decode()}.png")
            member.type, member.linkname = kind, str(secret)
            tar.addfile(member)
        tar.add(photographs[1], "../b.png")

    photos = list_photos(tmp_path / "one.tar")
    assert names(photos) == {"one.tar/a.png", "one.tar/../b.png"}
    assert [photo.read() for photo in photos] == [path.read_bytes() for path in photographs]
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.png",
        "b.png",
        "one.tar",
        "other",
        "secret.png",
    }


def test_photos_are_decoded_upright(tmp_path):
    upright = np.full((16, 32, 3), (200, 100, 50), np.uint8)
    plain = cv2.imencode(".jpg", cv2.cvtColor(upright, cv2.COLOR_RGB2BGR))[1].tobytes()
    # Orientation 6: turn right.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    (tmp_path / "turned.jpg").write_bytes(turned)
    rgb = read_photo(list_photos(tmp_path)[0])
    assert rgb.shape == (32, 16, 3)
    assert np.abs(rgb.astype(int) - (200, 100, 50)).max() <= 2


# Patterns


def test_a_pattern_lists_its_shards_in_its_order(tmp_path, shard):
    for number in range(12):
        (tmp_path / f"train-{number:03}.tar").write_bytes(shard)
    found = [photo.path.name for photo in list_photos(f"{tmp_path}/train-{{000..010}}.tar")]
    assert found == [f"train-{number:03}.tar" for number in range(11)]
    found = [photo.path.name for photo in list_photos(f"{tmp_path}/train-{{007,002}}.tar")]
    assert found == ["train-007.tar", "train-002.tar"]


def test_the_names_of_the_shards_of_a_pattern_are_their_splits(tmp_path, shard):
    for name in ("train-0", "train-1", "val-0", "test-0"):
        (tmp_path / f"{name}.tar").write_bytes(shard)
    splits = split_photos(f"{tmp_path}/{{train-{{0..1}},val-0,test-0}}.tar")
    assert {split: [photo.name for photo in photos] for split, photos in splits.items()} == {
        "train": ["train-0.tar/a.png", "train-1.tar/a.png"],
        "val": ["val-0.tar/a.png"],
        "test": ["test-0.tar/a.png"],
    }


def test_an_existing_name_with_braces_is_not_a_pattern(tmp_path, write_photograph):
    write_photograph(tmp_path / "{a,b}" / "a.jpg")
    assert names(list_photos(tmp_path / "{a,b}")) == {"a.jpg"}


def test_a_pattern_may_be_longer_than_a_file_name_can_be(tmp_path, shard):
    (tmp_path / "train-000000.tar").write_bytes(shard)
    pattern = f"{tmp_path}/train-{{{','.join(['000000'] * 100)}}}.tar"
    assert len(list_photos(pattern)) == 100


def test_a_backslash_in_a_pattern_is_part_of_the_name(tmp_path, shard):
    """Paths on Windows have backslashes."""
    for number in (0, 1):
        (tmp_path / f"a\\train-{number}.tar").write_bytes(shard)
    assert len(list_photos(f"{tmp_path}/a\\train-{{0..1}}.tar")) == 2


def test_a_shard_of_a_pattern_that_is_missing_is_named(tmp_path, shard):
    for number in (0, 2):
        (tmp_path / f"train-{number}.tar").write_bytes(shard)
    with pytest.raises(DataError, match=r"train-1\.tar does not exist") as error:
        list_photos(f"{tmp_path}/train-{{0..2}}.tar")
    one_line(error)


@pytest.mark.parametrize(
    "pattern", ["train-{0..3.tar", "train-0}.tar", "a\nb{.tar", "http://127.0.0.1/train-{0.tar"]
)
def test_an_unbalanced_brace_is_rejected(pattern):
    with pytest.raises(DataError, match="unbalanced brace") as error:
        list_photos(pattern)
    one_line(error)


@pytest.mark.parametrize(
    "source",
    [
        "pipe:cat x",
        "pipe:cat train.tar |",
        "s3://bucket/train-{0..1}.tar",
        "file:///train.tar",
        "FTP://host/train.tar",
    ],
)
def test_pipes_and_other_schemes_than_http_are_rejected(source, tmp_path):
    scheme = source.lower().partition(":")[0]
    with pytest.raises(DataError, match=f"starts with {scheme}:, which is not supported") as error:
        list_photos(source, downloads=tmp_path / "downloads")
    one_line(error)
    assert not (tmp_path / "downloads").exists()


# Addresses


def test_the_shards_of_a_pattern_of_addresses_are_downloaded_once(
    tmp_path, server, shard, write_photograph
):
    server.files_by_path = {
        f"/places/{name}.tar": shard for name in ("train-0", "train-1", "val-0")
    }
    pattern = f"{server.address}/places/{{train-{{0..1}},val-0}}.tar"
    for _ in range(2):
        splits = split_photos(pattern, downloads=tmp_path / "downloads")
        assert names(splits["train"]) == {"train-0.tar/a.png", "train-1.tar/a.png"}
        assert names(splits["val"]) == {"val-0.tar/a.png"}
    assert sorted(server.requests) == sorted(server.files_by_path)
    truth = cv2.imread(str(write_photograph(tmp_path / "a.png", 1)))
    assert truth is not None
    assert np.array_equal(read_photo(splits["train"][1]), truth[..., ::-1])


def test_shards_of_one_name_at_two_addresses_are_different(
    tmp_path, server, write_photograph, pack
):
    for number, place in enumerate(("coco", "places")):
        photograph = write_photograph(tmp_path / place / f"{place}.png", number)
        server.files_by_path[f"/{place}/train-0.tar"] = pack(
            tmp_path / f"{place}.tar", photograph.parent, [photograph]
        ).read_bytes()
    found = list_photos(
        f"{server.address}/{{coco,places}}/train-0.tar", downloads=tmp_path / "downloads"
    )
    assert [photo.name for photo in found] == ["train-0.tar/coco.png", "train-0.tar/places.png"]


def test_an_address_with_another_signature_is_the_same_shard(tmp_path, server, shard):
    server.files_by_path["/train-0.tar"] = shard
    for signature in ("a", "b" * 1000):  # longer than the name of a file can be
        list_photos(f"{server.address}/train-0.tar?signature={signature}", downloads=tmp_path)
    assert server.requests == ["/train-0.tar"]


def test_a_redirect_to_http_is_followed(tmp_path, server, shard):
    server.files_by_path["/blobs/0123"] = shard
    server.statuses["/train-0.tar"], server.headers["/train-0.tar"] = (
        302,
        {"Location": "/blobs/0123"},
    )
    assert names(list_photos(f"{server.address}/train-0.tar", downloads=tmp_path)) == {
        "train-0.tar/a.png"
    }


@pytest.mark.parametrize(
    "location", ["file://{}", "FILE:{}", "ftp://127.0.0.1{}", "data:,{}", "local_file:{}"]
)
def test_a_redirect_to_another_scheme_is_rejected(tmp_path, server, shard, location):
    (tmp_path / "secret.tar").write_bytes(shard)
    location = location.format(tmp_path / "secret.tar")
    server.statuses["/train-0.tar"], server.headers["/train-0.tar"] = 302, {"Location": location}
    with pytest.raises(DataError, match=r"train-0\.tar cannot be downloaded") as error:
        list_photos(f"{server.address}/train-0.tar", downloads=tmp_path / "downloads")
    # "local_file:" is a relative path on the same server.
    reason = "HTTP status 404" if location.startswith("local_file") else location.strip()
    assert reason in one_line(error)
    assert finished_downloads(tmp_path / "downloads") == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_redirect_from_https_to_http_is_rejected(tmp_path, server, shard):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        f"-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 "
        f"-keyout {key} -out {certificate}",
        shell=True,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.files_by_path["/train-0.tar"] = shard
    program = """
import sys
from pathlib import Path
from colorizenet.photosets import list_photos
print(list_photos(sys.argv[1], downloads=Path(sys.argv[2]))[0].name)
"""
    with ShardServer() as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        secure.files_by_path["/blob"] = shard
        thread = threading.Thread(target=secure.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"https://127.0.0.1:{secure.server_port}/train-0.tar"
        secure.statuses["/train-0.tar"] = 302

        def download(location: str) -> subprocess.CompletedProcess[str]:
            secure.headers["/train-0.tar"] = {"Location": location}
            return subprocess.run(
                [sys.executable, "-c", program, address, str(tmp_path / "downloads")],
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {"SSL_CERT_FILE": str(certificate)},
            )

        try:
            refused = download(f"{server.address}/train-0.tar")
            assert "redirects from https to http://" in refused.stderr and refused.returncode
            assert server.requests == []
            followed = download("/blob")
            assert followed.stdout == "train-0.tar/a.png\n", followed.stderr
        finally:
            secure.shutdown()
            thread.join()


def test_a_shard_whose_length_nobody_states_must_have_the_end_of_a_tar(tmp_path, server, shard):
    address = f"{server.address}/train-0.tar"
    server.headers["/train-0.tar"] = {"Content-Length": "", "Connection": "close"}
    content = -(-len(shard.rstrip(b"\0")) // 512) * 512  # up to the end of the last photo
    server.files_by_path["/train-0.tar"] = shard[:content]
    with pytest.raises(DataError, match="cut short after") as error:
        list_photos(address, downloads=tmp_path / "downloads")
    one_line(error)
    assert finished_downloads(tmp_path / "downloads") == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_http_error_names_the_address_and_the_status(tmp_path, server, shard, status):
    server.files_by_path["/train-0.tar"], server.statuses["/train-0.tar"] = shard, status
    with pytest.raises(
        DataError, match=rf"/train-0\.tar cannot be downloaded \(HTTP status {status}"
    ) as error:
        list_photos(f"{server.address}/train-0.tar", downloads=tmp_path)
    one_line(error)
    assert finished_downloads(tmp_path) == []


def test_an_unreachable_server_is_named(tmp_path, server):
    address = "http://127.0.0.1:9/train-0.tar"  # the discard port: no server listens there
    with pytest.raises(
        DataError, match=r"127\.0\.0\.1:9/train-0\.tar cannot be downloaded"
    ) as error:
        list_photos(address, downloads=tmp_path)
    one_line(error)


@pytest.mark.parametrize("difference", [+100, -600])
def test_a_download_that_was_cut_short_is_repeated_the_next_time(
    tmp_path, server, shard, difference
):
    address, server.files_by_path["/train-0.tar"] = f"{server.address}/train-0.tar", shard
    # More than the zeros at the end of a tar must be missing.
    end = len(shard) - len(shard.rstrip(b"\0"))
    server.headers["/train-0.tar"] = {
        "Content-Length": str(len(shard) + difference - (end if difference < 0 else 0))
    }
    with pytest.raises(DataError, match=rf"^{address} ") as error:
        list_photos(address, downloads=tmp_path / "downloads")
    one_line(error)
    assert finished_downloads(tmp_path / "downloads") == []
    server.headers.clear()
    assert names(list_photos(address, downloads=tmp_path / "downloads")) == {"train-0.tar/a.png"}


def test_a_shard_must_have_the_checksum_in_its_address(tmp_path, server, shard):
    address, server.files_by_path["/train-0.tar"] = f"{server.address}/train-0.tar", shard
    right, wrong = hashlib.sha256(shard).hexdigest(), hashlib.sha256(b"").hexdigest()
    with pytest.raises(DataError, match=f"has the SHA-256 {right}") as error:
        list_photos(f"{address}#sha256={wrong}", downloads=tmp_path / "downloads")
    one_line(error)
    assert finished_downloads(tmp_path / "downloads") == []
    with pytest.raises(DataError, match="expected sha256= and 64 hexadecimal digits"):
        list_photos(f"{address}#sha1={right[:40]}", downloads=tmp_path / "downloads")
    pattern = f"{server.address}/{{train-0.tar#sha256={right.upper()},val-0.tar}}"
    server.files_by_path["/val-0.tar"] = shard
    found = list_photos(pattern, downloads=tmp_path / "downloads")
    assert names(found) == {"train-0.tar/a.png", "val-0.tar/a.png"}
    with pytest.raises(DataError, match=f"has the SHA-256 {right}"):  # that is kept as well
        list_photos(f"{address}#sha256={wrong}", downloads=tmp_path / "downloads")


def test_an_error_page_is_not_kept_as_a_shard(tmp_path, server, shard):
    address, server.files_by_path["/train-0.tar"] = (
        f"{server.address}/train-0.tar",
        b"<html>Please log in</html>" * 100,
    )
    with pytest.raises(DataError, match=rf"^{address} is not an uncompressed tar") as error:
        list_photos(address, downloads=tmp_path / "downloads")
    one_line(error)
    server.files_by_path["/train-0.tar"] = shard
    assert names(list_photos(address, downloads=tmp_path / "downloads")) == {"train-0.tar/a.png"}


@pytest.mark.parametrize(
    "end", ["train.tar.gz", "train.zip", "", "?name=train.tar", ".tar", "a/.."]
)
def test_an_address_that_does_not_end_in_a_shard_is_rejected(tmp_path, server, end):
    with pytest.raises(DataError, match="does not end in the name of a shard") as error:
        list_photos(f"{server.address}/{end}", downloads=tmp_path / "downloads")
    one_line(error)
    assert server.requests == []
    assert not (tmp_path / "downloads").exists()


@pytest.mark.parametrize(
    "address",
    [
        "http:///train.tar",
        "http:train.tar",
        "http://[::1/train.tar",
        "http://a b/c.tar",
        "http://127.0.0.1/a\nb.tar",
        "http://127.0.0.1/a\r\nHost: other/b.tar",
    ],
)
def test_an_invalid_address_is_rejected(tmp_path, address):
    with pytest.raises(
        DataError, match=r"\.tar'? (cannot be downloaded|is not an address)"
    ) as error:
        list_photos(address, downloads=tmp_path)
    one_line(error)


def test_threads_share_one_download(tmp_path, server, shard):
    server.files_by_path["/train-0.tar"] = shard
    server.resumed.clear()
    with ThreadPoolExecutor(4) as pool:
        futures = [
            pool.submit(list_photos, f"{server.address}/train-0.tar", downloads=tmp_path)
            for _ in range(4)
        ]
        assert server.requested.wait(60)
        assert finished_downloads(tmp_path) == []
        server.resumed.set()
        assert all(names(each.result(60)) == {"train-0.tar/a.png"} for each in futures)
    assert server.requests == ["/train-0.tar"]


PROGRAM = """
import sys
from pathlib import Path
from colorizenet.photosets import list_photos
print("ready", flush=True)
print(list_photos(sys.argv[1], downloads=Path(sys.argv[2]))[0].name)
"""


def test_processes_share_one_download_and_continue_when_one_is_killed(tmp_path, server, shard):
    server.files_by_path["/train-0.tar"] = shard
    server.resumed.clear()
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        f"{server.address}/train-0.tar",
        str(tmp_path / "downloads"),
    ]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for program in programs:
            assert program.stdout and program.stdout.readline() == "ready\n"
        assert server.requested.wait(60)  # by whichever process has the lock
        programs[0].kill()
        programs[0].wait()
        assert finished_downloads(tmp_path) == []
        server.resumed.set()
        for program in programs[1:]:
            assert program.communicate(timeout=60)[0] == "train-0.tar/a.png\n"
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    assert 1 <= len(server.requests) <= 2  # twice if the killed one had the lock


# Splits


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "val", "test"),
        ("data_256", "val_256", "test_256"),
        ("training", "Validation", "testing"),
        ("train2017", "valid", "test-2"),
    ],
)
def test_folders_named_after_splits_are_the_splits(tmp_path, write_photograph, folders):
    for folder in folders:
        write_photograph(tmp_path / folder / "class" / "a.jpg")
    for split, folder in zip(SPLITS, folders, strict=True):
        assert names(find_photos(tmp_path, split)) == {f"{folder}/class/a.jpg"}


def test_shards_named_after_splits_are_the_splits(tmp_path, write_photograph, pack):
    photograph = write_photograph(tmp_path / "loose" / "a.jpg")
    for shard in ("train-000.tar", "train-001.TAR", "val-coco.tar", "test_0.tar"):
        pack(tmp_path / "shards" / shard, photograph.parent, [photograph])
    assert names(find_photos(tmp_path / "shards", "train")) == {
        "train-000.tar/a.jpg",
        "train-001.TAR/a.jpg",
    }
    assert names(find_photos(tmp_path / "shards", "val")) == {"val-coco.tar/a.jpg"}
    assert names(find_photos(tmp_path / "shards", "test")) == {"test_0.tar/a.jpg"}


def test_photos_named_after_splits_do_not_define_splits(tmp_path):
    for name in ("test.jpg", "train.png", *(f"{i}.jpg" for i in range(40))):
        (tmp_path / name).touch()
    splits = {split: names(photos) for split, photos in split_photos(tmp_path).items()}
    assert len(splits["train"]) > 20  # and not only train.png
    assert sum(map(len, splits.values())) == 42


def test_photos_outside_of_all_splits_are_counted(tmp_path, caplog):
    for name in ("train/a.jpg", "val/b.jpg", "more/c.jpg", "d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    splits = split_photos(tmp_path)
    assert {split: len(photos) for split, photos in splits.items()} == dict(
        zip(SPLITS, (1, 1, 0), strict=True)
    )
    [message] = caplog.messages
    assert message.startswith(f"2 of 4 photos of {tmp_path} are in no folder or shard named train,")
    assert "(the first: d.jpg)" in message


def test_the_hash_split_is_disjoint_complete_and_about_80_10_10(tmp_path):
    for i in range(1000):
        (tmp_path / f"{i}.jpg").touch()
    split = {name: names(find_photos(tmp_path, name)) for name in SPLITS}
    assert split["train"] | split["val"] | split["test"] == {f"{i}.jpg" for i in range(1000)}
    assert sum(map(len, split.values())) == 1000
    assert 0.76 < len(split["train"]) / 1000 < 0.84
    assert 0.07 < len(split["val"]) / 1000 < 0.13


def test_the_hash_split_never_moves_when_photos_are_added(tmp_path):
    for i in range(100):
        (tmp_path / f"{i}.jpg").touch()
    before = {split: names(find_photos(tmp_path, split)) for split in SPLITS}
    (tmp_path / "more").mkdir()
    for i in range(100):
        (tmp_path / "more" / f"{i}.jpg").touch()
    for split in SPLITS:
        assert before[split] == {
            name for name in names(find_photos(tmp_path, split)) if "/" not in name
        }


# Errors


@pytest.mark.parametrize("damage", ["garbage", "cut short", "empty"])
def test_a_damaged_photo_is_named_on_one_line(tmp_path, write_photograph, damage):
    path = write_photograph(tmp_path / "a\nb.jpg")
    whole = path.read_bytes()
    path.write_bytes(
        {"garbage": b"no picture", "cut short": whole[: len(whole) // 2], "empty": b""}[damage]
    )
    (photo,) = list_photos(tmp_path)
    reason = {
        "garbage": "is not in a supported picture format",
        "cut short": "is damaged or cut short",
        "empty": "is empty",
    }[damage]
    with pytest.raises(DataError, match=reason) as error:
        read_photo(photo)
    assert one_line(error).startswith("'a\\nb.jpg' ")


def test_a_photo_that_was_removed_is_named(tmp_path, write_photograph):
    path = write_photograph(tmp_path / "a.jpg")
    (photo,) = list_photos(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"^a\.jpg cannot be read") as error:
        read_photo(photo)
    one_line(error)


@pytest.mark.parametrize("name", ["absent", "ab\nsent", "x" * 300])
def test_a_missing_folder_is_named(tmp_path, name):
    with pytest.raises(DataError, match="does not exist") as error:
        list_photos(tmp_path / name)
    one_line(error)


def test_a_photo_is_no_shard(tmp_path, write_photograph):
    with pytest.raises(DataError, match=r"a\.jpg is one photo; name the folder") as error:
        list_photos(write_photograph(tmp_path / "a.jpg"))
    one_line(error)


def test_a_folder_without_photos_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match="has no photos") as error:
        list_photos(tmp_path)
    assert str(tmp_path) in one_line(error)


def test_a_missing_split_is_named(tmp_path, write_photograph):
    write_photograph(tmp_path / "train" / "a.jpg")
    with pytest.raises(DataError, match=r"1 photo and none.*val split") as error:
        find_photos(tmp_path, "val")
    one_line(error)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_compressed_tar_is_rejected(tmp_path, write_photograph, pack, mode):
    shard = pack(tmp_path / "one.tar", tmp_path, [write_photograph(tmp_path / "a.jpg")], mode)
    with pytest.raises(DataError, match=r"one\.tar is not an uncompressed tar.*tar cf") as error:
        list_photos(shard)
    one_line(error)


def test_a_folder_named_like_a_shard_is_rejected(tmp_path):
    (tmp_path / "one.tar").mkdir()
    with pytest.raises(DataError, match=r"one\.tar is not an uncompressed tar") as error:
        list_photos(tmp_path)
    one_line(error)


@pytest.mark.parametrize("damage", ["in a photo", "in a header", "over a header"])
def test_a_damaged_tar_is_rejected_and_not_read_in_part(tmp_path, write_photograph, pack, damage):
    files = [write_photograph(tmp_path / name, height=64) for name in ("a.png", "b.png")]
    shard = pack(tmp_path / "one.tar", tmp_path, files)
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        header = tar.getmembers()[1].offset
    shard.write_bytes(
        {
            "in a photo": whole[:2000],
            "in a header": whole[: header + 100],
            "over a header": whole[:header] + b"?" * 100 + whole[header + 100 :],
        }[damage]
    )
    with pytest.raises(DataError, match=r"one\.tar is not an uncompressed tar") as error:
        list_photos(shard)
    one_line(error)


def test_hidden_files_are_no_photos(tmp_path, write_photograph, pack):
    """macOS writes ``._photo.jpg`` beside each photo, into tars as well."""
    write_photograph(tmp_path / "a" / "photo.png")
    shutil.copytree(tmp_path / "a", tmp_path / "a" / ".trash")
    (tmp_path / "a" / "._photo.png").write_bytes(b"Mac OS X")
    pack(
        tmp_path / "b.tar",
        tmp_path / "a",
        [tmp_path / "a" / "photo.png", tmp_path / "a" / "._photo.png"],
    )
    assert names(list_photos(tmp_path / "a")) == {"photo.png"}
    assert names(list_photos(tmp_path / "b.tar")) == {"b.tar/photo.png"}


def test_a_folder_that_only_begins_like_a_split_is_none(tmp_path, write_photograph):
    for number, folder in enumerate(("Train journeys", "Berlin")):
        for i in range(20):
            write_photograph(tmp_path / folder / f"{i}.png", 20 * number + i)
    splits = split_photos(tmp_path)
    assert sum(len(splits[name]) for name in SPLITS) == 40
    (tmp_path / "Train journeys").rename(tmp_path / "train 2017")
    assert len(split_photos(tmp_path)["train"]) == 20
