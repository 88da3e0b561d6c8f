"""``colorizenet colorize --engine ray``: many machines, object stores, tar shards."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from colorizenet.cli import console
from colorizenet.cli.app import DASH, explain_interruption, require_extra
from colorizenet.cli.hints import add_hints
from colorizenet.cli.inputs import expand_patterns
from colorizenet.cli.single import detect_ending
from colorizenet.errors import ConfigError, quote
from colorizenet.files import is_url

if TYPE_CHECKING:
    from colorizenet.batch import Worker
    from colorizenet.planning import LeftOut, SidecarMode
    from colorizenet.ray.stores import Folder
    from colorizenet.ray.units import Record, Unit

__all__ = ["RayFlags", "check_local", "colorize_on_ray"]


@dataclass(frozen=True, kw_only=True)
class RayFlags:
    """The flags that only ``--engine ray`` has."""

    address: str | None = None
    concurrency: int | None = None
    gpus: float | None = None
    manifest: str | None = None


def check_local(flags: RayFlags, inputs: Iterable[Path | str], out: str | None) -> list[Path]:
    """The inputs of ``--engine local``. Raises ``ConfigError`` for those of Ray."""
    names = {
        "--ray-address": flags.address,
        "--concurrency": flags.concurrency,
        "--num-gpus-per-worker": flags.gpus,
        "--manifest": flags.manifest,
    }
    for name, value in names.items():
        if value is not None:
            raise ConfigError(f"{name} is for --engine ray; add that, or leave {name} out")
    paths: list[Path] = []
    for each in (*inputs, *([out] if out and is_url(out) else [])):
        if isinstance(each, str):
            raise ConfigError(f"{quote(each)} is a URL, which needs --engine ray; add that")
        paths.append(each)
    return paths


def colorize_on_ray(
    inputs: Sequence[Path | str],
    out: str,
    worker: "Worker",
    flags: RayFlags,
    style: console.Style,
    *,
    not_on_ray: Sequence[str],
    suffix: str,
    variants: int,
    sidecar: "SidecarMode | None",
    hint: Sequence[str],
    hints: Path | None,
    dry_run: bool,
) -> None:
    """Colorize photos on a Ray cluster and print what becomes of each.

    ``not_on_ray`` are the flags that were given although they are for one machine.
    """
    require_extra("ray", "--engine ray", ("ray", "pyarrow", "fsspec"))
    from colorizenet.journal import lock_results
    from colorizenet.ray.archive import Archive
    from colorizenet.ray.engine import Cluster, start_cluster
    from colorizenet.ray.plan import Planner
    from colorizenet.ray.stores import Folder, open_store

    for name in not_on_ray:
        raise ConfigError(f"{name} is for --engine local; leave it out")
    if Path(DASH) in inputs or out == DASH:
        raise ConfigError("- is for --engine local; name files, folders or URLs, and a folder")
    if not is_url(out) and detect_ending(out) and not Path(out).is_dir():
        raise ConfigError(f"--out {quote(out)} is a file, and --engine ray writes into a folder")
    if not inputs and not flags.manifest:
        raise ConfigError("no photo was given; name files, folders or URLs, or --manifest")
    results = Folder(out.rstrip("/") or out)
    if results.local is None:
        open_store(out)
    hint_folder = hints if hints and hints.is_dir() else None
    worker = add_hints(worker, hint, None if hint_folder else hints)
    left_out: list[LeftOut] = []
    planner = Planner(
        results=results,
        format=worker.output.format,
        suffix=suffix,
        variants=variants,
        sidecar=sidecar,
        max_pixels=worker.max_pixels,
        left_out=left_out,
    )
    loaded = worker.colorizer  # an unusable model is reported before any photo is read
    loaded.check_options(worker.options, variants)
    archive = Archive(results, worker)
    locked = contextlib.nullcontext("")
    if results.local and not dry_run:
        locked = lock_results(results.local, [])
    with locked as warning:
        if warning and not style.quiet:
            console.print_message(warning)
        archive.load()
        units = planner.plan(_expand_patterns(inputs), flags.manifest)
        archive.plan(_add_planned_hints(units, hint_folder))
        total = archive.catalog.count_planned()
        unsearched = [each for each in left_out if each.why == "cannot be searched"]
        console.print_left_out(unsearched if style.quiet else left_out)
        if total == 0:
            raise ConfigError(f"no photo in {quote((*inputs, flags.manifest)[0])}; check the name")
        if worker.options.hints and (total > 1 or archive.has_shards):
            found = "those of a tar shard" if archive.has_shards else total
            raise ConfigError(
                f"hints are for one photo and there are {found}; give a folder of hint files "
                "with --hints"
            )
        if dry_run:
            plan = archive.iterate_plan()
            jobs = (
                (_Job.of_unit(unit, results), done, tuple(map(results.join, unit.kept)))
                for unit, done in plan
            )
            console.print_plan(jobs, style=style)
            return
        tally = console.Tally()
        started = time.perf_counter()
        cluster = Cluster(concurrency=flags.concurrency, gpus=flags.gpus or 0.0)

        def explain() -> str:
            again = "run the same command" + (" without --overwrite" if worker.overwrite else "")
            known = "" if archive.has_shards else f" of {total}"
            return f"{tally.finished}{known} photos are finished; {again} to go on"

        with (
            explain_interruption(explain),
            start_cluster(flags.address, cores=flags.concurrency, verbose=style.verbose),
        ):
            done = (_Done.of_record(record, results) for record in archive.run(cluster))
            console.report(done, None if archive.has_shards else total, tally, style=style)
    if not style.quiet:
        tally.print_summary(time.perf_counter() - started)
    if unsearched or tally.failed:
        sys.exit(1)


def _expand_patterns(inputs: Sequence[Path | str]) -> list[str]:
    """Inputs with local patterns replaced by the files that match."""
    expanded: list[str] = []
    for each in inputs:
        expanded += [each] if isinstance(each, str) else map(str, expand_patterns([each]))
    return expanded


def _add_planned_hints(units: "Iterable[Unit]", folder: Path | None) -> "Iterator[Unit]":
    """Units with the hints of the files in ``folder``, in the subfolders of results.

    Raises ``ConfigError`` at the end if none belongs to a photo.
    """
    if folder is None:
        yield from units
        return
    from colorizenet.hintfiles import HINTS_SUFFIX, read_hints
    from colorizenet.ray.units import is_shard

    first, found = None, False
    for unit in units:
        stem = PurePosixPath(unit.source).stem
        path = folder / PurePosixPath(unit.name).parent / f"{stem}{HINTS_SUFFIX}"
        first = first or path
        if path.exists() and not is_shard(unit.source):
            found = True
            unit = dataclasses.replace(unit, hints=read_hints(path))
        yield unit
    if not found:
        raise ConfigError(
            f"--hints {quote(folder)} has no file for any photo; the first would be {quote(first)}"
        )


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A photo with the paths or URLs of its results, as ``console`` prints it."""

    source: str
    targets: tuple[str, ...]
    sidecars: tuple[str, ...] = ()
    contact_sheet: str | None = None
    sidecar: str | None = None
    format: str | None = None
    reason: str = ""

    @property
    def target(self) -> str:
        return self.targets[0]

    @property
    def files(self) -> tuple[str, ...]:
        results = () if self.sidecar == "only" else self.targets
        return results + self.sidecars + ((self.contact_sheet,) if self.contact_sheet else ())

    @classmethod
    def of_unit(cls, unit: "Unit", results: "Folder") -> "_Job":
        """What is planned."""
        sidecars = tuple(path.as_posix() for path in unit.job.sidecars)
        sheet = results.join(unit.contact_sheet) if unit.contact_sheet else None
        return cls(
            source=unit.source,
            targets=tuple(map(results.join, unit.targets)),
            sidecars=tuple(map(results.join, sidecars)),
            contact_sheet=sheet,
            sidecar=unit.sidecar,
        )


@dataclass(frozen=True, kw_only=True)
class _Done:
    """The outcome of a photo, as ``console`` prints it."""

    job: _Job
    error: str | None
    skipped: str
    width: int
    height: int
    seconds: float
    warnings: tuple[str, ...]
    kept: tuple[str, ...] = ()

    @classmethod
    def of_record(cls, record: "Record", results: "Folder") -> "_Done":
        """What became of a photo."""
        sheet = results.join(record.contact_sheet) if record.contact_sheet else None
        job = _Job(
            source=record.source,
            targets=tuple(map(results.join, record.targets)),
            sidecars=tuple(map(results.join, record.sidecars)),
            contact_sheet=sheet,
            sidecar="only" if record.sidecars and record.result == record.sidecars[0] else "also",
            format=record.format,
            reason=record.changed,
        )
        return cls(
            job=job if record.sidecars else dataclasses.replace(job, sidecar=None),
            error=record.reason if record.status == "failed" else None,
            skipped=record.reason if record.status == "skipped" else "",
            width=record.width,
            height=record.height,
            seconds=record.seconds,
            warnings=record.warnings,
            kept=tuple(map(results.join, record.kept)) if record.status == "colorized" else (),
        )
