"""The settings of the page as Gradio components, derived from ``offered_choices``."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from colorizenet.options import Choice
from colorizenet.serving.jobs import ColorizeRequest, JobQueue
from colorizenet.serving.settings import allowed_values, build_request, offered_choices

__all__ = ["build_control", "build_model_control", "control_names", "parse_controls"]

_LABELS: Mapping[str, str] = {
    "size": "Network input size",
    "tta": "Test-time augmentation",
    "provenance": "Provenance note",
}
"""Labels that are not just the name of the setting."""

_DEFAULT = ""
"""Value of a drop-down list that stands for None."""
_DEFAULT_NUMBER = 0
"""Value of a number that stands for None; Gradio shows an empty number as 0 anyway."""


def control_names() -> list[str]:
    """The names of the settings on the page, in order: the choices and the model."""
    return [*(choice.name for choice in offered_choices()), "model"]


def build_control(choice: Choice) -> Any:
    """The component for one setting, by its type. Its ``elem_id`` is the name of the
    setting."""
    values = allowed_values(choice)
    common: dict[str, Any] = {
        "label": _LABELS.get(choice.name, choice.name.capitalize()),
        "info": choice.help,
        "elem_id": choice.name,
    }
    if values:
        options = [(name.upper(), name) for name in values]
        if choice.default is None:
            options.insert(0, ("Default", _DEFAULT))
        return gr.Dropdown(options, value=choice.default or _DEFAULT, **common)
    if choice.type is bool:
        return gr.Checkbox(choice.default, **common)
    assert choice.minimum is not None and choice.maximum is not None, choice.name
    if choice.type is float:
        return gr.Slider(choice.minimum, choice.maximum, choice.default, step=0.05, **common)
    # Gradio would reject a number out of range without telling the visitor;
    # ``Options`` and ``Output`` check it.
    common["info"] += f" From {choice.minimum:g} to {choice.maximum:g}; 0 for the default."
    return gr.Number(choice.default or _DEFAULT_NUMBER, precision=0, **common)


def build_model_control(queue: JobQueue) -> gr.Dropdown:
    """The component that chooses the model."""
    return gr.Dropdown(
        list(queue.models), value=queue.default_model, label="Model", elem_id="model"
    )


def parse_controls(*values: Any) -> ColorizeRequest:
    """The request that the values of all controls describe, in the order of
    ``control_names``.

    Raises ``ConfigError`` where a value is out of range.
    """
    settings = dict(zip(control_names(), values, strict=True))
    for choice in offered_choices():
        if choice.default is None and settings[choice.name] in (_DEFAULT, _DEFAULT_NUMBER):
            settings[choice.name] = None
    return build_request(**settings)
