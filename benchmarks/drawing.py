"""What the settings of a diffusion sampler change, and whether draws heed the photo.

    python benchmarks/drawing.py RUN PICTURES [--limit 200] [--size 160] [--draws 4]
                                 [--setting NAME=VALUE,...]...

RUN is the folder of a run of the recipe `diffusion`, PICTURES a source of photographs
as of `colorizenet evaluate`. Pictures are reduced to `--size` and colored at this size,
as in validation. Each `--setting` adds a row with other settings of the sampler, such
as `steps=8`, `sampler=euler`, `guidance=2` or `temperatures=1:0.9:0.7`.

Draws come in pairs of opposite noise and are balanced, as colorizenet draws them, so
`--draws` is an even number. No choice is made among them.

The rows are the answer of the frozen network, the draws, the draws of each setting, and
a control: draws whose condition is that of another photo, though the answer and the
lightness are right. The worse it is, the more draws heed the photo.

`one` is the mean of a metric over all draws, `best` the lowest CIEDE2000 of a photo
among the answer and its draws, `Fréchet` the distance of the first draws in the
features of EfficientNet-Lite0, which is lower for more pictures.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.photosets import list_photos, read_photo
from colorizenet.training.checkpoints import network_weights, read_checkpoint
from colorizenet.training.config import read_json
from colorizenet.training.data.loader import crop_center
from colorizenet.training.fit import build_task
from colorizenet.training.metrics import build_set_metrics
from colorizenet.training.networks.residual_diffusion import Described
from colorizenet.training.tasks.diffusion import Diffusion
from colorizenet.training.tasks.validation import make_gray, merge_chroma
from colorizenet.variants import balance_draws

FRECHET = "frechet_efficientnet_lite0"
BATCH = 16


def load_task(run: Path) -> Diffusion:
    """The trained task of a run, with its best weights."""
    task = build_task(read_json(run / "config.json"), pretrained=False)
    assert isinstance(task, Diffusion), "give a run of the recipe diffusion"
    task.network.load_state_dict(network_weights(read_checkpoint(run / "best.ckpt")))
    return task.eval()


def parse_setting(text: str) -> dict[str, Any]:
    """`steps=8,temperatures=1:0.5` as settings of ``DiffusionConfig``."""
    found: dict[str, Any] = {}
    for pair in text.split(","):
        name, value = pair.split("=")
        if name == "temperatures":
            found[name] = tuple(map(float, value.split(":")))
        else:
            found[name] = {"steps": int, "guidance": float, "sampler": str}[name](value)
    return found


def describe_pictures(task: Diffusion, grays: list[np.ndarray]) -> Described:
    """What the frozen network says of gray pictures."""
    lightness = np.stack([color.normalize_l(color.lightness(gray)) for gray in grays])
    return task.network.describe(torch.from_numpy(lightness)[:, None])


@torch.no_grad()
def draw_pictures(
    task: Diffusion, grays: list[np.ndarray], draws: int, *, shuffled: bool = False
) -> list[list[np.ndarray]]:
    """Colored pictures: those of the answer, then those of each draw.

    With ``shuffled``, the condition of each photo is that of the photo before it.
    """
    before = [grays[-1], *grays[:-1]]
    colored: list[list[np.ndarray]] = [[] for _ in range(draws + 1)]
    for start in range(0, len(grays), BATCH):
        part = grays[start : start + BATCH]
        described = describe_pictures(task, part)
        if shuffled:
            levels = describe_pictures(task, before[start : start + BATCH]).levels
            described = described._replace(levels=levels)
        generator = torch.Generator().manual_seed(start)
        answer, *drawn = (
            color.denormalize_ab(ab).movedim(1, -1).contiguous().numpy()
            for ab in (described.answer, *task.draw(described, draws, generator))
        )
        for pictures, chroma in zip(colored, [answer, *balance_draws(answer, drawn)], strict=True):
            pictures += [merge_chroma(*pair) for pair in zip(part, chroma, strict=True)]
    return colored


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--setting", action="append", default=[])
    options = parser.parse_args()
    if options.draws < 2 or options.draws % 2:
        parser.error(f"--draws {options.draws} is not an even number of 2 or more")

    task = load_task(options.run)
    photos = list_photos(options.pictures)[: options.limit]
    if len(photos) < 2:
        parser.error("the control needs another photo; give two or more")
    truths = [crop_center(read_photo(photo), options.size) for photo in photos]
    grays = [make_gray(truth) for truth in truths]
    frechet = build_set_metrics([FRECHET])[FRECHET]
    for truth in truths:
        frechet.add("true", truth[None])

    def report(name: str, drawn: list[list[np.ndarray]]) -> None:
        def mean(metric: Any) -> float:
            values = [metric(*pair) for each in drawn for pair in zip(each, truths, strict=True)]
            return float(np.mean(values))

        errors = np.array(
            [
                [metrics.ciede2000(*pair) for pair in zip(each, truths, strict=True)]
                for each in [answer, *drawn]
            ]
        )
        for picture in drawn[0]:
            frechet.add(name, picture[None])
        print(
            f"{name:35s}{errors[1:].mean():10.2f}{errors.min(axis=0).mean():10.2f}"
            f"{np.mean([metrics.colorfulness(each) for part in drawn for each in part]):14.1f}"
            f"{mean(metrics.bleeding):10.3f}{frechet.distance(name, 'true'):10.1f}",
            flush=True,
        )

    titles = f"{'one':>10s}{'best':>10s}{'colorfulness':>14s}{'bleeding':>10s}{'Fréchet':>10s}"
    print(f"{'':35s}{titles}")
    answer, *drawn = draw_pictures(task, grays, options.draws)
    report("answer", [answer])
    report("draws", drawn)
    config = task.config
    for text in options.setting:
        task.config = dataclasses.replace(config, **parse_setting(text))
        report(text, draw_pictures(task, grays, options.draws)[1:])
    task.config = config
    shuffled = draw_pictures(task, grays, options.draws, shuffled=True)
    report("control: another photo's condition", shuffled[1:])


if __name__ == "__main__":
    main()
