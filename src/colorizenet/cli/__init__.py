"""The command line: one module per verb. Heavy imports wait until a verb runs.

Exit status: 0 done; 1 some pictures failed, each named on stderr, the others written; 2 wrong
command line or configuration; 130 interrupted. Results go to stdout, messages to stderr.
"""

import io
import os
import sys
from typing import NoReturn

import cyclopts

from colorizenet.cli import colorize, evaluate, export, models, prepare, serve, train
from colorizenet.cli.app import DASH, app
from colorizenet.errors import (
    ColorizeNetError,
    ConfigError,
    DataError,
    DeviceError,
    ModelFileError,
    quote,
)

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["train"]:
            train.mount_recipes()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name may not fit its encoding
        dashed = {"-": DASH, "--out=-": f"--out={DASH}"}
        app(
            [dashed.get(argument, argument) for argument in arguments],
            exit_on_error=False,
            print_error=False,
        )
    except cyclopts.CycloptsError as error:
        verb = f"{arguments[0]} " if arguments and arguments[0] in app else ""
        _fail(f"{quote(' '.join(str(error).split()))} See `colorizenet {verb}--help`.", 2)
    except (ConfigError, DataError, ModelFileError, DeviceError) as error:
        _fail(error, 2)
    except ColorizeNetError as error:
        _fail(error, 1)
    except BrokenPipeError:
        # Whoever read our stdout has gone; point it elsewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _fail("interrupted; what was finished is kept", 130)
    sys.exit(0)


def _fail(message: object, status: int) -> NoReturn:
    print(f"colorizenet: {message}", file=sys.stderr)
    sys.exit(status)
