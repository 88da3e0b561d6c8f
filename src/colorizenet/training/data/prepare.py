"""Training shards of any photographs: small, screened, without duplicates, the same bytes each time.

    prepared/
        val-000.tar  test-000.tar  train-000.tar  train-001.tar ...
        manifest.tsv     what became of each picture; it appears when all are done
        prepare.json     the settings and the fingerprint of the list of pictures
        .prepare/        while it is under way: a table for each finished shard

Val comes first, then test, then train, so that of two duplicates the one to train on goes. Within
a split the order is that of a hash of the names, so that each shard is a random sample. A shard
is written beside and renamed, its table after it: a program that is killed goes on after the last
table, and since every picture is judged by those before it alone, ends with the same bytes.
"""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from colorizenet.errors import ConfigError, DataError, quote
from colorizenet.evaluation import metrics
from colorizenet.files import write_atomically
from colorizenet.parallel import map_ordered
from colorizenet.photosets import Photo, Split, split_photos
from colorizenet.training.data.duplicates import Hashes
from colorizenet.training.data.screen import Screen, difference_hash, sample
from colorizenet.training.data.shrink import UNREADABLE, Original, as_jpeg, one_thread_each, reason

__all__ = ["Examined", "Preparation", "Prepared", "prepare"]

FORMAT = 1
"""Of prepare.json and of what a setting means; a folder begun with another is not gone on with."""

_ORDER: tuple[Split, ...] = ("val", "test", "train")
_LEFT_BY_A_KILL = r"\.[0-9a-f]{16}\.part|\.prepare"
_OURS = re.compile(rf"(train|val|test)-\d+\.tar|manifest\.tsv|prepare\.json|{_LEFT_BY_A_KILL}")


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What the photographs are made into."""

    size: int = 256
    """Short side in pixels; smaller pictures keep theirs."""
    quality: int = 92
    """Of the JPEG, 1 to 100. Its chroma, which is what is learned, is never reduced."""
    per_shard: int = 5000
    """Pictures in a shard."""
    duplicate_bits: int = 2
    """Pictures whose difference hashes differ in up to so many of 64 bits are the same; -1 keeps all."""
    screen: Screen = field(default_factory=Screen)

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ConfigError(
                f"size is {self.size}; give the short side in pixels, at least 32, such as 256"
            )
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality is {self.quality}; give 1 to 100, such as 92")
        if self.per_shard < 1:
            raise ConfigError(
                f"per_shard is {self.per_shard}; give the pictures in a shard, such as 5000"
            )
        if not -1 <= self.duplicate_bits <= 8:
            raise ConfigError(
                f"duplicate_bits is {self.duplicate_bits}; give 0 to 8, or -1 to keep duplicates"
            )


class Examined(NamedTuple):
    """One picture and what became of it: a row of the manifest, in this order."""

    split: str
    shard: str
    """The file it is in, without its ending; empty where it was left out."""
    key: str
    """What it is called there: a number that no other shard has."""
    name: str
    """Where it came from, with backslash escapes for what cannot be printed."""
    outcome: str
    """``kept``, or why not: unreadable, tiny, gray, toned or duplicate, a colon and the details."""
    width: int | str = ""
    """As stored, in pixels; this and what follows is empty where the picture was not decoded."""
    height: int | str = ""
    colorfulness: str = ""
    hash: str = ""
    """Its difference hash, 16 hexadecimal digits."""

    @property
    def kind(self) -> str:
        return self.outcome.partition(":")[0]


@dataclass
class Prepared:
    """A finished folder: how many pictures came to each end."""

    kept: Counter[str] = field(default_factory=Counter)
    """Pictures of each split."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Pictures left out, by kind of reason."""
    already: bool = False
    """Whether it was finished before."""

    def add(self, row: Examined) -> None:
        if row.outcome == "kept":
            self.kept[row.split] += 1
        else:
            self.dropped[row.kind] += 1

    def __str__(self) -> str:
        splits = ", ".join(f"{split} {self.kept[split]}" for split in ("train", "val", "test"))
        return ", ".join([f"{self.kept.total()} kept ({splits})", *self._reasons()])

    def _reasons(self) -> list[str]:
        return [
            f"{count} {kind}"
            for kind, count in sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        ]


Told = Callable[[Examined, int, int], None]
"""Hears of each picture, how many are examined and how many there are."""


def prepare(
    source: str | Path,
    target: Path,
    settings: Preparation | None = None,
    *,
    downloads: Path = Path("downloads"),
    workers: int | None = None,
    told: Told = lambda row, examined, total: None,
) -> Prepared:
    """Make training shards of a source (see ``sources``), or go on where it was stopped.

    Bad pictures are left out and told of. ``told`` does not hear of what an earlier run did.
    """
    settings = settings or Preparation()
    if Path(source).is_dir() and target.resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(
            f"{quote(target)} lies inside {quote(source)}, whose pictures it would join; put it beside"
        )
    splits = split_photos(source, downloads=downloads)
    if any(
        folder.resolve().is_relative_to(target.resolve()) for folder in _folders(splits.values())
    ):
        raise ConfigError(
            f"{quote(target)} contains pictures of {quote(source)}; name a new or empty folder"
        )
    order: dict[Split, list[Photo]] = {split: sorted(splits[split], key=_place) for split in _ORDER}
    try:
        with _claimed(target, _plan(order, settings)) as (work, finished):
            if not finished:
                with one_thread_each():
                    _make(order, target, work, settings, workers or os.cpu_count() or 1, told)
                _finish(source, target, work)
            shutil.rmtree(work, ignore_errors=True)
            prepared = _count(_rows(target / "manifest.tsv"))
            prepared.already = finished
            return prepared
    except OSError as error:  # reading a picture raises none
        raise ConfigError(
            f"{quote(target)} cannot be written ({quote(error.strerror or error)}); make room or name another "
            "folder, and run the same command again"
        ) from error


# The folder


def _folders(splits: Iterable[list[Photo]]) -> set[Path]:
    return {picture.path.parent for pictures in splits for picture in pictures}


def _place(picture: Photo) -> bytes:
    return hashlib.sha256(picture.name.encode(errors="surrogateescape")).digest()


def _plan(order: dict[Split, list[Photo]], settings: Preparation) -> dict[str, Any]:
    """What has to be the same to go on: the settings, and the names and sizes of the pictures in their order."""
    listing = hashlib.sha256()
    for split, pictures in order.items():
        for picture in pictures:
            listing.update(
                f"{split}\0{picture.name}\0{_size(picture)}\n".encode(errors="surrogateescape")
            )
    return {
        "format": FORMAT,
        "pictures": sum(map(len, order.values())),
        "sha256": listing.hexdigest(),
        "settings": asdict(settings),
    }


def _size(picture: Photo) -> int:
    if picture.length >= 0:
        return picture.length
    try:
        return picture.path.stat().st_size
    except OSError:
        return -1  # a link to nowhere: it is unreadable when its turn comes


@contextmanager
def _claimed(target: Path, plan: dict[str, Any]) -> Iterator[tuple[Path, bool]]:
    """The place to work in, held against other programs, and whether all is done already."""
    described, work = target / "prepare.json", target / ".prepare"
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{quote(target)} is a file; name a new or empty folder")
    begun = _described(described) if described.exists() else None
    finished = begun is not None and (target / "manifest.tsv").exists()
    if begun is not None:
        _same(begun, plan, target)
    ours = re.compile(_LEFT_BY_A_KILL) if begun is None else _OURS
    foreign = (
        sorted(path.name for path in target.iterdir() if not ours.fullmatch(path.name))
        if target.exists()
        else []
    )
    if foreign and not finished:
        raise ConfigError(
            f"{quote(target)} holds {quote(foreign[0])}, which `prepare` did not write; name a new or empty folder"
        )
    if finished and not work.exists():
        yield work, True
        return
    work.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(work / "lock", timeout=0):
            for path in target.glob(".*.part"):
                path.unlink()
            if begun is None:
                write_atomically(described, (json.dumps(plan, indent=2) + "\n").encode())
            yield work, finished
    except filelock.Timeout as error:
        raise ConfigError(
            f"{quote(target)} is being made by another program; wait for it, or name another folder"
        ) from error


def _described(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_bytes())
        assert described.keys() >= {"format", "pictures", "sha256", "settings"}
        return described
    except (ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(
            f"{quote(path)} was not written by `prepare` or is damaged; name a new or empty folder"
        ) from error


def _same(begun: dict[str, Any], plan: dict[str, Any], target: Path) -> None:
    if begun["format"] != plan["format"]:
        raise ConfigError(
            f"{quote(target)} was begun by another version of colorizenet (format {begun['format']}, "
            f"this one has {plan['format']}); name another folder"
        )
    before, now = _flat(begun["settings"]), _flat(plan["settings"])
    changed = [
        f"{name} {before.get(name)} (now {now[name]})"
        for name in now
        if before.get(name) != now[name]
    ]
    if changed:
        raise ConfigError(
            f"{quote(target)} was begun with {', '.join(changed)}; give the same settings, or name another folder"
        )
    if (begun["pictures"], begun["sha256"]) != (plan["pictures"], plan["sha256"]):
        raise ConfigError(
            f"{quote(target)} was begun with another list of pictures ({begun['pictures']}, now {plan['pictures']}, "
            "by name and size); give the same source, or name another folder"
        )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "screen"} | settings[
        "screen"
    ]


def _finish(source: str | Path, target: Path, work: Path) -> None:
    """Gather the tables into the manifest, whose presence says that all is done."""
    tables = [table for split in _ORDER for table in _tables(work, split)]
    prepared = _count(row for table in tables for row in _rows(table))
    if not prepared.kept:
        (target / "prepare.json").unlink()  # so that other settings can be tried
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(
            f"{quote(source)} holds {prepared.dropped.total()} pictures and none is worth keeping "
            f"({', '.join(prepared._reasons())}); look at the pictures, or let more in with the settings of the screen"
        )
    with _whole(target / "manifest.tsv", work) as file:
        file.write(("\t".join(Examined._fields) + "\n").encode())
        for table in tables:
            file.write(table.read_bytes().partition(b"\n")[2])


@contextmanager
def _whole(path: Path, work: Path) -> Iterator[io.BufferedWriter]:
    """A file that appears under its name when it is complete and on the disk."""
    partial_file = work / "file.part"
    with partial_file.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial_file.replace(path)


def _tables(work: Path, split: str) -> list[Path]:
    return sorted(work.glob(f"{split}-*.tsv"), key=lambda path: int(path.stem.rpartition("-")[2]))


def _rows(table: Path) -> Iterator[Examined]:
    with table.open(encoding="utf-8", newline="\n") as lines:
        for line in islice(lines, 1, None):
            yield Examined(*line.rstrip("\n").split("\t"))


def _count(rows: Iterable[Examined]) -> Prepared:
    prepared = Prepared()
    for row in rows:
        prepared.add(row)
    return prepared


# The shards


def _make(
    order: dict[Split, list[Photo]],
    target: Path,
    work: Path,
    settings: Preparation,
    workers: int,
    told: Told,
) -> None:
    """Write the shards that are not there yet, each with its table."""
    total, examined = sum(map(len, order.values())), 0
    hashes = Hashes(settings.duplicate_bits)
    # Decoding, resampling and encoding leave the interpreter free; while one thread waits for it, another works.
    pool = ThreadPoolExecutor(2 * workers)
    try:
        for split, pictures in order.items():
            tables = _tables(work, split)
            done, shards = 0, set[str]()
            for row in (row for table in tables for row in _rows(table)):
                done += 1
                if row.outcome == "kept":
                    shards.add(row.shard)
                    hashes.add(int(row.hash, 16))
            if gone := [name for name in sorted(shards) if not (target / f"{name}.tar").exists()]:
                raise DataError(
                    f"{quote(target)} has lost {gone[0]}.tar, which was finished; remove the folder and begin again"
                )
            examined += done
            results = map_ordered(
                pool, partial(_examine, split, settings=settings), pictures[done:], 4 * workers
            )
            shard = len(tables)
            while done < len(pictures):
                name = f"{split}-{shard:03}"
                rows: list[Examined] = []
                with _whole(target / f"{name}.tar", work) as file:
                    for row in _packed(file, name, results, hashes, settings.per_shard):
                        rows.append(row)
                        examined += 1
                        told(row, examined, total)
                if not any(row.outcome == "kept" for row in rows):
                    (target / f"{name}.tar").unlink()
                table = ["\t".join(map(str, row)) for row in (Examined._fields, *rows)]
                write_atomically(work / f"{name}.tsv", ("\n".join(table) + "\n").encode())
                done += len(rows)
                shard += 1
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, only what is under way


def _packed(
    file: io.BufferedWriter,
    shard: str,
    results: Iterator[tuple[Examined, bytes]],
    hashes: Hashes,
    most: int,
) -> Iterator[Examined]:
    """Put the next pictures into a tar until it holds ``most``, and say what became of each."""
    kept = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, encoded in results:
            if row.outcome == "kept":
                value = int(row.hash, 16)
                earlier = hashes.find(value)
                if earlier is None:
                    row = row._replace(shard=shard, key=f"{hashes.add(value):08}")
                    member = tarfile.TarInfo(
                        f"{row.key}.jpg"
                    )  # of nobody, of 1970: the same bytes each time
                    member.size = len(encoded)
                    tar.addfile(member, io.BytesIO(encoded))
                    kept += 1
                else:
                    row = row._replace(outcome=f"duplicate: of {earlier:08}")
            yield row
            if kept == most:
                return


# One picture


def _examine(split: str, picture: Photo, *, settings: Preparation) -> tuple[Examined, bytes]:
    """Judge a picture by itself, and encode it if it is good."""
    row = Examined(split, "", "", _escaped(picture.name), "kept")
    try:
        original = Original(picture.read())
        if min(original.width, original.height) < settings.screen.min_side:
            return row._replace(outcome=f"tiny: {original.width} x {original.height}"), b""
        rgb = original.shrunk(settings.size)
        row = row._replace(
            width=rgb.shape[1],
            height=rgb.shape[0],
            colorfulness=f"{metrics.colorfulness(sample(rgb)):.1f}",
            hash=f"{difference_hash(rgb):016x}",
        )
        if flaw := replace(settings.screen, min_side=0).flaw(rgb):
            return row._replace(outcome=flaw), b""
        return row, as_jpeg(rgb, settings.quality)
    except UNREADABLE as error:
        return Examined(split, "", "", row.name, f"unreadable: {reason(error)}"), b""


def _escaped(name: str) -> str:
    """A name that stays in its column and on its line, whatever it is made of.

    >>> print(_escaped("Zürich\\t1.jpg"))
    Zürich\\t1.jpg
    """
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in name
    )
