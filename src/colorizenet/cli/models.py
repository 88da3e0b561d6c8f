"""``colorizenet models`` and ``colorizenet info``: shipped models and their cards."""

import dataclasses
import json

from colorizenet.cli.app import app


@app.command
def models() -> None:
    """List the models inside the package, with size, license and measured quality."""
    from colorizenet.modelfile import load_model, model_path, shipped_models

    for name in shipped_models():
        card = load_model(name).card
        megabytes = model_path(name).stat().st_size / 1e6
        metrics = ", ".join(f"{key} {value:g}" for key, value in card.metrics.items())
        print(f"{name}  {megabytes:.1f} MB, {card.parameters / 1e6:.1f}M parameters")
        print(f"    {card.license}\n    {metrics}")


@app.command
def info(model: str, /) -> None:
    """Print the card of a model file as JSON, with the SHA-256 of the file.

    Parameters
    ----------
    model
        A model inside the package (see `colorizenet models`) or an ONNX file exported
        by ColorizeNet.
    """
    from colorizenet.modelfile import load_model

    loaded = load_model(model)
    card = {"sha256": loaded.sha256} | dataclasses.asdict(loaded.card)
    card["inputs"] = [each._asdict() for each in loaded.card.inputs]
    print(json.dumps(card, ensure_ascii=False, indent=2))
