"""``colorizenet prepare``: make training shards of photographs."""

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
    pass


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
    max_tone: float = 0.99,
    duplicate_bits: int = 2,
    downloads: Path = Path("downloads"),
    jobs: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
) -> None:
    """Make training shards of photographs: small, without gray, toned, damaged and duplicate ones.

    The folder it makes is for `train --data.root`. The splits of the photographs are kept, or made
    80/10/10 by a hash of each name. The same command goes on where it was stopped, and makes the
    same files, byte for byte. What became of each photograph is in manifest.tsv.

    Parameters
    ----------
    source
        Folder of photographs of any depth, or .tar shards: a folder of them, one, a pattern such as
        train-{000..006}.tar, or http(s) addresses.
    target
        Folder for the shards: a new one, an empty one, or one that this command began.
    size
        Short side of the pictures, in pixels; smaller ones are left as they are.
    quality
        Quality of the JPEGs, 1 to 100; their chroma is never reduced.
    per_shard
        Pictures in a shard.
    min_side
        Leave out photographs with a side shorter than this, in pixels.
    min_colorfulness
        Leave out grayer pictures (0 gray, 15 slightly, 45 quite, 80 very colorful).
    max_tone
        Leave out pictures whose chroma has more than this share in one hue: sepia has 1.
    duplicate_bits
        Pictures whose difference hashes differ in up to so many of 64 bits are the same, and one
        to validate or test on is kept before one to train on; -1 keeps all.
    downloads
        Folder where shards from http(s) addresses are kept.
    jobs
        Pictures worked on at once (default: one a core).
    """
    require_training()
    from colorizenet.training.data import prepare as preparing
    from colorizenet.training.data.screen import Screen

    settings = preparing.Preparation(
        size=size,
        quality=quality,
        per_shard=per_shard,
        duplicate_bits=duplicate_bits,
        screen=Screen(min_side=min_side, min_colorfulness=min_colorfulness, max_tone=max_tone),
    )
    started = time.perf_counter()
    with console.progress("preparing") as progress:
        bar = progress.add_task("", total=None)

        def told(row: "preparing.Examined", examined: int, total: int) -> None:
            progress.update(bar, completed=examined, total=total)
            if row.kind == "unreadable":
                # rich would read [names in brackets] as colors and wrap long lines
                progress.console.out(
                    f"colorizenet: {row.name} is left out: {row.outcome}", highlight=False
                )

        prepared = preparing.prepare(
            source, target, settings, downloads=downloads, workers=jobs, told=told
        )
    if prepared.already:
        print(f"{quote(target)} is finished already: {prepared}", file=sys.stderr)
    else:
        print(f"{prepared} in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(quote(target))
