"""Model files: their cards load in every format, and damaged ones are errors."""

import dataclasses
import hashlib
import json
import os
import shutil

import pytest

from colorizenet.errors import ModelFileError
from colorizenet.modelfile import (
    FORMAT,
    LIGHTNESS,
    Input,
    ModelCard,
    load_model,
    model_path,
    shipped_models,
)

CARD = {"format": FORMAT, "name": "x", "task": "y"}


def test_shipped_models_are_whole_small_and_described():
    assert "default" in shipped_models()
    for name, entry in shipped_models().items():
        content = model_path(name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) <= 20_000_000
        loaded = load_model(name)
        card = loaded.card
        assert loaded.sha256 == entry["sha256"]
        assert card.name == name and card.recipe and card.pictures_seen > 0
        assert card.license and card.limitations and card.metrics["ciede2000"] > 0
        assert card.data and all(set(part) == {"name", "sha256"} for part in card.data)
        assert "/" not in json.dumps(card.overrides), "data is named by SHA-256, never by a path"


def test_a_damaged_shipped_model_is_an_error(tmp_path):
    for file in ("default.onnx", "index.json"):
        shutil.copy(model_path("default").with_name(file), tmp_path)
    with (tmp_path / "default.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\1\2\3")
    with pytest.raises(ModelFileError, match=r"default .* is damaged.*reinstall"):
        load_model("default", folder=tmp_path)


def test_a_named_pipe_is_an_error_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(
        ModelFileError, match=r"pipe\.onnx cannot be read: it is not a regular file"
    ):
        load_model(tmp_path / "pipe.onnx")


def test_the_card_of_a_file_is_the_one_that_was_written(make_model):
    card = ModelCard(
        name="näme",
        task="regression",
        data=[{"name": "a.tar", "sha256": "00"}],
        metrics={"psnr": 24.0},
        init_from={"recipe": "unet"},
        average_with={"alpha": 0.5},
    )
    loaded = load_model(make_model(card=card.to_json()))
    assert loaded.card == card and loaded.card.inputs == (LIGHTNESS,)
    assert len(loaded.sha256) == 64


def test_a_card_of_format_1_is_read_with_the_words_of_format_2(make_model):
    old = {
        "format": 1,
        "name": "x",
        "task": "y",
        "licence": "CC0",
        "figures": {"psnr": 24.0},
        "limits": "Reds are rare.",
        "start": {"recipe": "unet"},
        "blend": {"share": 0.5},
    }
    card = load_model(make_model(card=json.dumps(old))).card
    assert (card.license, card.metrics, card.limitations) == ("CC0", {"psnr": 24}, "Reds are rare.")
    assert (card.init_from, card.average_with) == ({"recipe": "unet"}, {"share": 0.5})
    assert card.inputs == (LIGHTNESS,)
    assert json.loads(card.to_json())["license"] == "CC0"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("", "is not an ONNX file exported by ColorizeNet"),
        ("{not json", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ("[]", "is damaged"),
        (json.dumps(CARD | {"format": "2"}), "is damaged"),
        (json.dumps(CARD | {"format": FORMAT + 1}), "upgrade colorizenet"),
    ],
)
def test_a_card_that_cannot_be_read_is_an_error(make_model, card, expected):
    with pytest.raises(ModelFileError, match=expected):
        load_model(make_model(card=card))


@pytest.mark.parametrize(
    "field",
    [
        '"strength": NaN',
        '"strength": -0.1',
        '"strength": 5',
        '"strength": "1"',
        '"strength": true',
        '"strength": null',
        '"ab_scale": Infinity',
        '"ab_scale": 0',
        '"l_scale": -100',
        '"size": 0',
        '"size": 256.5',
        '"size": 100000',
        '"size_multiple": 0',
        '"name": 7',
        '"inputs": []',
        '"inputs": [["lightness", 3]]',
        '"inputs": [["lightness"]]',
        '"inputs": "lightness"',
        '"inputs": [["lightness", 1], ["lightness", 1]]',
        '"inputs": [["lightness", true]]',
        '"inputs": [["lightness", 1e999]]',
        '"inputs": [[["lightness"], 1]]',
        '"inputs": [7]',
        '"inputs": {"lightness": 1}',
        pytest.param('"size": ' + "9" * 400, id="size of 400 digits"),
        pytest.param('"size": ' + "9" * 5000, id="size of 5000 digits"),
        pytest.param('"strength": ' + "9" * 400, id="strength of 400 digits"),
        '"strength": [1]',
        '"strength": {"value": 1}',
        '"parameters": "many"',
        '"pictures_seen": -1',
        '"seed": 1.5',
        '"metrics": {"psnr": "24"}',
        '"metrics": {"psnr": NaN}',
        '"metrics": [24]',
        '"data": {"name": "a.tar"}',
        '"data": ["a.tar"]',
        '"data": [{"name": 1}]',
        '"versions": {"torch": 2}',
        '"overrides": "lr"',
        '"license": ["CC0"]',
        '"limitations": null',
        '"name": "\\ud800"',
        '"format": NaN',
        '"format": true',
        '"format": 1.5',
        '"format": 0',
        '"format": [2]',
        pytest.param(
            '"overrides": ' + '{"a":' * 100_000 + "1" + "}" * 100_000, id="nested objects"
        ),
    ],
)
def test_a_value_out_of_range_in_a_card_is_an_error_that_names_it(make_model, field):
    text = json.dumps(CARD)[:-1] + f", {field}}}"
    with pytest.raises(ModelFileError, match=r"the card of .* is damaged") as error:
        load_model(make_model(card=text))
    assert str(error.value).isprintable() and len(str(error.value)) < 600


def test_inputs_that_the_network_does_not_have_are_an_error(make_model):
    card = ModelCard(name="x", task="y", inputs=(LIGHTNESS, Input("hints", 3)))
    assert card.takes("hints") and card.takes("lightness") and not card.takes("noise")
    with pytest.raises(
        ModelFileError, match=r"has the inputs lightness and its card lists .*hints"
    ):
        load_model(make_model(card=card.to_json()))


def test_an_unknown_field_of_a_card_is_ignored(make_model):
    text = json.dumps(dataclasses.asdict(ModelCard(name="x", task="y")) | {"invented later": 1})
    assert load_model(make_model(card=text)).card.name == "x"


def test_a_file_that_is_not_a_model_is_an_error_in_one_line(tmp_path):
    path = tmp_path / "not a model\n.onnx"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ModelFileError, match="not an ONNX model") as error:
        load_model(path)
    assert str(error.value).isprintable()
