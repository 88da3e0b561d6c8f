"""``colorizenet export RUN``: write the network of a run as an ONNX file."""

import json
from pathlib import Path
from typing import Literal

from colorizenet.cli.app import app, check_target, require_training
from colorizenet.errors import ConfigError, quote


@app.command
def export(
    run: Path,
    /,
    *,
    out: Path,
    checkpoint: Literal["best", "last"] = "best",
    dtype: Literal["fp32", "fp16", "int8"] = "fp16",
    average_with: Path | None = None,
    alpha: float | None = None,
    name: str | None = None,
    license: str = "",
    limitations: str = "",
    metrics: Path | None = None,
) -> None:
    """Write the network of a run as an ONNX file that gives the same colors.

    Parameters
    ----------
    run
        Run folder.
    out
        The .onnx file to write.
    checkpoint
        The checkpoint with the best validation score, or the last.
    dtype
        How weights are stored. int8 halves the file once more and changes colors a
        little. fp32 is used where fp16 cannot hold the weights.
    average_with
        Run folder of the same network, for example of the run that this one started
        from. The weights of the two are averaged.
    alpha
        Share of --average-with in the average, between 0 and 1 (default: 0.5).
    name
        Name of the model on its card (default: name of the run folder).
    license
        Terms of use, for the card.
    limitations
        Known weaknesses, for the card.
    metrics
        JSON file of measured metrics, {"NAME": NUMBER}, for the card.
    """
    require_training()
    check_target(out)
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"--out is {quote(out)}; name a file that ends in .onnx")
    if alpha is not None and average_with is None:
        raise ConfigError("--alpha is the share of --average-with; name that run, or leave it out")
    from colorizenet.training.export import export_run

    fields = {"license": license, "limitations": limitations, "metrics": _read_metrics(metrics)}
    if name:
        fields["name"] = name
    export_run(
        run,
        out,
        checkpoint=checkpoint,
        dtype=dtype,
        average_with=average_with,
        alpha=0.5 if alpha is None else alpha,
        **fields,
    )
    print(quote(out))


def _read_metrics(path: Path | None) -> dict[str, float]:
    """Read a JSON file of numbers by name."""
    if path is None:
        return {}
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{quote(path)} cannot be read as JSON ({quote(error)}); give an object of numbers"
        ) from error
    if not isinstance(metrics, dict) or not all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e12
        for value in metrics.values()
    ):
        raise ConfigError(
            f'{quote(path)} is not of the form {{"NAME": NUMBER}}; give numbers up to 1e12'
        )
    return metrics
