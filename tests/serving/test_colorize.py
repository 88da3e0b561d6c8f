"""POST /v1/colorize on a real socket: photos, settings, and what is rejected."""

import io
import json
import time
import zlib
from dataclasses import replace
from functools import partial

import httpx
import numpy as np
import PIL.Image
import pytest
from gated_colorizer import FailingColorizer

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.merging import describe_colors
from colorizenet.options import Hint, Options


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


def test_the_provenance_note_is_left_out_on_request(api, gray):
    sent = encode_image(Image(gray[:100, :120]), "jpeg")
    note = describe_colors(Options()).encode()
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


def read_warnings(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return json.loads(response.headers.get("colorizenet-warnings", "[]"))


def test_what_is_lost_is_listed_in_a_header(api, gray, color_photograph):
    def post(image: Image, format: str, query: str = "") -> list[str]:
        return read_warnings(api.post(f"/v1/colorize{query}", content=encode_image(image, format)))

    photo = Image(gray[:100, :120])
    assert post(photo, "png") == []
    (line,) = post(Image(color_photograph), "jpeg")
    assert line == "the picture is already in color, and its colors are replaced"
    (line,) = post(Image((photo.pixels > 128) * np.uint8(255)), "png")
    assert "only black and white pixels" in line
    lost = Metadata(
        exif=tiff.make_exif_block({40091: (tiff.BYTE, bytes(70_000))}),
        texts=((b"tEXt", "Title\0Mühle".encode("latin-1")),),
    )
    first, second = post(replace(photo, metadata=lost), "png", "?format=jpeg")
    assert first == "the picture has text, which jpeg does not hold and is left out"
    assert "more EXIF than jpeg holds, and its longest tag is left out" in second
    assert post(replace(photo, metadata=lost), "png") == []


def test_another_format_than_that_of_the_photo_is_a_warning(api):
    gif = PIL.Image.new("L", (64, 48), 100)
    gif.putpixel((3, 3), 17)
    encoded = io.BytesIO()
    gif.save(encoded, "GIF")
    response = api.post("/v1/colorize", content=encoded.getvalue())
    assert response.headers["content-type"] == "image/png"
    assert "results are not written as gif: png is written" in read_warnings(response)


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
        ("strength=1&tta=1&strength=0", "strength is in the URL more than once"),
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
        ({"files": [("file", b"x"), ("file", b"y")]}, "the parts file, file"),
        ({"files": {"file": b"x"}, "data": {"strength": "2"}}, "the parts strength, file"),
        ({"files": {"file": b"x"}, "data": {"options": ["{}", "{}"]}}, "Too many fields"),
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
        (
            {
                "content": b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}\r\n'
                b"--b--\r\n",
                "headers": {"content-type": "multipart/form-data; boundary=b; charset=undefined"},
            },
            "send it as UTF-8",
        ),
    ],
)
def test_a_malformed_form_is_rejected_with_the_reason(api, read_problem, form, detail):
    assert detail in read_problem(api.post("/v1/colorize", **form), 400)


def test_only_the_first_of_many_wrong_settings_are_named(api, samples, read_problem):
    query = "&".join(f"setting{number}=1" for number in range(100))
    photo = samples[0].read_bytes()
    detail = read_problem(api.post(f"/v1/colorize?{query}", content=photo), 422)
    assert "setting0: Extra inputs" in detail and detail.count("Extra inputs") == 5


HINTS = {"hints": [{"x": 0.5, "y": 0.5, "color": "#c81e1e", "radius": 0.1}]}


@pytest.mark.parametrize("as_file", [False, True])
def test_a_form_may_have_settings_and_hints_as_json(api, colorizer, samples, as_file):
    document = json.dumps(HINTS | {"strength": 1.2})
    files = {"file": samples[0].read_bytes()}
    if as_file:
        files["options"] = ("options.json", document, "application/json")
    response = api.post(
        "/v1/colorize?format=png", files=files, data={} if as_file else {"options": document}
    )
    result = read_image(response.content)
    hint = Hint(x=0.5, y=0.5, rgb=(0xC8, 0x1E, 0x1E), radius=0.1)
    expected = colorizer(samples[0], hints=(hint,), strength=1.2)
    assert np.array_equal(result.pixels, expected.pixels)
    assert b"colors reconstructed, 1 user hint" in response.content


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ("{", "options: Invalid JSON"),
        ("[]", "options: Input should be an object"),
        ('{"strenth": 1}', "options.strenth: Extra inputs are not permitted"),
        ('{"strength": 3}', "options.strength: Input should be less than or equal to 2"),
        ('{"format": "webp"}', "format is in the URL and in `options`"),
        ('{"strength": 1, "strength": 2}', "the key strength is there twice; give each key once"),
        ('{"hints": [{"x": 0, "x": 1, "y": 0, "color": "neutral"}]}', "the key x is there twice"),
        ('{"hints": [{"x": 2, "y": 0, "color": "neutral"}]}', "options.hints.0.x: Input should"),
        ('{"hints": [{"x": 0, "y": 0, "color": "red"}]}', "options.hints.0.color"),
        ('{"hints": [{"x": NaN, "y": 0, "color": "neutral"}]}', "options"),
        (json.dumps({"hints": [{"x": 0, "y": 0, "color": "neutral"}] * 129}), "at most 128"),
    ],
)
def test_wrong_options_in_a_form_are_named(api, read_problem, samples, options, detail):
    form = {"files": {"file": samples[0].read_bytes()}, "data": {"options": options}}
    assert detail in read_problem(api.post("/v1/colorize?format=png", **form), 422)


def test_options_that_are_too_long_are_rejected(api, read_problem, samples):
    form = {"files": {"file": samples[0].read_bytes()}, "data": {"options": " " * 70_000}}
    assert "more than 65,536 bytes" in read_problem(api.post("/v1/colorize", **form), 413)


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
