"""The flags ``--variants``, ``--seed`` and ``--diversity`` of ``colorizenet
colorize``."""

import dataclasses
from typing import TYPE_CHECKING

from colorizenet.errors import ConfigError
from colorizenet.options import Options

if TYPE_CHECKING:
    from colorizenet.batch import Worker

__all__ = ["add_variants", "check_variants_are_alone"]


def add_variants(
    worker: "Worker", count: int, seed: int | None, diversity: float | None
) -> "Worker":
    """A worker that draws variants with the seed and the diversity."""
    if count == 1 and (seed is not None or diversity is not None):
        flag = "--diversity" if seed is None else "--seed"
        raise ConfigError(f"{flag} is for --variants; add --variants 6, or leave it out")
    given = {"seed": seed, "diversity": diversity}
    settings = {name: value for name, value in given.items() if value is not None}
    options: Options = dataclasses.replace(worker.options, **settings)
    return dataclasses.replace(worker, options=options)


def check_variants_are_alone(count: int, where: str) -> None:
    """Raise ``ConfigError`` for several variants of which only one has a place."""
    if count > 1:
        raise ConfigError(
            f"--variants {count} writes several files and {where} is one; name a folder with --out"
        )
