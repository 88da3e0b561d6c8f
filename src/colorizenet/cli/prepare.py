"""``colorizenet prepare``: make training shards of photos."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from colorizenet.cli import console
from colorizenet.cli.app import app, require_training
from colorizenet.errors import quote

if TYPE_CHECKING:
    from colorizenet.training.data.manifest import ManifestRow


@app.command
def prepare(
    source: str,
    target: Path,
    /,
    *,
    size: int = 256,
    quality: int = 92,
    per_shard: int = 5000,
    min_side: int = 64,
    min_colorfulness: float = 12.0,
    max_hue_concentration: float = 0.99,
    duplicate_bits: int = 2,
    downloads: Path = Path("downloads"),
    jobs: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
) -> None:
    """Make training shards of photos, without gray, sepia, damaged and duplicate ones.

    The target is for `train --data.root`. Splits of the source are kept; without them a
    hash of each name splits 80/10/10. The same command continues an interrupted run,
    and the result is the same, byte for byte. manifest.tsv lists the outcome of each
    photo.

    Parameters
    ----------
    source
        Folder of photos of any depth, or .tar shards: a folder of them, one, a pattern
        such as train-{000..006}.tar, or http(s) addresses.
    target
        Folder for the shards: a new one, an empty one, or one that this command
        started.
    size
        Short side of the stored photos, in pixels. Smaller photos keep their size.
    quality
        Quality of the JPEGs, 1 to 100. Chroma is stored at full resolution.
    per_shard
        Photos in a shard.
    min_side
        Leave out photos with a side shorter than this, in pixels.
    min_colorfulness
        Leave out photos with less colorfulness: 0 is gray, 15 slightly, 45 quite and 80
        highly colorful.
    max_hue_concentration
        Leave out photos with a higher share of their chroma in one hue: sepia has 1.
    duplicate_bits
        Photos are duplicates if their 64-bit difference hashes differ in at most this
        many bits. Of two duplicates the training photo is left out. -1 keeps all.
    downloads
        Folder for downloaded shards.
    jobs
        Photos processed at once (default: one per core).
    """
    require_training()
    from colorizenet.training.data import prepare as preparing
    from colorizenet.training.data.screen import Screen

    config = preparing.PrepareConfig(
        size=size,
        quality=quality,
        per_shard=per_shard,
        duplicate_bits=duplicate_bits,
        screen=Screen(
            min_side=min_side,
            min_colorfulness=min_colorfulness,
            max_hue_concentration=max_hue_concentration,
        ),
    )
    started = time.perf_counter()
    state = "no photo was examined yet"
    try:
        with console.progress("preparing") as progress:
            bar = progress.add_task("", total=None)

            def report(row: "ManifestRow", examined: int, total: int) -> None:
                nonlocal state
                state = f"{examined} of {total} photos were examined and finished shards are kept"
                progress.update(bar, completed=examined, total=total)
                if row.kind == "unreadable":
                    # Not print: rich would read [names in brackets] as styles and wrap
                    # long lines.
                    progress.console.out(
                        f"colorizenet: {row.name} is left out: {row.outcome}", highlight=False
                    )

            result = preparing.prepare(
                source, target, config, downloads=downloads, workers=jobs, report=report
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{state}; run the same command again to continue") from None
    if result.already_finished:
        print(f"{quote(target)} is already finished: {result}", file=sys.stderr)
    else:
        print(f"{result} in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(quote(target))
