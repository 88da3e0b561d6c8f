"""``colorizenet train RECIPE``: train a network."""

import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import App, Parameter

from colorizenet.cli import console
from colorizenet.cli.app import (
    app,
    check_whole_numbers,
    explain_interruption,
    require_training,
)
from colorizenet.errors import ConfigError, quote
from colorizenet.memory import keep_freed_memory

if TYPE_CHECKING:
    from colorizenet.training.config import RunConfig

__all__ = ["mount_recipes"]

app.command(
    App(
        name="train",
        help="Train a network by a recipe. `train RECIPE --help` lists all settings of a recipe.",
    )
)


def mount_recipes() -> None:
    """Add a sub-command of `train` for each recipe. This imports torch."""
    require_training()
    from colorizenet.training.recipes import RECIPES

    for name, recipe in RECIPES.items():
        if name not in app["train"]:
            app["train"].command(_make_command(name, recipe))


def _make_command(name: str, recipe: "Callable[[], RunConfig]") -> App:
    from colorizenet.training.config import config_type_with_defaults

    Settings = config_type_with_defaults(recipe())  # noqa: N806

    def train(
        *,
        settings: Annotated[
            Settings | None,  # type: ignore[valid-type]
            Parameter(name="*"),
        ] = None,
        config: Path | None = None,
        out: Path | None = None,
        resume: Path | None = None,
        logger: Literal["tensorboard", "csv", "wandb", "mlflow"] = "tensorboard",
    ) -> None:
        """
        Parameters
        ----------
        config
            A run of the same recipe, or its config.json: its settings become the
            defaults.
        out
            Run folder (default: runs/RECIPE-TIME).
        resume
            Folder of an interrupted run to go on with. Its settings are the defaults.
        logger
            Where losses, learning rate and speed are logged, over pictures seen.
        """
        from colorizenet.training.config import to_run_config

        keep_freed_memory()
        folder = resume or out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        _run(
            to_run_config(settings or Settings()),
            folder,
            recipe=name,
            resume=resume is not None,
            logger=logger,
        )

    def use_config(app: App, commands: tuple[str, ...], arguments: Any) -> None:
        """Let the settings of --config or --resume take the place of the recipe's."""
        given = {each.name: each.tokens[0].value for each in arguments if each.tokens}
        resume, config, out = (given.get(f"--{name}") for name in ("resume", "config", "out"))
        if resume and (config or out):
            raise ConfigError(
                f"--resume goes on in its folder with its own settings; leave out "
                f"{'--config' if config else '--out'}"
            )
        if resume or config:
            path = Path(str(resume or config))
            path = path / "config.json" if resume or path.is_dir() else path
            values = cyclopts.config.Dict(
                _read_settings(path, name, recipe()), use_commands_as_keys=False, source=str(path)
            )
            values(app, commands, arguments)

    return App(
        name=name,
        help=recipe.__doc__ or "",
        config=[use_config, check_whole_numbers],
        default_parameter=Parameter(negative=(), consume_multiple=True),  # --network.widths 32 64
        default_command=train,
    )


def _read_settings(path: Path, name: str, recipe: "RunConfig") -> dict[str, Any]:
    """The settings of a ``config.json`` of the recipe ``name``, as flags."""
    from colorizenet.training.config import read_json, to_dict

    config = read_json(path)
    for part in ("network", "task"):
        kind = getattr(config, part).kind
        if kind != getattr(recipe, part).kind:
            raise ConfigError(
                f"{quote(path)} has the {part} {kind}, which the recipe {name} does not train; "
                "use the recipe that the run was started with"
            )
    return _remove_kinds(to_dict(config))


def _remove_kinds(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the kinds of network and task, which are no flags."""
    flags: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            value = _remove_kinds(value)
        if name != "kind" and value != {}:
            flags[name] = value
    return flags


def _run(
    config: "RunConfig",
    folder: Path,
    *,
    recipe: str,
    resume: bool,
    logger: Literal["tensorboard", "csv", "wandb", "mlflow"],
) -> None:
    """Train with messages and a progress bar on stderr, then print the folder."""
    from colorizenet.training.fit import fit

    first = os.environ.get("RANK", "0") == "0"
    try:
        with (
            explain_interruption(lambda: _explain(folder, recipe, logger)),
            console.progress("training") as progress,
            _messages_above(progress),
        ):
            fit(
                config,
                folder,
                recipe=recipe,
                resume=resume,
                logger=logger,
                show_progress=_show_on(progress),
                # Set by torchrun for the processes that it starts.
                devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
                nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
            )
    except KeyboardInterrupt:
        if not first:
            sys.exit(130)  # the first process explains
        raise
    if first:
        print(quote(folder))


def _show_on(progress: Any) -> Callable[[int, int], None]:
    """A function that shows the pictures seen and their total on a progress bar."""
    bars: list[Any] = []

    def show(seen: int, total: int) -> None:
        completed = min(seen, total)
        if bars:
            progress.update(bars[0], completed=completed)
        else:
            bars.append(progress.add_task("", total=total, completed=completed))

    return show


@contextmanager
def _messages_above(progress: Any) -> Iterator[None]:
    """Print the package's log messages on stderr, above the progress bar."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.console.out(self.format(record), highlight=False)

    package, handler = logging.getLogger("colorizenet"), Handler()
    level = package.level
    package.setLevel(logging.INFO)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


def _explain(folder: Path, recipe: str, logger: str) -> str:
    """One line: what is saved, and the command to go on."""
    from colorizenet.training.checkpoints import read_checkpoint
    from colorizenet.training.config import read_json

    try:
        seen = read_checkpoint(folder / "last.ckpt")["pictures_seen"]
        total = read_json(folder / "config.json").pictures
    except ConfigError:
        return "there is no checkpoint yet; start the run again"
    command = ["colorizenet", "train", recipe, "--resume", str(folder)]
    command += [] if logger == "tensorboard" else ["--logger", logger]
    saved = f"{seen} of {total} pictures are saved in {quote(folder)}"
    return f"{saved}; go on with: {quote(shlex.join(command))}"
