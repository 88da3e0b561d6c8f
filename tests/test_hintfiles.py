"""Hint files, and the short form of the command line."""

import json

import pytest

from colorizenet.errors import ConfigError
from colorizenet.hintfiles import parse_hint, read_hints, write_hints
from colorizenet.options import MAX_HINTS, Hint

HINT = {"x": 0.5, "y": 0.25, "color": "#2e6b3a"}


def save(path, hints=(HINT,), **document):
    path.write_text(json.dumps({"version": 1, "hints": list(hints)} | document))
    return path


def test_written_hints_are_read_again(tmp_path):
    hints = (
        Hint(x=0.1, y=1 / 3, rgb=(0, 128, 255), radius=0.05),
        Hint(x=1, y=0, rgb=None),
    )
    write_hints(tmp_path / "a.hints.json", hints)
    assert read_hints(tmp_path / "a.hints.json") == hints


def test_the_radius_has_a_default(tmp_path):
    expected = (Hint(x=0.5, y=0.25, rgb=(0x2E, 0x6B, 0x3A)),)
    assert read_hints(save(tmp_path / "a.json")) == expected


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ([HINT | {"x": 1.5}], "hint 1: x of a hint is 1.5; give a number from 0 to 1"),
        ([HINT, HINT | {"y": float("nan")}], "hint 2: y of a hint is nan"),
        ([HINT | {"x": "0.5"}], "hint 1: x of a hint is 0.5"),
        ([HINT | {"y": 10**300}], "hint 1: y of a hint is 1000"),
        ([HINT | {"radius": -1}], "hint 1: radius of a hint is -1"),
        ([HINT | {"colour": "#ff0000"}], "hint 1 has the unknown key colour; expected x, y, color"),
        ([{"x": 0.5, "y": 0.5}], "hint 1 has no color; give x, y and color"),
        ([HINT | {"color": "#ff00"}], "hint 1: the color is #ff00; give one such as #2e6b3a"),
        ([HINT | {"color": None}], "hint 1: the color is None"),
        ([HINT | {"color": [255, 0, 0]}], "hint 1: the color is [255, 0, 0]"),
        ([HINT | {"color": "two\nlines"}], "hint 1: the color is 'two\\nlines'"),
        ([7], "hint 1 is no object"),
        ([HINT] * (MAX_HINTS + 1), "there are 129 hints; give at most 128"),
    ],
)
def test_a_wrong_hint_is_one_line_that_names_it(tmp_path, hints, expected):
    path = save(tmp_path / "a.hints.json", hints)
    with pytest.raises(ConfigError) as error:
        read_hints(path)
    message = str(error.value)
    assert message.startswith(str(path)) and expected in message and "\n" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("\xff", "is not JSON"),
        ("[]", "holds no hints"),
        ('{"version": 1, "hints": [], "hints": []}', "the key hints is there twice"),
        ('{"hints": []}', "holds no hints"),
        ('{"version": 1, "hints": [], "photo": "a.jpg"}', "holds no hints"),
        ('{"version": 2, "hints": []}', "has version 2 of hints"),
        ('{"version": true, "hints": []}', "has version True of hints"),
        ('{"version": 1, "hints": {}}', "hints are no list"),
        (" " * ((1 << 20) + 1), "has more than 1 MiB"),
    ],
)
def test_a_file_that_holds_no_hints_is_one_line(tmp_path, content, expected):
    path = tmp_path / "a.hints.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError) as error:
        read_hints(path)
    assert str(path) in str(error.value) and expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_hints(tmp_path / "a.hints.json")


def test_the_short_form_has_a_color_or_neutral_and_may_have_a_radius():
    assert parse_hint("0.5,0.25,#FF8000") == Hint(x=0.5, y=0.25, rgb=(255, 128, 0))
    assert parse_hint("0,1,neutral,0.1") == Hint(x=0, y=1, rgb=None, radius=0.1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5,0.5", "has 2 parts"),
        ("0.5,0.5,#ff0000,0.1,0.1", "has 5 parts"),
        ("left,0.5,#ff0000", "something other than numbers"),
        ("nan,0.5,#ff0000", "x of a hint is nan"),
        ("0.5,2,#ff0000", "y of a hint is 2.0"),
        ("0.5,0.5,red", "the color is red; give one such as #2e6b3a, or neutral"),
    ],
)
def test_a_wrong_short_form_is_one_line_that_names_it(text, expected):
    with pytest.raises(ConfigError) as error:
        parse_hint(text)
    assert str(error.value).startswith(f"the hint {text}") and expected in str(error.value)
