"""The command line: verbs; whatever is heavy is imported when a verb runs."""

import dataclasses
import logging
import sys
import time
from collections.abc import Callable

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import App, Parameter

from colorizenet import __version__
from colorizenet.errors import ColorizeNetError, ConfigError

if TYPE_CHECKING:
    from colorizenet.training.config import RunConfig

app = App(name="colorizenet", help="Turn grey photographs into colour ones.", version=__version__)


def train_app() -> App:
    """One sub-command a recipe, whose defaults are the recipe's own, or those of the run resumed."""
    from colorizenet.training.config import RunConfig, from_json
    from colorizenet.training.recipes import RECIPES

    def command(name: str, recipe: Callable[[], RunConfig]) -> App:
        def run(
            *,
            config: Annotated[RunConfig | None, Parameter(name="*")] = None,
            run: Path | None = None,
            resume: Path | None = None,
        ) -> None:
            """
            Parameters
            ----------
            run
                Folder of the run; by default runs/RECIPE-TIME.
            resume
                Folder of a run that was stopped, to go on with; its settings are the defaults.
            """
            folder = resume or run or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
            _train(config or recipe(), folder, resume=resume is not None)

        def defaults(app: App, commands: tuple[str, ...], arguments: Any) -> None:
            # With a dataclass as the default value, one given field would reset the others:
            # so each field gets its default as if the user had typed it.
            resumed = next((str(a.tokens[0].value) for a in arguments if a.name == "--resume" and a.tokens), None)
            config = from_json(Path(resumed) / "config.json") if resumed else recipe()
            source = f"the settings of {resumed or name}"
            values = cyclopts.config.Dict(dataclasses.asdict(config), use_commands_as_keys=False, source=source)
            values(app, commands, arguments)

        return App(name=name, help=recipe.__doc__ or "", config=[defaults], default_command=run)

    train = App(name="train", help="Train a network by a recipe; every setting can be overridden.")
    for name, recipe in RECIPES.items():
        train.command(command(name, recipe))
    return train


def _train(config: "RunConfig", folder: Path, *, resume: bool) -> None:
    from colorizenet.training import fit

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    fit.fit(config, folder, resume=resume, progress=sys.stderr.isatty())
    print(folder)


def main() -> None:
    if "train" in sys.argv[1:2]:
        app.command(train_app())
    app()
