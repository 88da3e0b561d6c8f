"""The settings that the API and the page offer, derived from ``Options`` and
``Output``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from colorizenet.imaging.formats import FORMATS
from colorizenet.options import Choice, Options, Output, choices
from colorizenet.serving.jobs import ColorizeRequest, JobQueue

__all__ = ["allowed_values", "build_query_model", "build_request", "offered_choices"]


def offered_choices() -> list[Choice]:
    """The settings offered for every model: those that need no further network
    input."""
    return [each for each in (*choices(Options), *choices(Output)) if each.needs is None]


def allowed_values(choice: Choice) -> list[str] | None:
    """The values of a setting that is chosen from a list, or None for any other
    setting."""
    if choice.name == "format":
        return [name for name, kind in FORMATS.items() if kind.written]
    return None


def build_request(*, model: str | None = None, **settings: Any) -> ColorizeRequest:
    """A request from the values of ``offered_choices``. ``ConfigError`` if one is out
    of range."""
    options = {each.name for each in choices(Options)}
    return ColorizeRequest(
        options=Options(**{name: value for name, value in settings.items() if name in options}),
        output=Output(**{name: value for name, value in settings.items() if name not in options}),
        model=model,
    )


def build_query_model(queue: JobQueue) -> type[BaseModel]:
    """The query parameters of the API as a pydantic model: ``offered_choices`` and
    ``model``."""
    fields: dict[str, Any] = {each.name: _field(each) for each in offered_choices()}
    fields["model"] = (
        Annotated[
            Literal[tuple(queue.models)], Field(description="Name of a model of /v1/models.")
        ],
        queue.default_model,
    )
    return create_model("Settings", __config__=ConfigDict(extra="forbid"), **fields)


def _field(choice: Choice) -> tuple[Any, Any]:
    """Type and default of a pydantic field."""
    kind: Any = choice.type
    values = allowed_values(choice)
    if values:
        kind = Literal[tuple(values)]
        kind = kind | None if choice.default is None else kind
    field = Field(ge=choice.minimum, le=choice.maximum, description=choice.help)
    return Annotated[kind, field], choice.default
