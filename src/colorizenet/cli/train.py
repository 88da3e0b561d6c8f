"""``colorizenet train``: train a network by a recipe."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import App, Parameter

from colorizenet.cli.app import app, require_training
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    pass


def mount_recipes() -> None:
    """Make each recipe a sub-command of `train`, whose defaults are its own, or those of the run resumed.

    Done only when they are asked for: finding them takes the seconds that torch takes.
    """
    require_training()
    from colorizenet.training.config import RunConfig, as_dict, from_json, offered, plain
    from colorizenet.training.recipes import RECIPES

    def command(name: str, recipe: Callable[[], RunConfig]) -> App:
        def train(
            *,
            config: Annotated[offered(recipe()) | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
            out: Path | None = None,
            resume: Path | None = None,
        ) -> None:
            """
            Parameters
            ----------
            out
                Folder of the run (default: runs/RECIPE-TIME).
            resume
                Folder of a run that was stopped, to go on with; its settings are the defaults.
            """
            from colorizenet.training.fit import fit

            folder = resume or out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
            fit(
                plain(config or recipe()),
                folder,
                recipe=name,
                resume=resume is not None,
                progress=sys.stderr.isatty(),
                # What torchrun tells the processes that it starts.
                devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
                nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
            )
            if os.environ.get("RANK", "0") == "0":
                print(quote(folder))

        def resumed(app: App, commands: tuple[str, ...], arguments: Any) -> None:
            """Where a run is resumed, its settings stand as if the user had typed them."""
            folder = next(
                (str(a.tokens[0].value) for a in arguments if a.name == "--resume" and a.tokens),
                None,
            )
            if folder is None:
                return
            config = from_json(Path(folder) / "config.json")
            for part in ("network", "task"):
                kind = getattr(config, part).kind
                if kind != getattr(recipe(), part).kind:
                    raise ConfigError(
                        f"{quote(folder)} is a run of the {part} {kind}, which the recipe {name} "
                        "does not train; resume it with the recipe it was started with"
                    )
            values = cyclopts.config.Dict(
                _without_kinds(as_dict(config)), use_commands_as_keys=False, source=folder
            )
            values(app, commands, arguments)

        return App(
            name=name,
            help=recipe.__doc__ or "",
            config=[resumed],
            default_parameter=Parameter(
                negative=(), consume_multiple=True
            ),  # --network.widths 32 64 128
            default_command=train,
        )

    for name, recipe in RECIPES.items():
        if name not in app["train"]:
            app["train"].command(command(name, recipe))


def _without_kinds(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as flags have them: the kind of a network is the recipe's to say."""
    return {
        name: _without_kinds(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name != "kind"
    }


app.command(App(name="train", help="Train a network by a recipe; every setting can be overridden."))
