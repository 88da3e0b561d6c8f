"""What is said while many pictures are worked on: results to stdout, talk and progress to stderr."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from colorizenet.errors import quote

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

    from colorizenet.batch import Done, Job

__all__ = ["progress", "told", "told_reasons"]


def told_reasons(planned: "Sequence[Job]") -> None:
    """Say once why pictures are not written as what they are, or as what was asked for."""
    for (format, reason), count in Counter(
        (job.format, job.reason) for job in planned if job.reason
    ).items():
        pictures = "1 picture is" if count == 1 else f"{count} pictures are"
        print(f"colorizenet: {pictures} written as {format}: {reason}", file=sys.stderr)


def told(done: "Iterable[Done]", total: int, *, as_json: bool) -> "list[Done]":
    """Say of each picture what became of it, with a progress bar where stderr is a terminal."""
    results = []
    started = time.perf_counter()
    with progress("coloring") as shown:
        bar = shown.add_task("", total=total)
        for result in done:
            results.append(result)
            shown.advance(bar)
            for warning in result.warnings:
                shown.console.out(f"colorizenet: {warning}", highlight=False)
            if result.error:
                # rich would read [names in brackets] as colors and wrap long lines
                shown.console.out(f"colorizenet: {result.error}", highlight=False)
            if as_json:
                print(_as_json(result), flush=True)
            elif not result.error and not result.skipped:
                print(quote(result.job.target), flush=True)
    failed = sum(1 for result in results if result.error)
    skipped = sum(1 for result in results if result.skipped)
    written = total - failed - skipped
    parts = [f"{written} colored in {time.perf_counter() - started:.1f} s"]
    parts += [f"{skipped} there already (--overwrite redoes them)"] * bool(skipped) + [
        f"{failed} failed"
    ] * bool(failed)
    print(", ".join(parts), file=sys.stderr)
    return results


class _Silent:
    """What stands for a progress bar where stderr is no terminal; rich would take longer to import than a picture."""

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


def progress(doing: str) -> "Progress | _Silent":
    """A bar on stderr with pictures a second and the time left; without a terminal it is silent, and messages are
    plain lines."""
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
        *(TextColumn(doing), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn()),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # results on their way to a file are not for the terminal
    )


def _as_json(result: "Done") -> str:
    status = "failed" if result.error else "skipped" if result.skipped else "colored"
    record: dict[str, Any] = {
        "source": str(result.job.source),
        "target": str(result.job.target),
        "status": status,
    }
    if result.error:
        record["error"] = result.error
    if status == "colored":
        record |= {
            "width": result.width,
            "height": result.height,
            "seconds": round(result.seconds, 3),
        }
    return json.dumps(record)
