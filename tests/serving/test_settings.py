"""The API and the page offer the same settings: the choices of ``Options`` and
``Output``."""

import json
import subprocess
import sys

import pytest

from colorizenet.errors import ConfigError
from colorizenet.options import Options, Output, choices
from colorizenet.serving.settings import (
    allowed_values,
    build_request,
    offered_choices,
    variant_choices,
)

EXPECTED = {choice.name for kind in (Options, Output) for choice in choices(kind) if choice.simple}


def test_the_query_parameters_are_the_choices_and_the_model(api):
    document = api.get("/openapi.json").json()
    parameters = {
        each["name"]: each for each in document["paths"]["/v1/colorize"]["post"]["parameters"]
    }
    assert set(parameters) == EXPECTED | {"model", "variants", "seed", "diversity"}
    assert {"strength", "size", "tta", "format", "quality", "provenance"} <= set(parameters)
    for choice in offered_choices() + variant_choices():
        parameter = parameters[choice.name]
        assert parameter["required"] is False
        assert parameter["schema"].get("default") == choice.default
        assert choice.help in (parameter["schema"]["description"], parameter.get("description"))
        alternatives = parameter["schema"].get("anyOf", [parameter["schema"]])
        if choice.maximum is not None:
            assert alternatives[0]["minimum"] == choice.minimum
            assert alternatives[0]["maximum"] == choice.maximum
        if values := allowed_values(choice):
            assert alternatives[0]["enum"] == values


def test_the_controls_of_the_page_are_the_choices_and_the_model():
    """In a process of its own, because Gradio leaves an event loop open."""
    program = """
import json
from colorizenet.options import Options, Output
from colorizenet.serving.page.controls import build_control, control_names, parse_controls
from colorizenet.serving.settings import offered_choices

controls = {choice.name: build_control(choice) for choice in offered_choices()}
untouched = parse_controls(*(control.value for control in controls.values()), "default")
assert untouched.options == Options() and untouched.output == Output(), untouched
assert untouched.model == "default"
values = {"strength": 0.5, "size": 96, "tta": True, "format": "png", "quality": 40}
values |= {"provenance": False, "model": "other"}
changed = parse_controls(*(values[name] for name in control_names()))
assert changed.options == Options(strength=0.5, size=96, tta=True), changed
assert changed.output == Output(format="png", quality=40, provenance=False), changed
assert changed.model == "other"
described = {each.elem_id: [each.label, each.info] for each in controls.values()}
print(json.dumps([control_names(), described]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names, described = json.loads(done.stdout)
    assert set(names) == EXPECTED | {"model"} and set(described) == EXPECTED
    labels = [label for label, _ in described.values()]
    assert all(labels) and len(set(labels)) == len(labels)
    for choice in offered_choices():
        assert choice.help in described[choice.name][1]


def test_a_value_out_of_range_is_an_error():
    with pytest.raises(ConfigError, match="size is 8; give a whole number from 32 to 2048"):
        build_request(size=8)
