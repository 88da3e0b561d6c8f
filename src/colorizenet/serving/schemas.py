"""The JSON documents of the API, and how the OpenAPI document describes photos and
errors."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from colorizenet import __version__
from colorizenet.imaging.notices import Notice
from colorizenet.modelfile import NOISE
from colorizenet.serving.coloring import readable_formats
from colorizenet.serving.errors import PROBLEM_CODES, RequestError
from colorizenet.serving.jobs import JobQueue, SuggestedColors
from colorizenet.serving.settings import written_formats
from colorizenet.variants import choose_model

__all__ = [
    "NOTICES_HEADER",
    "PHOTO_RESPONSE",
    "PROBLEMS",
    "SIZE_HEADER",
    "WARNINGS_HEADER",
    "Health",
    "Info",
    "ModelInfo",
    "Problem",
    "ServerLimits",
    "SuggestedColor",
    "Suggestions",
    "describe_body",
    "describe_form",
    "describe_info",
    "describe_models",
    "describe_notices",
    "describe_suggestions",
    "problem_response",
]


class Problem(BaseModel):
    """An error, as RFC 9457 (Problem Details for HTTP APIs) defines it."""

    type: str = "about:blank"
    title: str = Field(examples=["Unsupported Media Type"])
    status: int = Field(examples=[415])
    detail: str = Field(
        description="What is wrong, in English.",
        examples=["the file is not a photo in a supported format; expected JPEG or PNG"],
    )
    code: str = Field(
        description="What the error is about, for programs that translate `detail`: "
        f"{', '.join(PROBLEM_CODES)}. Newer servers may have more.",
        examples=["unsupported"],
    )
    values: dict[str, int | float | str] | None = Field(
        None, description="Numbers and names in `detail`.", examples=[{"formats": "JPEG, PNG"}]
    )
    instance: str | None = Field(None, description="Identifies the error in the server's log.")


class Health(BaseModel):
    """Whether the server accepts requests, and whether it has a page."""

    status: Literal["ready", "stopping"]
    page: Literal["ready", "off"]


class ModelInfo(BaseModel):
    """One model of this server."""

    name: str = Field(examples=["default"])
    default: bool = Field(description="Whether requests without `model` use this model.")
    sha256: str = Field(description="SHA-256 of the model file.")
    parameters: int = Field(description="Number of trained parameters.")
    size: int = Field(description="Default short side of the network input, in pixels.")
    draws_variants: bool = Field(
        description="Whether the model gives several colorings, itself or by another model."
    )
    draws_for: str | None = Field(
        description="Name of the model whose variants this one draws: it has a similar "
        "usual answer. Null for others."
    )
    takes_hints: bool = Field(description="Whether the model follows hints; all do.")
    license: str = Field(description="Terms of use, and the terms of the training data.")
    metrics: dict[str, float] = Field(description="Measured quality.")
    limitations: str = Field(description="Known weaknesses.")


class ServerLimits(BaseModel):
    """What a request may have at most."""

    max_bytes: int = Field(description="Size of the file.", examples=[100_000_000])
    max_pixels: int = Field(
        description="Pixels of the photo, of all pages together.", examples=[100_000_000]
    )
    max_pages: int = Field(description="Pages of a TIFF.", examples=[20])


class Info(BaseModel):
    """What a client must know to use this server."""

    version: str = Field(description="Version of ColorizeNet.", examples=[__version__])
    license: str = Field(
        description="License of ColorizeNet; each model has terms of its own.",
        examples=["Apache-2.0"],
    )
    models: list[ModelInfo] = Field(description="The models, the default first.")
    limits: ServerLimits
    formats: list[str] = Field(
        description="Formats of results.", examples=[["jpeg", "png", "tiff", "webp", "avif"]]
    )
    readable: list[str] = Field(
        description="Formats of photos that are read.",
        examples=[["jpeg", "png", "tiff", "webp", "avif", "gif"]],
    )


class SuggestedColor(BaseModel):
    """A likely color of a place."""

    color: str = Field(description="sRGB color with the lightness of the place.")
    probability: float = Field(
        description="Share of photos whose color there is similar to this one (ΔE at most 10), "
        "and not to one before it."
    )


class Suggestions(BaseModel):
    """Likely colors of a place, the most likely first."""

    suggestions: list[SuggestedColor] = Field(
        examples=[
            [
                {"color": "#8a7d6b", "probability": 0.41},
                {"color": "#6b8152", "probability": 0.17},
            ]
        ]
    )


def describe_suggestions(colors: SuggestedColors) -> Suggestions:
    """Likely colors as a document."""
    return Suggestions(
        suggestions=[
            SuggestedColor(
                color="#{:02x}{:02x}{:02x}".format(*each.rgb),
                probability=round(each.probability, 3),
            )
            for each in colors.suggestions
        ]
    )


def describe_models(queue: JobQueue) -> list[ModelInfo]:
    """The models of a server, the default first."""
    drawing = {name: choose_model(name, 2, queue.models) for name in queue.models}
    drawn_for = {model: name for name, model in drawing.items() if model != name}
    return [
        ModelInfo(
            name=name,
            default=name == queue.default_model,
            sha256=model.sha256,
            parameters=model.card.parameters,
            size=model.card.size,
            draws_variants=queue.models[drawing[name]].card.takes(NOISE.name),
            draws_for=drawn_for.get(name),
            takes_hints=True,  # chroma is spread from hints if the network has no input for them
            license=model.card.license,
            metrics=model.card.metrics,
            limitations=model.card.limitations,
        )
        for name, model in queue.models.items()
    ]


def describe_info(queue: JobQueue) -> Info:
    """What a client must know to use a server."""
    limits = queue.limits
    return Info(
        version=__version__,
        license=LICENSE,
        models=describe_models(queue),
        limits=ServerLimits(
            max_bytes=limits.max_bytes, max_pixels=limits.max_pixels, max_pages=limits.max_pages
        ),
        formats=written_formats(),
        readable=readable_formats(),
    )


def describe_notices(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """What warnings are about, for programs."""
    return [
        {"code": each.code} | ({"values": each.values} if each.values else {}) for each in notices
    ]


def problem_response(error: RequestError, *, instance: str | None = None) -> Response:
    """An error as a problem document."""
    problem = Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        code=error.code,
        values=error.values or None,
        instance=instance,
    )
    return Response(
        problem.model_dump_json(exclude_none=True),
        error.status,
        error.headers,
        media_type="application/problem+json",
    )


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status, description in {
        400: "The request contains no photo, or its form is malformed.",
        401: "The server requires a token.",
        403: "The web page that sent the request is not allowed to.",
        408: "The body arrived too slowly.",
        413: "Too many bytes, pixels or pages, or too much memory needed.",
        415: "Not a photo in a supported format.",
        421: "The host name is not one of this server.",
        422: "A setting is wrong, or the photo is damaged or cannot be written as requested.",
        500: "The server failed, or the process that worked on the photo crashed.",
        503: "The server is overloaded: retry after `Retry-After` seconds; without that header "
        "the photo itself takes too long.",
    }.items()
}
"""OpenAPI descriptions of the errors, by status code."""

WARNINGS_HEADER = "Colorizenet-Warnings"
"""Name of the header of a response with a photo that says what was lost or assumed."""

NOTICES_HEADER = "Colorizenet-Warning-Codes"
"""Name of the header that says the same to programs, in the same order."""

SIZE_HEADER = "Colorizenet-Size"
"""Name of the header of a response with a photo that says how large the photo is."""

LICENSE = "Apache-2.0"
"""SPDX identifier of the license of this package."""

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PHOTOS = {f"image/{name}": _BINARY for name in readable_formats()}
_RESULTS = {f"image/{name}": _BINARY for name in written_formats()}

PHOTO_RESPONSE = {
    "description": "The colorized photo, or a ZIP file of its variants: variant-1.jpg and so on.",
    "content": {**_RESULTS, "application/zip": _BINARY},
    "headers": {
        "Server-Timing": {
            "description": "Milliseconds by stage: receive, queue, decode, color, encode.",
            "schema": {"type": "string"},
        },
        SIZE_HEADER: {
            "description": "Width and height of a page of the photo in pixels, upright, also "
            "where the result is a preview.",
            "schema": {"type": "string"},
            "example": "6000x4000",
        },
        WARNINGS_HEADER: {
            "description": "What was lost or assumed, as a JSON array of strings; only where "
            "there is something to say.",
            "schema": {"type": "string"},
            "example": '["the picture is already in color, and its colors are replaced"]',
        },
        NOTICES_HEADER: {
            "description": f"The same for programs that translate `{WARNINGS_HEADER}`, in the "
            "same order: a JSON array of objects with a `code`, and with `values` where the "
            "sentence has any.",
            "schema": {"type": "string"},
            "example": '[{"code": "already-colored"}]',
        },
    },
}
"""OpenAPI description of the response with a photo."""


def describe_body(options: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI description of the request with a photo; ``options`` is the part of a
    form."""
    form = describe_form(options, required=False)["content"]
    return {
        "required": True,
        "description": "The file itself, or a form with one file named `file`, and at most one "
        "part `options` of JSON.",
        "content": {**_PHOTOS, "application/octet-stream": _BINARY, **form},
    }


def describe_form(options: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """OpenAPI description of a form with a photo and the part ``options``."""
    return {
        "required": True,
        "description": "A form with one file named `file`, and one part `options` of JSON.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "options": _inline(options.model_json_schema()),
                    },
                    "required": ["file", "options"] if required else ["file"],
                    "additionalProperties": False,
                },
                "encoding": {"options": {"contentType": "application/json"}},
            },
        },
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema without references to definitions of its own."""
    definitions = schema.pop("$defs", {})

    def replace(value: Any) -> Any:
        if isinstance(value, list):
            return [replace(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return replace(definitions[value["$ref"].rpartition("/")[2]])
        return {key: replace(each) for key, each in value.items()}

    return replace(schema)
