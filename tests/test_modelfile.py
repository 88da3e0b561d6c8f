"""What a model file says about itself, and that the ones inside the package are whole."""

import dataclasses
import hashlib
import json
import shutil

import pytest

from colorizenet import modelfile
from colorizenet.errors import ModelFileError
from colorizenet.modelfile import FORMAT, ModelCard, load_model, model_path, shipped_models


def test_shipped_models_are_whole_small_and_described():
    assert "default" in shipped_models()
    for name, entry in shipped_models().items():
        content = model_path(name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) <= 20_000_000
        card = load_model(name).card
        assert card.name == name and card.recipe and card.pictures_seen > 0
        assert card.license and card.limitations and card.metrics["ciede2000"] > 0
        assert card.data and all(set(part) == {"name", "sha256"} for part in card.data)
        assert "/" not in json.dumps(card.overrides), (
            "data is named by name and SHA-256, never by a path"
        )


def test_a_damaged_shipped_model_is_refused(tmp_path, monkeypatch):
    for file in ("default.onnx", "index.json"):
        shutil.copy(model_path("default").with_name(file), tmp_path)
    with (tmp_path / "default.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\1\2\3")
    monkeypatch.setattr(modelfile, "_FOLDER", tmp_path)
    with pytest.raises(ModelFileError, match=r"default .* is damaged"):
        load_model("default")


def test_the_card_comes_back_as_it_was_written(make_model):
    card = ModelCard(
        name="näme",
        task="regression",
        data=[{"name": "a.tar", "sha256": "00"}],
        figures={"psnr": 24.0},
    )
    loaded = load_model(make_model(card=card.to_json()))
    assert loaded.card == card
    assert len(loaded.sha256) == 64


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("", "without our card"),
        ("{not json", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({"format": FORMAT + 1, "name": "x", "task": "y"}), "upgrade colorizenet"),
    ],
)
def test_a_card_that_cannot_be_read_is_an_error(make_model, card, expected):
    with pytest.raises(ModelFileError, match=expected):
        load_model(make_model(card=card))


def test_a_field_of_the_same_format_that_we_do_not_know_is_passed_over(make_model):
    text = json.dumps(dataclasses.asdict(ModelCard(name="x", task="y")) | {"invented later": 1})
    assert load_model(make_model(card=text)).card.name == "x"


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "not a model\n.onnx"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ModelFileError, match="not an ONNX model") as error:
        load_model(path)
    assert str(error.value).isprintable()
