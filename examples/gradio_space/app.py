"""A Gradio app around the Python API, for example for a Hugging Face Space."""

import gradio as gr

from colorizenet import Colorizer

colorizer = Colorizer()


def colorize(photo, strength):
    """Colorize an RGB array; None where no photo was chosen."""
    return None if photo is None else colorizer(photo, strength=strength)


gr.Interface(
    colorize,
    [gr.Image(label="Photo"), gr.Slider(0, 2, value=1, label="Strength")],
    gr.Image(label="In color", format="png"),
    title="ColorizeNet",
    description="Colorizes black-and-white photos. The colors are guesses.",
).launch()
