"""The command line application, and what every verb needs."""

from importlib.util import find_spec
from typing import Annotated

from cyclopts import App, Parameter

from colorizenet import __version__
from colorizenet.errors import ConfigError

__all__ = ["DASH", "Flag", "app", "require_extra", "require_training"]

TRAINING = ("torch", "lightning", "timm")
"""What only the extra ``train`` installs."""
SERVING = (
    "fastapi",
    "fastapi_offline",
    "uvicorn",
    "python_multipart",
    "prometheus_client",
    "gradio",
)
"""What only the extra ``serve`` installs; the last is for the page."""

Flag = Annotated[bool, Parameter(show_default=False)]

DASH = "//-"
"""A lone -, in a spelling that is neither an option nor a file anyone has."""

app = App(
    name="colorizenet",
    help="Turn gray photographs into color ones, and train the networks that do it.",
    version=f"colorizenet {__version__}",
    default_parameter=Parameter(negative=()),  # no --no-overwrite, no --empty-widths
)


def require_training() -> None:
    require_extra("train", "training", TRAINING)


def require_extra(extra: str, doing: str, modules: tuple[str, ...]) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{doing} needs {', '.join(missing)}, and this installation has no extra `{extra}`; "
            f"pip install 'colorizenet[{extra}]'"
        )
