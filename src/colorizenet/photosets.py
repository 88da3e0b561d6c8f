"""Where photographs lie, and which split each belongs to: folders, tar shards, addresses of shards.

A source is written as

    photographs/                          a folder of any depth, of photographs or of tar shards
    shards/train-000.tar                  one uncompressed tar, in WebDataset form
    shards/train-{000..006}.tar           several, by a brace pattern
    https://host/train-{000..006}.tar     the same, downloaded once and kept

and nothing else: no pipes, no other schemes, and no member of a shard but photographs.
"""

import hashlib
import http.client
import re
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from braceexpand import braceexpand
from filelock import FileLock

from colorizenet.errors import DataError, quote

__all__ = ["Photo", "Split", "list_photos", "decode", "find_photos", "split_photos"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)  # there may be a million of them
class Photo:
    """Where the encoded bytes of one photograph lie: a file, or a stretch of a tar shard."""

    name: str
    path: Path
    offset: int = 0
    length: int = -1

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def decode(picture: Photo) -> np.ndarray:
    """sRGB ``(H, W, 3)`` uint8 of one photograph, turned upright as its EXIF says."""
    try:
        encoded = np.frombuffer(picture.read(), np.uint8)
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except (OSError, cv2.error) as error:
        raise DataError(
            f"{quote(picture.name)} cannot be read ({quote(error)}); remove it from the data"
        ) from error
    if bgr is None:
        raise DataError(
            f"{quote(picture.name)} is not a picture that can be decoded; remove it from the data"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def find_photos(
    source: str | Path, split: Split, *, downloads: Path = Path("downloads")
) -> list[Photo]:
    """The photographs of one split, in an order that depends on their names alone."""
    splits = split_photos(source, downloads=downloads)
    if not splits[split]:
        raise DataError(
            f"{quote(source)} holds {sum(map(len, splits.values()))} photographs and none of them falls into "
            f"the {split} split; add photographs, or name another folder with data.val"
        )
    return splits[split]


def split_photos(
    source: str | Path, *, downloads: Path = Path("downloads")
) -> dict[Split, list[Photo]]:
    """The photographs of each split.

    A folder or shard whose name begins with the split's is that split. Where there is none,
    a hash of each picture's name decides: it never moves when others are added.
    """
    pictures = list_photos(source, downloads=downloads)
    local = _local(source)
    folder = local if local and local.is_dir() else None
    given: list[Split | None] = [_given_split(picture, folder) for picture in pictures]
    if not any(given):
        given = [_hashed_split(picture.name) for picture in pictures]
    splits: dict[Split, list[Photo]] = {"train": [], "val": [], "test": []}
    for picture, split in zip(pictures, given, strict=True):
        if split:
            splits[split].append(picture)
    return splits


def list_photos(source: str | Path, *, downloads: Path = Path("downloads")) -> list[Photo]:
    """Every photograph of a source, by name within each folder and in order within each shard."""
    pictures = [picture for path in _expanded(str(source), downloads) for picture in _in(path)]
    if not pictures:
        raise DataError(
            f"{quote(source)} holds no photograph; expected {', '.join(sorted(SUFFIXES))} or .tar shards"
        )
    return pictures


def _expanded(source: str, downloads: Path) -> list[Path]:
    """The folder and shards that a source stands for, each of them on this machine."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+):", source.lower())  # one letter is a drive
    if scheme and not _local(source):
        if scheme[1] not in ("http", "https"):
            raise DataError(
                f"{quote(source)} begins with {quote(scheme[0])}, which is not read from; "
                "give a folder, .tar shards, or http(s) addresses of .tar shards"
            )
        return [_downloaded(address, downloads) for address in _braces(source)]
    paths = []
    for name in [source] if _local(source) else _braces(source):
        path = _local(name)
        if not path:
            raise DataError(
                f"{quote(name)} does not exist; name a folder of photographs or a .tar shard"
            )
        if path.is_dir() and name != source:
            raise DataError(
                f"{quote(source)} names folders by a pattern, which is for shards; name the folder above"
            )
        paths.append(path)
    return paths


def _local(source: str | Path) -> Path | None:
    """The folder or file of this very name, if there is one."""
    with suppress(
        OSError
    ):  # signed addresses and long patterns are no names that a disk could hold
        if Path(source).exists():
            return Path(source)
    return None


def _braces(pattern: str) -> list[str]:
    try:
        return list(braceexpand(pattern, escape=False))  # a backslash is a path's on Windows
    except ValueError as error:
        raise DataError(
            f"{quote(pattern)} has a brace without its partner; write numbered shards as train-{{000..006}}.tar"
        ) from error


def _in(path: Path) -> list[Photo]:
    if path.is_file():
        return _members(path)
    found: list[Photo] = []
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() == ".tar":
            found += _members(file)
        elif file.suffix.lower() in SUFFIXES:
            found.append(Photo(file.relative_to(path).as_posix(), file))
    return found


def _members(shard: Path, *, address: str = "") -> list[Photo]:
    try:
        # "r:" is uncompressed, so that members can be sought.
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            found = []
            while member := tar.next():
                if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                    found.append(
                        Photo(f"{shard.name}/{member.name}", shard, member.offset_data, member.size)
                    )
                # Or tarfile would hold on to a kilobyte of each
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue] (in every version, and in no stub)
            file.seek(tar.offset)
            if any(
                file.read(tarfile.BLOCKSIZE)
            ):  # zeros end a tar; tarfile takes damage for an end too
                raise tarfile.ReadError(f"damaged after {tar.offset} bytes")
            return found
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{quote(address or shard)} is not an uncompressed tar ({quote(error)}); pack it with `tar cf`"
        ) from error


def _given_split(picture: Photo, folder: Path | None) -> Split | None:
    """The split that a folder or shard of this name says it is: ``val_256``, ``train-003.tar``."""
    first = picture.path.relative_to(folder).parts[0] if folder else picture.path.name
    if first == picture.path.name and picture.path.suffix.lower() != ".tar":
        return None  # a photograph may be called test.jpg
    named = re.match(r"(train|data_256|val|test)(?![a-z])", first.lower())
    splits: dict[str, Split] = {"train": "train", "data_256": "train", "val": "val", "test": "test"}
    return splits[named[1]] if named else None


def _hashed_split(name: str) -> Split:
    tenth = (
        int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big")
        % 10
    )
    return "train" if tenth < 8 else "val" if tenth == 8 else "test"


def _downloaded(address: str, downloads: Path) -> Path:
    """The shard of an http(s) address, from ``downloads`` where it lies already.

    Whole, or not there: the processes of one machine wait for the first of them.
    """
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError as error:
        raise DataError(f"{quote(address)} is not an address ({quote(error)}); check it") from error
    name = parts.path.rpartition("/")[2]
    if not re.fullmatch(r"[\w%.-]+\.tar", name, re.IGNORECASE):
        raise DataError(
            f"{quote(address)} does not end in the name of a shard; expected something like train-000.tar"
        )
    # Shards of the same name at other places are other shards; what follows a ? is often a signature.
    place = hashlib.sha256(f"{parts.scheme}://{parts.netloc}{parts.path}".encode()).hexdigest()[:16]
    path = downloads / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            partial = path.with_suffix(".part")
            _download(address, partial)
            _members(partial, address=address)  # a page that says sorry is not kept
            partial.replace(path)
    return path


def _download(address: str, path: Path) -> None:
    opener = urllib.request.OpenerDirector()
    for (
        handler
    ) in (  # the default ones without ftp:, file: and data:, which a redirection could name
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(address, timeout=60) as response, path.open("wb") as file:
            expected = response.length  # None where it is not told
            shutil.copyfileobj(response, file, 1 << 20)
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise DataError(
            f"{quote(address)} cannot be downloaded ({quote(error)}); check the address"
        ) from error
    if expected is not None and expected != path.stat().st_size:
        raise DataError(
            f"{quote(address)} ended after {path.stat().st_size} of {expected} bytes; run the same command again"
        )
