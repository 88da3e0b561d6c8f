"""Measure the loader against a commonly copied loader, and against not loading at all.

    python benchmarks/loading.py SHARDS [--size 128] [--repeats 5] [--batches 20]
                                        [--skip loader|feeding]

SHARDS is what ``data.root`` takes: a folder of tar shards, a pattern, or addresses,
without corrupt photos, as `colorizenet prepare` writes them. Two ratios:

    loader    pictures/s as (L, ab) tensors, against a Dataset that takes one picture at
              a time through Pillow and scikit-image, from the same shards, with as many
              workers and one more thread. Goal: at least 2.5
    feeding   pictures/s of training steps of ``encoder_unet`` fed by this loader
    without
              a cache, against steps fed with the same batch again and again.
              Goal: at least 0.90

The two sides alternate, so that other load affects both; the figures are medians.
"""

import argparse
import dataclasses
import io
import itertools
import logging
import statistics
import time
import warnings
from collections.abc import Iterator
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from skimage.color import rgb2lab
from torch.utils.data import DataLoader, Dataset, RandomSampler

from colorizenet.photosets import Photo
from colorizenet.training.data import augment
from colorizenet.training.data.loader import DataConfig, Photographs
from colorizenet.training.fit import build_task, choose_precision
from colorizenet.training.recipes import RECIPES

UNTIMED = 4
"""Batches at the start of a turn that are not timed: they may have been prepared before
it."""


class CopiedDataset(Dataset):
    """The common loader: one picture at a time, through three libraries, to floats."""

    def __init__(self, pictures: list[Photo], size: int) -> None:
        self.pictures, self.size = pictures, size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(io.BytesIO(self.pictures[index].read())).convert("RGB")
        lab = rgb2lab(np.asarray(image.resize((self.size, self.size)))).astype(np.float32)
        planes = torch.from_numpy(lab).permute(2, 0, 1)
        return planes[:1] / 100, planes[1:] / 128


def load_with_this_package(data: Photographs) -> Iterator[Any]:
    return map(augment.to_network, data.train_dataloader())


def load_with_copied_dataset(data: Photographs) -> Iterator[Any]:
    dataset = CopiedDataset(data.train, data.config.size)
    order = RandomSampler(
        dataset, num_samples=10**9, generator=torch.Generator().manual_seed(data.seed)
    )
    return iter(
        DataLoader(dataset, data.batch_size, sampler=order, num_workers=data.config.workers)
    )


def rate(batches: Iterator[Any], count: int, batch_size: int) -> float:
    """Pictures a second, once the first batches have come."""
    for _ in itertools.islice(batches, UNTIMED):
        pass
    started = time.perf_counter()
    for _ in itertools.islice(batches, count):
        pass
    return count * batch_size / (time.perf_counter() - started)


def compare_loaders(data: Photographs, repeats: int, batches: int) -> tuple[list[float], ...]:
    rates: tuple[list[float], ...] = ([], [])
    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # more would take the workers' cores, and here nothing is learned with them
    for turn in range(repeats):
        data.seed = turn  # other pictures each time
        for side, loader in enumerate((load_with_this_package, load_with_copied_dataset)):
            rates[side].append(rate(loader(data), batches, data.batch_size))
    torch.set_num_threads(threads)
    return rates


class AlternatingBatches:
    """Batches of a loader, then one batch as many times, and so on."""

    def __init__(self, data: Photographs, repeats: int, steps: int) -> None:
        self.data, self.repeats, self.steps = data, repeats, steps

    def __iter__(self) -> Iterator[torch.Tensor]:
        fresh = iter(self.data.train_dataloader())
        batch = next(fresh)
        for _ in range(self.repeats):
            yield from itertools.islice(fresh, self.steps)
            yield from itertools.repeat(batch, self.steps)


class Clock(Callback):
    """The time at which each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def compare_feeding(data: Photographs, repeats: int, batches: int) -> tuple[list[float], ...]:
    config = dataclasses.replace(RECIPES["encoder_unet"](), pictures=10**9)
    task, clock, steps = build_task(config, pretrained=False), Clock(), UNTIMED + batches
    trainer = lightning.Trainer(
        precision=choose_precision(config.precision),  # type: ignore[arg-type]
        max_epochs=1,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        callbacks=[clock],
        use_distributed_sampler=False,
    )
    trainer.fit(task, AlternatingBatches(data, repeats, steps))
    rates: tuple[list[float], ...] = ([], [])
    for turn in range(2 * repeats):
        times = clock.times[turn * steps :][:steps]
        rates[turn % 2].append(batches * data.batch_size / (times[-1] - times[UNTIMED - 1]))
    return rates


def print_ratio(
    name: str, rates: tuple[list[float], ...], sides: tuple[str, str], goal: float
) -> None:
    medians = [statistics.median(side) for side in rates]
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    print(
        f"{name:8} {medians[0]:8.1f} pictures/s {sides[0]}, {medians[1]:8.1f} {sides[1]}: "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"goal {goal:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    parser.add_argument("--batches", type=int, default=20, help="batches timed in each turn")
    parser.add_argument("--skip", choices=("loader", "feeding"))
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    config = DataConfig(root=options.shards, val=options.shards, size=options.size)
    data = Photographs(config, batch_size=RECIPES["encoder_unet"]().batch_size, seed=0)
    print(
        f"{len(data.train)} pictures at {config.size} px, {config.workers} workers, "
        f"batches of {data.batch_size}"
    )
    if options.skip != "loader":
        rates = compare_loaders(data, options.repeats, options.batches)
        print_ratio("loader", rates, ("this loader", "copied"), 2.5)
    if options.skip != "feeding":
        rates = compare_feeding(data, options.repeats, options.batches)
        print_ratio("feeding", rates, ("fed", "of one batch"), 0.9)


if __name__ == "__main__":
    main()
