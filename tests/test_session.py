"""A session gives what its colorizer gives, and runs the network as seldom as
possible."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from colorizenet import Colorizer, Hint, Options

RED, GREEN = Hint(x=0.3, y=0.4, rgb=(200, 30, 30)), Hint(x=0.7, y=0.6, rgb=(20, 120, 30))


class CountingColorizer(Colorizer):
    """Counts how often pictures are reduced and networks run."""

    reduced = predicted = 0

    def reduce(self, *arguments, **more):
        self.reduced += 1
        return super().reduce(*arguments, **more)

    def predict(self, *arguments, **more):
        self.predicted += 1
        return super().predict(*arguments, **more)


@pytest.fixture
def counting(make_model: Callable[..., Path]) -> CountingColorizer:
    return CountingColorizer(make_model(), threads=1)


@pytest.fixture
def hinted(make_sum_model: Callable[..., Path]) -> CountingColorizer:
    """A model with the input hints."""
    return CountingColorizer(make_sum_model("hints", 3), threads=1)


@pytest.mark.parametrize(
    "settings",
    [{}, {"hints": (RED, GREEN)}, {"strength": 1.4}, {"size": 64, "tta": True, "hints": (RED,)}],
)
@pytest.mark.parametrize("model", ["counting", "hinted"])
def test_a_session_gives_the_results_of_its_colorizer(request, model, settings, gray):
    colorizer = request.getfixturevalue(model)
    session = colorizer.session(gray)
    session(hints=(GREEN,))
    expected = colorizer(gray, Options(**settings))
    assert np.array_equal(session(Options(**settings)), expected)
    assert np.array_equal(session(**settings), expected)


def test_a_session_is_freed_without_the_garbage_collector(counting, gray):
    gc.disable()
    try:
        session = counting.session(gray)
        session(hints=(RED,))
        session.suggest(0.5, 0.5)
        freed = weakref.ref(session)
        del session
        assert freed() is None
    finally:
        gc.enable()


def test_removing_a_hint_restores_the_result(counting, gray):
    session = counting.session(gray)
    before = session()
    assert not np.array_equal(session(hints=(RED,)), before)
    assert np.array_equal(session(), before)


def test_hints_strength_and_suggestions_need_one_run_of_the_network(counting, gray):
    session = counting.session(gray)
    for settings in ({}, {"hints": (RED,)}, {"hints": (RED, GREEN)}, {"strength": 0.5}):
        session(**settings)
    session.suggest(0.5, 0.5)
    assert (counting.reduced, counting.predicted) == (1, 1)


def test_a_network_that_reads_hints_runs_once_for_each_set_of_them(hinted, gray):
    session = hinted.session(gray)
    for hints in ((), (RED,), (RED, GREEN), (GREEN, RED), (RED,), ()):
        session(hints=hints)
    assert (hinted.reduced, hinted.predicted) == (1, 3)


def test_a_session_of_a_file_gives_an_image_of_its_format(counting, samples):
    assert counting.session(samples[0])().format == counting(samples[0]).format == "jpeg"
