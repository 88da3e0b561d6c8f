"""The HTTP API: its routes, and its errors as problem documents."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from colorizenet import __version__
from colorizenet.errors import ConfigError, quote
from colorizenet.serving.connections import PhotoResponse, read_photo, run_while_connected
from colorizenet.serving.errors import ProblemCode, RequestError
from colorizenet.serving.jobs import JobQueue
from colorizenet.serving.messages import ColorizedPhoto, Content, SuggestedColors
from colorizenet.serving.schemas import (
    NOTICES_HEADER,
    PHOTO_RESPONSE,
    PROBLEMS,
    SIZE_HEADER,
    WARNINGS_HEADER,
    Health,
    Info,
    ModelInfo,
    Suggestions,
    describe_body,
    describe_form,
    describe_info,
    describe_models,
    describe_notices,
    describe_suggestions,
    problem_response,
)
from colorizenet.serving.settings import (
    MAX_FAULTS,
    build_options_model,
    build_query_model,
    build_suggest_model,
    merge_options,
    parse_suggest_options,
)

__all__ = ["INTERNAL_ERROR", "create_api"]

Finished = TypeVar("Finished", ColorizedPhoto, SuggestedColors)

_STATUS_CODES: dict[int, ProblemCode] = {404: "not-found", 405: "method-not-allowed"}

INTERNAL_ERROR = RequestError(
    500, "internal", "the server failed; report the instance named here to its operator"
)


def create_api(
    queue: JobQueue,
    *,
    has_token: bool,
    health: Callable[[], Health],
) -> FastAPI:
    """The API as an ASGI application, whose lifespan closes the queue at its end.

    ``has_token``: whether its description says that clients need a token.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        touching = asyncio.ensure_future(queue.folder.touch_regularly())
        try:
            yield
        finally:  # a second Ctrl-C cancels this task
            touching.cancel()
            await asyncio.to_thread(queue.close)

    api = FastAPIOffline(
        title="ColorizeNet",
        version=__version__,
        summary="Colorizes black-and-white photos.",
        description="The result has the size, depth, format, metadata and lightness of the "
        "photo; only color is added. Errors are problem documents (RFC 9457).",
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Security(HTTPBearer(auto_error=False))] if has_token else [],
    )
    _add_error_handlers(api)
    _add_colorize_route(api, queue)
    _add_suggest_route(api, queue)
    _add_information_routes(api, queue, health)
    _add_head_routes(api)
    return api


def _add_error_handlers(api: FastAPI) -> None:
    @api.exception_handler(RequestError)
    async def handle_request_error(_: Request, error: RequestError) -> Response:
        return problem_response(error)

    @api.exception_handler(ClientDisconnect)
    async def handle_disconnect(_: Request, __: Exception) -> Response:
        # Nobody reads this response; the metrics count it.
        return problem_response(
            RequestError(400, "slow-upload", "the client disconnected; send the photo again")
        )

    @api.exception_handler(Exception)
    async def handle_internal_error(request: Request, _: Exception) -> Response:
        # Starlette raises the error again after this response, so ``App`` logs it.
        request.scope["instance"] = instance = uuid.uuid4().urn
        return problem_response(INTERNAL_ERROR, instance=instance)

    @api.exception_handler(HTTPException)
    async def handle_http_error(request: Request, error: HTTPException) -> Response:
        path = quote(request.url.path)
        detail = {
            404: f"{path} does not exist; see /docs for the API",
            405: f"{path} does not accept {quote(request.method)}; see /docs for the API",
        }.get(error.status_code, str(error.detail))
        code = _STATUS_CODES.get(error.status_code, "invalid-request")
        return problem_response(
            RequestError(error.status_code, code, detail, headers=error.headers)
        )

    @api.exception_handler(RequestValidationError)
    async def handle_wrong_settings(_: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}"
            for fault in error.errors()[:MAX_FAULTS]
        )
        return problem_response(
            RequestError(
                422,
                "invalid-setting",
                f"a setting is wrong: {faults}; see /docs for the allowed values",
            )
        )


def _add_colorize_route(api: FastAPI, queue: JobQueue) -> None:
    Settings = build_query_model(queue)  # noqa: N806 (a class)
    FormOptions = build_options_model(Settings)  # noqa: N806 (a class)

    @api.post(
        "/v1/colorize",
        summary="Colorize one photo",
        response_class=Response,
        responses={200: PHOTO_RESPONSE, **PROBLEMS},
        openapi_extra={"requestBody": describe_body(FormOptions)},
    )
    async def colorize(
        request: Request,
        settings: Annotated[Settings, Query()],  # type: ignore[valid-type]
    ) -> Response:
        """
        Send the file as the body, or as the one file of a form:

            URL=http://127.0.0.1:8000/v1/colorize
            curl --data-binary @1921.jpg "$URL?strength=1.2" -o 1921-color.jpg
            curl -F file=@1921.tif "$URL?format=png" -o 1921-color.png

        A form may also have a part `options` of JSON, with these settings and with
        hints, which are colors at given places of the photo:

            HINTS='{"hints": [{"x": 0.31, "y": 0.62, "color": "#2e6b3a"}]}'
            curl -F file=@1921.jpg -F "options=$HINTS" "$URL" -o 1921-color.jpg

        Several colorings of a photo are a ZIP file, the model's own answer first:

            curl --data-binary @1921.jpg "$URL?variants=6&seed=7" -o 1921.zip

        A small picture of the result, or the third coloring only, comes faster:

            curl --data-binary @1921.jpg "$URL?preview=1280" -o preview.jpg
            curl --data-binary @1921.jpg "$URL?variants=6&variant=3" -o 1921-3.jpg
        """

        names = [name for name, _ in request.query_params.multi_items()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RequestError(
                422,
                "invalid-setting",
                f"{quote(twice)} is in the URL more than once; give each setting once",
            )

        def start(content: Content, options: bytes) -> Coroutine[Any, Any, ColorizedPhoto]:
            return queue.colorize(content, merge_options(settings, options, FormOptions))

        photo, timing = await _work_on_photo(request, queue, start)
        headers = {"Server-Timing": timing, SIZE_HEADER: f"{photo.width}x{photo.height}"}
        if photo.warnings:
            # JSON is ASCII here, as a header must be.
            headers[WARNINGS_HEADER] = json.dumps(photo.warnings)
            headers[NOTICES_HEADER] = json.dumps(describe_notices(photo.warnings))
        return PhotoResponse(
            photo.content,
            holding=queue.storage.hold(photo.content),
            media_type="application/zip" if photo.packed else f"image/{photo.format}",
            headers=headers,
        )


def _add_suggest_route(api: FastAPI, queue: JobQueue) -> None:
    FormOptions = build_suggest_model(queue)  # noqa: N806 (a class)

    @api.post(
        "/v1/suggest",
        summary="Suggest likely colors for a place of a photo",
        responses=PROBLEMS,
        openapi_extra={"requestBody": describe_form(FormOptions)},
    )
    async def suggest(request: Request, response: Response) -> Suggestions:
        """
        Send a form with the file, and a part `options` of JSON with the place, as
        fractions of the width and the height of the upright photo:

            URL=http://127.0.0.1:8000/v1/suggest
            curl -F file=@1921.jpg -F 'options={"x": 0.31, "y": 0.62}' "$URL"

        Each color can be sent to `/v1/colorize` as a hint for this place.
        """

        if name := next(iter(request.query_params), None):
            raise RequestError(
                422,
                "invalid-setting",
                f"{quote(name)} is in the URL; send it in `options`, the part of the form",
            )

        def start(content: Content, options: bytes) -> Coroutine[Any, Any, SuggestedColors]:
            return queue.suggest(content, parse_suggest_options(options, FormOptions))

        colors, response.headers["Server-Timing"] = await _work_on_photo(request, queue, start)
        return describe_suggestions(colors)


async def _work_on_photo(
    request: Request,
    queue: JobQueue,
    start: Callable[[Content, bytes], Coroutine[Any, Any, Finished]],
) -> tuple[Finished, str]:
    """Read the photo in a request and its part ``options``, and call ``start`` with
    them.

    Returns the result and the header ``Server-Timing``. Raises ``RequestError``.
    """
    started = time.perf_counter()
    with queue.storage.receive() as incoming:
        content, options = await read_photo(request, incoming, queue.limits)
        received = time.perf_counter() - started
        queue.metrics.record_stage("receive", received)
        try:
            work = start(content, options)
        except ConfigError as error:
            raise RequestError(422, "invalid-setting", str(error)) from error
        finished = await run_while_connected(request, work)
    return finished, _format_timing({"receive": received, **finished.seconds})


def _format_timing(stages: Mapping[str, float]) -> str:
    """Seconds by stage as the header ``Server-Timing`` has them."""
    return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in stages.items())


def _add_information_routes(api: FastAPI, queue: JobQueue, health: Callable[[], Health]) -> None:
    @api.get(
        "/v1/models",
        summary="List the models",
        responses={status: PROBLEMS[status] for status in (401, 403, 421)},
    )
    async def models() -> list[ModelInfo]:
        return describe_models(queue)

    @api.get(
        "/v1/info",
        summary="Describe the server: version, models, limits and formats",
        responses={status: PROBLEMS[status] for status in (401, 403, 421)},
    )
    async def info() -> Info:
        return describe_info(queue)

    @api.get("/healthz", summary="Whether the server is ready", responses={503: {"model": Health}})
    async def healthz(response: Response) -> Health:
        state = health()
        response.status_code = 200 if state.status == "ready" else 503
        return state

    @api.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(
            queue.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


def _add_head_routes(api: FastAPI) -> None:
    """Let HEAD give the headers of GET, as RFC 9110 requires. Some load balancers and
    monitors send it."""
    for route in api.routes[:]:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            api.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
