"""Download the small photos of Places365 and lay them out for training.

    python examples/places365.py places365            25 GB: 1.8 million photos
    python examples/places365.py places365 --small    0.5 GB: 36,500 validation photos

The folder gets tar shards that ``colorizenet`` reads as they are:

    train_256_places365standard.tar    all training photos; train.tar with --small
    val.tar                            every tenth validation photo
    test.tar                           the others; every tenth with --small
    places365.json                     what was downloaded, and the number of photos

An interrupted download continues where it stopped, and each archive must have the MD5
that its publisher states. The photos are 256 x 256 pixels, for non-commercial research
and education: Zhou et al. 2018, "Places: A 10 million Image Database for Scene
Recognition".
"""

import argparse
import hashlib
import http.client
import json
import re
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from colorizenet.errors import DataError, quote
from colorizenet.files import write_atomically

PUBLISHER = "http://data.csail.mit.edu/places/places365/"
TRAINING, VALIDATION = "train_256_places365standard.tar", "val_256.tar"
MD5 = {
    TRAINING: "53ca1c756c3d1e7809517cc47c5561c5",
    VALIDATION: "e27b17d8d44f4af9a78502beb927f808",
}
"""Archive -> MD5 as its publisher states it (also in torchvision)."""
SPLITS: Mapping[bool, Callable[[int], str]] = {
    False: lambda number: "val" if number % 10 == 0 else "test",
    True: lambda number: {0: "val", 1: "test"}.get(number % 10, "train"),
}
"""With --small or not -> the split of a validation photo, by its number."""

_TIMEOUT = 60
"""Seconds that the server may take for the next bytes."""
_CHUNK = 1 << 20
_NUMBER = re.compile(r"(\d+)\.jpe?g", re.IGNORECASE)


def main(arguments: list[str] | None = None) -> None:
    """Download and lay out. Exits with status 2 for an error, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for the shards")
    parser.add_argument("--small", action="store_true", help="the validation photos only")
    parser.add_argument("--mirror", default=PUBLISHER, help="address of the folder of archives")
    given = parser.parse_args(arguments)
    try:
        counts = fetch_places(given.folder, small=given.small, mirror=given.mirror)
    except DataError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; run the same command again to continue\n")
    print(f"{given.folder}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")


def fetch_places(
    folder: Path,
    *,
    small: bool = False,
    mirror: str = PUBLISHER,
    checksums: Mapping[str, str] = MD5,
    pause: float = 5.0,
) -> dict[str, int]:
    """Make the shards that are missing. Returns the number of photos by split.

    ``checksums``: archive -> MD5. ``pause``: seconds before a broken download goes on.
    Raises DataError.
    """
    if not re.match(r"https?://", mirror):
        raise DataError(f"--mirror {quote(mirror)} is no address; expected http:// or https://")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "places365.json"
    if record.is_file():
        finished = json.loads(record.read_text())
        if finished["small"] != small:
            raise DataError(
                f"{quote(folder)} was made {'with' if finished['small'] else 'without'} --small; "
                "name another folder"
            )
        return finished["photos"]
    archives = [VALIDATION] if small else [VALIDATION, TRAINING]
    counts: dict[str, int] = {}
    for name in archives:
        # A shard under its final name is complete, so a download has another one.
        download = folder / f"{name}.part"
        if name == VALIDATION and not (folder / "val.tar").exists():
            fetch(mirror.rstrip("/") + f"/{name}", download, checksums[name], pause=pause)
            split_archive(download, folder, SPLITS[small])
        elif name == TRAINING and not (folder / name).exists():
            fetch(mirror.rstrip("/") + f"/{name}", download, checksums[name], pause=pause)
            download.replace(folder / name)
    (folder / f"{VALIDATION}.part").unlink(missing_ok=True)
    for shard in sorted(folder.glob("*.tar")):
        split = re.split(r"[_.]", shard.name)[0]
        counts[split] = count_photos(shard)
    about = {
        "small": small,
        "archives": {name: checksums[name] for name in archives},
        "photos": counts,
    }
    write_atomically(record, json.dumps(about, indent=2).encode())
    return counts


def fetch(address: str, path: Path, md5: str, *, pause: float, attempts: int = 5) -> None:
    """Download a file, going on behind what is there. Raises DataError.

    A connection that breaks is opened again, up to ``attempts`` times in a row without
    a new byte, ``pause`` seconds apart.
    """
    failures = 0
    while failures < attempts:
        before = path.stat().st_size if path.exists() else 0
        try:
            if fetch_once(address, path):
                break
            reason = "the connection ended"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise DataError(
                    f"{quote(address)} has HTTP status {error.code}; check --mirror"
                ) from error
            reason = quote(error) or type(error).__name__
        after = path.stat().st_size if path.exists() else 0
        failures = failures + 1 if after <= before else 0
        print(f"{address}: {reason} after {after:,} bytes", file=sys.stderr)
        time.sleep(pause)
    else:
        raise DataError(
            f"{quote(address)} cannot be downloaded; run the same command again to continue"
        )
    found = compute_md5(path)
    if found != md5:
        path.unlink()
        raise DataError(
            f"{quote(address)} has the MD5 {found} and not {md5}; it was deleted, so run the "
            "same command again, or name another --mirror"
        )


def fetch_once(address: str, path: Path) -> bool:
    """Append what is missing of a file. Returns whether it is complete."""
    there = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={there}-"})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and there:  # nothing is behind what is there
            return True
        raise
    with response:
        if response.status != 206:  # the server cannot go on, and sends all of it
            there = 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        free = shutil.disk_usage(path.parent).free
        if total is not None and total - there > free:
            raise DataError(
                f"{quote(address)} needs {total - there:,} bytes and the disk has {free:,}; "
                "free some, or use --small"
            )
        with path.open("r+b" if there else "wb") as file:
            file.seek(there)
            percent = -1
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                if total and percent < (percent := 100 * file.tell() // total):
                    print(f"\r{path.stem}: {percent} %", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            return total is None or file.tell() == total


def split_archive(archive: Path, folder: Path, choose_split: Callable[[int], str]) -> None:
    """Copy the photos of an archive into a shard for each split, by their numbers.

    ``val.tar`` appears last, when all are complete. Raises DataError for a photo
    without a number, and for a file that is no tar archive.
    """
    shards: dict[str, tarfile.TarFile] = {}
    try:
        with ExitStack() as stack:
            source = stack.enter_context(tarfile.open(archive))
            for member in source:
                if not member.isfile():
                    continue
                number = _NUMBER.search(member.name)
                if not number:
                    raise DataError(f"{quote(member.name)} has no number; expected NAME_0001.jpg")
                split = choose_split(int(number[1]))
                if split not in shards:
                    path = folder / f"{split}.tar.part"
                    shards[split] = stack.enter_context(tarfile.open(path, "w"))
                shards[split].addfile(member, source.extractfile(member))
    except tarfile.TarError as error:
        raise DataError(f"{quote(archive)} is no tar archive ({quote(error)})") from error
    for split in sorted(shards, key=lambda split: split == "val"):
        (folder / f"{split}.tar.part").replace(folder / f"{split}.tar")


def count_photos(shard: Path) -> int:
    """The number of photos of a shard."""
    kinds: Counter[bool] = Counter()
    with tarfile.open(shard) as tar:
        while member := tar.next():
            kinds[member.isfile()] += 1
            tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
    return kinds[True]


def compute_md5(path: Path) -> str:
    """MD5 of a file, as the publisher states it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    main()
