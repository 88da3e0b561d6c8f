"""The API offers the same settings as the command line: the choices of ``Options`` and
``Output``."""

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
    assert set(parameters) == EXPECTED | {
        "model",
        "preview",
        "variants",
        "variant",
        "seed",
        "diversity",
    }
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


def test_a_value_out_of_range_is_an_error():
    with pytest.raises(ConfigError, match="size is 8; give a whole number from 32 to 2048"):
        build_request(size=8)
