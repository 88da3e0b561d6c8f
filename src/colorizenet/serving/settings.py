"""The settings that the API offers, derived from ``Options`` and
``Output``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from colorizenet.errors import ConfigError, quote
from colorizenet.hintfiles import parse_hint_objects, parse_json
from colorizenet.imaging.formats import FORMATS, is_installed
from colorizenet.modelfile import NOISE
from colorizenet.options import (
    DEFAULT_RADIUS,
    MAX_HINTS,
    MAX_VARIANTS,
    Choice,
    Options,
    Output,
    choices,
)
from colorizenet.serving.jobs import ColorizeRequest, JobQueue, SuggestRequest
from colorizenet.suggestions import MAX_SUGGESTIONS

__all__ = [
    "MAX_FAULTS",
    "allowed_values",
    "build_options_model",
    "build_query_model",
    "build_request",
    "build_suggest_model",
    "merge_options",
    "offered_choices",
    "parse_suggest_options",
    "variant_choices",
    "written_formats",
]


MIN_PREVIEW, MAX_PREVIEW = 64, 4096
"""Limits of the longest side of a preview in pixels."""
MAX_FAULTS = 5
"""Faults of a request that a message names at most."""


def offered_choices() -> list[Choice]:
    """The settings offered for every model: those that need no further network
    input."""
    return [each for each in (*choices(Options), *choices(Output)) if each.simple]


def variant_choices() -> list[Choice]:
    """The settings of variants, which need a model that draws."""
    return [each for each in choices(Options) if each.needs == NOISE.name]


def allowed_values(choice: Choice) -> list[str] | None:
    """The values of a setting that is chosen from a list, or None for any other
    setting."""
    return written_formats() if choice.name == "format" else None


def written_formats() -> list[str]:
    """The formats in which results are written here."""
    return [name for name, kind in FORMATS.items() if kind.written and is_installed(name)]


def build_request(
    *,
    model: str | None = None,
    variants: int = 1,
    variant: int | None = None,
    preview: int | None = None,
    **settings: Any,
) -> ColorizeRequest:
    """A request from the values of ``offered_choices`` and ``variant_choices``.
    ``ConfigError`` if one is out of range, or is for variants where there are none."""
    for choice in variant_choices() if variants == 1 else ():
        if settings.get(choice.name, choice.default) != choice.default:
            raise ConfigError(
                f"{choice.name} is for variants; add variants=6, or leave out {choice.name}"
            )
    if variant is not None and not 1 <= variant <= variants:
        raise ConfigError(
            f"variant is {variant} and variants is {variants}; give a number from 1 to {variants}"
        )
    options = {each.name for each in choices(Options)}
    return ColorizeRequest(
        options=Options(**{name: value for name, value in settings.items() if name in options}),
        output=Output(**{name: value for name, value in settings.items() if name not in options}),
        model=model,
        variants=variants,
        variant=variant,
        preview=preview,
    )


def build_query_model(queue: JobQueue) -> type[BaseModel]:
    """The query parameters of the API as a pydantic model: ``offered_choices``,
    ``variants`` and its settings, and ``model``."""
    offered = offered_choices() + variant_choices()
    fields: dict[str, Any] = {each.name: _field(each) for each in offered}
    fields["variants"] = (
        Annotated[
            int,
            Field(
                ge=1,
                le=MAX_VARIANTS,
                description="Number of colorings. More than one are a ZIP file; they need a model "
                "with `draws_variants` in /v1/models. `default` cannot draw: `diverse`, which "
                "contains it, takes its place if the server has it.",
            ),
        ],
        1,
    )
    fields["variant"] = (
        Annotated[
            int | None,
            Field(
                ge=1,
                le=MAX_VARIANTS,
                description="The number of the one coloring that is wanted, as a picture and not "
                "as a ZIP file: 1 (the model's own answer) to `variants`.",
            ),
        ],
        None,
    )
    fields["preview"] = (
        Annotated[
            int | None,
            Field(
                ge=MIN_PREVIEW,
                le=MAX_PREVIEW,
                description="Longest side in pixels of a small result: the first page with 8 bits "
                "and without metadata, as JPEG unless there is a `format`.",
            ),
        ],
        None,
    )
    fields["model"] = _model_field(queue)
    return create_model("Settings", __config__=ConfigDict(extra="forbid"), **fields)


def build_suggest_model(queue: JobQueue) -> type[BaseModel]:
    """The part ``options`` of a form of /v1/suggest as a pydantic model."""
    share = Annotated[float, Field(ge=0, le=1)]
    fields: dict[str, Any] = {
        "x": (share, Field(description="Position as a fraction of the width.")),
        "y": (share, Field(description="Position as a fraction of the height.")),
        "n": (
            Annotated[int, Field(ge=1, le=MAX_SUGGESTIONS, strict=True)],
            Field(5, description="Number of colors."),
        ),
        "model": _model_field(queue),
    }
    example = {"x": 0.31, "y": 0.62, "n": 5}
    config = ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})
    return create_model("SuggestOptions", __config__=config, **fields)


def parse_suggest_options(encoded: bytes, model: type[BaseModel]) -> SuggestRequest:
    """A request from the part ``options`` of a form. ``ConfigError`` if it is wrong."""
    if not encoded:
        raise ConfigError("the form has no `options`; send the place as JSON with x and y")
    return SuggestRequest(**_parse_options(encoded, model).model_dump())


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
        options = _parse_options(encoded, model)
        given = options.model_fields_set
        if twice := sorted(given & settings.model_fields_set):
            raise ConfigError(f"{twice[0]} is in the URL and in `options`; leave one of them out")
        values |= options.model_dump(include=given)
        values["hints"] = parse_hint_objects(values.get("hints", []), "options")
    return build_request(**values)


def _parse_options(encoded: bytes, model: type[BaseModel]) -> BaseModel:
    """The part ``options`` of a form. ``ConfigError`` names what is wrong in it."""
    try:
        options = model.model_validate_json(encoded)
        parse_json(encoded)  # pydantic takes the last of equal keys
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, ('options', *fault['loc'])))}: {fault['msg']}"
            for fault in error.errors()[:MAX_FAULTS]
        )
        raise ConfigError(
            f"a setting is wrong: {quote(faults)}; see /docs for the allowed values"
        ) from error
    except ValueError as error:
        raise ConfigError(f"`options` is wrong: {quote(error)}; give each key once") from error
    return options


def _model_field(queue: JobQueue) -> tuple[Any, str]:
    """Type and default of the name of a model."""
    names = Annotated[
        Literal[tuple(queue.models)], Field(description="Name of a model of /v1/models.")
    ]
    return names, queue.default_model


def _field(choice: Choice) -> tuple[Any, Any]:
    """Type and default of a pydantic field."""
    kind: Any = choice.type
    values = allowed_values(choice)
    if values:
        kind = Literal[tuple(values)]
        kind = kind | None if choice.default is None else kind
    field = Field(ge=choice.minimum, le=choice.maximum, description=choice.help)
    return Annotated[kind, field], choice.default
