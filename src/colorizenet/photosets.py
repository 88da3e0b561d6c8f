"""Sets of photos: folders, tar shards and http(s) addresses of shards, and their
splits.

A source is one of

    photos/                               a folder of any depth, of photos or tar shards
    shards/train-000.tar                  one uncompressed tar, in WebDataset form
    shards/train-{000..006}.tar           several, as a brace pattern
    https://host/train-{000..006}.tar     the same, downloaded once
    https://host/train.tar#sha256=12ab…   the same, with the checksum that it must have

Other schemes and pipes are rejected, and of a shard nothing but its photos is read.
"""

import hashlib
import logging
import re
import tarfile
import urllib.parse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from braceexpand import braceexpand
from filelock import FileLock

from colorizenet.errors import DataError, ImageError, quote
from colorizenet.files import compute_sha256
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.reading import read_rgb8

__all__ = [
    "Photo",
    "Split",
    "find_photos",
    "find_splits",
    "list_photos",
    "read_photo",
    "split_photos",
]

_log = logging.getLogger(__name__)

SUFFIXES = frozenset(suffix for format in FORMATS.values() for suffix in format.suffixes)

Split = Literal["train", "val", "test"]

_TIMEOUT = 60
"""Seconds that a server may take to accept a connection, and to send the next bytes."""


@dataclass(frozen=True, slots=True)  # a set may have a million of them
class Photo:
    """Location of an encoded photo: a file, or a range of bytes in a tar shard."""

    name: str
    path: Path
    offset: int = 0
    length: int = -1

    def measure_size(self) -> int:
        """Size of the encoded photo in bytes; -1 for a file that is not there."""
        if self.length >= 0:
            return self.length
        try:
            return self.path.stat().st_size
        except OSError:
            return -1  # a dangling link, which is later reported as unreadable

    def read(self) -> bytes:
        """The encoded photo. Raises ``OSError``."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def read_photo(photo: Photo) -> np.ndarray:
    """Decode a photo to ``(H, W, 3)`` uint8 sRGB, upright.

    An embedded ICC profile is honored; without one sRGB is assumed. Raises DataError.
    """
    try:
        return read_rgb8(photo.read(), name=quote(photo.name))
    except OSError as error:
        raise DataError(
            f"{quote(photo.name)} cannot be read ({quote(error.strerror or error)}); "
            "remove it from the data"
        ) from error
    except ImageError as error:
        raise DataError(str(error)) from error
    except MemoryError as error:
        raise DataError(
            f"{quote(photo.name)} needs more memory than there is; remove it from the data"
        ) from error


def find_photos(
    source: str | Path, split: Split, *, downloads: Path = Path("downloads")
) -> list[Photo]:
    """The photos of one split, as ``find_splits`` does it."""
    [photos] = find_splits(source, (split,), downloads=downloads)
    return photos


def find_splits(
    source: str | Path, wanted: Sequence[Split], *, downloads: Path = Path("downloads")
) -> list[list[Photo]]:
    """The photos of each split that is wanted. Their order depends on their names
    alone.

    Raises DataError for a split without photos.
    """
    splits = split_photos(source, downloads=downloads)
    for split in wanted:
        if not splits[split]:
            total = sum(map(len, splits.values()))
            raise DataError(
                f"{quote(source)} has {total} photo{'s' if total != 1 else ''} and none in the "
                f"{split} split; add photos to it, or name other photos"
            )
    return [splits[split] for split in wanted]


def split_photos(
    source: str | Path, *, downloads: Path = Path("downloads")
) -> dict[Split, list[Photo]]:
    """The photos of each split.

    A folder or shard belongs to a split if its name is that of the split (also
    training, valid, validation, testing), or begins with it and goes on with anything
    but a letter. If there is none, a hash of each photo's name decides; it does not
    change when photos are added. If there is one, photos elsewhere are in no split, and
    the log says so.
    """
    photos = list_photos(source, downloads=downloads)
    local = _find_local(source)
    folder = local if local and local.is_dir() else None
    chosen: list[Split | None] = [_read_split(photo, folder) for photo in photos]
    if not any(chosen):
        chosen = [_hash_split(photo.name) for photo in photos]
    if outside := [photo for photo, split in zip(photos, chosen, strict=True) if not split]:
        _log.warning(
            "%d of %d photos of %s are in no folder or shard named train, val or test and are "
            "left out (the first: %s); move them into one, if they are wanted",
            len(outside),
            len(photos),
            quote(source),
            quote(outside[0].name),
        )
    splits: dict[Split, list[Photo]] = {"train": [], "val": [], "test": []}
    for photo, split in zip(photos, chosen, strict=True):
        if split:
            splits[split].append(photo)
    return splits


def list_photos(source: str | Path, *, downloads: Path = Path("downloads")) -> list[Photo]:
    """All photos of a source, sorted by name in folders and in file order in shards.

    Raises DataError for a source that does not exist, is damaged or has no photos.
    """
    photos = [photo for path in _locate(str(source), downloads) for photo in _list_path(path)]
    if not photos:
        raise DataError(
            f"{quote(source)} has no photos; expected {', '.join(FORMATS)} or .tar shards"
        )
    return photos


def _locate(source: str, downloads: Path) -> list[Path]:
    """The folder or the shards of a source; downloads what is remote."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+):", source.lower())  # one letter is a drive
    if scheme and not _find_local(source):
        if scheme[1] not in ("http", "https"):
            raise DataError(
                f"{quote(source)} starts with {quote(scheme[0])}, which is not supported; "
                "name a folder, .tar shards, or http(s) addresses of .tar shards"
            )
        return [_download_shard(address, downloads) for address in _expand_braces(source)]
    paths = []
    for name in [source] if _find_local(source) else _expand_braces(source):
        path = _find_local(name)
        if not path:
            raise DataError(
                f"{quote(name)} does not exist; name a folder of photos or a .tar shard"
            )
        if path.is_dir() and name != source:
            raise DataError(
                f"{quote(source)} is a pattern of folders, and patterns are for shards; "
                "name the parent folder"
            )
        paths.append(path)
    return paths


def _find_local(source: str | Path) -> Path | None:
    """The folder or file with exactly this name, if there is one."""
    with suppress(OSError):  # a long address or pattern is not a valid file name
        if Path(source).exists():
            return Path(source)
    return None


def _expand_braces(pattern: str) -> list[str]:
    try:
        return list(braceexpand(pattern, escape=False))  # Windows separates folders by backslashes
    except ValueError as error:
        raise DataError(
            f"{quote(pattern)} has an unbalanced brace; "
            "write numbered shards as train-{000..006}.tar"
        ) from error


def _list_path(path: Path) -> list[Photo]:
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            raise DataError(
                f"{quote(path)} is one photo; name the folder of the photos, or a .tar shard"
            )
        return _list_shard(path, path.name)
    found: list[Photo] = []
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if _is_hidden(name):
            continue
        if file.suffix.lower() == ".tar":
            found += _list_shard(file, name)
        elif file.suffix.lower() in SUFFIXES:
            found.append(Photo(name, file))
    return found


def _is_hidden(name: str) -> bool:
    """Whether a file or one of its folders is hidden, as macOS's ``._photo.jpg`` is."""
    parts = name.split("/")
    return any(part.startswith(".") and part not in (".", "..") for part in parts)


def _list_shard(shard: Path, prefix: str, *, address: str = "") -> list[Photo]:
    """The photos of a shard, whose names start with ``prefix``.

    A shard that was downloaded from ``address`` must be complete, with the zeros that
    end a tar: not every server says how long a file is.
    """
    try:
        # "r:" is an uncompressed tar, whose members can be read at their offsets.
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            found = []
            while member := tar.next():
                if (
                    member.isfile()
                    and Path(member.name).suffix.lower() in SUFFIXES
                    and not _is_hidden(member.name)
                ):
                    name = f"{prefix}/{member.name}"
                    found.append(Photo(name, shard, member.offset_data, member.size))
                # tarfile keeps a kilobyte of each member. The attribute is in no type
                # stub.
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
            file.seek(tar.offset)
            # A tar ends with zeros. tarfile stops at damaged headers without an error.
            end = file.read(tarfile.BLOCKSIZE)
            if any(end):
                raise tarfile.ReadError(f"damaged after {tar.offset} bytes")
            if address and len(end) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError(f"cut short after {tar.offset + len(end)} bytes")
            return found
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{quote(address or shard)} is not an uncompressed tar ({quote(error)}); "
            "pack it with `tar cf`"
        ) from error


def _read_split(photo: Photo, folder: Path | None) -> Split | None:
    """The split in the name of a folder or shard: ``val_256``, ``train-003.tar``."""
    first = photo.path.relative_to(folder).parts[0] if folder else photo.path.name
    if first == photo.path.name and photo.path.suffix.lower() != ".tar":
        return None  # a photo may be named test.jpg
    patterns: dict[Split, str] = {
        "train": "train(ing)?|data_256",
        "val": "val(id(ation)?)?",
        "test": "test(ing)?",
    }
    for split, pattern in patterns.items():
        # No more letters: "Train journeys" is no split.
        if re.match(rf"({pattern})(?! *[a-z])", first.lower()):
            return split
    return None


def _hash_split(name: str) -> Split:
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    tenth = int.from_bytes(digest[:8], "big") % 10
    return "train" if tenth < 8 else "val" if tenth == 8 else "test"


def _download_shard(address: str, downloads: Path) -> Path:
    """Download a shard to ``downloads``, unless it is already there.

    The file appears only when it is complete, and has the checksum that the address may
    end in: ``#sha256=``, as pip has it. Other threads and processes wait for the
    first one that downloads it.
    """
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError as error:
        raise DataError(f"{quote(address)} is not an address ({quote(error)}); check it") from error
    stated = re.fullmatch(r"sha256=([0-9a-f]{64})", parts.fragment.lower())
    if parts.fragment and not stated:
        raise DataError(
            f"{quote(address)} ends in {quote(parts.fragment)}; "
            "expected sha256= and 64 hexadecimal digits"
        )
    name = parts.path.rpartition("/")[2]
    if not re.fullmatch(r"[\w%.-]+\.tar", name, re.IGNORECASE):
        raise DataError(
            f"{quote(address)} does not end in the name of a shard; expected a name such as "
            "train-000.tar"
        )
    # Two hosts may have shards of one name. The query is often a signature that
    # changes.
    place = f"{parts.scheme}://{parts.netloc}{parts.path}"
    path = downloads / hashlib.sha256(place.encode()).hexdigest()[:16] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            partial = path.with_suffix(".part")
            _download(address, partial)
            _list_shard(partial, name, address=address)  # rejects error pages
            if stated:
                _check_sha256(partial, stated[1], address)
            partial.replace(path)
        elif stated:  # it may have been downloaded without a checksum
            _check_sha256(path, stated[1], address)
    return path


def _check_sha256(path: Path, expected: str, address: str) -> None:
    """Raise DataError for a file with another checksum than expected."""
    found = compute_sha256(path)
    if found != expected:
        raise DataError(
            f"{quote(address)} has the SHA-256 {found}; delete {quote(path)}, or ask who "
            "published it for the checksum"
        )


def _download(address: str, path: Path) -> None:
    """Download http(s) to a file.

    aiohttp rejects redirects to other schemes, and this function those from https to
    http, which anybody on the way could have answered.
    """
    try:
        import aiohttp
        from fsspec.callbacks import Callback
        from fsspec.implementations.http import HTTPFileSystem
    except ModuleNotFoundError as error:
        raise DataError(
            f"{quote(address)} needs {error.name}, and this installation has no extra `cloud`; "
            "pip install 'colorizenet[cloud]', or download the shard yourself"
        ) from error

    async def check_redirect(_session: object, _context: object, redirect: Any) -> None:
        target = redirect.response.headers.get("Location", "")
        scheme = urllib.parse.urlsplit(urllib.parse.urljoin(str(redirect.url), target)).scheme
        if redirect.url.scheme == "https" and scheme != "https":
            raise ValueError(f"it redirects from https to {target}, which is not encrypted")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(check_redirect)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT, sock_read=_TIMEOUT)
    filesystem = HTTPFileSystem(
        skip_instance_cache=True,
        client_kwargs={"timeout": timeout, "trust_env": True, "trace_configs": [tracing]},
    )
    progress: Any = Callback()
    try:
        filesystem.get_file(address, str(path), callback=progress)
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError) as error:
        status = error.status if isinstance(error, aiohttp.ClientResponseError) else None
        status = 404 if isinstance(error, FileNotFoundError) else status
        reason = f"HTTP status {status}" if status else quote(error) or type(error).__name__
        raise DataError(
            f"{quote(address)} cannot be downloaded ({reason}); check the address"
        ) from error
    size = path.stat().st_size
    if progress.size not in (None, size):
        raise DataError(
            f"{quote(address)} ended after {size} of {progress.size} bytes; "
            "run the same command again"
        )
