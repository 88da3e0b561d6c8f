"""The codes by which programs recognize errors and warnings."""

import io
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import PIL.Image
import pytest
import tifffile

from colorizenet.colorizer import Colorizer
from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.errors import PROBLEM_CODES, ProblemCode
from colorizenet.serving.jobs import Limits

ROOT = Path(__file__).parents[2]
GRAY = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
PHOTO = encode_image(Image((GRAY % 256).astype(np.uint8)), "jpeg")
DEEP = encode_image(Image(GRAY), "png")
PAGES = encode_image(Image(np.zeros((21 * 8, 8), np.uint8), pages=21), "tiff")
FLAT = encode_image(Image(np.zeros((1000, 1001), np.uint8)), "png")


def make_bright_tiff() -> bytes:
    """A TIFF of floating-point values above 1."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((8, 8), 3, np.float32))
    return file.getvalue()


@pytest.mark.parametrize(
    ("send", "status", "code", "values"),
    [
        (lambda api: api.post("/v1/colorize"), 400, "empty", {}),
        (
            lambda api: api.post("/v1/colorize", content=b"Dear Grandmother"),
            415,
            "unsupported",
            {"formats": "JPEG, PNG, TIFF, WebP, AVIF, GIF"},
        ),
        (lambda api: api.post("/v1/colorize", content=PHOTO[:400]), 422, "damaged", {}),
        (
            lambda api: api.post("/v1/colorize", content=make_bright_tiff()),
            422,
            "unsupported-content",
            {},
        ),
        (
            lambda api: api.post("/v1/colorize?format=webp", content=DEEP),
            422,
            "unwritable",
            {},
        ),
        (
            lambda api: api.post("/v1/colorize?strength=3", content=PHOTO),
            422,
            "invalid-setting",
            {},
        ),
        (
            lambda api: api.post("/v1/colorize?variants=1&seed=3", content=PHOTO),
            422,
            "invalid-setting",
            {},
        ),
        (
            lambda api: api.post("/v1/colorize", content=bytes(2_000_001)),
            413,
            "too-many-bytes",
            {"bytes": 2_000_001, "limit": 2_000_000},
        ),
        (
            lambda api: api.post("/v1/colorize", content=FLAT),
            413,
            "too-many-pixels",
            {"pixels": 1_001_000, "limit": 1_000_000},
        ),
        (
            lambda api: api.post("/v1/colorize", content=PAGES),
            413,
            "too-many-pages",
            {"pages": 21, "limit": 20},
        ),
        (
            lambda api: api.post("/v1/colorize", files={"picture": PHOTO}),
            400,
            "invalid-request",
            {},
        ),
        (lambda api: api.get("/v1/nothing"), 404, "not-found", {}),
        (lambda api: api.get("/nothing"), 404, "not-found", {}),
        (lambda api: api.get("/v1/colorize"), 405, "method-not-allowed", {}),
    ],
)
def test_errors_have_codes_with_the_numbers_of_their_sentences(
    api, read_problem, send: Callable[[httpx.Client], Any], status, code, values
):
    response = send(api)
    read_problem(response, status)
    problem = response.json()
    assert (problem["code"], problem.get("values", {})) == (code, values), problem


def test_a_busy_server_and_a_photo_that_takes_too_long_have_codes(
    run_server, read_problem, gate, make_model
):
    models = {"gated": gate.load, "quick": partial(Colorizer, make_model(), threads=1)}
    with run_server(models, Limits(concurrency=2, queue=0, timeout=1)) as client:
        response = client.post("/v1/colorize", content=PHOTO)
        read_problem(response, 503)
        problem = response.json()
    assert problem["code"] == "timeout" and problem["values"]["limit"] == 1
    assert problem["values"]["seconds"] == int(response.headers["retry-after"])


def read_notices(response: httpx.Response) -> list[dict[str, Any]]:
    """The codes of the warnings of a response, as many as there are sentences."""
    assert response.status_code == 200, response.text
    notices = json.loads(response.headers.get("colorizenet-warning-codes", "[]"))
    assert len(notices) == len(json.loads(response.headers.get("colorizenet-warnings", "[]")))
    return notices


def test_warnings_have_codes_in_the_order_of_their_sentences(api, color_photograph):
    def post(image: Image, format: str, query: str = "") -> list[dict[str, Any]]:
        content = encode_image(image, format)
        return read_notices(api.post(f"/v1/colorize{query}", content=content))

    assert post(Image(color_photograph), "jpeg") == [{"code": "already-colored"}]
    black = (GRAY % 2 * 255).astype(np.uint8)
    assert post(Image(black), "png") == [{"code": "bilevel"}]
    lost = Metadata(
        exif=tiff.make_exif_block({40091: (tiff.BYTE, bytes(70_000))}),
        texts=((b"tEXt", b"Title\0Mill"),),
    )
    assert post(Image((GRAY % 256).astype(np.uint8), metadata=lost), "png", "?format=jpeg") == [
        {"code": "metadata-unsupported", "values": {"metadata": "text", "format": "jpeg"}},
        {"code": "exif-too-long", "values": {"tags": 1, "format": "jpeg"}},
    ]


def test_a_file_of_several_pictures_in_another_format_has_two_codes(api):
    frames = [PIL.Image.new("L", (64, 48), shade) for shade in (90, 200)]
    file = io.BytesIO()
    frames[0].putpixel((3, 3), 17)
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert read_notices(api.post("/v1/colorize", content=file.getvalue())) == [
        {"code": "pictures-left-out", "values": {"pictures": 2}},
        {"code": "format-changed", "values": {"format": "png"}},
    ]


def test_every_code_is_documented(api):
    assert get_args(ProblemCode) == PROBLEM_CODES == tuple(sorted(PROBLEM_CODES))
    documented = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    schema = api.get("/openapi.json").text
    for code in PROBLEM_CODES:
        assert f"`{code}`" in documented and code in schema, code
    sources = (ROOT / "src" / "colorizenet").rglob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for code in set(re.findall(r'Notice\(text, "([\w-]+)"', text)):
        assert f"`{code}`" in documented, code
