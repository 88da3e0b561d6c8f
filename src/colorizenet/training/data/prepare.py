"""Training shards from any photos: small, screened, without duplicates, reproducible.

    prepared/
        val-000.tar  test-000.tar  train-000.tar  train-001.tar ...
        manifest.tsv     the outcome of each photo; written when all shards are finished
        prepare.json     the settings and a hash of the list of photos
        .prepare/        while unfinished: a table for each finished shard

The splits are processed in the order val, test, train, so that of two duplicates the
training photo is left out. Within a split the photos are ordered by a hash of their
names, so that each shard is a random sample. Each shard appears when it is complete,
and then its table. A killed program continues after the last table. The outcome of a
photo depends on itself and the photos before it alone, so the result is the same, byte
for byte.
"""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from colorizenet.errors import ConfigError, DataError, ImageError, quote
from colorizenet.evaluation import metrics
from colorizenet.files import open_atomically, write_atomically
from colorizenet.imaging.reading import limit_threads, open_image
from colorizenet.imaging.writing import encode_training_jpeg
from colorizenet.parallel import map_ordered
from colorizenet.photosets import Photo, Split, split_photos
from colorizenet.training.data.duplicates import HashIndex
from colorizenet.training.data.manifest import (
    ManifestRow,
    PrepareResult,
    encode_rows,
    escape_name,
    read_rows,
)
from colorizenet.training.data.screen import Screen, difference_hash, subsample
from colorizenet.training.data.workfolder import claim_folder, describe_job

__all__ = ["PrepareConfig", "prepare"]

_ORDER: tuple[Split, ...] = ("val", "test", "train")

Report = Callable[[ManifestRow, int, int], None]
"""Called for each photo with its row, the number of photos so far and the total."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How photos are selected, reduced and stored."""

    size: int = 256
    """Short side in pixels. Smaller photos keep their size."""
    quality: int = 92
    """JPEG quality, 1 to 100. Chroma is stored at full resolution."""
    per_shard: int = 5000
    """Photos in a shard."""
    duplicate_bits: int = 2
    """Photos are duplicates if their 64-bit difference hashes differ in at most this
    many bits. -1 keeps all."""
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
                f"per_shard is {self.per_shard}; give the photos in a shard, such as 5000"
            )
        if not -1 <= self.duplicate_bits <= 8:
            raise ConfigError(
                f"duplicate_bits is {self.duplicate_bits}; give 0 to 8, or -1 to keep duplicates"
            )


def prepare(
    source: str | Path,
    target: Path,
    config: PrepareConfig | None = None,
    *,
    downloads: Path = Path("downloads"),
    workers: int | None = None,
    report: Report = lambda row, examined, total: None,
) -> PrepareResult:
    """Make training shards of a source (see ``photosets``), or continue an unfinished
    run.

    ``report`` is not called for photos of an earlier run. Raises ConfigError for a
    target that cannot be used or written, and DataError where no photo is left.
    """
    config = config or PrepareConfig()
    # Addresses and patterns may be too long for ``Path.is_dir``.
    is_folder = os.path.isdir(source)  # noqa: PTH112
    if is_folder and target.resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(
            f"{quote(target)} is inside of {quote(source)}, whose photos it would join; "
            "name a folder outside of it"
        )
    splits = split_photos(source, downloads=downloads)
    if _contains_photos(target, splits.values()):
        raise ConfigError(
            f"{quote(target)} contains photos of {quote(source)}; name a new or empty folder"
        )
    photos: dict[Split, list[Photo]] = {
        split: sorted(splits[split], key=_hash_name) for split in _ORDER
    }
    try:
        with claim_folder(target, describe_job(photos, asdict(config))) as (work, finished):
            if not finished:
                with limit_threads():
                    _write_shards(
                        photos, target, work, config, workers or os.cpu_count() or 1, report
                    )
                _write_manifest(source, target, work)
            shutil.rmtree(work, ignore_errors=True)
            manifest = target / "manifest.tsv"
            _check_shards(
                target, {row.shard for row in read_rows(manifest) if row.outcome == "kept"}
            )
            result = PrepareResult.count(read_rows(manifest))
            result.already_finished = finished
            return result
    except OSError as error:  # errors of reading photos are handled elsewhere
        raise ConfigError(
            f"{quote(target)} cannot be written ({quote(error.strerror or error)}); "
            "free space or name another folder, and run the same command again"
        ) from error


def _contains_photos(target: Path, splits: Iterable[Sequence[Photo]]) -> bool:
    folders = {photo.path.parent for photos in splits for photo in photos}
    return any(folder.resolve().is_relative_to(target.resolve()) for folder in folders)


def _hash_name(photo: Photo) -> bytes:
    return hashlib.sha256(photo.name.encode(errors="surrogateescape")).digest()


def _write_manifest(source: str | Path, target: Path, work: Path) -> None:
    """Join the tables of all shards to the manifest, which marks the target as
    finished."""
    tables = [table for split in _ORDER for table in _list_tables(work, split)]
    result = PrepareResult.count(row for table in tables for row in read_rows(table))
    if not result.kept:
        (target / "prepare.json").unlink()  # so that other settings can be tried
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(
            f"{quote(source)} has {result.left_out.total()} photos and all are left out "
            f"({result.describe_left_out()}); check the photos, or relax the limits"
        )
    with open_atomically(target / "manifest.tsv") as file:
        file.write(encode_rows([]))
        for table in tables:
            file.write(encode_rows(read_rows(table), header=False))


def _list_tables(work: Path, split: str) -> list[Path]:
    return sorted(work.glob(f"{split}-*.tsv"), key=lambda path: int(path.stem.rpartition("-")[2]))


def _write_shards(
    photos: Mapping[Split, Sequence[Photo]],
    target: Path,
    work: Path,
    config: PrepareConfig,
    workers: int,
    report: Report,
) -> None:
    """Write the missing shards, each with its table."""
    total, examined = sum(map(len, photos.values())), 0
    hashes = HashIndex(config.duplicate_bits)
    # Two threads for each core: one may wait for the interpreter lock or the disk.
    pool = ThreadPoolExecutor(2 * workers)
    try:
        for split, members in photos.items():
            shard = len(_list_tables(work, split))
            done = _restore_hashes(split, target, work, hashes)
            examined += done
            examine = partial(_examine, split, config=config)
            results = map_ordered(pool, examine, members[done:], 4 * workers)
            while done < len(members):
                name = f"{split}-{shard:03}"
                rows: list[ManifestRow] = []
                with open_atomically(target / f"{name}.tar") as file:
                    for row in _pack(file, name, results, hashes, config.per_shard):
                        rows.append(row)
                        examined += 1
                        report(row, examined, total)
                if not any(row.outcome == "kept" for row in rows):
                    (target / f"{name}.tar").unlink()
                write_atomically(work / f"{name}.tsv", encode_rows(rows))
                done += len(rows)
                shard += 1
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C only running work is completed


def _restore_hashes(split: str, target: Path, work: Path, hashes: HashIndex) -> int:
    """Add the hashes of the finished shards of a split; return how many photos they
    cover."""
    examined, shards = 0, set[str]()
    for table in _list_tables(work, split):
        for row in read_rows(table):
            examined += 1
            if row.outcome == "kept":
                shards.add(row.shard)
                hashes.add(int(row.hash, 16))
    _check_shards(target, shards)
    return examined


def _check_shards(target: Path, names: Iterable[str]) -> None:
    """Raise DataError where a shard that was finished is missing."""
    for name in sorted(names):
        if not (target / f"{name}.tar").exists():
            raise DataError(
                f"{quote(target)} has lost {name}.tar, which was finished; "
                "remove the folder and start again"
            )


def _pack(
    file: BinaryIO,
    shard: str,
    results: Iterator[tuple[ManifestRow, bytes]],
    hashes: HashIndex,
    per_shard: int,
) -> Iterator[ManifestRow]:
    """Write the next photos into a tar until it is full, and yield the row of each."""
    kept = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, encoded in results:
            if row.outcome == "kept":
                value = int(row.hash, 16)
                earlier = hashes.find(value)
                if earlier is None:
                    row = row._replace(shard=shard, key=f"{hashes.add(value):08}")
                    # Without owner and time, so that the bytes are reproducible.
                    member = tarfile.TarInfo(f"{row.key}.jpg")
                    member.size = len(encoded)
                    tar.addfile(member, io.BytesIO(encoded))
                    kept += 1
                else:
                    row = row._replace(outcome=f"duplicate: of {earlier:08}")
            yield row
            if kept == per_shard:
                return


def _examine(split: str, photo: Photo, *, config: PrepareConfig) -> tuple[ManifestRow, bytes]:
    """Screen one photo, and reduce and encode it if it passes."""
    row = ManifestRow(split, "", "", escape_name(photo.name), "kept")
    try:
        with open_image(photo.read(), name="it", first_page=True) as file:
            height, width = file.shape
            if min(height, width) < config.screen.min_side:
                return row._replace(outcome=f"tiny: {width} x {height}"), b""
            rgb = file.reduce_rgb8(config.size)
        measured = row._replace(
            width=rgb.shape[1],
            height=rgb.shape[0],
            colorfulness=f"{metrics.colorfulness(subsample(rgb)):.1f}",
            hash=f"{difference_hash(rgb):016x}",
        )
        if flaw := replace(config.screen, min_side=0).find_flaw(rgb):
            return measured._replace(outcome=flaw), b""
        return measured, encode_training_jpeg(rgb, quality=config.quality)
    except (ImageError, OSError, MemoryError) as error:
        return row._replace(outcome=f"unreadable: {_describe_error(error)}"), b""


def _describe_error(error: ImageError | OSError | MemoryError) -> str:
    """The reason on one line and without a path."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return quote(error.strerror or error) if isinstance(error, OSError) else str(error)
