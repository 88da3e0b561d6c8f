"""POST /v1/suggest on a real socket: likely colors for a place of a photo."""

import json
from functools import partial

import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.serving.jobs import Limits

PLACE = {"x": 0.31, "y": 0.62}


def post(api, photo: bytes, options: str | None):
    data = {} if options is None else {"options": options}
    return api.post("/v1/suggest", files={"file": photo}, data=data)


@pytest.mark.parametrize("n", [1, 5, 10])
def test_the_suggestions_are_those_of_python(api, colorizer, samples, n):
    response = post(api, samples[0].read_bytes(), json.dumps(PLACE | {"n": n}))
    assert response.status_code == 200
    assert "decode;dur=" in response.headers["server-timing"]
    expected = colorizer.suggest(samples[0], **PLACE, n=n)
    assert response.json() == {
        "suggestions": [
            {
                "color": "#{:02x}{:02x}{:02x}".format(*each.rgb),
                "probability": round(each.probability, 3),
            }
            for each in expected
        ]
    }


def test_a_suggestion_can_be_sent_as_a_hint(api, samples):
    photo = samples[0].read_bytes()
    [first] = post(api, photo, json.dumps(PLACE | {"n": 1})).json()["suggestions"]
    hints = {"hints": [PLACE | {"color": first["color"]}]}
    response = api.post("/v1/colorize", files={"file": photo}, data={"options": json.dumps(hints)})
    assert response.status_code == 200
    assert b"1 user hint" in response.content


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        (None, "the form has no `options`; send the place as JSON with x and y"),
        ("{", "options: Invalid JSON"),
        ('{"x": 0.5}', "options.y: Field required"),
        ('{"x": 0.5, "y": 1.5}', "options.y: Input should be less than or equal to 1"),
        ('{"x": NaN, "y": 0.5}', "options.x"),
        ('{"x": 0.5, "y": 0.5, "n": 11}', "options.n: Input should be less than or equal to 10"),
        ('{"x": 0.5, "y": 0.5, "model": "other"}', "options.model"),
        ('{"x": 0.5, "y": 0.5, "hints": []}', "options.hints: Extra inputs"),
        ('{"x": 0.5, "y": 0.5, "x": 0.6}', "the key x is there twice"),
    ],
)
def test_wrong_options_are_named(api, read_problem, samples, options, detail):
    assert detail in read_problem(post(api, samples[0].read_bytes(), options), 422)


def test_settings_in_the_url_are_rejected(api, read_problem, samples):
    form = {"files": {"file": samples[0].read_bytes()}, "data": {"options": json.dumps(PLACE)}}
    detail = read_problem(api.post("/v1/suggest?n=3", **form), 422)
    assert detail == "n is in the URL; send it in `options`, the part of the form"


def test_a_photo_is_needed(api, read_problem):
    assert "the form has no file" in read_problem(
        api.post("/v1/suggest", files={"options": ("options.json", json.dumps(PLACE))}), 400
    )
    detail = read_problem(post(api, b"no photo", json.dumps(PLACE)), 415)
    assert "not a photo in a supported format" in detail


def test_the_limits_are_those_of_colorize(run_server, read_problem, make_model, samples):
    models = {"default": partial(Colorizer, make_model(), threads=1)}
    photo = samples[0].read_bytes()
    with run_server(models, Limits(max_pixels=1000)) as client:
        assert "the limit is 1,000" in read_problem(post(client, photo, json.dumps(PLACE)), 413)
    with run_server(models, Limits(max_bytes=1000)) as client:
        assert "limit of 1,000 bytes" in read_problem(post(client, photo, json.dumps(PLACE)), 413)


def test_the_api_document_has_an_example(api):
    document = api.get("/openapi.json").json()
    operation = document["paths"]["/v1/suggest"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file", "options"]
    assert form["properties"]["options"]["examples"] == [{"x": 0.31, "y": 0.62, "n": 5}]
    assert {"413", "422", "503"} <= set(operation["responses"])


def test_suggestions_are_counted_by_their_outcome(api, samples):
    assert post(api, samples[0].read_bytes(), json.dumps(PLACE)).status_code == 200
    metrics = api.get("/metrics").text
    assert 'colorizenet_photos_total{outcome="suggested"}' in metrics
    assert 'route="/v1/suggest",status="200"' in metrics
