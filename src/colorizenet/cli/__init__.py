"""The command line: one module per verb. Heavy imports wait until a verb runs.

Exit status: 0 done; 1 some photos failed, each named on stderr, the others written; 2
wrong command line or configuration; 130 interrupted with Ctrl-C, and one line says what
is finished. Results go to stdout, messages and progress to stderr.
"""

import io
import itertools
import os
import signal
import sys
from typing import NoReturn

import cyclopts

from colorizenet.cli import apply, colorize, evaluate, export, models, prepare, serve, train
from colorizenet.cli.app import DASH, app
from colorizenet.errors import (
    ColorizeNetError,
    ConfigError,
    DataError,
    DeviceError,
    ModelFileError,
    quote,
)

__all__ = [
    "app",
    "apply",
    "colorize",
    "evaluate",
    "export",
    "main",
    "models",
    "prepare",
    "serve",
    "train",
]


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if sys.stderr is None:
        # Messages must go neither to stdout nor into the next file that is opened.
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Clusters and service managers end a program with it. It is a Ctrl-C for all
        # commands but serve, which has handlers of its own.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments[:1] == ["train"]:
            train.mount_recipes()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name may not fit its encoding
        app(
            _replace_dashes(arguments),
            exit_on_error=False,
            print_error=False,
        )
        if sys.stdout is not None:
            sys.stdout.flush()  # an error must not wait for the end of the program
    except cyclopts.CycloptsError as error:
        verb = f"{arguments[0]} " if arguments and arguments[0] in app else ""
        _fail(f"{quote(' '.join(str(error).split()))} See `colorizenet {verb}--help`.", 2)
    except (ConfigError, DataError, ModelFileError, DeviceError) as error:
        _fail(error, 2)
    except ColorizeNetError as error:
        _fail(error, 1)
    except BrokenPipeError:  # the reader of stdout has gone
        _discard_stdout()
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            _discard_stdout()
        where = "the output" if error.filename is None else quote(error.filename)
        reason = quote(error.strerror or error)
        _fail(f"{where} cannot be used: {reason}; check the path, permissions and free space", 1)
    except MemoryError:
        _fail("more memory is needed than there is; use a smaller photo, or --jobs 1", 1)
    except KeyboardInterrupt as interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C adds no traceback
        _fail(f"interrupted; {str(interruption) or 'nothing was left half-written'}", 130)
    sys.exit(0)


def _discard_stdout() -> None:
    """Drop what is still to be written to stdout. Python would report its error once
    more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _replace_dashes(arguments: list[str]) -> list[str]:
    """A lone - of ``colorize`` in the spelling that the parser takes for a value."""
    if arguments[:1] != ["colorize"]:
        return arguments
    pairs = itertools.pairwise(["", *arguments])
    replaced = [DASH if (each == "-" and before != "--suffix") else each for before, each in pairs]
    return [f"{each[:-1]}{DASH}" if each in ("--out=-", "-o=-") else each for each in replaced]


def _fail(message: object, status: int) -> NoReturn:
    print(f"colorizenet: {message}", file=sys.stderr)
    sys.exit(status)
