"""The command line application, and what every verb needs."""

import functools
import inspect
import tempfile
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from colorizenet import __version__
from colorizenet.errors import ConfigError, quote
from colorizenet.options import Choice, Options, Output, choices

__all__ = [
    "DASH",
    "Flag",
    "Interrupted",
    "app",
    "check_target",
    "check_whole_numbers",
    "expand_settings",
    "explain_interruption",
    "require_extra",
    "require_training",
]

TRAINING = ("torch", "lightning", "timm")
"""Modules that only the extra ``train`` installs."""
SERVING = (
    "fastapi",
    "fastapi_offline",
    "uvicorn",
    "python_multipart",
    "prometheus_client",
)
"""Modules that only the extra ``serve`` installs."""

Flag = Annotated[bool, Parameter(show_default=False)]
"""A switch that is off by default."""

DASH = "//-"
"""A lone -, in a spelling that is neither an option nor the name of a file."""

SETTINGS = (Options, Output)
"""The classes that ``expand_settings`` replaces by flags."""


def check_whole_numbers(_app: App, _commands: tuple[str, ...], arguments: Any) -> None:
    """Raise ``ConfigError`` for a fraction where a whole number is expected: the parser
    would round it."""
    for argument in arguments:
        if not _is_whole(argument.hint):
            continue
        for token in argument.tokens:
            with suppress(ValueError):  # the parser explains what is no number at all
                if not float(token.value).is_integer():
                    raise ConfigError(
                        f"{argument.name} is {quote(token.value)}; give a whole number"
                    )


def _is_whole(kind: Any) -> bool:
    """Whether a type is ``int``, or an optional ``int``, or a tuple of them."""
    return kind is int or any(_is_whole(part) for part in typing.get_args(kind))


app = App(
    name="colorizenet",
    help="Colorize black-and-white photos, and train the networks that do it.",
    version=f"colorizenet {__version__}",
    # No --no-overwrite, no --empty-widths. A name such as "[1].jpg" is not JSON.
    default_parameter=Parameter(negative=(), json_list=False, json_dict=False),
    config=[check_whole_numbers],
    suppress_keyboard_interrupt=False,  # `main` says what is finished and exits with 130
)
app.register_install_completion_command(
    help="Install completion of commands and options for the current shell."
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with one line about what is finished and how to go on."""


@contextmanager
def explain_interruption(explain: Callable[[], str]) -> Iterator[None]:
    """Add a line to a Ctrl-C inside this block: what is finished and how to go on.

    ``explain`` is called at the time of the interruption.
    """
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(explain()) from None


def expand_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replace parameters of type ``Options`` and ``Output`` by a flag for each choice.

    The command is called with the objects. Names, types, defaults, ranges and help
    texts come from ``choices``; choices that need a further network input are left out.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    names: dict[str, list[str]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if kind not in SETTINGS:
            parameters.append(parameter.replace(annotation=kind))
            continue
        offered = [choice for choice in choices(kind) if choice.simple]
        names[parameter.name] = [choice.name for choice in offered]
        parameters += [
            inspect.Parameter(
                choice.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=choice.default,
                annotation=_annotate(choice),
            )
            for choice in offered
        ]

    @functools.wraps(command)
    def run(*arguments: Any, **flags: Any) -> Any:
        for parameter, fields in names.items():
            given = {name: flags.pop(name) for name in fields if name in flags}
            flags[parameter] = hints[parameter](**given)
        return command(*arguments, **flags)

    del run.__wrapped__  # or its signature and annotations would be used
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def check_target(path: Path) -> None:
    """Raise ``ConfigError`` where a file cannot be written at the end of long work."""
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{quote(path.parent)} does not exist; create it, or name another file")
    if path.is_dir():
        raise ConfigError(f"{quote(path)} is a folder; name a file in it")
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            pass
    except OSError as error:
        raise ConfigError(
            f"{quote(path.parent)} cannot be written to ({quote(error.strerror or error)}); "
            "name a file in another folder"
        ) from error


def require_training() -> None:
    """Raise ``ConfigError`` where the extra ``train`` is not installed."""
    require_extra("train", "training", TRAINING)


def require_extra(extra: str, purpose: str, modules: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` where one of the modules of an extra is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{purpose} needs {', '.join(missing)}, which the extra `{extra}` installs; "
            f"run pip install 'colorizenet[{extra}]'"
        )


def _annotate(choice: Choice) -> Any:
    """The type of a flag, with its help and range."""
    kind: Any = choice.type
    if choice.values is not None:
        kind = Literal[choice.values]
        kind = kind if choice.default is not None else kind | None
    range_ = Number(gte=choice.minimum, lte=choice.maximum) if choice.minimum is not None else None
    switch = kind is bool
    negative = f"--no-{choice.name}" if switch and choice.default else ()
    return Annotated[
        kind,
        Parameter(
            help=choice.help,
            validator=range_,
            negative=negative,
            show_default=None if choice.default else False,
        ),
    ]
