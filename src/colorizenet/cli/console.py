"""Progress and messages on stderr; results on stdout."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from colorizenet.errors import quote

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

    from colorizenet.batch import Done
    from colorizenet.planning import Job, LeftOut

__all__ = [
    "Style",
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


def print_message(message: object) -> None:
    """Print one line to stderr."""
    print(f"colorizenet: {message}", file=sys.stderr)


def report(
    done: "Iterable[Done]", total: int, results: "list[Done]", *, style: Style = Style()
) -> None:
    """Print the outcome of each photo as it comes, with a progress bar on a terminal.

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
                    print(quote(path), flush=True)


def print_summary(results: "Sequence[Done]", seconds: float) -> None:
    """Print the numbers of colorized, skipped and failed photos, and each failure."""
    failed = [result for result in results if result.error]
    skipped = Counter(result.skipped for result in results if result.skipped)
    written = len(results) - len(failed) - skipped.total()
    parts = [f"{written} colorized in {seconds:.1f} s"]
    parts += [f"{count} {_SKIPPED[reason]}" for reason, count in sorted(skipped.items())]
    parts += [f"{len(failed)} failed"] if failed else []
    repeat = failed and len(results) > 1  # a single failure stands right above
    print(", ".join(parts) + (":" if repeat else ""), file=sys.stderr)
    for result in failed if repeat else ():
        print(f"  {result.error}", file=sys.stderr)


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


def print_plan(jobs: "Sequence[Job]", finished: Sequence[bool], *, style: Style) -> None:
    """Print what a run would do with each photo."""
    for job, exists in zip(jobs, finished, strict=True):
        if style.json:
            print(json.dumps(_name(job) | {"status": "skipped" if exists else "planned"}))
        elif not exists:
            print(f"{quote(job.source)} -> {', '.join(quote(target) for target in job.targets)}")
    if not style.quiet:
        existing = f", {sum(finished)} {_SKIPPED['exists']}" if any(finished) else ""
        count = len(jobs) - sum(finished)
        print(f"{count} to colorize{existing}; nothing was written (--dry-run)", file=sys.stderr)


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


def _describe(result: "Done", verbose: bool) -> list[str]:
    """The line of ``-v`` about a photo, or nothing."""
    if not verbose or result.error:
        return []
    if result.skipped:
        return [f"{quote(result.job.source)}: skipped, {result.skipped}"]
    size = f"{result.width} x {result.height}"
    return [f"{quote(result.job.source)}: {size} in {result.seconds:.2f} s"]


def _name(job: "Job") -> dict[str, Any]:
    named: dict[str, Any] = {"source": str(job.source), "target": str(job.target)}
    if job.contact_sheet:
        named["targets"] = [str(target) for target in job.targets]
        named["contact_sheet"] = str(job.contact_sheet)
    if job.sidecar:
        named["sidecars"] = [str(path) for path in job.sidecars]
    return named


def _encode(result: "Done") -> str:
    """The outcome of a photo as a line of JSON."""
    job = result.job
    status = "failed" if result.error else "skipped" if result.skipped else "colorized"
    record = _name(job) | {"status": status}
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
