"""POST /v1/colorize on a real socket: photos, settings, and what is rejected."""

import time
import zlib
from functools import partial

import httpx
import numpy as np
import pytest
from gated_colorizer import FailingColorizer

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.options import Options


def test_the_api_gives_the_bytes_of_the_python_api(api, colorizer, samples):
    for path in samples[:2]:
        response = api.post("/v1/colorize", content=path.read_bytes(), params={"strength": 1.3})
        assert response.status_code == 200 and response.headers["content-type"] == "image/jpeg"
        assert response.content == encode_image(colorizer(read_image(path), strength=1.3))
        stages = [part.partition(";dur=") for part in response.headers["server-timing"].split(", ")]
        assert [stage[0] for stage in stages] == ["receive", "queue", "decode", "color", "encode"]
        assert float(stages[3][2]) > 1


def test_every_setting_has_the_effect_it_has_in_python(api, colorizer, gray):
    photo = Image(gray[:100, :120], format="jpeg")
    sent = encode_image(photo)
    settings = {"strength": 0.7, "size": 96, "tta": True, "quality": 50, "format": "webp"}
    response = api.post("/v1/colorize", content=sent, params=settings)
    options = Options(strength=0.7, size=96, tta=True)
    result = colorizer(read_image(sent), options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/webp"
    assert response.content == encode_image(result, "webp", quality=50)
    assert response.content != encode_image(result, "webp")
    assert response.content != encode_image(
        colorizer(read_image(sent), options, tta=False), "webp", quality=50
    )


def test_the_provenance_note_is_left_out_on_request(api, colorizer, gray):
    sent = encode_image(Image(gray[:100, :120]), "jpeg")
    note = colorizer.provenance_note.encode()
    assert note in api.post("/v1/colorize", content=sent).content
    without = api.post("/v1/colorize?provenance=false", content=sent)
    assert without.status_code == 200 and b"ColorizeNet" not in without.content


def test_a_form_with_one_file_gives_the_same_as_the_file(api, samples):
    encoded = samples[0].read_bytes()
    plain = api.post("/v1/colorize", content=encoded).content
    assert api.post("/v1/colorize", files={"file": ("../../etc/passwd", encoded)}).content == plain


def test_depth_transparency_and_metadata_are_preserved(api, read_problem):
    random = np.random.default_rng(0)
    deep, alpha = random.integers(0, 65536, (2, 40, 50), dtype=np.uint16)
    carried = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    sent = encode_image(Image(deep, alpha, metadata=carried), "tiff")
    response = api.post("/v1/colorize", content=sent)
    result = read_image(response.content)
    assert response.headers["content-type"] == "image/tiff" and result.pixels.dtype == np.uint16
    assert result.alpha is not None and np.array_equal(result.alpha, alpha)
    assert read_image(api.post("/v1/colorize?format=png", content=sent).content).format == "png"
    encoded = encode_image(Image((deep >> 8).astype(np.uint8), metadata=carried), "jpeg")
    assert b"Dorothea Lange" in api.post("/v1/colorize", content=encoded).content
    response = api.post("/v1/colorize?format=webp", content=sent)
    assert "choose png or tiff" in read_problem(response, 422)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("strength=3", "strength: Input should be less than or equal to 2"),
        ("strength=nan", "strength"),
        ("strenth=1", "strenth: Extra inputs are not permitted"),
        ("size=8", "size: Input should be greater than or equal to 32"),
        ("tta=perhaps", "tta: Input should be a valid boolean"),
        ("quality=101", "quality: Input should be less than or equal to 100"),
        ("format=gif89", "format"),
        ("hints=1", "hints: Extra inputs are not permitted"),
        ("model=/etc/passwd", "model: Input should be 'default'"),
        ("model=http://127.0.0.1/x.onnx", "model: Input should be 'default'"),
    ],
)
def test_a_wrong_setting_is_named(api, samples, read_problem, query, detail):
    response = api.post(f"/v1/colorize?{query}", content=samples[0].read_bytes())
    assert detail in read_problem(response, 422)


def test_what_is_not_a_photo_is_rejected_with_the_reason(api, read_problem, samples):
    jpeg = samples[0].read_bytes()

    def post(content: bytes) -> httpx.Response:
        return api.post("/v1/colorize", content=content)

    unsupported = "not a photo in a supported format; expected JPEG, PNG"
    assert "the request contains no photo" in read_problem(post(b""), 400)
    assert unsupported in read_problem(post(b"BM6\0\0\0" + bytes(100)), 415)
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    assert unsupported in read_problem(post(svg), 415)
    assert "damaged or cut short" in read_problem(post(jpeg[:20_000]), 422)
    assert "damaged or cut short" in read_problem(post(jpeg[:3]), 422)
    large = encode_image(Image(np.zeros((1000, 1001), np.uint8)), "png")
    assert len(large) < 2_000_000
    assert "1001 x 1000 pixels and the limit is 1,000,000" in read_problem(post(large), 413)
    many = encode_image(Image(np.zeros((21 * 8, 8), np.uint8), pages=21), "tiff")
    assert "has 21 pages and the limit is 20" in read_problem(post(many), 413)
    pages = encode_image(Image(np.zeros((1500, 1000), np.uint8), pages=3), "tiff")
    assert "3 pages of 1000 x 500 pixels" in read_problem(post(pages), 413)


def test_a_decompression_bomb_is_rejected_by_its_header(api, read_problem):
    """A few bytes that claim 30,000 x 30,000 pixels are not decoded."""
    header = b"IHDR" + (30_000).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(1_000_000))
    chunks = b"".join(
        len(c[4:]).to_bytes(4) + c + zlib.crc32(c).to_bytes(4) for c in (header, data, b"IEND")
    )
    started = time.monotonic()
    response = api.post("/v1/colorize", content=b"\x89PNG\r\n\x1a\n" + chunks)
    assert "30000 x 30000 pixels and the limit is 1,000,000" in read_problem(response, 413)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("form", "detail"),
    [
        ({"files": {"picture": b"x"}}, "no file named `file`"),
        ({"files": [("file", b"x"), ("file", b"y")]}, "Too many files"),
        ({"files": {"file": b"x"}, "data": {"strength": "2"}}, "settings in the URL"),
        (
            {"content": b"--", "headers": {"content-type": "multipart/form-data"}},
            "Missing boundary",
        ),
        (
            {
                "content": b"--b\r\nx",
                "headers": {"content-type": "multipart/form-data; boundary=b"},
            },
            "form",
        ),
    ],
)
def test_a_malformed_form_is_rejected_with_the_reason(api, read_problem, form, detail):
    assert detail in read_problem(api.post("/v1/colorize", **form), 400)


def test_an_internal_error_goes_to_the_log_and_not_to_the_client(
    run_server, read_problem, make_model, gray, caplog
):
    with run_server({"failing": partial(FailingColorizer, make_model())}) as client:
        response = client.post("/v1/colorize", content=encode_image(Image(gray), "png"))
        assert "the server failed" in read_problem(response, 500)
        assert "secret" not in response.text
        assert response.headers["content-security-policy"]
        assert client.get("/healthz").status_code == 200
    instance = response.json()["instance"]
    logged = [record for record in caplog.records if instance in record.getMessage()]
    assert len(logged) == 1 and logged[0].exc_info and "secret" in str(logged[0].exc_info[1])
