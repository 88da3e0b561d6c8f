"""Whatever a client sends, the API answers as its OpenAPI document promises."""

from functools import partial

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from colorizenet.colorizer import Colorizer
from colorizenet.imaging import formats
from colorizenet.serving.jobs import Limits
from colorizenet.serving.settings import written_formats


def test_every_response_is_as_the_openapi_document_describes_it(run_server, make_model):
    """Valid and invalid settings and bodies, generated from the document.

    The model is tiny, because a valid request may have a large network input.
    """
    models = {"default": partial(Colorizer, make_model(), threads=1)}
    with run_server(models, Limits(max_bytes=1_000_000, max_pixels=1_000_000)) as client:
        schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
        for found in schema.get_all_operations():
            check_operation(found.ok())


def test_only_formats_of_this_installation_are_offered(api, monkeypatch):
    content = api.get("/openapi.json").json()["paths"]["/v1/colorize"]["post"]
    body, result = content["requestBody"]["content"], content["responses"]["200"]["content"]
    info = api.get("/v1/info").json()
    assert {f"image/{name}" for name in info["readable"]} == {
        name for name in body if name.startswith("image/")
    }
    assert {f"image/{name}" for name in info["formats"]} == result.keys() - {"application/zip"}
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    assert written_formats() == ["jpeg", "png", "tiff", "webp", "avif"]


def check_operation(operation) -> None:
    modes = [schemathesis.GenerationMode.POSITIVE]
    if operation.method == "post":
        modes = list(schemathesis.GenerationMode)
    for mode in modes:

        @settings(
            max_examples=30,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a failing request is small enough as it is
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case):
            # Random bytes of a valid type are not a photo, and may be rejected.
            case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

        check()
