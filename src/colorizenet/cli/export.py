"""``colorizenet export``: write the network of a run as an ONNX file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from colorizenet.cli.app import app, require_training
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    pass


@app.command
def export(
    run: Path,
    /,
    *,
    out: Path,
    checkpoint: Literal["best", "last"] = "best",
    weights: Literal["half", "byte"] = "half",
    blend: Path | None = None,
    share: float = 0.5,
    name: str | None = None,
    license: str = "",
    limits: str = "",
    figures: Path | None = None,
) -> None:
    """Write the network of a training run as an ONNX file, proven equal to it.

    Parameters
    ----------
    run
        Folder of the run.
    out
        The .onnx file to write.
    checkpoint
        Of the lowest validation loss (of a game: the best choice), or the last.
    weights
        How they are stored: in half precision, or in a byte each for a file of half the size and colors a little off.
    blend
        Folder of a run that this one started from, or that started where it did: its weights are mixed with this one's.
    share
        How much of each weight is to be that run's, between 0 and 1.
    name
        What the model is called on its card (default: the name of the run's folder).
    license
        Terms of use, for the card.
    limits
        What the model is known to get wrong, for the card.
    figures
        A JSON file of measured figures, for the card.
    """
    require_training()
    from colorizenet.training.export import export_run

    described = {"name": name or run.resolve().name, "license": license, "limitations": limits}
    try:
        measured = json.loads(figures.read_text()) if figures else {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{quote(figures)} cannot be read as JSON ({quote(error)}); give an object of numbers"
        ) from error
    export_run(
        run,
        out,
        checkpoint=checkpoint,
        weights=weights,
        blend=blend,
        share=share,
        metrics=measured,
        **described,
    )
    print(quote(out))
