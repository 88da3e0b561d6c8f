"""``colorizenet models`` and ``colorizenet info``: what models there are, and their cards."""

import dataclasses
import json
from typing import TYPE_CHECKING

from colorizenet.cli.app import app

if TYPE_CHECKING:
    pass


@app.command
def models() -> None:
    """List the models inside the package, with size, license and measured quality."""
    from colorizenet.modelfile import load_model, model_path, shipped_models

    for name in shipped_models():
        card = load_model(name).card
        figures = ", ".join(f"{key} {value:g}" for key, value in card.metrics.items())
        print(
            f"{name}  {model_path(name).stat().st_size / 1e6:.1f} MB, {card.parameters / 1e6:.1f}M parameters"
        )
        print(f"    {card.license}\n    {figures}")


@app.command
def info(model: str, /) -> None:
    """Print what a model file says about itself: its card, as JSON, with the file's SHA-256.

    Parameters
    ----------
    model
        A model inside the package (see `colorizenet models`) or an .onnx file of ours.
    """
    from colorizenet.modelfile import load_model

    loaded = load_model(model)
    print(
        json.dumps(
            {"sha256": loaded.sha256} | dataclasses.asdict(loaded.card),
            ensure_ascii=False,
            indent=2,
        )
    )
