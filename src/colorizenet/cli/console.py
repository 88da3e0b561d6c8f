"""Progress and messages on stderr; results on stdout."""

import errno
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from colorizenet.errors import explain_write_error, quote

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

    from colorizenet.planning import Job, LeftOut

__all__ = [
    "Outcome",
    "Planned",
    "Style",
    "Tally",
    "print_formats",
    "print_left_out",
    "print_message",
    "print_plan",
    "print_summary",
    "progress",
    "report",
]

_SKIPPED = {
    "exists": "already there (--overwrite redoes them)",
    "in color": "already in color",
}
"""What the summary says of photos that were skipped, by ``Done.skipped``."""


_LEFT_OUT = (
    ("other format", "file of another format is", "files of other formats are"),
    ("earlier result", "result of an earlier run is", "results of earlier runs are"),
    ("linked folder", "linked folder is", "linked folders are"),
)
"""What is printed of things in a folder that are not colorized, by ``LeftOut.why``."""
_NAMED = 10
"""How many of them are named."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How much is printed, and in which form."""

    json: bool = False
    """Whether stdout gets a JSON object for each photo instead of the path."""
    quiet: bool = False
    """Whether only errors are printed, and JSON if that was requested."""
    verbose: bool = False
    """Whether a line on stderr describes each photo."""


class Planned(Protocol):
    """What is printed of a ``Job``; paths and URLs alike."""

    @property
    def source(self) -> object: ...
    @property
    def target(self) -> object: ...
    @property
    def targets(self) -> Sequence[object]: ...
    @property
    def files(self) -> Sequence[object]: ...
    @property
    def sidecar(self) -> object: ...
    @property
    def sidecars(self) -> Sequence[object]: ...
    @property
    def contact_sheet(self) -> object: ...
    @property
    def format(self) -> str | None: ...
    @property
    def reason(self) -> str: ...


class Outcome(Protocol):
    """What is printed of a ``Done``."""

    @property
    def job(self) -> Planned: ...
    @property
    def error(self) -> str | None: ...
    @property
    def skipped(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def kept(self) -> Sequence[object]: ...


Result = TypeVar("Result", bound=Outcome)
Contra = TypeVar("Contra", contravariant=True)


class Collector(Protocol[Contra]):
    """A list, or something that keeps less."""

    def append(self, result: Contra, /) -> None: ...


class Tally:
    """Counts outcomes, and keeps the errors only."""

    def __init__(self) -> None:
        self.written = 0
        self.skipped: Counter[str] = Counter()
        self.failed: list[str] = []

    @property
    def total(self) -> int:
        """Number of outcomes."""
        return self.written + self.skipped.total() + len(self.failed)

    @property
    def finished(self) -> int:
        """Number of photos that have a result."""
        return self.written + self.skipped["exists"]

    def append(self, result: Outcome, /) -> None:
        """Add an outcome."""
        if result.error:
            self.failed.append(result.error)
        elif result.skipped:
            self.skipped[result.skipped] += 1
        else:
            self.written += 1

    def print_summary(self, seconds: float) -> None:
        """Print the numbers of colorized, skipped and failed photos, and each
        failure."""
        parts = [f"{self.written} colorized in {seconds:.1f} s"]
        parts += [f"{count} {_SKIPPED[reason]}" for reason, count in sorted(self.skipped.items())]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        repeat = self.failed and self.total > 1  # a single failure stands right above
        print(", ".join(parts) + (":" if repeat else ""), file=sys.stderr)
        for error in self.failed if repeat else ():
            print(f"  {error}", file=sys.stderr)


def print_message(message: object) -> None:
    """Print one line to stderr."""
    print(f"colorizenet: {message}", file=sys.stderr)


def report(
    done: Iterable[Result], total: int | None, results: Collector[Result], *, style: Style = Style()
) -> None:
    """Print the outcome of each photo as it comes, with a progress bar on a terminal.
    ``total``: number of photos; None: it is not known.

    Appends the outcomes to ``results``, which the caller has even after an
    interruption.
    """
    with progress("colorizing") if not style.quiet else _Silent() as shown:
        bar = shown.add_task("", total=total)
        for result in done:
            results.append(result)
            shown.advance(bar)
            # Not print: rich would read [names in brackets] as styles and wrap long
            # lines.
            if not style.quiet:
                for line in (*result.warnings, *_describe(result, style.verbose)):
                    shown.console.out(f"colorizenet: {line}", highlight=False)
            if result.error:
                shown.console.out(f"colorizenet: {result.error}", highlight=False)
            if style.json:
                print(_encode(result), flush=True)
            elif not (style.quiet or result.error or result.skipped):
                for path in result.job.files:
                    if path not in result.kept:
                        print(quote(path), flush=True)


def print_summary(results: Iterable[Outcome], seconds: float) -> None:
    """Print the numbers of colorized, skipped and failed photos, and each failure."""
    tally = Tally()
    for result in results:
        tally.append(result)
    tally.print_summary(seconds)


def print_formats(jobs: "Sequence[Job]") -> None:
    """Print why some results have another format than was requested."""
    reasons = Counter((job.format, job.reason) for job in jobs if job.reason)
    for (format, reason), count in reasons.items():
        photos = "1 photo is" if count == 1 else f"{count} photos are"
        print_message(f"{photos} written as {format}: {reason}")


def print_left_out(left_out: "Sequence[LeftOut]") -> None:
    """Print what lies in the folders and is not colorized."""
    for each in left_out:
        if each.why == "cannot be searched":
            print_message(
                f"{quote(each.path)} cannot be searched: {each.reason}; "
                "make it readable, and run the same command again"
            )
    for why, one, several in _LEFT_OUT:
        paths = [quote(each.path) for each in left_out if each.why == why]
        if paths:
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            count = f"1 {one}" if len(paths) == 1 else f"{len(paths)} {several}"
            print_message(f"{count} left out: {', '.join(paths[:_NAMED])}{more}")


def print_plan(planned: Iterable[tuple[Planned, bool, Sequence[object]]], *, style: Style) -> None:
    """Print what a run would do with each photo. The second value says whether its
    results are finished already, the third which files of others a run would keep."""
    counts: Counter[str] = Counter()
    for job, exists, kept in planned:
        plan: dict[str, Any] = {"status": "planned"} | _name_kept(kept)
        if exists:
            plan = {"status": "skipped"}
        elif error := _find_name_error(job):
            plan = {"status": "failed", "error": error}
            print_message(error)
        counts[plan["status"]] += 1
        if style.json:
            print(json.dumps(_name(job) | plan))
        elif plan["status"] == "planned":
            written = [quote(path) for path in job.files if path not in kept]
            print(f"{quote(job.source)} -> {', '.join(written)}")
    if not style.quiet:
        parts = [f"{counts['planned']} to colorize"]
        parts += [f"{counts['skipped']} {_SKIPPED['exists']}"] if counts["skipped"] else []
        parts += [f"{counts['failed']} cannot be written"] if counts["failed"] else []
        print(f"{', '.join(parts)}; nothing was written (--dry-run)", file=sys.stderr)


def _find_name_error(job: Planned) -> str:
    """Why a local result of a job cannot be written, where its name says that, such as
    one that is too long with the ending of a sidecar; otherwise empty."""
    for path in (path for path in job.files if isinstance(path, Path)):
        # Its folder may not exist yet, but one above it does, on the same file system.
        folder = next((parent for parent in path.parents if parent.is_dir()), Path())
        try:
            (folder / path.name).lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return explain_write_error(path, error)
    return ""


class _Silent:
    """Replaces the progress bar without a terminal, because importing rich is slow."""

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add_task(self, *_: object, **__: object) -> "TaskID":
        return cast("TaskID", 0)

    update = advance = lambda self, *_, **__: None

    @property
    def console(self) -> "_Silent":
        return self

    def out(self, line: str, **_: object) -> None:
        print(line, file=sys.stderr)


def progress(activity: str) -> "Progress | _Silent":
    """A progress bar on stderr with photos per second and the time left.

    Where stderr is not a terminal there is no bar, and messages are plain lines.
    """
    if not sys.stderr.isatty():
        return _Silent()
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: "Task") -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    return Progress(
        *(TextColumn(activity), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn()),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # results that go to a file stay out of the terminal
    )


def _describe(result: Outcome, verbose: bool) -> list[str]:
    """The line of ``-v`` about a photo, or nothing."""
    if not verbose or result.error:
        return []
    if result.skipped:
        return [f"{quote(result.job.source)}: skipped, {result.skipped}"]
    size = f"{result.width} x {result.height}"
    return [f"{quote(result.job.source)}: {size} in {result.seconds:.2f} s"]


def _name(job: Planned) -> dict[str, Any]:
    named: dict[str, Any] = {"source": str(job.source), "target": str(job.target)}
    if job.contact_sheet:
        named["targets"] = [str(target) for target in job.targets]
        named["contact_sheet"] = str(job.contact_sheet)
    if job.sidecar:
        named["sidecars"] = [str(path) for path in job.sidecars]
    return named


def _name_kept(kept: Sequence[object]) -> dict[str, Any]:
    return {"kept": [str(path) for path in kept]} if kept else {}


def _encode(result: Outcome) -> str:
    """The outcome of a photo as a line of JSON."""
    job = result.job
    status = "failed" if result.error else "skipped" if result.skipped else "colorized"
    record = _name(job) | {"status": status} | _name_kept(result.kept)
    if result.error:
        record["error"] = result.error
    if result.skipped:
        record["reason"] = result.skipped
    if status == "colorized":
        record["width"], record["height"] = result.width, result.height
        record["seconds"] = round(result.seconds, 3)
        changed = [f"written as {job.format}: {job.reason}"] if job.reason else []
        record["warnings"] = [*result.warnings, *changed]
    return json.dumps(record)
