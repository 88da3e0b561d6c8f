"""Colorize units where the work is done: in a process of a cluster.

A process takes the units of a batch one after the other. Sources in a store are
downloaded into a temporary folder, and results are made in one. Then the records of
the batch are written, and after them the results get their names. So a process that is
killed at any moment leaves neither half of a file nor a file without a record.
"""

import contextlib
import copy
import hashlib
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from colorizenet.batch import Done, Worker
from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.files import compute_sha256, is_url
from colorizenet.imaging.formats import FORMATS
from colorizenet.journal import FOLDER
from colorizenet.planning import Job, choose_ending, fit_format, name_variants
from colorizenet.ray.catalog import SHARDS
from colorizenet.ray.publish import Colored, Publisher
from colorizenet.ray.stores import Folder, download, fingerprint, read_info
from colorizenet.ray.units import Record, Unit, is_photo, is_shard, list_own_settings

__all__ = ["MAX_BYTES", "WORK", "Attempts", "UnitWorker"]

MAX_BYTES = 1 << 35
"""Bytes of a source at most, by default."""
WORK = f"{FOLDER}/work"
"""Folder of unfinished results in a local folder of results."""
_PENDING_BYTES = 1 << 28
"""Bytes of finished results from which they get their names before the batch ends."""
_PENDING_SECONDS = 10.0
"""The same in time."""
_MAX_ATTEMPTS = 2
"""How often a photo may end the process that colorizes it."""


class Attempts(Protocol):
    """Counts the attempts of work that has not come to its end."""

    def begin(self, name: str, finished: str = "") -> int:
        """Add an attempt of ``name``, and forget ``finished``. Returns the number."""
        ...


class UnitWorker:
    """Runs a ``Worker`` on units, in one process and one thread.

    ``run`` names the run, and ``max_bytes`` limits the size of a source.
    """

    def __init__(
        self,
        worker: Worker,
        results: Folder,
        attempts: Attempts,
        run: str,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        # Hints of downloaded photos are added under their temporary names.
        self._hints = dict(worker.hints)
        # The only files in its folders are those that it must keep.
        self._worker = replace(worker, hints=self._hints, journal=None, overwrite=False)
        self._overwrite = worker.overwrite
        self._results, self._attempts, self._run = results, attempts, run
        self._max_bytes = max_bytes
        self._model_sha256 = self._worker.colorizer.sha256
        self._key = self._worker.journal_key
        self._current = ""

    def __call__(self, units: Sequence[Unit]) -> list[Record]:
        """Colorize the units of a batch, and write their results and records.

        What an earlier attempt at this batch has finished is kept.
        """
        digest = hashlib.sha256("\n".join(unit.name for unit in units).encode("utf-8", "replace"))
        shard = f"{SHARDS}/{self._run}-{digest.hexdigest()[:24]}.jsonl"
        again = self._attempts.begin(shard) > 1
        publisher = Publisher(self._results, shard)
        finished = publisher.read_finished() if again else {}
        pending: list[Colored] = []
        began = time.monotonic()
        with self._make_folder() as folder:
            for number, unit in enumerate(units):
                if unit.name in finished:
                    publisher.records += finished[unit.name]
                    continue
                place = folder / str(number)
                place.mkdir()
                unit = replace(unit, own=unit.own + publisher.list_earlier(unit.name))
                pending.append(self._colorize(unit, place))
                size = sum(path.stat().st_size for each in pending for path in each.files.values())
                late = time.monotonic() - began > _PENDING_SECONDS
                # After a crash, each photo is finished before the next is tried.
                if again or late or size > _PENDING_BYTES:
                    publisher.publish(pending)
                    pending, began = [], time.monotonic()
            publisher.publish(pending)
        self._attempts.begin("", shard)
        return publisher.records

    @contextlib.contextmanager
    def _make_folder(self) -> Iterator[Path]:
        """A temporary folder, on the file system of a local folder of results."""
        local = self._results.local
        if local:
            (local / WORK).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=local and local / WORK, ignore_cleanup_errors=True
        ) as folder:
            yield Path(folder)

    def _colorize(self, unit: Unit, place: Path) -> Colored:
        """Colorize a unit into files in ``place``. Never raises ``ImageError``."""
        try:
            unit = self._look_up(unit)
            if unit.recorded and unit.recorded == unit.fingerprint:
                return Colored([self._record(unit, "skipped", "exists")])
            # Before the download, which can be the cause that a process is ended.
            self._begin(unit.source)
            source = self._fetch(unit, place)
            if is_shard(unit.source):
                return self._colorize_shard(unit, source, place)
            return self._colorize_photo(unit, source, place)
        except ImageError as error:
            return Colored([self._record(unit, "failed", str(error))])
        except OSError as error:  # it was moved away while it was in work
            name = quote(error.filename or unit.source)
            reason = f"{name} cannot be read any more: {error.strerror}; start the run again"
            return Colored([self._record(unit, "failed", reason)])

    def _look_up(self, unit: Unit) -> Unit:
        """The unit with the fingerprint of its source, where that was not known."""
        if unit.fingerprint or not is_url(unit.source):
            return unit
        try:
            info = read_info(unit.source)
        except ConfigError as error:
            raise ImageError(str(error)) from error
        return replace(unit, size=int(info["size"] or 0), fingerprint=fingerprint(info))

    def _fetch(self, unit: Unit, place: Path) -> Path:
        """The source as a local file."""
        if not is_url(unit.source):
            return Path(unit.source)
        folder = place / "source"
        folder.mkdir()
        path = folder / PurePosixPath(unit.source).name
        download(unit.source, path, self._max_bytes, size=unit.size)
        return path

    def _begin(self, name: str) -> None:
        """Count an attempt at a photo. Raises ``ImageError`` after several that ended
        the process."""
        count = self._attempts.begin(name, self._current)
        self._current = name
        if count > _MAX_ATTEMPTS:
            raise ImageError(
                f"{quote(name)} has ended the process that colorized it {_MAX_ATTEMPTS} times "
                "(a crash, or too little memory); convert it with another program, or leave it out"
            )

    def _colorize_photo(self, unit: Unit, source: Path, place: Path) -> Colored:
        job = self._make_job(unit, source, place)
        folder = PurePosixPath(unit.name).parent.as_posix()
        kept = self._find_kept(unit, {_join(folder, path.name) for path in job.files})
        for name in kept:
            # That it exists is enough, but for a contact sheet, which shows it.
            content = self._results.read(name) if job.contact_sheet else b""
            job.target.with_name(PurePosixPath(name).name).write_bytes(content)
        if unit.hints:
            self._hints[source] = unit.hints
        done = self._worker(job)
        self._hints.pop(source, None)
        record = self._describe(done, unit, unit.source, folder)
        record = replace(record, own=list_own_settings(self._worker, unit), kept=tuple(kept))
        if record.status != "colorized":
            return Colored([record])
        written = [path for path in job.files if path not in done.kept]
        files = {_join(folder, path.name): path for path in written}
        stamps = {name: self._stamp(path) for name, path in files.items()}
        return Colored([replace(record, files=stamps)], files)

    def _find_kept(self, unit: Unit, names: set[str]) -> list[str]:
        """Those of ``names``, the results of a unit, that files of somebody else have,
        whether they were planned or not."""
        unplanned = set() if self._overwrite else names - {*unit.files, *unit.own}
        found = {name for name in unplanned if self._results.read_stamp(name)}
        return sorted(names & (found | set(unit.kept)))

    def _colorize_shard(self, unit: Unit, source: Path, place: Path) -> Colored:
        """Colorize the photos of a tar into another one, which has everything else
        unchanged."""
        target = place / "result.tar"
        records: list[Record] = []
        try:
            with (
                source.open("rb") as file,
                tarfile.open(fileobj=file, mode="r:") as shard,
                tarfile.open(target, "w") as result,
            ):
                members = shard.getmembers()
                file.seek(shard.offset)
                if any(file.read(tarfile.BLOCKSIZE)):  # tarfile reports no damaged headers
                    raise tarfile.ReadError("a header is damaged")
                names = {member.name for member in members}
                for number, member in enumerate(members):
                    content = shard.extractfile(member) if member.isfile() else None
                    if content is None or not is_photo(member.name):
                        result.addfile(member, content)
                        continue
                    below = place / str(number)
                    below.mkdir()
                    records.append(
                        self._colorize_member(unit, member, content, result, names, below)
                    )
                    shutil.rmtree(below)
        except tarfile.TarError as error:
            raise ImageError(
                f"{quote(unit.source)} is not an uncompressed tar ({quote(error)}); pack it with "
                "`tar cf`"
            ) from error
        except OSError as error:
            raise ImageError(
                f"{quote(unit.source)} cannot be read: {error.strerror}; check it"
            ) from error
        if not records:
            raise ImageError(f"{quote(unit.source)} has no photos; leave it out")
        stamp = {unit.name: self._stamp(target)}
        own = list_own_settings(self._worker, unit)
        records = [replace(record, own=own, files=stamp) for record in records]
        return Colored(records, {unit.name: target})

    def _colorize_member(
        self,
        unit: Unit,
        member: tarfile.TarInfo,
        content: IO[bytes],
        result: tarfile.TarFile,
        names: set[str],
        place: Path,
    ) -> Record:
        """Colorize a photo of a tar and add its results, not of any of ``names``."""
        name = f"{unit.source}/{member.name}"
        path = PurePosixPath(member.name)
        folder = path.parent.as_posix()
        try:
            self._begin(name)
        except ImageError as error:
            return replace(self._record(unit, "failed", str(error)), source=name)
        source, out = place / path.name, place / "result"
        out.mkdir()
        with source.open("wb") as copied:
            shutil.copyfileobj(content, copied)
        format, reason = fit_format(source, unit.format, self._worker.max_pixels)
        ending = choose_ending(source, format)
        wanted = path if ending == path.suffix else path.with_suffix(ending)
        if wanted != path and wanted.as_posix() in names:
            wanted = path.with_name(path.name + ending)
        names.add(wanted.as_posix())  # of which there may be variants or a sidecar alone
        targets, sheet = name_variants(out / wanted.name, unit.variants)
        sheet = None if unit.sidecar == "only" else sheet
        done = self._worker(Job(source, targets, format, reason, sheet, unit.sidecar))
        for each in done.job.files if not (done.error or done.skipped) else ():
            added = copy.copy(member)
            added.name, added.size = _join(folder, each.name), each.stat().st_size
            added.pax_headers = {}
            names.add(added.name)
            with each.open("rb") as colored:
                result.addfile(added, colored)
        return self._describe(done, unit, name, _join(unit.name, folder))

    def _make_job(self, unit: Unit, source: Path, place: Path) -> Job:
        """The job of a photo with temporary targets.

        The planned names have another extension added where the photo has a format that
        its name did not say.
        """
        out = place / "result"
        out.mkdir()
        format, reason = fit_format(source, unit.format, self._worker.max_pixels)
        names = [PurePosixPath(target).name for target in unit.targets]
        if format and PurePosixPath(names[0]).suffix.lower() not in FORMATS[format].suffixes:
            names = [name + FORMATS[format].suffixes[0] for name in names]
        sheet = out / PurePosixPath(unit.contact_sheet).name if unit.contact_sheet else None
        targets = tuple(out / name for name in names)
        return Job(source, targets, format, reason or unit.reason, sheet, unit.sidecar)

    def _describe(self, done: Done, unit: Unit, source: str, folder: str) -> Record:
        """What became of a photo, with the names that the user knows: its ``source``,
        and the folder of its results."""
        job = done.job

        def rename(text: str) -> str:
            text = text.replace(quote(job.source), quote(source))
            results = self._results.join(folder).removesuffix("/.")
            return text.replace(str(job.target.parent), results)

        def join(path: Path) -> str:
            return _join(folder, path.name)

        record = replace(
            self._record(unit, "failed" if done.error else "skipped" if done.skipped else ""),
            source=source,
            reason=rename(done.error) if done.error else done.skipped,
            targets=tuple(map(join, job.targets)),
            sidecars=tuple(map(join, job.sidecars)),
            contact_sheet=join(job.contact_sheet) if job.contact_sheet else None,
            format=job.format,
            changed=job.reason,
            seconds=done.seconds,
            warnings=tuple(map(rename, done.warnings)),
        )
        if done.error:
            return record
        record = replace(record, source_sha256=compute_sha256(job.source))
        if done.skipped:
            return record
        first = job.files[0]
        return replace(
            record,
            status="colorized",
            result=join(first),
            result_sha256=None if first in done.kept else compute_sha256(first),
            width=done.width,
            height=done.height,
        )

    def _record(self, unit: Unit, status: str, reason: str = "") -> Record:
        """A record of a unit without results."""
        return Record(
            unit=unit.name,
            source=unit.source,
            status=status,
            reason=reason,
            targets=unit.targets,
            format=unit.format,
            model_sha256=self._model_sha256,
            options=self._key,
            fingerprint=unit.fingerprint,
        )

    def _stamp(self, path: Path) -> list[int]:
        """As ``Folder.read_stamp`` of the file when it has its name."""
        status = path.stat()
        local = self._results.local
        return [status.st_size, status.st_mtime_ns] if local else [status.st_size]


def _join(folder: str, name: str) -> str:
    return (PurePosixPath(folder) / name).as_posix()
