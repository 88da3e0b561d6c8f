"""Which photos and shards are colorized, wherever they are, and the names of results.

Names are chosen as for the engine of one machine, folder by folder, so that memory
does not grow with the number of photos.
"""

import csv
import dataclasses
import io
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from colorizenet.errors import ConfigError, quote
from colorizenet.files import is_url
from colorizenet.imaging.formats import find_format
from colorizenet.imaging.reading import MAX_PIXELS
from colorizenet.journal import read_fingerprint
from colorizenet.planning import (
    Job,
    LeftOut,
    SidecarMode,
    name_folder,
    plan_jobs,
    walk_photos,
)
from colorizenet.ray.stores import (
    Folder,
    fingerprint,
    list_folders,
    open_store,
    read_info,
    retry,
)
from colorizenet.ray.units import Unit, is_photo, is_shard

__all__ = ["Planner", "read_manifest"]

_NOWHERE = Path("/dev/null")
"""Stands for a store where names are chosen: there are no files below it."""
_SOURCES = ("source", "path", "url")
"""Columns of a manifest that may hold the sources."""


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Makes units of inputs."""

    results: Folder
    format: str | None = None
    suffix: str = ""
    variants: int = 1
    sidecar: SidecarMode | None = None
    max_pixels: int = MAX_PIXELS
    left_out: list[LeftOut] = dataclasses.field(default_factory=list)
    """Gets what lies in local folders and is not colorized."""

    def plan(self, inputs: Sequence[str], manifest: str | None = None) -> Iterator[Unit]:
        """The units of files, folders and patterns, and of the lines of a manifest.

        Raises ``ConfigError`` where an input does not exist, two have the same result,
        or one is its own result.
        """
        paths = [Path(each) for each in inputs if not is_url(each)]
        urls = [each for each in inputs if is_url(each)]
        parts: list[Iterable[Unit]] = [self._plan_local(paths, alone=not urls)] if paths else []
        parts += [self._plan_url(url, alone=len(inputs) == 1) for url in urls]
        parts += [self._plan_manifest(manifest)] if manifest else []
        taken: set[int] = set()
        for part in parts:
            for unit in part:
                # The names of one input differ, and plan_jobs gives photos others than
                # their own.
                if len(inputs) > 1 or manifest:
                    self._take(unit, taken)
                if (manifest or is_shard(unit.source) or is_url(unit.source)) and self._is_result(
                    unit
                ):
                    raise ConfigError(
                        f"{quote(unit.source)} would be replaced by its result; "
                        "choose another --out"
                    )
                yield unit

    def _is_result(self, unit: Unit) -> bool:
        """Whether the source of a unit has the name of one of its results."""
        results = list(map(self.results.join, unit.targets))
        source = unit.source.removeprefix("file://")
        if is_url(source) or not self.results.local:
            return source in results
        return Path(source).resolve() in [Path(each).resolve() for each in results]

    def _take(self, unit: Unit, taken: set[int]) -> None:
        keys = set(map(hash, unit.files))
        if not taken.isdisjoint(keys):
            raise ConfigError(
                f"{quote(unit.source)} and another photo have the same result, "
                f"{quote(unit.name)}; colorize them into different folders"
            )
        taken |= keys

    def _plan_local(self, paths: Sequence[Path], *, alone: bool) -> Iterator[Unit]:
        """The units of local files and folders."""
        shards: list[Path] = []
        photos: list[Path] = []
        for path in paths:
            (shards if is_shard(path.name) and not path.is_dir() else photos).append(path)
        out = self.results.local or _NOWHERE / "out"
        for path in shards:
            yield self._make_shard(str(path), path.name, fingerprint=_read_fingerprint(path))
        if alone and len(photos) == 1 and photos[0].is_dir() and not _is_inside(photos[0], out):
            yield from self._plan_folder(photos[0], out)
        elif photos:
            folders = [path for path in photos if path.is_dir()]
            start = len(self.left_out)
            for job in self._plan_jobs(photos, out, self.left_out):
                yield self._make_unit(job, out)
            for folder in folders:
                below = name_folder(folder) if len(folders) > 1 else ""
                yield from self._list_shards(folder, start, PurePosixPath(below))

    def _plan_folder(self, folder: Path, out: Path) -> Iterator[Unit]:
        """The units of a local folder, of one subfolder at a time."""
        start = len(self.left_out)
        for photos in walk_photos(folder, out, self.left_out):
            if photos:
                below = out / photos[0].parent.relative_to(folder)
                for job in self._plan_jobs(photos, below, None):
                    yield self._make_unit(job, out)
            yield from self._list_shards(folder, start, PurePosixPath())
            start = len(self.left_out)

    def _list_shards(self, folder: Path, start: int, below: PurePosixPath) -> list[Unit]:
        """Take the shards in a folder from ``left_out[start:]``, and make units of
        them."""
        units: list[Unit] = []
        others: list[LeftOut] = []
        for each in self.left_out[start:]:
            path = each.path
            if each.why == "other format" and is_shard(path.name) and path.is_relative_to(folder):
                name = (below / path.relative_to(folder)).as_posix()
                mark = _read_fingerprint(path)
                units.append(self._make_shard(str(path), name, fingerprint=mark))
            else:
                others.append(each)
        self.left_out[start:] = others
        return units

    def _plan_url(self, url: str, *, alone: bool) -> Iterator[Unit]:
        """The units of a file, folder or pattern in a store."""
        url = url.rstrip("/")
        store, path = open_store(url)
        if re.search(r"[*?\[]", url):
            found: Any = retry(lambda: store.glob(path, detail=True))
            infos = [info for info in found.values() if info["type"] == "file"]
            if not infos:
                raise ConfigError(f"no file matches {quote(url)}; check the pattern")
            fixed = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
            folders: dict[str, list[Any]] = {}
            for each in infos:  # the files of a folder may have those of another among them
                folders.setdefault(posixpath.dirname(each["name"]), []).append(each)
            for parent, group in folders.items():
                below = PurePosixPath(posixpath.relpath(parent, fixed))
                yield from self._plan_infos(store, below, group)
            return
        info = read_info(url)
        if info["type"] != "directory":
            yield from self._plan_infos(store, PurePosixPath(), [info])
            return
        prefix = PurePosixPath("" if alone else PurePosixPath(path).name)
        own = self.results.root.rstrip("/") + "/"
        for below, infos in list_folders(url):
            if not f"{url}/{below.as_posix()}/".startswith(own):
                yield from self._plan_infos(store, prefix / below, infos)

    def _plan_infos(
        self, store: Any, below: PurePosixPath, infos: Sequence[dict[str, Any]]
    ) -> Iterator[Unit]:
        """The units of files in a folder of a store, whose results go to ``below``."""
        photos = {}
        for info in infos:
            name = PurePosixPath(info["name"]).name
            size, mark = int(info["size"] or 0), fingerprint(info)
            if is_shard(name):
                url = store.unstrip_protocol(info["name"])
                target = (below / name).as_posix()
                yield self._make_shard(url, target, size=size, fingerprint=mark)
            elif is_photo(name):
                photos[_NOWHERE / "in" / name] = info
        out = _NOWHERE / "out"
        for job in self._plan_jobs(list(photos), out / below, None) if photos else ():
            info = photos[job.source]
            yield dataclasses.replace(
                self._make_unit(job, out),
                source=store.unstrip_protocol(info["name"]),
                size=int(info["size"] or 0),
                fingerprint=fingerprint(info),
            )

    def _plan_manifest(self, manifest: str) -> Iterator[Unit]:
        """The units of the lines of a manifest.

        A result has the whole path of its source, without the scheme: that does not
        change when lines are added.
        """
        for source, target in read_manifest(manifest):
            path = PurePosixPath(target or re.sub(r"^[a-z0-9+.-]+://", "", source, flags=re.I))
            parts = [part for part in path.parts if part not in ("/", ".")]
            if ".." in parts or not parts:
                raise ConfigError(
                    f"{quote(manifest)} has {quote(target or source)}, which is outside of the "
                    "folder of results; write it without .., or add a column target"
                )
            name = PurePosixPath(*parts)
            if is_shard(source):
                mark = "" if is_url(source) else _read_fingerprint(Path(source))
                yield self._make_shard(source, name.as_posix(), fingerprint=mark)
                continue
            # The name of the source says which extension the format needs.
            out = self.results.local or _NOWHERE / "out"
            photo = _NOWHERE / "in" / name.name if is_url(source) or target else Path(source)
            (job,) = self._plan_jobs([photo], out / name.parent, None)
            unit = self._make_unit(job, out)
            mark = "" if is_url(source) else _read_fingerprint(Path(source))
            format = find_format(PurePosixPath(unit.name).suffix) if target else unit.format
            yield dataclasses.replace(unit, source=source, fingerprint=mark, format=format)

    def _plan_jobs(
        self, inputs: Sequence[Path], out: Path, left_out: list[LeftOut] | None
    ) -> list[Job]:
        return plan_jobs(
            inputs,
            out,
            format=self.format,
            suffix=self.suffix,
            variants=self.variants,
            sidecar=self.sidecar,
            max_pixels=self.max_pixels,
            left_out=left_out,
        )

    def _make_unit(self, job: Job, out: Path) -> Unit:
        sheet = job.contact_sheet
        return Unit(
            source=str(job.source),
            targets=tuple(target.relative_to(out).as_posix() for target in job.targets),
            format=job.format,
            reason=job.reason,
            contact_sheet=sheet.relative_to(out).as_posix() if sheet else None,
            sidecar=job.sidecar,
            fingerprint=_read_fingerprint(job.source),
        )

    def _make_shard(self, source: str, target: str, **more: Any) -> Unit:
        path = PurePosixPath(target)
        named = path.with_name(f"{path.stem}{self.suffix}{path.suffix}")
        return Unit(
            source=source,
            targets=(named.as_posix(),),
            format=self.format,
            sidecar=self.sidecar,
            variants=self.variants,
            **more,
        )


def read_manifest(manifest: str) -> Iterator[tuple[str, str | None]]:
    """The sources in a manifest, and the names of their results where it has these.

    ``.txt``: a source on each line. ``.csv`` and ``.parquet``: the columns source (or
    path, or url) and target; a single column may have any name. Raises
    ``ConfigError``.
    """
    ending = PurePosixPath(urlsplit(manifest).path if is_url(manifest) else manifest).suffix
    try:
        if is_url(manifest):
            store, path = open_store(manifest)
            content: Any = retry(lambda: store.cat_file(path))
        else:
            content = Path(manifest).read_bytes()
    except Exception as error:  # the errors of the clients of stores have no common base
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the manifest {quote(manifest)} cannot be read: {quote(reason)}; check its name"
        ) from error
    try:
        if ending == ".txt":
            lines = content.decode().splitlines()
            yield from ((line.strip(), None) for line in lines if line.strip())
        elif ending == ".csv":
            reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
            column = _choose_column(manifest, reader.fieldnames or ())
            yield from ((row[column], row.get("target") or None) for row in reader if row[column])
        elif ending == ".parquet":
            yield from _read_parquet(manifest, content)
        else:
            raise ConfigError(
                f"the manifest {quote(manifest)} ends in {quote(ending) or 'nothing'}; "
                "expected .parquet, .csv or .txt"
            )
    except (UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise ConfigError(
            f"the manifest {quote(manifest)} is no {ending[1:]} file ({quote(error)}); write it "
            "again"
        ) from error


def _read_parquet(manifest: str, content: bytes) -> Iterator[tuple[str, str | None]]:
    with tempfile.TemporaryFile() as copy:
        copy.write(content)
        copy.seek(0)
        file = pq.ParquetFile(copy)
        column = _choose_column(manifest, file.schema_arrow.names)
        columns = [column] + ["target"] * ("target" in file.schema_arrow.names)
        for batch in file.iter_batches(10_000, columns=columns):
            for row in batch.to_pylist():
                if row[column]:
                    yield str(row[column]), row.get("target") or None


def _choose_column(manifest: str, names: Sequence[str]) -> str:
    known = [name for name in names if name in _SOURCES]
    if known:
        return known[0]
    if len(names) == 1:
        return names[0]
    raise ConfigError(
        f"the manifest {quote(manifest)} has the columns {quote(', '.join(names))}; "
        f"expected one of {', '.join(_SOURCES)}"
    )


def _read_fingerprint(path: Path) -> str:
    """As ``stores.fingerprint``, in the form of the journal."""
    try:
        return str(read_fingerprint(path))
    except OSError:
        return ""


def _is_inside(folder: Path, out: Path) -> bool:
    """Whether a folder is below the folder of results, or is that folder."""
    return folder.resolve().is_relative_to(out.resolve())
