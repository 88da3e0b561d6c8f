"""The settings that the API and the page offer, derived from ``Options`` and
``Output``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from colorizenet.errors import ConfigError, quote
from colorizenet.hintfiles import parse_hint_objects
from colorizenet.imaging.formats import FORMATS
from colorizenet.options import DEFAULT_RADIUS, MAX_HINTS, Choice, Options, Output, choices
from colorizenet.serving.jobs import ColorizeRequest, JobQueue

__all__ = [
    "allowed_values",
    "build_options_model",
    "build_query_model",
    "build_request",
    "merge_options",
    "offered_choices",
]


_FAULTS = 5
"""Faults of a request that a message names at most."""


def offered_choices() -> list[Choice]:
    """The settings offered for every model: those that need no further network
    input."""
    return [each for each in (*choices(Options), *choices(Output)) if each.simple]


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


class HintObject(BaseModel):
    """A color for one place."""

    model_config = ConfigDict(extra="forbid")

    x: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Position as a fraction of the width of the upright photo."
    )
    y: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Position as a fraction of the height of the upright photo."
    )
    color: Annotated[str, Field(pattern="^(#[0-9a-fA-F]{6}|neutral)$")] = Field(
        description="sRGB color, whose lightness is ignored, or neutral."
    )
    radius: Annotated[float, Field(ge=0, le=0.5)] = Field(
        DEFAULT_RADIUS, description="Radius of the place as a fraction of the short side."
    )


def build_options_model(settings: type[BaseModel]) -> type[BaseModel]:
    """The part ``options`` of a form as a pydantic model: the query parameters, and
    hints."""
    example = {
        "strength": 1.2,
        "hints": [
            {"x": 0.31, "y": 0.62, "color": "#2e6b3a"},
            {"x": 0.75, "y": 0.2, "color": "neutral", "radius": 0.02},
        ],
    }
    hints = Annotated[
        list[HintObject],
        Field(max_length=MAX_HINTS, description="Colors at given places, of the first page."),
    ]
    built = create_model("ColorizeOptions", __base__=settings, hints=(hints, []))
    built.model_config["json_schema_extra"] = {"examples": [example]}
    built.model_rebuild(force=True)
    return built


def merge_options(settings: BaseModel, encoded: bytes, model: type[BaseModel]) -> ColorizeRequest:
    """A request from query parameters and from the part ``options`` of a form.

    ``ConfigError`` if one is wrong, or a setting is in both.
    """
    values = settings.model_dump()
    if encoded:
        try:
            options = model.model_validate_json(encoded)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, ('options', *fault['loc'])))}: {fault['msg']}"
                for fault in error.errors()[:_FAULTS]
            )
            raise ConfigError(
                f"a setting is wrong: {quote(faults)}; see /docs for the allowed values"
            ) from error
        given = options.model_fields_set
        if twice := sorted(given & settings.model_fields_set):
            raise ConfigError(f"{twice[0]} is in the URL and in `options`; leave one of them out")
        values |= options.model_dump(include=given)
        values["hints"] = parse_hint_objects(values.get("hints", []), "options")
    return build_request(**values)


def _field(choice: Choice) -> tuple[Any, Any]:
    """Type and default of a pydantic field."""
    kind: Any = choice.type
    values = allowed_values(choice)
    if values:
        kind = Literal[tuple(values)]
        kind = kind | None if choice.default is None else kind
    field = Field(ge=choice.minimum, le=choice.maximum, description=choice.help)
    return Annotated[kind, field], choice.default
